"""Counting what follows the contexts of a held-out text in a training text: kernels for the character models.

Only contexts that the held-out text asks for are counted, so that memory follows the small text and the tables of the
large one's hot loop stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True, inline="always")
def _slot(keys: Any, key: Any) -> Any:
    """Where `key` is in an open-addressing table, or the empty slot where it would be put."""
    mask = np.uint64(len(keys) - 1)
    at = ((key * _MIX) >> np.uint64(20)) & mask
    while keys[at] != key and keys[at] != _EMPTY:
        at = (at + np.uint64(1)) & mask
    return at


@numba.njit(cache=True, nogil=True)
def _follow(text: Any, starts: Any, asked: Any, asked_starts: Any, order: int, contexts: Any, pairs: Any) -> Any:
    keep = np.uint64((1 << (8 * order)) - 1)
    seen = np.zeros(len(contexts), np.int64)
    kinds = np.zeros((len(contexts), 4), np.uint64)
    both = np.zeros(len(pairs), np.int64)
    # The contexts and pairs of the held-out text.
    for d in range(len(asked_starts) - 1):
        context = np.uint64(0)
        for i in range(asked_starts[d], asked_starts[d + 1]):
            if i - asked_starts[d] >= order:
                contexts[_slot(contexts, context)] = context
                pair = (context << np.uint64(8)) | np.uint64(asked[i])
                pairs[_slot(pairs, pair)] = pair
            context = ((context << np.uint64(8)) | np.uint64(asked[i])) & keep
    # How often the training text has them, and which bytes follow.
    for d in range(len(starts) - 1):
        context = np.uint64(0)
        for i in range(starts[d], starts[d + 1]):
            byte = np.uint64(text[i])
            if i - starts[d] >= order:
                at = _slot(contexts, context)
                if contexts[at] == context:
                    seen[at] += 1
                    kinds[at, byte >> np.uint64(6)] |= np.uint64(1) << (byte & np.uint64(63))
                    pair = (context << np.uint64(8)) | byte
                    slot = _slot(pairs, pair)
                    if pairs[slot] == pair:
                        both[slot] += 1
            context = ((context << np.uint64(8)) | byte) & keep
    out = np.zeros((3, len(asked)), np.int64)
    for d in range(len(asked_starts) - 1):
        context = np.uint64(0)
        for i in range(asked_starts[d], asked_starts[d + 1]):
            if i - asked_starts[d] >= order:
                at = _slot(contexts, context)
                out[0, i] = seen[at]
                for word in range(4):
                    bits = kinds[at, word]
                    while bits:
                        bits &= bits - np.uint64(1)
                        out[1, i] += 1
                out[2, i] = both[_slot(pairs, (context << np.uint64(8)) | np.uint64(asked[i]))]
            context = ((context << np.uint64(8)) | np.uint64(asked[i])) & keep
    return out


def follow(text: Any, starts: I64, asked: Any, asked_starts: I64, order: int) -> I64:
    """For each byte of `asked` with its `order` bytes of context: what the training text knows of them.

    text, asked: uint8 [n], [m], documents one after the other; starts, asked_starts: where each begins, and the end.
    Returns int64 [3, m]: how often the context occurs before a byte, how many different bytes follow it, how often
    this one does; zeros where the document has fewer than `order` bytes before. order: 0 to 6.
    """
    # At most half full, so that probes stay short.
    size = 1 << max(4, (2 * len(asked)).bit_length())
    contexts, pairs = (np.full(size, _EMPTY, np.uint64) for _ in range(2))
    counts: I64 = _follow(text, starts, asked, asked_starts, order, contexts, pairs)
    return counts
