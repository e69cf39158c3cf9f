"""Lists of words by language."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.core.stage import execute
from firn.core.store import Store
from firn.data import measure
from firn.data.rules import RulesSettings
from firn.data.word_lists import WordList

sys.path.insert(0, str(Path(__file__).parent))
from shards import read, row, shard

PHRASES = ["darn", "heck", "what the heck", "DRAT it"]


def count(text: str, phrases: list[str]) -> int:
    return WordList(phrase.encode() for phrase in phrases).count(np.frombuffer(text.encode(), np.uint8))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["darn", "Darn!", "heck", "what", "the", "drat", "IT", "it.", "darned", "\n", "-"])))
def test_whole_words_in_any_case(words: list[str]) -> None:
    text = " ".join(words)
    tokens = re.findall(r"[a-z]+|[^\sa-z]+", text.lower())
    joined = " ".join(tokens)
    expected = sum(len(re.findall(rf"(?<!\S)(?={re.escape(p.lower())}(?!\S))", joined)) for p in PHRASES)
    assert count(text, PHRASES) == expected


def test_scripts_without_spaces() -> None:
    assert count("这是一个坏词，又一个坏词。", ["坏词"]) == 2
    assert count("ÉCOLE école", ["École"]) == 2
    assert count("anything", []) == count("", PHRASES) == 0


def test_a_recipe_names_lists_by_language(tmp_path: Path) -> None:
    (tmp_path / "en").write_text("\n".join(PHRASES))
    (tmp_path / "de").write_text("mist\n")
    rules = RulesSettings(preset="c4", word_lists={code: str(tmp_path / code) for code in ("en", "de")})
    store = Store(tmp_path / "store")
    texts = {
        "en": "This is the darn line of words.",
        "de": "Das ist der Mist in dieser Zeile.",
        "fr": "Zut mist darn, dit-il.",
    }
    documents = shard(store, [row(code, text, language=code, language_score=0.9) for code, text in texts.items()])
    found = read(store, execute(measure.task(rules.measure, documents, rules.files), store), "signals")
    assert found["edited/listed_words.count"].to_pylist() == [1, 1, 0]


def test_the_list_that_c4_used(shared_data: Callable[[str], Path]) -> None:
    lines = shared_data("extra/ldnoobw/en").read_bytes().splitlines()
    words = WordList(lines)
    for line in lines:
        assert words.count(np.frombuffer(b"x " + line + b" y", np.uint8)) >= 1, line
    assert words.count(np.frombuffer(b"The river rises in the hills of Essex.", np.uint8)) == 0
