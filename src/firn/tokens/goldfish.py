"""Goldfish loss (Hans et al. 2024): one target in k is never learned, so that no long passage can be learned by heart.

Which ones follows from the h tokens before them, so that a passage has the same gaps wherever it stands, and a gap in
one copy is not filled by another. The hash is of 64 bits, knows the order of tokens and does not contain the target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from firn.core.hashing import hash64
from firn.core.settings import Settings
from firn.tokens.permutation import mix

I64 = NDArray[np.int64]

# Odd, so that no power of it is zero modulo 2^64: what it is, is of no importance.
_BASE = np.uint64(0xD1342543DE82EF95)


class GoldfishSettings(Settings):
    """Which targets are left out."""

    k: int = Field(default=4, ge=2)
    """One in so many."""
    h: int = Field(default=13, ge=1)
    """Tokens before the target that decide. Fewer give common phrases the same gap everywhere; more let a passage that
    differs in one token have other gaps for as many."""
    seed: int = Field(default=0, ge=0)
    """Of the hash."""


def goldfish(inputs: I64, targets: I64, settings: GoldfishSettings) -> I64:
    """The targets with -1 for those that are not to be learned.

    inputs, targets: int64 [B, T]; targets are the next tokens, -1 where nothing is to be predicted. The first h - 1
    targets of a window, which have fewer than h tokens before them, all stay.
    """
    B, T = inputs.shape
    h = settings.h
    if h > T:
        return targets.copy()
    key = np.uint64(hash64(b"goldfish", settings.seed))
    # Each id becomes a random number first: sums of small numbers times powers would say little, and 0 nothing.
    mixed = mix(inputs.astype(np.uint64) + key)
    rolled = np.zeros((B, T - h + 1), np.uint64)
    for at in range(h):
        rolled = rolled * _BASE + mixed[:, at : at + T - h + 1]
    kept = targets.copy()
    kept[:, h - 1 :][mix(rolled) % np.uint64(settings.k) == 0] = -1
    return kept
