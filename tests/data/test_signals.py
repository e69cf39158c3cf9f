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
from firn.data.kernels import Context, View, measure
from firn.data.signals import FAMILIES
from firn.data.words import classify, split

sys.path.insert(0, str(Path(__file__).parent))
import plain_signals as plain


def utf8(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


# Families that the plain definitions know; the others have tests of their own below.
APART = ("grouped_words", "grouped_ngrams", "cuts", "languages", "listed_words", "source_files", "stop_words")
PLAIN = tuple(family for family in FAMILIES if family not in APART)


def measured(text: str, families: tuple[str, ...] = PLAIN, context: Context | None = None) -> dict[str, float]:
    names = [name for family in families for name in FAMILIES[family]]
    return dict(zip(names, measure(View(utf8(text), None, context), families).tolist(), strict=True))


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
        *("👩\u200d💻", "🙂", "½", "٣", "word", "Word", "ß", "WORD", "* x", "●", ". . .", "Javascript", "カタカナ"),
        *("0x1f, ", "\\xde", "\\u00e9" * 8, "ab " * 9, "QUJD" * 20, "auto-generated", "<?xml version=", "Ã©", "â€™"),
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
    assert measured(text) == pytest.approx(plain.signals(text), abs=1e-9)


@pytest.mark.parametrize("text", HARD, ids=range(len(HARD)))
def test_all_signals_on_hard_text(text: str) -> None:
    assert measured(text) == pytest.approx(plain.signals(text), abs=1e-9)


def test_all_signals_on_real_text(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("text/c4/c4_sample.jsonl.gz"), "rt") as stream:
        lines = stream.readlines()[:40]
    for text in (json.loads(line)["text"] for line in lines):
        assert measured(text) == pytest.approx(plain.signals(text), abs=1e-9)


def test_extracted_pages_of_many_kinds(shared_data: Callable[[str], Path]) -> None:
    with gzip.open(shared_data("warc/wcxb-dev/wcxb-dev-a.warc.wet.gz")) as stream:
        records = stream.read().split(b"WARC/1.0\r\n")[2:14]
    for record in records:
        text = record.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
        assert measured(text) == pytest.approx(plain.signals(text), abs=1e-9)


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
    apart = [measure(View(text), (family,)) for family in FAMILIES]
    assert np.concatenate(apart).tolist() == measure(View(text), tuple(FAMILIES)).tolist()


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"a\xe4", b"\x80\x80abc", b"\xf0\x9f\x99", b"'\xe2\x80"])
def test_bytes_that_are_not_utf8_are_read_within_bounds(broken: bytes) -> None:
    assert np.isfinite(measure(View(np.frombuffer(broken, np.uint8)), tuple(FAMILIES))).all()


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


def grouped(text: str) -> list[str]:
    """Grouped tokens as strings."""
    view = View(utf8(text))
    found, left = [], text
    for length in view.grouped[1].tolist():
        left = left.lstrip()
        found.append(left[:length])
        left = left[length:]
    return found


def test_letters_are_grouped_within_their_script_only() -> None:
    assert grouped("Plain words, don't change.") == pieces("Plain words, don't change.")
    assert grouped("データベース database") == ["データベース", "database"]
    assert [len(g) for g in grouped("漢字かな")] in ([2, 2], [2, 1, 1], [1, 1, 2], [1, 1, 1, 1])
    assert "".join(grouped("東京タワーに行く。")) == "東京タワーに行く。"
    assert "タワー" in grouped("東京タワーに行く。")
    assert grouped("中 文") == ["中", "文"]  # nothing joins what is apart


@pytest.mark.parametrize(
    ("first", "last", "size"), [(0x4E00, 0x5E00, 1.5), (0x3041, 0x3096, 1.5), (0x0E01, 0x0E2E, 4.0)]
)
def test_groups_are_as_long_as_words_are(first: int, last: int, size: float) -> None:
    letters = np.random.default_rng(0).integers(first, last, 20_000)
    text = "".join(map(chr, letters))
    lengths = View(utf8(text)).grouped[1]
    assert lengths.sum() == len(text)
    assert lengths.mean() == pytest.approx(size, rel=0.03)
    if size < 2:
        assert lengths.max() == 2


def test_a_phrase_is_grouped_the_same_way_wherever_it_stands() -> None:
    letters = np.random.default_rng(1).integers(0x4E00, 0x9F00, 60)
    phrase = "".join(map(chr, letters))
    alone = grouped(phrase)[3:-3]
    for before in ("", "字", "字典", "字典上"):
        found = grouped(before + phrase + "末")
        assert "|".join(alone) in "|".join(found)


def test_stop_words_of_the_language() -> None:
    def distinct(text: str, *words: str) -> float:
        return measured(text, ("grouped_words",), Context(stop_words=words))["stop_words.distinct"]

    assert distinct("l'homme et la femme", "l'", "la", "le") == 2
    assert distinct("Le monde", "le") == 0  # as it is written
    assert distinct("这是一本书", "是", "的", "一") == 2
    assert distinct("ภาษาไทยเป็นภาษา", "เป็น", "ที่") == 1
    assert distinct("no list") == 0
    assert distinct("강물은 바다로 흐른다", "~은", "~로", "~를", "은") == 2


def test_the_share_of_stop_words() -> None:
    def fraction(text: str, *words: str) -> float:
        return measured(text, ("stop_words",), Context(stop_words=words))["stop_words.fraction"]

    assert fraction("The cat and THE dog, then.", "the", "and") == 3 / 6
    assert fraction("L'homme et la femme", "l'", "la", "le", "et") == 3 / 5
    assert fraction("Über allem, über dir.", "über") == 2 / 4
    assert fraction("这是一本书", "是", "的", "一") == 2 / 5
    assert fraction("これから、それからも", "から", "か") == 4 / 9  # each word once
    assert fraction("นี่เป็นภาษา", "เป็น", "ที่") == 3 / 8
    assert fraction("강물은 바다로", "~은", "~로") == 0  # endings are no words
    assert fraction("no list") == fraction("", "the") == fraction("...", "the") == 0


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TEXTS)
def test_the_share_of_stop_words_on_random_text(text: str) -> None:
    stop = ("the", "of", "don't", "word", "ß", "中文", "é", "한국어")
    found = measured(text, ("stop_words",), Context(stop_words=stop))["stop_words.fraction"]
    assert found == pytest.approx(plain.stop_fraction(text, stop), abs=1e-9)


def test_the_share_of_what_was_cut() -> None:
    context = Context(original=utf8("one two three four"))
    assert measured("one two", ("cuts",), context)["cuts.spaced_words.fraction"] == 0.5
    assert measured("", ("cuts",), Context(original=utf8("")))["cuts.spaced_words.fraction"] == 0
    assert measured("one", ("cuts",))["cuts.spaced_words.fraction"] == 0


def test_languages_of_lines() -> None:
    def detect(text: str) -> tuple[str, float]:
        return ("de", 0.9) if "und" in text else ("en", 0.8)

    text = "a" * 60 + "\n" + "und " * 15 + "\nshort und\n"
    assert measured(text, ("languages",), Context("en", detect=detect))["languages.own.characters"] == 0.5
    assert measured("short", ("languages",), Context("en", detect=detect))["languages.own.characters"] == 0
    assert measured("字" * 20, ("languages",), Context("en", detect=detect))["languages.own.characters"] == 1


def test_what_encoded_data_is() -> None:
    def run(text: str) -> float:
        return measured(text, ("code",))["code.encoded.max_characters"]

    assert run("x = [" + ", ".join(f"0x{n:02x}" for n in range(40)) + "]") > 200
    assert run('s = "' + "".join(f"\\x{n:02x}" for n in range(40)) + '"') == 160
    assert run("s = '" + "\\u00e9" * 20 + "'") == 120
    assert run("key = '" + "QUJDREVG" * 20 + "'") == 160
    assert run("def add(first, second):\n    return first + second\n" * 20) == 0


def test_the_time_of_measuring_grows_with_the_text_and_not_with_its_square() -> None:
    """Texts that invite rescanning come to an end; the suite's own limit would say otherwise."""
    for piece in ("ab,", "0x", "\\u00e", "a\n", "[1", ". ", "Ã", "ab" + " " * 50):
        assert np.isfinite(measure(View(utf8(piece * 100_000)), PLAIN)).all()
