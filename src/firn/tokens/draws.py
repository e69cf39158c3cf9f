"""Random numbers by name: each is computed from what it is for, so that no order, rank or restart can change it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firn.core.hashing import canonical, hash64
from firn.tokens.permutation import U64, mix

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def keys(name: str, seed: int, step: int, rows: ArrayLike) -> U64:
    """A key for each row of a step's batch. rows: `Batch.positions`, so that a rank's slice has the whole's keys."""
    key = np.uint64(hash64(canonical([name, seed, step]).encode()))
    return mix(key + np.asarray(rows, np.int64).astype(np.uint64) * _GOLDEN)


def uniform(key: Any, index: ArrayLike) -> NDArray[np.float64]:
    """The numbers of [0, 1) that `key` has at `index`, broadcast together: splitmix64 (Steele, Lea, Flood 2014)."""
    with np.errstate(over="ignore"):  # of scalars; arithmetic modulo 2^64 is meant
        state = key + (np.asarray(index, np.uint64) + np.uint64(1)) * _GOLDEN
    return (mix(np.atleast_1d(state)) >> np.uint64(11)).astype(np.float64).reshape(np.shape(state)) * 2.0**-53
