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

#: Trees as training writes them: for every node its feature, threshold and two children, relative to the tree's root;
#: and the roots. int16 [nodes], -1 for a leaf, whose threshold is its value (log odds); float32 [nodes]; int16
#: [2, nodes]; int32 [trees].
Trees = tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.int16], NDArray[np.int32]]

#: Trees as they are evaluated. Of every inner node, tree by tree: feature, threshold, and a mask that lacks the leaves
#: on its left; where each tree's nodes begin; the trees' values by number of leaf. int16 [nodes], float32 [nodes],
#: uint16 [nodes], int32 [trees + 1], float32 [trees, 16].
Forest = tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.uint16], NDArray[np.int32], NDArray[np.float32]]

MOST_LEAVES = 16
# Blocks that are judged side by side, in vector registers; loops of 32 and less are unrolled and then not vectorised.
_LANES = 64
# The top four bits of this number times a power of two differ for each of the sixteen (a de Bruijn sequence).
_SEQUENCE = 0x09AF


@cache
def load(path: Path = MODEL) -> Forest:
    """The trees of a file. Raises FormatError where it is for other features than this version has."""
    with np.load(path, allow_pickle=False) as found:
        if tuple(found["features"].tolist()) != FEATURES:
            raise FormatError(
                "the model was trained on other features",
                where=str(path),
                mend="run firn.data.extract.training --write",
            )
        return forest((found["feature"], found["threshold"], found["children"], found["roots"]))


def forest(trees: Trees) -> Forest:
    """Trees, of at most 16 leaves each, as they are evaluated."""
    feature, threshold, children, roots = (part.tolist() for part in trees)
    inner: list[tuple[int, float, int]] = []
    starts, values = [0], np.zeros((len(roots), MOST_LEAVES), np.float32)
    for tree, root in enumerate(roots):
        leaves = 0

        def walk(at: int, tree: int = tree, root: int = root) -> None:
            nonlocal leaves
            if feature[at] < 0:
                values[tree, (_SEQUENCE << leaves & 0xFFFF) >> 12] = threshold[at]
                leaves += 1
                return
            first = leaves
            walk(root + children[0][at])
            inner.append((feature[at], threshold[at], 0xFFFF ^ ((1 << leaves) - (1 << first))))
            walk(root + children[1][at])

        walk(root)
        starts.append(len(inner))
    of, bounds, masks = zip(*inner, strict=True)
    kinds = np.array(of, np.int16), np.array(bounds, np.float32), np.array(masks, np.uint16)
    return *kinds, np.array(starts, np.int32), values


@kernel(
    types.Array(types.float32, 2, "C"),
    types.Array(types.int16, 1, "C"),
    types.Array(types.float32, 1, "C"),
    types.Array(types.uint16, 1, "C"),
    types.Array(types.int32, 1, "C"),
    types.Array(types.float32, 2, "C"),
)
def probabilities(features, feature, threshold, masks, starts, values):  # type: ignore[no-untyped-def]
    """float64 [blocks]: that a word of the block is main text. At a node, values up to the threshold go left.

    Every node of a tree is asked, and those that send a block to the right strike out the leaves on their left: the
    first leaf that remains is the block's (Lucchese et al. 2015, SIGIR, "QuickScorer"). No branch depends on the data.
    """
    number = features.shape[0]
    out = np.zeros(number)
    columns = np.zeros((features.shape[1], _LANES), np.float32)
    left = np.empty(_LANES, np.uint16)
    for low in range(0, number, _LANES):
        blocks = min(_LANES, number - low)
        for b in range(blocks):
            for i in range(features.shape[1]):
                columns[i, b] = features[low + b, i]
        for tree in range(values.shape[0]):
            for b in range(_LANES):
                left[b] = 0xFFFF
            for node in range(starts[tree], starts[tree + 1]):
                column, bound, mask = columns[feature[node]], threshold[node], masks[node]
                for b in range(_LANES):
                    left[b] &= np.uint16(0xFFFF) if column[b] <= bound else mask
            for b in range(blocks):
                leaf = np.uint32(left[b]) & -np.uint32(left[b])
                out[low + b] += values[tree, (leaf * np.uint32(_SEQUENCE) & np.uint32(0xFFFF)) >> np.uint32(12)]
    for b in range(number):
        out[b] = 1 / (1 + np.exp(-out[b]))
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
