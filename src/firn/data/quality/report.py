"""How well scores tell good documents from bad ones: AUC, precision at a kept share, calibration."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import InputError

#: Shares of documents kept, those with the highest scores.
SHARES = (0.05, 0.1, 0.2, 0.5)
_BINS = 10


@dataclass(frozen=True)
class Kept:
    """Where a share of the documents is kept. at_least: the least score among them. precision: share of good ones among
    them; recall: share of all good ones that they are. Of equal scores at the border each counts in part."""

    share: float
    at_least: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Bin:
    """Documents whose scores lie in [low, high). score: their mean; good: share of good ones (see Report)."""

    low: float
    high: float
    documents: int
    score: float
    good: float


@dataclass(frozen=True)
class Report:
    """auc: the chance that a good document has a higher score than a bad one, equal scores counting half.

    bins: those that hold documents; none where scores are no probabilities. calibration_error: mean distance of score
    and share of good ones over the bins (Naeini et al. 2015). There, and in the bins, good and bad documents count as
    if they were equally many, which is what a score supposes.
    """

    documents: int
    good: int
    auc: float
    kept: list[Kept]
    bins: list[Bin]
    calibration_error: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def report(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> Report:
    """The report on these documents. Raises InputError where there are none of one kind, or a score is not a number."""
    if not good.any() or good.all():
        problem = f"{int(good.sum())} good and {int((~good).sum())} bad documents: both kinds are needed"
        raise InputError(problem, mend="give documents of both kinds")
    if not np.isfinite(scores).all():
        raise InputError("a score is not a finite number", mend="use another model")
    are_probabilities = bool(((scores >= 0) & (scores <= 1)).all())
    bins, error = _bins(scores, good) if are_probabilities else ([], None)
    kept = [_kept(scores, good, share) for share in SHARES]
    return Report(int(good.size), int(good.sum()), auc(scores, good), kept, bins, error)


def auc(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, by ranks (Mann and Whitney 1947)."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # of equal scores the mean
    positive, negative = int(good.sum()), int((~good).sum())
    return float((ranks[good].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _kept(scores: NDArray[np.float64], good: NDArray[np.bool_], share: float) -> Kept:
    most = max(1, round(share * scores.size))
    least = np.partition(scores, scores.size - most)[scores.size - most]
    above, border = scores > least, scores == least
    taken = good[above].sum() + good[border].mean() * (most - above.sum())
    return Kept(share, float(least), float(taken / most), float(taken / good.sum()))


def _bins(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> tuple[list[Bin], float]:
    place = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    weight = np.where(good, 0.5 / good.sum(), 0.5 / (~good).sum())
    bins, error = [], 0.0
    for number in np.unique(place):
        here = place == number
        mass = weight[here].sum()
        score, share = (weight[here] @ scores[here]) / mass, weight[here & good].sum() / mass
        error += mass * abs(score - share)
        low, high = number / _BINS, (number + 1) / _BINS
        bins.append(Bin(float(low), float(high), int(here.sum()), float(score), float(share)))
    return bins, float(error)
