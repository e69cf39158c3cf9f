"""A document's whole story: what cut it, what was found in it, and what it measured, stage by stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from firn.cli import show as printed
from firn.run.chapter import Chapter, Edited, Item
from firn.run.cleaning import Cleaned, clean
from firn.run.looking import why
from firn.run.recipe import load

RIVER = (
    "The river rises in the hills and runs for many miles to the sea. It was once the only road that people had.\n"
    "Boats of every size have gone along with its water since then, and they carry what the towns need to this day.\n"
    "There are mills with wheels that still turn. Nobody knows how old the oldest of them is, but it works.\n"
)
MILL = RIVER.replace("river", "mill").replace("Boats", "Carts").replace("towns", "farms").replace("miles", "hours")
SNOW = (
    "In winter the village lies under snow for months, and its children learn to ski before they can read a page.\n"
    "Their teacher says that nobody was ever late for school, since the way there goes down the hill and is quick.\n"
)
QUESTION = "What is the name of the long river that flows from the lake in the hills to the northern sea of ice?\n"
BROKEN = "Nobody remembers who built the cafÃ© that stands at the end of the bridge, nor why its door is blue today.\n"
POLICY, SCRIPT = "Read our privacy policy before you go on.\n", "Please turn JavaScript on for this site to work.\n"
FRENCH = "Le glacier recule depuis la fin du petit âge glaciaire et la neige fond chaque printemps sur les pentes.\n"
PERSONAL = (
    "Write to jane.roe@example.org or to john.doe@example.org, and send what you owe to DE89370400440532013000 soon.\n"
    "The card that was used is 4111111111111111, as the letter of last week says in its second paragraph.\n"
)
TEXTS = {
    "cut.txt": SNOW + POLICY + SCRIPT + BROKEN + FRENCH,
    "folder/personal.txt": RIVER + PERSONAL,
    "asked.txt": MILL + QUESTION + SNOW.replace("winter", "autumn").replace("snow", "leaves").replace("ski", "swim"),
    "french.txt": POLICY + FRENCH * 6,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("why")
    for name, text in TEXTS.items():
        (folder / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "texts" / name).write_text(text)
    (folder / "quiz.jsonl").write_text("\n" + json.dumps({"id": "seven", "question": QUESTION}) + "\n")
    rules = {"preset": "c4", "repair": True, "language_of_lines": 0.5, "off": {"c4.min_sentences": "texts are short"}}
    tree = {
        "name": "texts",
        "sources": {"texts": {"kind": "files", "paths": [str(folder / "texts")], "rules": rules}},
        "decontaminate": {"sets": {"quiz": {"paths": [str(folder / "quiz.jsonl")]}}, "margin": 0, "least": 20},
        "pii": {},
    }
    (folder / "texts.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.fixture(scope="module")
def cleaned(runs: Path) -> Cleaned:
    return clean(load(runs / "texts.yaml"), runs / "runs", mode="quiet", workers=1)


def story(runs: Path, name: str) -> dict[str, Chapter]:
    return {chapter.stage: chapter for chapter in why(name, "texts", runs / "runs")}


def test_each_edit_says_what_it_cut_and_a_repair_what_it_wrote_anew(runs: Path, cleaned: Cleaned) -> None:
    chapter = story(runs, "cut.txt")["filter"]
    assert (chapter.verdict, chapter.rule) == ("changed", "repair.encoding")
    sizes = {edit.rule: edit for edit in chapter.edits}
    assert sizes["repair.encoding"] == Edited("repair.encoding", 1, len(BROKEN.encode()) - 1, True)
    assert sizes["language.lines"] == Edited("language.lines", 1, len(FRENCH.encode()), False)
    assert sizes["c4.policy"].bytes == len(POLICY)
    assert sizes["c4.javascript"].bytes == len(SCRIPT)
    assert next(iter(sizes)) == chapter.rule
    assert chapter.cut == sum(edit.bytes for edit in chapter.edits if not edit.repairs)
    # The same in the funnel, where all adds up.
    losses = {loss.rule: loss.amount for loss in cleaned.cleaning.losses if loss.stage == "filter"}  # type: ignore[union-attr]
    assert (losses["c4.javascript"].documents, losses["c4.javascript"].bytes) == (1, len(SCRIPT))
    assert losses["repair.encoding"].bytes == 2  # Ã© is four bytes, é two
    [passage] = [p for p in cleaned.cleaning.passages if p.stage == "filter"]  # type: ignore[union-attr]
    assert passage.entered.bytes - sum(amount.bytes for amount in losses.values()) == passage.left.bytes
    [flow] = [flow for flow in cleaned.flows if flow.stage == "filter"]
    assert flow.rules == {"language.accepted": 1}
    assert flow.changes["c4.policy"] == 1  # of the one that stays


def test_what_was_removed_says_which_language_it_has_and_what_was_cut_before(runs: Path, cleaned: Cleaned) -> None:
    chapter = story(runs, "french.txt")["filter"]
    assert (chapter.verdict, chapter.rule) == ("removed", "language.accepted")
    assert (chapter.error or "").startswith("the language is fr, score 0.")
    assert Edited("c4.policy", 1, len(POLICY), False) in chapter.edits
    assert chapter.broken[0] == "language.accepted"


def test_kinds_of_personal_data_are_counted(runs: Path, cleaned: Cleaned) -> None:
    chapter = story(runs, str(runs / "texts" / "folder" / "personal.txt"))["pii"]
    assert chapter.personal == {"email": 2, "iban": 1, "card": 1}
    assert (chapter.rule, chapter.value) == ("pii.email", 4)


def test_evaluation_items_are_named(runs: Path, cleaned: Cleaned) -> None:
    chapter = story(runs, "asked.txt")["decontaminate"]
    [item] = chapter.items
    start = TEXTS["asked.txt"].index(QUESTION)
    assert item == Item("quiz", "quiz.jsonl", 2, "seven", item.grams, item.grams, start, start + len(QUESTION) - 2)


def test_all_of_it_is_printed(runs: Path, cleaned: Cleaned, capsys: pytest.CaptureFixture[str]) -> None:
    for name in TEXTS:
        printed.story(why(name, "texts", runs / "runs"))
    said = capsys.readouterr().out
    for line in (
        f"c4.javascript {len(SCRIPT)} bytes in 1 place",
        f"repaired repair.encoding {len(BROKEN.encode()) - 1} bytes in 1 place",
        "removed by language.accepted: the language is fr, score 0.",
        "changed by pii.email: 4 found; ",
        "found    email 2, iban 1, card 1\n",
        "decontaminate  changed by contaminated.quiz",
        "item     quiz seven, quiz.jsonl line 2: ",
        "decontaminate  kept\n",
    ):
        assert line in said, line
    assert "jane.roe" not in said
    hostile = replace(why("cut.txt", "texts", runs / "runs")[0], url="http://x/\x1b]0;title\x07", error="\x9b31m")
    printed.story([hostile])
    assert not {"\x1b", "\x07", "\x9b"} & set(capsys.readouterr().out)
