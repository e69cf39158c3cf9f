"""The edits against C4's line rules in plain Python, and against datatrove's own code."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data.edits import Draft
from firn.data.measure import Edit
from firn.data.rules import load

POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
LINES = st.lists(
    st.sampled_from(
        [
            *("A line of words.", "two words", "  padded line here \t", "", " ", "\u3000wide space line\u3000"),
            *("w" * 1001 + " and so on", "See [12] and [] and [edit].", "[citation needed]", "[x] [3 stays here"),
            *("Enable JAVASCRIPT to go on", "javascript", "Our Privacy Policy is here.", "We use cookies on it"),
            *("Terms of use are these", "中文 字 字", "é è ê"),
        ]
    ),
    max_size=25,
).map("\n".join)


STEPS = load("fineweb").measure.steps


def edited(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    for number, step in enumerate(STEPS):
        if isinstance(step, Edit):
            draft.edit(number, step.edit, step.limit, tuple(phrase.encode() for phrase in step.phrases))
    spans = [tuple(int(v) for v in span) for span in zip(*draft.cuts(), strict=True)]
    return draft.text.tobytes().decode(), spans  # type: ignore[return-value]


def by_c4(text: str) -> str:
    """Raffel et al. 2020, section 2.2, without terminal punctuation: one line after another."""
    kept = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 3 or max(map(len, words)) > 1000:
            continue
        line = re.sub(r"\[\d*\]|\[edit\]|\[citation needed\]", "", line.strip())
        if "javascript" in line.lower() or any(phrase in line.lower() for phrase in POLICY):
            continue
        kept.append(line)
    return "\n".join(kept).strip()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(LINES)
def test_fineweb_edits_are_c4(text: str) -> None:
    assert edited(text)[0] == by_c4(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(LINES, st.text(max_size=60)))
def test_spans_say_all_that_was_cut(text: str) -> None:
    result, spans = edited(text)
    data = text.encode()
    for start, end, _ in reversed(spans):
        assert start < end
        data = data[:start] + data[end:]
    assert data.decode() == result
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(a[1] < b[0] or a[2] != b[2] for a, b in pairwise(spans))


def test_spans_name_the_edit() -> None:
    text = "one two\nThis line has words [4].\nturn on JavaScript now"
    _, spans = edited(text)
    assert [(text[a:b], STEPS[n].edit) for a, b, n in spans] == [  # type: ignore[union-attr]
        ("one two\n", "drop_lines.few_words"),
        ("[4]", "cut.citations"),
        ("\n", "strip_text"),
        ("turn on JavaScript now", "drop_lines.phrase"),
    ]


def test_terminal_punctuation() -> None:
    text = "Ends well.\nends not\nso so...\n\"Quoted\"\nreally?\n\nyes!\nit's'"
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    draft.edit(0, "drop_lines.no_terminal_punctuation")
    assert draft.text.tobytes().decode() == "Ends well.\n\"Quoted\"\nreally?\nyes!\nit's'"


def test_as_datatrove_on_real_text(shared_data: Callable[[str], Path]) -> None:
    filters = pytest.importorskip("datatrove.pipeline.filters.c4_filters")
    data = pytest.importorskip("datatrove.data")
    theirs = filters.C4QualityFilter(
        filter_no_terminal_punct=False, min_num_sentences=-1, filter_lorem_ipsum=False, filter_curly_bracket=False
    )
    with gzip.open(shared_data("text/cc-head/cc_en_head-0091.jsonl.gz"), "rt") as stream:
        lines = stream.readlines()[:400]
    for index, line in enumerate(lines):
        text = json.loads(line)["text"]
        text = "\n".join(text.splitlines())  # firn's documents have no other line separators
        document = data.Document(text=text, id=str(index))
        theirs.filter(document)
        assert edited(text)[0] == document.text


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", " \n ", "x" * 200_000, "[" * 5_000, "[1" * 3_000, "\u3000" * 99])
def test_hard_text(text: str) -> None:
    assert edited(text)[0] == by_c4(text)


def test_an_unchanged_text_has_no_spans() -> None:
    assert edited("A line of words.\nAnother line of words.") == ("A line of words.\nAnother line of words.", [])
