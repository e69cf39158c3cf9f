"""Every signal against its definition in plain Python, on random and on real text."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data import characters
from firn.data.kernels import measure
from firn.data.signals import FAMILIES, FAMILY
from firn.data.words import classify, split

sys.path.insert(0, str(Path(__file__).parent))
import plain_signals as plain


def utf8(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def measured(text: str) -> dict[str, float]:
    return dict(zip(FAMILY, measure(utf8(text), tuple(FAMILIES)).tolist(), strict=True))


def pieces(text: str) -> list[str]:
    """The kernel's tokens as strings, from their lengths."""
    lengths = split(utf8(text), classify(utf8(text), characters.classes()))[1].tolist()
    found, left = [], text
    for length in lengths:
        left = left.lstrip()
        found.append(left[:length])
        left = left[length:]
    assert left.strip() == ""
    return found


# Pieces that meet the rules of segmentation, and characters of one to four bytes.
PIECES = st.sampled_from(
    [
        *("the", "The", "of", "don't", "John’s", "U.S.", "e.g.", "3.14", "1,000", "10:30", "end.Start", "a.b", "x_1"),
        *(
            "__init__",
            "...",
            "…",
            "----",
            "#",
            "{",
            "}",
            "!",
            "?!",
            "。",
            "؟",
            "•",
            "- ",
            " ",
            "\t",
            "\u3000",
            "\u00a0",
        ),
        *("\n", "\n\n", "\n\n\n", "lorem ipsum", "Lorem Ipsum", "中文", "ไทย", "ภาษา", "한국어", "é", "e\u0301"),
        *("👩\u200d💻", "🙂", "½", "٣", "word", "Word", "ß"),
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=60).map("".join),
    st.lists(st.sampled_from(["aa", "b", "c", "the"]), max_size=80).map(" ".join),
    st.lists(st.sampled_from(["one line", "another line here.", "", " ", "- x"]), max_size=30).map("\n".join),
    st.text(st.characters(codec="utf-8", max_codepoint=0x1FFFF, exclude_categories=("Cn", "Co")), max_size=80),
)
HARD = ["", "\n", "\n\n\n", " ", "a", "\u00a0\n\u3000", "x" * 20_000, "。" * 999, "🙂" * 500, "ก" * 500, "字" * 500,
        "a\n" * 1_000, "same words again " * 300, "'" * 50, "\ufeff", "a\u0300" * 300, "_", "\u0301"]  # fmt: skip


@settings(max_examples=250, deadline=None, derandomize=True)
@given(TEXTS)
def test_all_signals_on_random_text(text: str) -> None:
    assert measured(text) == pytest.approx(plain.signals(text), abs=1e-12)


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_all_signals_on_hard_text(text: str) -> None:
    assert measured(text) == pytest.approx(plain.signals(text), abs=1e-12)


def test_all_signals_on_real_text(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("text/c4/c4_sample.jsonl.gz"), "rt") as stream:
        lines = stream.readlines()[:60]
    for text in (json.loads(line)["text"] for line in lines):
        assert measured(text) == pytest.approx(plain.signals(text), abs=1e-12)


def test_extracted_pages_of_many_kinds(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("warc/wcxb-dev/wcxb-dev-a.warc.wet.gz")) as stream:
        records = stream.read().split(b"WARC/1.0\r\n")[2:30]
    for record in records:
        text = record.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
        assert measured(text) == pytest.approx(plain.signals(text), abs=1e-12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(TEXTS)
def test_tokens_on_random_text(text: str) -> None:
    assert pieces(text) == plain.tokens(text)


def test_segmentation_as_the_docstring_says() -> None:
    assert pieces("I don't read John's well-known e-mail.") == [
        *("I", "don", "'t", "read", "John", "'s", "well", "-", "known", "e", "-", "mail", "."),
    ]
    assert pieces("U.S. 3.14 1,000 10:30 24/12/2020 and/or end.Start example.com") == [
        *("U.S", ".", "3.14", "1,000", "10:30", "24/12/2020", "and", "/", "or", "end", ".", "Start", "example.com"),
    ]
    assert pieces("...中文 ไทย ---- read_text") == ["...", "中", "文", "ไ", "ท", "ย", "----", "read_text"]


def test_known_answers() -> None:
    text = "The cat and the dog.\n\nThe cat and the dog.\n\n- short …\nIs it? Yes! It is 3.14 long.\n"
    found = measured(text)
    assert found["words.count"] == 5 + 5 + 1 + 2 + 1 + 4
    assert found["words.stop_english.distinct"] == 2  # the, and
    assert found["sentences.count"] == 1 + 1 + 1 + 3
    assert found["lines.count"] == 6
    assert found["lines.bullet.fraction"] == 1 / 6
    assert found["lines.ellipsis.fraction"] == 1 / 6
    assert found["lines.terminal.fraction"] == 3 / 4
    assert found["dup_paragraphs.repeats.fraction"] == 1 / 3
    assert found["dup_lines.repeats.characters"] == 20 / len(text)
    assert found["dup_ngrams.5.characters"] == len("Thecatandthedog") / len(text)
    assert found["top_ngrams.2.characters"] == 2 * len("The cat") / len(text)


def test_families_alone_give_what_they_give_together() -> None:
    text = utf8("Some words, and some words. " * 20)
    apart = [measure(text, (family,)) for family in FAMILIES]
    assert np.concatenate(apart).tolist() == measure(text, tuple(FAMILIES)).tolist()


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"a\xe4", b"\x80\x80abc", b"\xf0\x9f\x99", b"'\xe2\x80"])
def test_bytes_that_are_not_utf8_are_read_within_bounds(broken: bytes) -> None:
    assert np.isfinite(measure(np.frombuffer(broken, np.uint8), tuple(FAMILIES))).all()


def test_repetition_as_datatrove_measures_it() -> None:
    """datatrove's own functions on the same tokens, where they run without spacy."""
    theirs = pytest.importorskip("datatrove.pipeline.filters.gopher_repetition_filter")
    text = "\n".join(
        ["one two three four five six seven eight", "a b c d e f g h i j k", "nine ten"] * 4 + ["end of it"]
    )
    found, words = measured(text), text.split()
    lines = theirs.find_duplicates(text.split("\n"))
    assert found["dup_lines.repeats.fraction"] == lines[0] / 13
    assert found["dup_lines.repeats.characters"] == lines[1] / len(text)
    for n in (2, 3, 4):
        grams = theirs.get_n_grams(words, n)
        assert found[f"top_ngrams.{n}.characters"] == theirs.find_top_duplicate(grams) / len(text)
    for n in range(5, 11):
        assert found[f"dup_ngrams.{n}.characters"] == theirs.find_all_duplicate(words, n) / len(text)
