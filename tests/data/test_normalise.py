from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.normalise import _PLAIN, MARKS_IN_A_ROW, normalise


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=200))
def test_any_text_comes_out_clean(text: str) -> None:
    clean = normalise(text)
    clean.encode("utf-8")  # no surrogates
    assert unicodedata.is_normalized("NFC", clean)
    assert not any(unicodedata.category(c) == "Cc" and c not in "\n\t" for c in clean)
    assert normalise(clean) == clean


@given(st.text("abc éü委\n\t.,", max_size=100))
def test_clean_text_is_not_touched(text: str) -> None:
    assert normalise(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\x0bb\x0cc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("a\x00b\x1bc\x7fd\x9fe", "abcde"),
        ("\ufeffa\ufeffb\uffff", "ab"),
        ("e\u0301", "é"),
        ("a\tb", "a\tb"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner that Persian needs
        ("a\ud800b", "a\ufffdb"),
        ("", ""),
    ],
)
def test_known_cases(text: str, clean: str) -> None:
    assert normalise(text) == clean


def test_marks_are_kept_up_to_the_bound() -> None:
    # Two classes of marks, interleaved: the worst case for canonical ordering, minutes of work if it were tried.
    assert len(normalise("a" + "\u0301\u0316" * 500_000 + "b")) <= MARKS_IN_A_ROW + 2
    marks = "a" + "\u0316" * MARKS_IN_A_ROW
    assert normalise(marks + "\u0316" * 5 + "b" + marks) == marks + "b" + marks
    assert normalise("─" * 100) == "─" * 100


def test_what_is_passed_at_one_look_is_in_normal_form_beside_anything() -> None:
    composed = [unicodedata.decomposition(chr(code)).split() for code in range(sys.maxunicode + 1)]
    seconds = {chr(int(pair[1], 16)) for pair in composed if len(pair) == 2 and not pair[0].startswith("<")}
    seconds |= {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}  # of Hangul's syllables
    plain = [chr(code) for code in range(sys.maxunicode + 1) if _PLAIN.fullmatch(chr(code))]
    assert len(plain) > 30_000
    for character in plain:
        assert unicodedata.is_normalized("NFC", character)
        assert unicodedata.category(character) not in ("Cc", "Cn", "Cs")
        assert not unicodedata.combining(character)
        assert character not in seconds
