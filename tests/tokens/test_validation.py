"""Validation windows: every token is scored exactly once, with the right context."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_corpora import counting_corpus

from firn.core.errors import RecipeError
from firn.tokens.validation import validation_windows


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tokens=st.integers(0, 200), window=st.integers(1, 40), data=st.data())
def test_every_token_is_scored_exactly_once(tmp_path: Path, tokens: int, window: int, data: st.DataObject) -> None:
    corpus = counting_corpus(tmp_path, {"a": 1}, {"a": tokens})
    stride = data.draw(st.integers(1, window))
    before = [corpus.end_of_text, *range(tokens)]  # before[t] is the token that stands before token t
    scored = []
    for number, (inputs, targets) in enumerate(validation_windows(corpus, "a", window, stride)):
        assert inputs.shape == targets.shape == (window,)
        begin = number * stride
        for place, target in enumerate(targets.tolist()):
            if target < 0:
                continue
            assert inputs[: place + 1].tolist() == before[begin : begin + place + 1]
            assert target == begin + place
            if number:
                assert place >= window - stride
            scored.append(target)
    assert scored == list(range(tokens))


def test_default_stride_is_the_window(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"a": 1}, {"a": 10})
    found = [targets.tolist() for _, targets in validation_windows(corpus, "a", 4)]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, -1, -1]]


@pytest.mark.parametrize("stride", [0, 5])
def test_a_stride_that_would_leave_tokens_out_is_refused(tmp_path: Path, stride: int) -> None:
    corpus = counting_corpus(tmp_path, {"a": 1}, {"a": 10})
    with pytest.raises(RecipeError, match="the stride is"):
        list(validation_windows(corpus, "a", 4, stride))
