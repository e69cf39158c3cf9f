"""Kernels that measure repetition: lines, paragraphs and n-grams (see `signals` for every definition)."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import INNER, SPACE
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.words import mix

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_NGRAM = np.uint64(0x9E3779B97F4A7C15)  # base of the polynomial over token hashes, odd
_OUT = types.float64[::1]
_HASHES, _LENGTHS = types.uint64[::1], types.int32[::1]


@helper
def ratio(part: float, whole: float) -> float:
    """part / whole; 0 where there is no whole."""
    return part / whole if whole > 0 else 0.0


@helper
def table(entries: int) -> NDArray[np.uint64]:
    """An empty open-addressing table with room for so many keys, at most half full; a power of two long, 0 = free."""
    size = 16
    while size < 2 * entries + 2:
        size *= 2
    return np.zeros(size, np.uint64)


@helper
def slot_of(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """Where the odd key is, or belongs."""
    mask = keys.size - 1
    slot = int(key >> np.uint64(8)) & mask
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@helper
def met(keys: NDArray[np.uint64], key: np.uint64) -> bool:
    """Whether the key is in the table; it is afterwards."""
    key = key | np.uint64(1)
    slot = slot_of(keys, key)
    there = keys[slot] == key
    keys[slot] = key
    return bool(there)


@helper
def newlines(text: NDArray[np.uint8]) -> int:
    """Newlines in the text."""
    count = 0
    for at in range(text.size):
        count += text[at] == 0x0A
    return count


@helper
def content(text: NDArray[np.uint8], classes: NDArray[np.uint16]) -> tuple[int, int, int]:
    """Characters of the text, and where it begins and ends without white space at its ends (-1, 0 where all is)."""
    total, begin, end = 0, -1, 0
    for at in range(text.size):
        kind = classes[at]
        total += kind & INNER == 0
        if kind & SPACE == 0:
            if begin < 0 and kind & INNER == 0:
                begin = at
            if kind & INNER == 0 or end == at:
                end = at + 1
    return total, begin, end


@helper
def segments(
    text: NDArray[np.uint8], classes: NDArray[np.uint16], start: int, stop: int, breaks: int
) -> tuple[NDArray[np.uint64], NDArray[np.int32], int]:
    """Hash and characters of each stretch of bytes start to stop between `breaks` newlines or more, and how many.

    Empty stretches are none.
    """
    room = newlines(text) + 1
    hashes, lengths, count = np.empty(room, np.uint64), np.empty(room, np.int32), 0
    value, length, at = _BASIS, 0, start
    while at <= stop:
        ends = at == stop
        run = at
        while not ends and run < stop and text[run] == 0x0A:
            run += 1
        if ends or run - at >= breaks:
            if length > 0:
                hashes[count], lengths[count] = mix(value), length
                count += 1
            value, length = _BASIS, 0
            if ends:
                break
            at = run
        else:
            value = (value ^ np.uint64(text[at])) * _PRIME
            length += classes[at] & INNER == 0
            at += 1
    return hashes, lengths, count


@helper
def _repeats(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], count: int, total: int, out: NDArray[np.float64]
) -> None:
    """Repeats among the first `count`: out[0] their share, out[1] their characters' share of the total."""
    keys, repeats, repeated = table(count), 0, 0
    for index in range(count):
        if met(keys, hashes[index]):
            repeats, repeated = repeats + 1, repeated + lengths[index]
    out[0], out[1] = ratio(repeats, count), ratio(repeated, total)


@kernel(TEXT, CLASSES, _OUT)
def measure_duplicates(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    """Family `duplicates`."""
    total, begin, end = content(text, classes)
    hashes, lengths, count = segments(text, classes, 0, text.size, 1)
    _repeats(hashes, lengths, count, total, out[:2])
    out[2:] = 0
    starts_line = begin <= 0 or text[begin - 1] == 0x0A
    if out[0] == 0 and starts_line and (end == text.size or text[end] == 0x0A):
        return  # a paragraph of whole lines is not repeated where no line is
    hashes, lengths, count = segments(text, classes, max(begin, 0), end, 2)
    _repeats(hashes, lengths, count, total, out[2:])


@helper
def sums_of(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Characters of the tokens before each, and of all."""
    sums = np.zeros(lengths.size + 1, np.int64)
    for token in range(lengths.size):
        sums[token + 1] = sums[token] + lengths[token]
    return sums


@helper
def roll(hashes: NDArray[np.uint64], n: int, out: NDArray[np.uint64]) -> int:
    """An odd key per n-gram, in order: H = h0 * B^(n-1) + ... + h(n-1) modulo 2^64, sliding. Returns how many."""
    count = hashes.size - n + 1
    power = np.uint64(1)
    for _ in range(n):
        power *= _NGRAM
    rolling = np.uint64(0)
    for token in range(min(n - 1, hashes.size)):
        rolling = rolling * _NGRAM + hashes[token]
    for token in range(count):
        rolling = rolling * _NGRAM + hashes[token + n - 1]
        if token > 0:
            rolling -= hashes[token - 1] * power
        out[token] = mix(rolling) | np.uint64(1)
    return max(count, 0)


@kernel(_HASHES, _LENGTHS, types.float64, _OUT)
def measure_ngrams(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], total: float, out: NDArray[np.float64]
) -> None:
    """Family `ngrams`. total: characters of the text."""
    sums, keys = sums_of(lengths), np.empty(hashes.size, np.uint64)
    seen = table(hashes.size)
    counts, firsts = np.empty(seen.size, np.int32), np.empty(seen.size, np.int32)
    out[:] = 0
    for n in range(2, 11):
        ngrams = roll(hashes, n, keys)
        seen[:] = 0
        best, best_first = np.int32(0), np.int32(0)
        repeated, free = 0, 0
        for token in range(ngrams):
            if n > 4:
                if token >= free and met(seen, keys[token]):
                    repeated += int(sums[token + n] - sums[token])
                    free = token + n
                continue
            slot = slot_of(seen, keys[token])
            if seen[slot] == 0:
                seen[slot], counts[slot], firsts[slot] = keys[token], 0, token
            counts[slot] += 1
            if counts[slot] > best or (counts[slot] == best and firsts[slot] < best_first):
                best, best_first = counts[slot], firsts[slot]
        if best <= 1 and repeated == 0:  # nor does anything longer occur twice
            break
        length = sums[best_first + n] - sums[best_first] + n - 1
        out[n - 2] = ratio(length * best if n <= 4 else repeated, total)
