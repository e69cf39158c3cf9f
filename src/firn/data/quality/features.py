"""Text to features: hashed word 1- and 2-grams, as fastText has them (Joulin et al. 2016, arXiv:1607.01759).

Words are those of `firn.data.words`, symbols too, with ASCII letters in lower case; a number counts by its length
alone, so that no year and no price is learned by heart. Numbers of all documents are bounded by the bytes looked at.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import DIGIT, LETTER, classes
from firn.data.compiled import helper, kernel
from firn.data.words import classify, mix, split

_STEP = np.uint64(0x9E3779B97F4A7C15)
_NUMBER = np.uint64(0xD1B54A32D192ED03)
_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32


@helper
def _place(hash: np.uint64, bits: int) -> np.uint32:
    return np.uint32(mix(hash) >> np.uint64(64 - bits))


@kernel(types.uint64[::1], types.int32[::1], types.uint16[::1], types.int64, types.int64)
def _grams(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], kinds: NDArray[np.uint16], ngrams: int, bits: int
) -> NDArray[np.uint32]:
    """Places in a table of 2^bits of every word and, where ngrams is 2, of every two: uint32 [1 or 2 times words]."""
    out, count, before = np.empty(ngrams * hashes.size, np.uint32), 0, np.uint64(0)
    for at in range(hashes.size):
        word = hashes[at]
        if kinds[at] & (LETTER | DIGIT) == DIGIT:
            word = _NUMBER * np.uint64(lengths[at])
        out[count] = _place(word, bits)
        count += 1
        if ngrams == 2 and at > 0:
            out[count] = _place(before * _STEP + word, bits)
            count += 1
        before = word
    return out[:count]


def features(text: NDArray[np.uint8], ngrams: int, bits: int, limit: int) -> NDArray[np.uint32]:
    """The features of a text, uint32 [n], each below 2^bits, in the order of the text.

    text: UTF-8, uint8 [bytes]. limit: only the first so many bytes are looked at, up to a character's end.
    """
    if text.size > limit:
        while limit and text[limit] & 0xC0 == 0x80:
            limit -= 1
        text = text[:limit]
    lower = _LOWER[text]
    found: NDArray[np.uint32] = _grams(*split(lower, classify(lower, classes())), ngrams, bits)
    return found
