"""Which blocks of a page a gold text consists of, for training and measuring: alignment of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import kernel

# Beyond this product of lengths the two texts are not aligned, only matched by shingles.
_LARGEST = 4 * 10**8
_SHINGLE = 4
# Words matched one here, one there are chance; a run of so many, or a whole block, is not.
_SHORTEST_RUN = 3


def words_of(text: str) -> list[str]:
    """The words that the benchmark counts: runs of `\\w`, in lower case."""
    return re.findall(r"\w+", text.lower())


def word_f1(found: str, gold: str) -> float:
    """F1 of the multisets of words, in [0, 1]; 1 where both are empty."""
    a, b = Counter(words_of(found)), Counter(words_of(gold))
    if not a or not b:
        return float(not a and not b)
    return 2 * (a & b).total() / (a.total() + b.total())


@kernel(types.Array(types.int32, 1, "C"), types.Array(types.int32, 1, "C"))
def align(page, gold):  # type: ignore[no-untyped-def]
    """bool [page], bool [gold]: the words matched in the best monotone alignment, which prefers long runs: a match
    after a match counts 3, any other 1."""
    n, m = page.size, gold.size
    trace = np.zeros((n + 1, m + 1), np.uint8)
    lowest = np.int32(-(10**6))
    matched = np.full(m + 1, lowest, np.int32)
    best = np.zeros(m + 1, np.int32)
    for i in range(1, n + 1):
        corner_matched, corner_best, left = matched[0], best[0], np.int32(0)
        for j in range(1, m + 1):
            above_matched, above = matched[j], best[j]
            value, step = lowest, 0
            if page[i - 1] == gold[j - 1]:
                if corner_matched + 3 >= corner_best + 1:
                    value, step = corner_matched + 3, 4
                else:
                    value = corner_best + 1
            most = above
            if left > most:
                most, step = left, step | 1
            if value > most:
                most, step = value, (step & 4) | 2
            trace[i, j] = step
            matched[j], best[j], left = value, most, most
            corner_matched, corner_best = above_matched, above
    in_page, in_gold = np.zeros(n, np.bool_), np.zeros(m, np.bool_)
    i, j, within = n, m, False
    while i > 0 and j > 0:
        step = trace[i, j]
        if within or step & 3 == 2:
            in_page[i - 1] = in_gold[j - 1] = True
            within = step & 4 != 0
            i -= 1
            j -= 1
        elif step & 3 == 1:
            j -= 1
        else:
            i -= 1
    return in_page, in_gold


def labels(blocks: Sequence[str], gold: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """float64 [blocks], twice: the share of each block's words that the gold text has, and their number.

    The alignment finds what follows the page's order; blocks that the gold text has in another place are found by their
    shingles, as long as it has words left for them.
    """
    split = [words_of(block) for block in blocks]
    numbers: dict[str, int] = {}
    page = np.array([numbers.setdefault(w, len(numbers)) for words in split for w in words], np.int32)
    target = np.array([numbers.setdefault(w, len(numbers)) for w in words_of(gold)], np.int32)
    if page.size * target.size <= _LARGEST:
        in_page, in_gold = align(page, target)
    else:
        in_page, in_gold = np.zeros(page.size, np.bool_), np.zeros(target.size, np.bool_)
    shingles = {tuple(target[i : i + _SHINGLE].tolist()) for i in range(target.size - _SHINGLE + 1)}
    left = Counter(target[~in_gold].tolist())
    share, size = np.zeros(len(split)), np.array([float(len(words)) for words in split])
    at = 0
    for b, words in enumerate(split):
        here = page[at : at + len(words)].tolist()
        share[b] = _in_runs(in_page[at : at + len(words)])
        if share[b] < 0.5 and len(words) >= _SHINGLE + 2:
            covered = np.zeros(len(words), np.bool_)
            for i in range(len(words) - _SHINGLE + 1):
                if tuple(here[i : i + _SHINGLE]) in shingles:
                    covered[i : i + _SHINGLE] = True
            counts = Counter(here)
            if covered.mean() > 0.7 and (counts & left).total() >= 0.7 * len(words):
                share[b] = covered.mean()
                left -= counts
        at += len(words)
    return share, size


def _in_runs(matched: NDArray[np.bool_]) -> float:
    """Share of words in runs of matches that are long enough, or 1 where all match."""
    if matched.all():
        return float(matched.size > 0)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], matched, [False])).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= _SHORTEST_RUN].sum() / matched.size)
