"""The stage filter: decisions, and the ledger that accounts for each."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from firn.core.errors import FormatError, RecipeError
from firn.core.stage import Input, Task, execute
from firn.core.store import Manifest, Store
from firn.data import filter as filtering
from firn.data import measure
from firn.data.filter import Bound, FilterSettings
from firn.data.measure import MeasureSettings
from firn.data.rules import RulesSettings
from firn.data.signals import URL_SIGNALS

sys.path.insert(0, str(Path(__file__).parent))
import plain_signals as plain
from shards import Inline, read, row, shard

GOOD = (
    "The river rises in the hills and runs for many miles to the sea. It was once the only road that people had.\n"
    "Boats of every size have gone along with its water since then, and they carry what the towns need to this day.\n"
    "There are mills with wheels that still turn. Nobody knows how old the oldest of them is, but it works.\n"
    "When winter comes the water freezes near the banks. Children walk on it, and their parents tell them not to.\n"
)


def run(
    store: Store, rows: list[dict[str, Any]], rules: RulesSettings
) -> tuple[Manifest, list[dict[str, Any]], pa.Table]:
    """Manifest, ledger and documents of the filter."""
    documents = Input(shard(store, rows), ("documents",))
    measured = execute(Task(measure.STAGE, rules.measure, (documents,), "test"), store)
    inputs = (documents, Input(measured, ("signals",)))
    manifest = execute(Task(filtering.STAGE, rules.filter, inputs, "test"), store)
    return manifest, read(store, manifest, "ledger").to_pylist(), read(store, manifest)


def test_what_happens_to_whom(tmp_path: Path) -> None:
    rules = RulesSettings(preset="fineweb")
    rows = [
        row("good", GOOD.strip(), url="http://x/", copies=2),
        row("edited", "Home\n" + GOOD + "Please turn JavaScript on for this site\n"),
        row("short", "Too short.", language="en", language_score=0.9),
        row("russian", "Это обычный русский текст, в котором есть несколько предложений. Вот второе из них."),
        row("latin", GOOD + "Lorem ipsum dolor sit amet in this page."),
        row("code", GOOD + "if (x) { return 1; } else { return 2; }"),
        row("empty", ""),
    ]
    manifest, ledger, documents = run(Store(tmp_path), rows, rules)
    assert [entry["id"] for entry in ledger] == [r["id"] for r in rows]
    verdicts = [(entry["verdict"], entry["rule"]) for entry in ledger]
    assert verdicts[:6] == [
        ("kept", None),
        ("changed", "c4.javascript"),
        ("removed", "gopher.min_words"),
        ("removed", "language.accepted"),
        ("removed", "c4.lorem_ipsum"),
        ("removed", "c4.curly_bracket"),
    ]
    assert verdicts[6][0] == "removed"
    assert (ledger[2]["value"], ledger[2]["bound"]) == (2, 50)
    assert (ledger[3]["value"], ledger[3]["bound"]) == (None, None)
    assert ledger[3]["error"].startswith("the language is ru, score 0.9")
    assert documents["text"].to_pylist() == [GOOD.strip()] * 2
    assert documents["language"].to_pylist() == ["en", "en"]
    assert all(score > 0.65 for score in documents["language_score"].to_pylist())
    assert documents["copies"].to_pylist() == [2, 1]
    assert documents["url"].to_pylist() == ["http://x/", None]
    spans = [(s["start"], s["end"]) for s in ledger[1]["spans"]]
    raw = rows[1]["text"].encode()
    assert b"".join(raw[a:b] for a, b in spans).split() == b"Home Please turn JavaScript on for this site".split()
    assert manifest.counts["rules"]["c4.lorem_ipsum"] == 1
    assert {k: manifest.counts[k] for k in ("in", "out", "kept", "changed", "removed")} == {
        "in": 7,
        "out": 2,
        "kept": 1,
        "changed": 1,
        "removed": 5,
    }


def test_every_cut_is_told_by_its_rule_of_removed_documents_too(tmp_path: Path) -> None:
    rules = RulesSettings(preset="fineweb")
    policy, script = "Read our privacy policy.\n", "Please turn JavaScript on.\n"
    rows = [
        row("kept", GOOD.strip()),
        row("both", policy + GOOD + script + GOOD.replace("e", "o") + script.rstrip()),
        row("removed", policy + "Too short."),
    ]
    store = Store(tmp_path)
    manifest, ledger, _ = run(store, rows, rules)
    assert [entry["verdict"] for entry in ledger] == ["kept", "changed", "removed"]
    assert ledger[1]["rule"] == "c4.javascript"
    edits = [edit.rule for edit in rules.filter.edits]
    assert {rule for i, rule in enumerate(edits) if ledger[1]["rules"] >> i & 1} >= {"c4.policy", "c4.javascript"}
    texts = [r["text"].encode() for r in rows]
    cuts = read(store, manifest, "cuts").to_pylist()
    told = [(cut["row"], cut["rule"], texts[cut["row"]][cut["start"] : cut["end"]].decode()) for cut in cuts]
    assert [entry for entry in told if entry[1] != "c4.strip_text"] == [
        (1, "c4.policy", policy), (1, "c4.javascript", script), (1, "c4.javascript", script.rstrip()),
        (2, "c4.policy", policy), (2, "c4.few_words", "Too short."),
    ]  # fmt: skip
    assert [(cut["start"], cut["end"]) for cut in cuts if cut["row"] == 1] == [
        (span["start"], span["end"]) for span in ledger[1]["spans"]
    ]
    assert manifest.notes["edits"]["c4.policy"] == {"documents": 1, "bytes": len(policy)}
    assert manifest.notes["edits"]["c4.javascript"] == {"documents": 1, "bytes": 2 * len(script) - 1}
    assert manifest.counts["changes"] == {"c4.javascript": 1}
    assert set(manifest.counts["rules"]) == {ledger[2]["rule"]}


def test_more_edits_than_the_bitmap_has_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    edits = "".join(f"  - {{edit: strip_text, rule: r{n}, source: me}}\n" for n in range(65))
    path.write_text(f"about: edits\nsources: {{me: 'me, for a test'}}\nsteps:\n{edits}")
    with pytest.raises(RecipeError, match="more than 64 edits"):
        RulesSettings(preset=str(path))


def test_the_bitmap_has_every_rule_that_failed(tmp_path: Path) -> None:
    rules = RulesSettings(preset="fineweb")
    text = "{ - one\n{ - two"
    _, ledger, _ = run(Store(tmp_path), [row("a", text, language="en", language_score=1.0)], rules)
    bounds = rules.filter.bounds
    failed = {bound.rule for i, bound in enumerate(bounds) if ledger[0]["rules"] >> i & 1}
    assert {"gopher.min_words", "gopher.stop_words", "c4.curly_bracket", "c4.min_sentences"} <= failed
    assert "gopher.max_words" not in failed
    assert ledger[0]["rule"] == next(bound.rule for bound in bounds if bound.rule in failed)


def by_hand(text: str, language: str, score: float) -> list[str]:
    """Rules of FineWeb that a text fails, from the definitions in plain Python (without C4's edits)."""
    found = {**plain.signals(text), **dict.fromkeys(URL_SIGNALS, 0), "language": language, "language_score": score}
    failed = []
    for bound in RulesSettings(preset="fineweb", off=dict.fromkeys(EDITS, "a test")).filter.bounds:
        value = found[bound.signal.partition("/")[2] or bound.signal]
        if bound.among is not None:
            ok = value in bound.among
        else:
            ok = value >= bound.at_least if bound.at_least is not None else value <= bound.at_most
        if not ok:
            failed.append(bound.rule)
    return failed


EDITS = [edit.rule for edit in RulesSettings(preset="fineweb").measure.edits]


def test_decisions_on_real_pages_are_those_of_the_definitions(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    with gzip.open(shared_data("warc/wcxb-dev/wcxb-dev-b.warc.wet.gz")) as stream:
        records = stream.read().split(b"WARC/1.0\r\n")[2:42]
    texts = [record.partition(b"\r\n\r\n")[2].decode("utf-8", "replace").strip() for record in records]
    rows = [row(str(n), text, language="en", language_score=0.9) for n, text in enumerate(texts)]
    rules = RulesSettings(preset="fineweb", off=dict.fromkeys(EDITS, "a test"))
    _, ledger, documents = run(Store(tmp_path), rows, rules)
    bounds = rules.filter.bounds
    for text, entry in zip(texts, ledger, strict=True):
        expected = by_hand(text, "en", 0.9)
        assert [bound.rule for i, bound in enumerate(bounds) if entry["rules"] >> i & 1] == expected
        assert entry["rule"] == (expected[0] if expected else None)
    assert 5 < documents.num_rows < 40


def test_a_changed_bound_measures_nothing_again(tmp_path: Path) -> None:
    engine = Inline(Store(tmp_path))
    documents = Input(shard(engine.store, [row("a", GOOD)]), ("documents",))
    for rules in (RulesSettings(preset="fineweb"), RulesSettings(preset="fineweb", bounds={"gopher.min_words": 3000})):
        measured = engine.run([Task(measure.STAGE, rules.measure, (documents,), "test")])[0]
        inputs = (documents, Input(measured, ("signals",)))
        manifest = engine.run([Task(filtering.STAGE, rules.filter, inputs, "test")])[0]
    assert engine.made == ["measure", "filter", "filter"]
    assert manifest.counts["rules"] == {"gopher.min_words": 1}


def test_without_rules_everything_stays_as_it_is(tmp_path: Path) -> None:
    rows = [row(str(n), text) for n, text in enumerate(["", "\n x \n", GOOD, "{" * 99])]
    manifest, _, documents = run(Store(tmp_path), rows, RulesSettings())
    assert documents["text"].to_pylist() == [r["text"] for r in rows]
    assert manifest.counts["kept"] == 4
    assert documents["language"].to_pylist()[2] == "en"


def test_code(tmp_path: Path) -> None:
    rows = [
        row("code", "def f(x):\n    return x + 1\n" * 20),
        row("minified", "var a=1;" * 200),
        row("table", "\n".join("x, " * 40 for _ in range(20))),
        row("drawing", "+--+--+\n|  |  |\n" * 30),
    ]
    _, ledger, documents = run(Store(tmp_path), rows, RulesSettings(preset="code"))
    assert [entry["rule"] for entry in ledger] == [
        None,
        "code.max_line_length",
        "code.mean_line_length",
        "code.alphanumeric",
    ]
    assert documents["language"].to_pylist() == [None]


def test_what_could_not_be_measured_has_failed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rules = RulesSettings(preset="code")
    documents = Input(shard(store, [row("a", "value = 1\n"), row("b", "value = 2\n" * 99)]), ("documents",))
    few = rules.measure.model_copy(update={"text_bytes": 50})
    measured = execute(Task(measure.STAGE, few, (documents,), "test"), store)
    inputs = (documents, Input(measured, ("signals",)))
    manifest = execute(Task(filtering.STAGE, rules.filter, inputs, "test"), store)
    ledger = read(store, manifest, "ledger").to_pylist()
    assert [entry["verdict"] for entry in ledger] == ["kept", "failed"]
    assert "text_bytes" in ledger[1]["error"]
    assert read(store, manifest).num_rows == 1


def test_many_documents_keep_their_rows(tmp_path: Path) -> None:
    """More than a batch and a row group, every third one removed, every fifth edited."""
    rows = [
        row(str(n), f"x{n}" if n % 3 == 0 else f" document {n} has words " if n % 5 == 0 else f"document {n} has words")
        for n in range(5_000)
    ]
    rules = RulesSettings(preset=str(_preset(tmp_path)))
    _, ledger, documents = run(Store(tmp_path / "store"), rows, rules)
    for n, entry in enumerate(ledger):
        assert entry["verdict"] == ("removed" if n % 3 == 0 else "changed" if n % 5 == 0 else "kept")
    assert documents["text"].to_pylist() == [r["text"].strip() for n, r in enumerate(rows) if n % 3]
    assert documents["id"].to_pylist() == [r["id"] for n, r in enumerate(rows) if n % 3]


def _preset(folder: Path) -> Path:
    path = folder / "words.yaml"
    path.write_text(
        "about: two words\nsources: {me: 'me, for a test'}\nlanguage: {bytes: 0}\nsteps:\n"
        "  - {edit: strip_text, rule: strip, source: me}\n  - {point: p, families: [words]}\n"
        "bounds:\n  - {rule: words, signal: p/words.count, at_least: 2, source: me}\n"
    )
    return path


def test_a_signal_that_was_not_measured_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    documents = Input(shard(store, [row("a", "text")]), ("documents",))
    measured = execute(Task(measure.STAGE, MeasureSettings(), (documents,), "test"), store)
    settings = FilterSettings(bounds=(Bound(rule="r", signal="p/words.count", at_least=1),))
    with pytest.raises(FormatError, match=r"p/words\.count"):
        execute(Task(filtering.STAGE, settings, (documents, Input(measured, ("signals",))), "test"), store)


def test_null_and_not_a_number_break_a_bound() -> None:
    column = pa.chunked_array([pa.array([1.0, None, float("nan"), 3.0])])
    assert Bound(rule="r", signal="s", at_least=2).fails(column).tolist() == [True, True, True, False]
    assert Bound(rule="r", signal="s", at_most=2).fails(column).tolist() == [False, True, True, True]
    languages = pa.chunked_array([pa.array(["en", None, "de"]).dictionary_encode()])
    assert Bound(rule="r", signal="language", among=("en",)).fails(languages).tolist() == [False, True, True]
