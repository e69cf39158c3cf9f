"""Kernels that measure repetition as DCLM does: the first of several counts as well (see `signals`).

Apart from `kernels_repeats`, so that only a recipe which asks for them waits while they are compiled.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import DIGIT, LETTER
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels_repeats import content, ratio, roll, segments, slot_of, sums_of, table

_OUT = types.float64[::1]
_HASHES, _LENGTHS, _KINDS = types.uint64[::1], types.int32[::1], types.uint16[::1]


@helper
def _copies(hashes: NDArray[np.uint64], lengths: NDArray[np.int32], count: int, out: NDArray[np.float64]) -> None:
    """Those of the first `count` that occur more than once: out[0] their share, out[1] their characters' share."""
    keys, copies, copied, total = table(count), 0, 0, 0
    firsts = np.empty(keys.size, np.int32)  # of each key: its first place, -1 once that is counted
    for index in range(count):
        total += lengths[index]
        key = hashes[index] | np.uint64(1)
        slot = slot_of(keys, key)
        if keys[slot] == 0:
            keys[slot], firsts[slot] = key, index
            continue
        if firsts[slot] >= 0:
            copies, copied, firsts[slot] = copies + 1, copied + lengths[firsts[slot]], -1
        copies, copied = copies + 1, copied + lengths[index]
    out[0], out[1] = ratio(copies, count), ratio(copied, total)


@kernel(TEXT, CLASSES, _OUT)
def measure_duplicates_all(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    """Family `duplicates_all`."""
    _, begin, end = content(text, classes)
    hashes, lengths, count = segments(text, classes, 0, text.size, 1)
    _copies(hashes, lengths, count, out[:2])
    hashes, lengths, count = segments(text, classes, max(begin, 0), end, 2)
    _copies(hashes, lengths, count, out[2:])


@kernel(_HASHES, _LENGTHS, _KINDS, _OUT)
def measure_ngrams_all(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], kinds: NDArray[np.uint16], out: NDArray[np.float64]
) -> None:
    """Family `ngrams_all`, from the tokens, of which symbols are left out."""
    words, sizes, count = np.empty(hashes.size, np.uint64), np.empty(hashes.size, np.int32), 0
    for token in range(hashes.size):
        if kinds[token] & (LETTER | DIGIT) != 0:
            words[count], sizes[count], count = hashes[token], lengths[token], count + 1
    words, sizes = words[:count], sizes[:count]
    sums, keys = sums_of(sizes), np.empty(count, np.uint64)
    seen = table(count)
    counts = np.empty(seen.size, np.int32)
    for n in range(2, 11):
        ngrams = roll(words, n, keys)
        seen[:] = 0
        best = 0
        for word in range(ngrams):
            slot = slot_of(seen, keys[word])
            if seen[slot] == 0:
                seen[slot], counts[slot] = keys[word], 0
            counts[slot] += 1
            best = max(best, counts[slot])
        longest, covered, free = 0, 0, 0
        if best > 1:
            for word in range(ngrams):
                times = counts[slot_of(seen, keys[word])]
                if times == best:
                    longest = max(longest, int(sums[word + n] - sums[word]))
                if times > 1:
                    covered += int(sums[word + n] - sums[max(word, free)])
                    free = word + n
        out[n - 2] = ratio(longest * best if n <= 4 else covered, sums[count])
