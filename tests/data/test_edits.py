"""The edits against C4's line rules in plain Python, and against datatrove's own code."""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data.edits import Draft
from firn.data.kernels import Context
from firn.data.language import detect
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


def made(text: str, name: str, limit: int = 0, phrases: tuple[str, ...] = ()) -> str:
    """The text after one edit; that the spans say what was cut is checked on the way."""
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    draft.edit(5, name, limit, tuple(phrase.encode() for phrase in phrases))
    left = bytearray(text.encode())
    for start, end, number in reversed(list(zip(*draft.cuts(), strict=True))):
        assert number == 5
        del left[start:end]
    assert left == draft.text.tobytes()
    return left.decode()


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


COUNTERS = ("likes", "shares", "views")
EDITS = {
    "cut.newlines": (2, (), lambda t: re.sub("\n{3,}", "\n\n", t)),
    "drop_lines.uppercase": (50, (), lambda t: kept(t, lambda x: 2 * sum(map(upper, x)) <= len(x))),
    "drop_lines.numeric": (0, (), lambda t: kept(t, lambda x: not re.fullmatch(r"[\d\s½]*[\d½][\d\s½]*", x))),
    "drop_lines.few_words_not_blank": (2, (), lambda t: kept(t, lambda x: len(x.split()) != 1)),
    "drop_lines.counter": (0, COUNTERS, lambda t: kept(t, lambda x: not COUNTER.fullmatch(x.lower()))),
    "drop_lines.short_with_phrase": (
        4, ("sign in", "cookies"),
        lambda t: kept(t, lambda x: len(x.split()) > 4 or not re.search("sign in|cookies", x.lower())),
    ),
    "drop_paragraphs.few_words": (3, (), lambda t: paragraphs(t, lambda p: len(p.split()) >= 3)),
    "drop_paragraphs.phrase": (0, ("cookies",), lambda t: paragraphs(t, lambda p: "cookies" not in p.lower())),
    "cut.phrase": (4, ("sign in",), lambda t: without(t, r"\s?sign in")),
    "cut.phrase_at_end": (4, ("sign in",), lambda t: without(t, r"\s?sign in$")),
    "cut.phrase_at_start": (4, ("sign in",), lambda t: without(t, r"^sign in")),
}  # fmt: skip
COUNTER = re.compile(r"\W*\d[\d,.]*[kmb]?\s+(?:likes|shares|views)\W*")
PARTS = st.lists(
    st.sampled_from(
        [
            *(
                "SHOUTING LINE",
                "Some words here",
                "12",
                "12 34",
                "1,204 likes",
                "3k views!",
                "3 likes it",
                "• 7 shares",
            ),
            *(
                "",
                "",
                " ",
                "one",
                "Sign in",
                "Please sign in",
                "sign in to see it all now",
                "We use COOKIES",
                "日本 語",
            ),
            *(
                "É",
                "日本 語",
                "• 7 shares",
                "½ 3",
                "Sign In sign in",
                "x sign in",
                "7",
                "likes",
                "4.5m  shares …",
                "a b c d e cookies f",
            ),
        ]
    ),
    max_size=14,
).map("\n".join)


def upper(c: str) -> bool:
    return unicodedata.category(c) == "Lu"


def kept(text: str, keep: Callable[[str], bool]) -> str:
    """The lines that are kept; the newline of a dropped line goes with it."""
    return "".join(x for x in text.splitlines(keepends=True) if keep(x.rstrip("\n")))


def paragraphs(text: str, keep: Callable[[str], bool]) -> str:
    return "".join(p for p in re.findall(r"(?s).+?(?:\n\n+|\n?\Z)|\n\n+|\n\Z", text) if keep(p))


def without(text: str, pattern: str) -> str:
    lines = []
    for line in text.splitlines(keepends=True):
        content, end = line.rstrip("\n"), line[len(line.rstrip("\n")) :]
        cut = re.sub(pattern, "", content, flags=re.I) if len(content.split()) <= 4 else content
        lines.append("" if cut != content and not cut.strip() else cut + end)
    return "".join(lines)


@pytest.mark.parametrize("name", EDITS)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=PARTS)
def test_each_edit_by_other_means(name: str, text: str) -> None:
    limit, phrases, expected = EDITS[name]
    assert made(text, name, limit, phrases) == expected(text)


def test_repeated_lines_stay_once() -> None:
    text = "a line\nb\na line\nb\nother\na line"
    assert made(text, "drop_lines.repeated", 3) == "a line\nb\nb\nother\n"


def test_lines_in_another_language() -> None:
    english = "This line is written in English and it is long enough to be told."
    german = "Diese Zeile ist auf Deutsch geschrieben und lang genug, um erkannt zu werden."
    draft = Draft(np.frombuffer(f"{english}\n{german}\nkurz\n".encode(), np.uint8), Context("en", detect=detect))
    draft.edit(0, "drop_lines.language", 50)
    assert draft.text.tobytes().decode() == f"{english}\nkurz\n"
    unknown = Draft(np.frombuffer(german.encode(), np.uint8), Context(None, detect=detect))
    unknown.edit(0, "drop_lines.language", 50)
    assert not unknown.changed


def test_repair_rewrites_the_lines_that_were_decoded_wrongly() -> None:
    pytest.importorskip("ftfy")
    wrong = "Ein schönes Café.".encode().decode("cp1252")
    text = f"Ein schönes Café.\n{wrong}\nlast [1] line"
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    draft.edit(0, "repair.encoding")
    assert draft.text.tobytes().decode() == "Ein schönes Café.\nEin schönes Café.\nlast [1] line"
    draft.edit(1, "cut.citations")
    draft.edit(2, "drop_lines.phrase", 0, (b"caf",))
    assert draft.text.tobytes().decode() == "last  line"
    spans = [(text.encode()[a:b].decode(), int(n)) for a, b, n in zip(*draft.cuts(), strict=True)]
    assert spans == [(f"Ein schönes Café.\n{wrong}\n", 2), ("[1]", 1)]


@pytest.mark.parametrize(
    ("edits", "left", "spans"),
    [
        # What is cut of a line that was written anew stood nowhere in the text before.
        ([("cut.phrase", "é")], "one two\nCaf", [("CAFE", 0)]),
        ([("drop_lines.phrase", "é")], "one two\n", [("CAFE", 1)]),
        ([("cut.phrase", "af"), ("cut.phrase", "cé")], "one two\n", [("CAFE", 2)]),
        ([("cut.phrase", " two"), ("drop_lines.phrase", "é")], "one\n", [(" two", 1), ("CAFE", 2)]),
        ([("drop_lines.phrase", "é"), ("strip_text", "")], "one two", [("\n", 2), ("CAFE", 1)]),
        ([("drop_lines.phrase", "é"), ("drop_lines.phrase", "one")], "", [("one two\n", 2), ("CAFE", 1)]),
    ],
)
def test_a_line_written_anew_counts_for_the_edit_that_leaves_nothing_of_it(
    edits: list[tuple[str, str]], left: str, spans: list[tuple[str, int]]
) -> None:
    pytest.importorskip("ftfy")
    wrong = "Café".encode().decode("cp1252")
    text = f"one two\n{wrong}"
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    draft.edit(0, "repair.encoding")
    for number, (name, phrase) in enumerate(edits, 1):
        draft.edit(number, name, 9, (phrase.encode(),) if phrase else ())
    assert draft.text.tobytes().decode() == left
    found = [(text.encode()[a:b].decode(), int(n)) for a, b, n in zip(*draft.cuts(), strict=True)]
    assert found == [(span.replace("CAFE", wrong), number) for span, number in spans]


def test_a_line_written_anew_twice_and_dropped_counts_for_the_drop() -> None:
    pytest.importorskip("ftfy")
    text = "kept\nÃ© Ã[1]©\n"
    draft = Draft(np.frombuffer(text.encode(), np.uint8))
    for number, (name, left) in enumerate(
        [("repair.encoding", "é Ã[1]©"), ("cut.citations", "é Ã©"), ("repair.encoding", "é é")]
    ):
        draft.edit(number, name)
        assert draft.text.tobytes().decode() == f"kept\n{left}\n"
    draft.edit(3, "drop_lines.phrase", 0, ("é".encode(),))
    assert [each.tolist() for each in draft.cuts()] == [[5], [len(text.encode())], [3]]


def test_repair_on_texts_that_people_met(shared_data: Callable[[str], Path]) -> None:
    pytest.importorskip("ftfy")
    cases = json.loads(shared_data("extra/ftfy/in-the-wild.json").read_text())
    found = 0
    for case in cases:
        draft = Draft(np.frombuffer(case["original"].encode(), np.uint8))
        draft.edit(0, "repair.encoding")
        found += draft.text.tobytes().decode() == case.get("fixed-encoding", case["fixed"])
    assert found > 0.6 * len(cases)
    for case in json.loads(shared_data("extra/ftfy/negative.json").read_text()):
        if case["original"] == case["fixed"]:
            draft = Draft(np.frombuffer(case["original"].encode(), np.uint8))
            draft.edit(0, "repair.encoding")
            assert not draft.changed
