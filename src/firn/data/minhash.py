"""MinHash: from UTF-8 bytes to band keys in one pass.

Broder 1997, On the resemblance and containment of documents; banding: Leskovec, Rajaraman, Ullman, Mining of Massive
Datasets, section 3.4.

Two texts whose sets of word n-grams have Jaccard similarity s share a band with probability
1 - (1 - s^rows)^bands: with FineWeb's 14 bands of 8 rows, 0.5 at s = 0.69 and 0.92 at s = 0.8.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import BREAK, DROPPED, FOLDED_ALONE, SIZE
from firn.data.compiled import FOLDED, TEXT, helper, kernel
from firn.data.words import code_point, mix

if TYPE_CHECKING:
    from firn.data.dedup import MinHashSettings  # settings must not import numba, nor a kernel the settings

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_NGRAM = np.uint64(0x9E3779B97F4A7C15)
_ZERO = ord("0")
_BLOCK = 1024  # shingles that are hashed at a time
_ROOM = 64  # words of an n-gram at most


def probability(similarity: float, settings: MinHashSettings) -> float:
    """Chance that two texts of this Jaccard similarity are found."""
    return float(1 - (1 - similarity**settings.rows) ** settings.bands)


def signature(text: NDArray[np.uint8], settings: MinHashSettings) -> NDArray[np.int64] | None:
    """Least hash of the text's shingles under each permutation, int64 [bands * rows]; None for a text without words.

    text: UTF-8, uint8 [n]. Compared are words in lower case without punctuation and diacritics; every number is one 0.
    """
    out = np.empty(settings.bands * settings.rows, np.int64)
    words = sign(text, characters.folded(), settings.ngram, *_permutations(out.size, settings.seed), out)
    return out if words else None


def band_keys(text: NDArray[np.uint8], settings: MinHashSettings) -> NDArray[np.uint64]:
    """One key per band, uint64 [bands]; equal keys: equal hashes in the same band. Empty for a text without words."""
    hashes = signature(text, settings)
    keys = np.empty(settings.bands if hashes is not None else 0, np.uint64)
    if hashes is not None:
        fold_bands(hashes, settings.rows, keys)
    return keys


@cache
def _permutations(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Factors (odd) and summands of h -> a h + b modulo 2^64, by SplitMix64 (Steele et al. 2014)."""
    steps = np.arange(1, 2 * count + 1, dtype=np.uint64) * _NGRAM + np.uint64(seed % 2**64)
    steps = (steps ^ (steps >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    steps = (steps ^ (steps >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    steps ^= steps >> np.uint64(31)
    return (steps[:count] | np.uint64(1)).view(np.int64), steps[count:].view(np.int64)


@helper
def _lower(
    shingles: NDArray[np.int64],
    count: int,
    factors: NDArray[np.int64],
    summands: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Take the first `count` shingles into the minima.

    Shingles within, permutations without, signed comparison: this way the inner loop is four products at a time even
    where the processor multiplies and compares no unsigned 64-bit lanes (AVX2), three times faster than the other way.
    """
    for index in range(out.size):
        least, factor, summand = out[index], factors[index], summands[index]
        for shingle in range(count):
            value = factor * shingles[shingle] + summand
            least = value if value < least else least
        out[index] = least


@kernel(TEXT, FOLDED, types.int64, types.int64[::1], types.int64[::1], types.int64[::1])
def sign(
    text: NDArray[np.uint8],
    folded: NDArray[np.uint32],
    ngram: int,
    factors: NDArray[np.int64],
    summands: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Write the minima to `out`; returns the number of words."""
    shingles, count = np.empty(_BLOCK, np.int64), 0
    power = np.uint64(1)
    for _ in range(ngram):
        power *= _NGRAM
    for index in range(out.size):
        out[index] = 0x7FFFFFFFFFFFFFFF
    ring = np.zeros(_ROOM, np.uint64)  # hashes of the last words
    words, rolling = 0, np.uint64(0)  # of the last n words: h0 * B^(n-1) + ... + h(n-1), modulo 2^64
    value, within, alone, digits = _BASIS, False, False, False
    for at in range(text.size + 1):
        fold = np.int64(BREAK)
        if at < text.size:
            byte = text[at]
            if byte < 0x80:
                fold = np.int64(folded[byte])
                if fold >= 0x61 and not alone:  # most bytes: a Latin letter within a word
                    value, within, digits = (value ^ np.uint64(fold)) * _PRIME, True, False
                    continue
            elif byte < 0xC0:
                continue
            else:
                code = code_point(text, at)
                if code < SIZE:
                    fold = np.int64(folded[code])
                elif code < 0x40000:
                    fold = code | FOLDED_ALONE
            if fold == DROPPED:
                continue
            if digits and (byte == 0x2C or byte == 0x2E) and at + 1 < text.size and 0x30 <= text[at + 1] <= 0x39:
                continue  # 1,000.50 is one number
        if within and (fold == BREAK or alone or fold & FOLDED_ALONE != 0):
            word = mix(value)
            rolling = rolling * _NGRAM + word
            if words >= ngram:
                rolling -= ring[(words - ngram) % _ROOM] * power
            ring[words % _ROOM] = word
            words += 1
            if words >= ngram:
                shingles[count] = np.int64(mix(rolling))
                count += 1
                if count == _BLOCK:
                    _lower(shingles, count, factors, summands, out)
                    count = 0
            value, within, digits = _BASIS, False, False
        if fold == BREAK or (fold == _ZERO and digits):
            continue
        value = (value ^ np.uint64(fold)) * _PRIME
        within, alone, digits = True, fold & FOLDED_ALONE != 0, fold == _ZERO
    if 0 < words < ngram:
        shingles[0], count = np.int64(mix(rolling)), 1
    _lower(shingles, count, factors, summands, out)
    return words


@kernel(types.int64[::1], types.int64, types.uint64[::1])
def fold_bands(hashes: NDArray[np.int64], rows: int, keys: NDArray[np.uint64]) -> None:
    """Hash each band of `rows` hashes, and its number, to one key."""
    for band in range(keys.size):
        key = np.uint64(band + 1)
        for row in range(rows):
            key = mix((key ^ np.uint64(hashes[band * rows + row])) * _NGRAM)
        keys[band] = key
