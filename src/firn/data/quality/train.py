"""Training of the linear quality model: logistic regression on hashed n-grams, one document at a time.

The model depends on the documents, the settings and the seed alone: neither the order of files nor the number of
processors enters. Positive and negative documents count as if they were equally many.

1. Of each set, documents are sampled and divided by a hash of their groups: to learn by, to calibrate by, to report on.
2. AdaGrad (Duchi, Hazan, Singer 2011) over the documents in an order drawn from the seed, epoch by epoch.
3. Platt's calibration (Platt 1999; by Newton's method, as Lin, Lin and Weng 2007), which is folded into the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import InputError
from firn.core.hashing import hash64
from firn.data.quality.documents import Document, documents, group_keys, sample
from firn.data.quality.learn import learn
from firn.data.quality.linear import LinearModel, sigmoid
from firn.data.quality.report import Report, report
from firn.data.quality.settings import FeatureSettings, TrainingSettings

#: Fewest documents of each kind to calibrate by, and to report on.
FEWEST = 10

_DIVISION = 0xD1F1DE  # seed of the hash that divides


@dataclass(frozen=True)
class Trained:
    """A model, and the report on documents that it neither learned nor was calibrated by."""

    model: LinearModel
    report: Report


def train(positive: Sequence[str], negative: Sequence[str], settings: TrainingSettings, text: str = "text") -> Trained:
    """The model that tells the documents in the `positive` files from those in the `negative` ones.

    text: field of the text in JSON lines and Parquet.
    Raises InputError where files cannot be read, or there are too few documents to learn by.
    """
    good, bad = (
        sample(documents(paths, text=text), settings.documents, settings.bytes) for paths in (positive, negative)
    )
    both = good.keys() & bad.keys()
    for key in both:  # a text that is both tells nothing
        del good[key], bad[key]
    labels = np.repeat([True, False], [len(good), len(bad)])
    part = np.array([_part(key, settings.held_out) for key in [*group_keys(good), *group_keys(bad)]])
    _enough(labels, part)
    shared = FeatureSettings(**{name: getattr(settings, name) for name in FeatureSettings.model_fields})
    blank = LinearModel(shared, np.zeros(1 << shared.bits, np.float32), 0.0)
    found = _features(blank, [*good.values(), *bad.values()])

    learned = part == _LEARN
    raw = _fit(blank, [f for f, yes in zip(found, learned, strict=True) if yes], labels[learned], settings)
    model = _calibrated(raw, *_margins(raw, found, labels, part == _CALIBRATE))
    margins, truth = _margins(model, found, labels, part == _REPORT)
    result = report(sigmoid(margins), truth)
    counts = {"positive": len(good), "negative": len(bad), "in both": len(both), "learned": int(learned.sum())}
    about = {"settings": settings.model_dump(mode="json"), "documents": counts, "auc": round(result.auc, 4)}
    return Trained(LinearModel(shared, model.weights, model.bias, about), result)


_LEARN, _CALIBRATE, _REPORT = range(3)


def _part(key: int, held_out: float) -> int:
    """Which part of the division a group belongs to."""
    place = hash64(key.to_bytes(8, "little"), seed=_DIVISION) / 2**64
    return _LEARN if place >= held_out else _CALIBRATE if place < held_out / 2 else _REPORT


def _enough(labels: NDArray[np.bool_], part: NDArray[np.int64]) -> None:
    for kind, name in ((True, "positive"), (False, "negative")):
        counts = [int(((labels == kind) & (part == number)).sum()) for number in range(3)]
        if min(counts) < FEWEST:
            raise InputError(
                f"too few documents: {counts[0]} to learn by, {counts[1]} to calibrate by, {counts[2]} to report on; "
                f"at least {FEWEST} each are needed",
                where=f"the {name} set",
                mend="give more documents, or documents of more hosts and groups; equal texts count once",
            )


def _features(model: LinearModel, sampled: Sequence[Document]) -> list[NDArray[np.uint32]]:
    return [model.features(np.frombuffer(document.text, np.uint8)) for document in sampled]


def _margins(
    model: LinearModel, found: Sequence[NDArray[np.uint32]], labels: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Margins and labels of the documents that are chosen."""
    return np.array([model.margin_of(f) for f, yes in zip(found, chosen, strict=True) if yes]), labels[chosen]


def _fit(
    blank: LinearModel, found: Sequence[NDArray[np.uint32]], labels: NDArray[np.bool_], settings: TrainingSettings
) -> LinearModel:
    """Weights and bias learned from these documents."""
    draws = np.random.Generator(np.random.PCG64(settings.seed))
    order = np.concatenate([draws.permutation(len(found)) for _ in range(settings.epochs)])
    offsets = np.zeros(len(found) + 1, np.int64)
    np.cumsum([f.size for f in found], out=offsets[1:])
    weights = blank.weights.copy()
    bias = learn(np.concatenate(found), offsets, labels, _balanced(labels), order, settings.rate, weights)
    return LinearModel(blank.settings, weights, bias)


def _balanced(labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Importances with which both kinds count the same, and a document 1 in the mean."""
    half = labels.size / 2
    return np.where(labels, half / labels.sum(), half / (~labels).sum())


def _calibrated(model: LinearModel, margins: NDArray[np.float64], labels: NDArray[np.bool_]) -> LinearModel:
    """The model with margins that are log odds on these documents.

    Raises InputError where they say that positive documents have lower margins.
    """
    slope, shift = platt(margins, labels)
    if slope <= 0:
        raise InputError(
            "the held-out documents of both sets are not told apart",
            where="training",
            mend="give more documents, or sets that differ by more than chance",
        )
    return LinearModel(model.settings, (slope * model.weights).astype(np.float32), slope * model.bias + shift)


def platt(margins: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift with which sigmoid(slope * margin + shift) is likeliest, both kinds counting the same.

    Platt's targets, a little inside of 0 and 1, keep them finite where the kinds are divided without error.
    """
    positive, negative = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    importance = _balanced(labels)
    inputs = np.stack([margins, np.ones_like(margins)], axis=1)
    found = np.zeros(2)
    for _ in range(100):
        chance = sigmoid(inputs @ found)
        gradient = inputs.T @ (importance * (chance - target))
        curvature = (inputs * (importance * chance * (1 - chance))[:, None]).T @ inputs + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        before = _loss(inputs @ found, target, importance)
        while size > 1e-10 and _loss(inputs @ (found - size * step), target, importance) > before:
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return float(found[0]), float(found[1])


def _loss(margins: NDArray[np.float64], target: NDArray[np.float64], importance: NDArray[np.float64]) -> float:
    """Cross entropy."""
    return float(importance @ (np.logaddexp(0, margins) - target * margins))
