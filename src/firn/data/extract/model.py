"""Which blocks are the main text: boosted trees give each block a probability, and the page keeps the set of blocks
with the greatest expected F1.

`model.npz` is made by `firn.data.extract.training` and holds arrays only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.core.errors import FormatError
from firn.data.compiled import kernel
from firn.data.extract.features import FEATURES

MODEL = Path(__file__).with_name("model.npz")

#: Pages whose best set has a lower expected F1 have no main text: what is there is menus and notices.
LEAST_EXPECTED = 0.2

Trees = tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.int16], NDArray[np.int32]]


@cache
def load(path: Path = MODEL) -> Trees:
    """The trees: for every inner node its feature, threshold and two children; roots of the trees.

    feature: int16 [nodes], -1 for a leaf, whose threshold is its value (log odds). children: int16 [2, nodes], relative
    to the root. Raises FormatError where the file is for other features than this version has.
    """
    with np.load(path, allow_pickle=False) as found:
        if tuple(found["features"].tolist()) != FEATURES:
            raise FormatError(
                "the model was trained on other features",
                where=str(path),
                mend="run firn.data.extract.training --write",
            )
        return found["feature"], found["threshold"], found["children"], found["roots"]


@kernel(
    types.Array(types.float32, 2, "C"),
    types.Array(types.int16, 1, "C"),
    types.Array(types.float32, 1, "C"),
    types.Array(types.int16, 2, "C"),
    types.Array(types.int32, 1, "C"),
)
def probabilities(features, feature, threshold, children, roots):  # type: ignore[no-untyped-def]
    """float64 [blocks]: that a word of the block is main text. At a node, values up to the threshold go left."""
    out = np.empty(features.shape[0])
    for b in range(features.shape[0]):
        row = features[b]
        total = 0.0
        for tree in range(roots.size):
            root = roots[tree]
            at = root
            while feature[at] >= 0:
                side = 0 if row[feature[at]] <= threshold[at] else 1
                at = root + children[side, at]
            total += threshold[at]
        out[b] = 1 / (1 + np.exp(-total))
    return out


def best_set(found: NDArray[np.float64], words: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool [blocks]: the blocks to keep.

    Of all sets with the k most probable blocks, the one with the greatest expected F1 of words, 2 E[true] / (kept +
    E[relevant]). Such sets are optimal (Lewis 1995, SIGIR, "Evaluating and optimizing autonomous text classification
    systems"), so a doubtful page keeps more of what it has than a certain one.
    """
    kept = np.zeros(found.size, np.bool_)
    if not found.size:
        return kept
    order = np.argsort(-found, kind="stable")
    true = words * found
    expected = 2 * np.cumsum(true[order]) / (np.cumsum(words[order]) + true.sum() + 1e-9)
    best = int(expected.argmax())
    if expected[best] >= LEAST_EXPECTED:
        kept[order[: best + 1]] = True
    return kept
