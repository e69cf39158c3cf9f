"""Features of texts against a plain count, and within their bounds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firn.data.quality.features import features

sys.path.insert(0, str(Path(__file__).parent))


def found(text: str | bytes, ngrams: int = 2, bits: int = 20, limit: int = 1 << 14) -> list[int]:
    data = text.encode() if isinstance(text, str) else text
    return features(np.frombuffer(data, np.uint8), ngrams, bits, limit).tolist()


def test_a_feature_for_each_word_and_each_two() -> None:
    one, two, three = (found(word)[0] for word in ("snow", "ice", "firn"))
    text = found("snow ice firn snow")
    assert len(text) == 4 + 3
    assert {one, two, three} < set(text)
    assert text.count(one) == 2
    assert found("snow ice firn snow", ngrams=1) == [one, two, three, one]
    # Order counts for two words.
    assert set(found("snow ice")) ^ set(found("ice snow"))
    assert set(found("snow ice", ngrams=1)) == set(found("ice snow", ngrams=1))


def test_case_and_digits_do_not_count() -> None:
    assert found("Snow ICE") == found("snow ice")
    assert found("in 1987") == found("in 2024") != found("in 87")
    assert found("naïve 雪") != found("naive 雪")


def test_a_text_is_read_up_to_a_bound_and_no_character_is_torn() -> None:
    text = "é" * 300  # 600 bytes
    assert found(text, limit=301) == found("é" * 150)
    assert found("word " * 1000, limit=500) == found("word " * 100)
    assert len(found("a " * 100_000, limit=1000)) <= 2 * 1000


@given(st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=200)), st.integers(10, 24))
def test_any_bytes_have_features_within_the_table(data: bytes, bits: int) -> None:
    places = found(data, bits=bits)
    assert all(0 <= place < 1 << bits for place in places)
    assert len(places) <= 2 * len(data)
    assert places == found(data, bits=bits)
