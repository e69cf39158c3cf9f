"""Clusters of documents that are copies of one another, and which of each stays.

Everything here depends on the set of documents alone: not on their order, nor on the order of the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import kernel


@dataclass(frozen=True)
class Nodes:
    """Documents that have a copy somewhere; arrays of one entry each.

    shard uint64 and row int32: where the document is, and its name here. id: bytes16 as uint64 [n, 2], high half first.
    validation bool: its group is held out. size int64: bytes of text. published int64: microseconds, or the largest
    int64. copies int32: what it stands for already.
    """

    shard: NDArray[np.uint64]
    row: NDArray[np.int32]
    id: NDArray[np.uint64]
    validation: NDArray[np.bool_]
    size: NDArray[np.int64]
    published: NDArray[np.int64]
    copies: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def ranks(self) -> NDArray[np.int64]:
        """Place of each in the order of who stays, 0 first.

        Validation first, so that training documents near a validation document leave and never the reverse. Then the
        longest text: copies differ most in what extraction or quoting left out. Then the earliest published, which is
        the original among exact copies. Then the id, which no file order moves; shard and row for one id met twice.
        """
        order = np.lexsort(
            (self.row, self.shard, self.id[:, 1], self.id[:, 0], self.published, -self.size, ~self.validation)
        )
        ranks = np.empty(len(self), np.int64)
        ranks[order] = np.arange(len(self))
        return ranks


@dataclass(frozen=True)
class Verdicts:
    """Of each node: survivor int64, the index of the node that stays for it (its own where it stays itself); copies
    int64, what it stands for afterwards, 0 where it goes; rule int8, the index into RULES by which it goes."""

    survivor: NDArray[np.int64]
    copies: NDArray[np.int64]
    rule: NDArray[np.int8]


RULES = ("exact", "minhash", "near_validation")


def judge(nodes: Nodes, exact: NDArray[np.int64], near: NDArray[np.int64]) -> Verdicts:
    """Join the nodes by their pairs and choose one of each cluster.

    exact, near: int64 [pairs, 2], indices of nodes with the same text, and of those whose texts share a band.
    """
    same = components(len(nodes), exact)
    joined = components(len(nodes), np.concatenate([exact, near]))
    by_rank = np.argsort(nodes.ranks())
    _, first = np.unique(joined[by_rank], return_index=True)  # labels come sorted, with their best-ranked node
    best = np.zeros(len(nodes), np.int64)
    best[np.unique(joined)] = by_rank[first]
    survivor = best[joined]
    goes = survivor != np.arange(len(nodes))
    copies = np.bincount(survivor, weights=nodes.copies, minlength=len(nodes)).astype(np.int64)
    rule = np.where(same == same[survivor], 0, 1)
    rule = np.where(nodes.validation[survivor] & ~nodes.validation, 2, rule)
    return Verdicts(survivor, np.where(goes, 0, copies), rule.astype(np.int8))


def components(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Label of each of `count` nodes: the smallest index in its connected component. pairs: int64 [n, 2]."""
    parents = np.arange(count, dtype=np.int64)
    union(np.ascontiguousarray(pairs, np.int64), parents)
    return parents


@kernel(types.int64[:, ::1], types.int64[::1])
def union(pairs: NDArray[np.int64], parents: NDArray[np.int64]) -> None:
    """Union-find with path halving; the smaller root wins, so that labels do not depend on the order of pairs."""
    for index in range(pairs.shape[0]):
        a, b = pairs[index, 0], pairs[index, 1]
        while parents[a] != a:
            parents[a] = parents[parents[a]]
            a = parents[a]
        while parents[b] != b:
            parents[b] = parents[parents[b]]
            b = parents[b]
        if a < b:
            parents[b] = a
        else:
            parents[a] = b
    for node in range(parents.size):
        parents[node] = parents[parents[node]]  # parents are smaller than children: those are roots already
