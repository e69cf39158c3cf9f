"""The report against counts made by other means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.errors import InputError
from firn.data.quality.report import SHARES, auc, report

labelled = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(good for _, good in rows) < len(rows)
)


@given(labelled)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    good, bad = [s for s, is_good in rows if is_good], [s for s, is_good in rows if not is_good]
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    assert auc(scores.astype(float), labels) == pytest.approx(sum(pairs) / len(pairs))


@given(labelled)
def test_precision_of_distinct_scores_is_that_of_the_best(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score + at / 1000 for at, (score, _) in enumerate(rows)])
    labels = np.array([good for _, good in rows])
    for kept, share in zip(report(scores, labels).kept, SHARES, strict=True):
        best = sorted(zip(scores, labels, strict=True), reverse=True)[: max(1, round(share * len(rows)))]
        assert kept.at_least == best[-1][0]
        assert kept.precision == pytest.approx(sum(good for _, good in best) / len(best))
        assert kept.recall == pytest.approx(sum(good for _, good in best) / labels.sum())


def test_equal_scores_at_the_border_count_in_part() -> None:
    found = report(np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1]), np.array([1, 1, 1, 0, 0, 0, 0, 0], bool))
    assert found.kept[-1].precision == pytest.approx((1 + 2) / 4)
    # Two of eight: the first, and one of three of which two are good.
    assert found.kept[2].precision == pytest.approx((1 + 2 / 3) / 2)


def test_bins_of_scores_that_are_right() -> None:
    draws = np.random.default_rng(0)
    scores = draws.random(40_000)
    found = report(scores, draws.random(40_000) < scores)
    assert sum(bin.documents for bin in found.bins) == 40_000
    assert len(found.bins) == 10
    assert found.calibration_error is not None
    assert found.calibration_error < 0.02
    assert all(abs(bin.score - bin.good) < 0.05 for bin in found.bins)
    # Sure and always wrong.
    wrong = report(np.repeat([0.0, 1.0], 50), np.repeat([True, False], 50))
    assert (wrong.calibration_error, wrong.auc) == (1.0, 0.0)


def test_a_bin_counts_good_and_bad_as_if_equally_many() -> None:
    labels = np.repeat([True, False], [10, 90])
    [only] = report(np.full(100, 0.5), labels).bins
    assert (only.documents, only.score, only.good) == (100, pytest.approx(0.5), pytest.approx(0.5))


def test_scores_that_are_grades_have_no_bins() -> None:
    found = report(np.array([4.2, 1.0, -0.5]), np.array([True, False, False]))
    assert (found.bins, found.calibration_error, found.auc) == ([], None, 1.0)


@pytest.mark.parametrize(
    ("scores", "labels", "problem"),
    [([1, 2], [True, True], "both kinds"), ([], [], "both kinds"), ([np.nan, 1], [True, False], "finite")],
)
def test_what_cannot_be_reported_on(scores: list[float], labels: list[bool], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        report(np.array(scores, float), np.array(labels, bool))
