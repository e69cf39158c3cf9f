"""Word n-grams of a text as 64-bit hashes, and which of them are in an index: native speed over UTF-8 bytes."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import BREAK, DROPPED, FOLDED_ALONE, SIZE
from firn.data.compiled import FOLDED, TEXT, helper, kernel
from firn.data.words import code_point, mix

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_NGRAM = np.uint64(0x9E3779B97F4A7C15)
_64 = np.uint64(64)
_6 = np.uint64(6)
_63 = np.uint64(63)
_1 = np.uint64(1)


@kernel(TEXT, FOLDED)
def words(
    text: NDArray[np.uint8], folded: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32]]:
    """Hash uint64 [n], first byte and end int32 [n] of each word of a text in UTF-8.

    Words are runs of letters and digits, in lower case and without diacritics; in scripts without spaces every letter
    is one. Unlike in MinHash numbers stay what they are, for many items differ by them alone; `,` and `.` between
    digits are passed over. So are words of one Latin letter, by which tasks label their choices, each in its own way.
    """
    room = text.size // 2 + 1  # a word and what ends it; letters that are words have three bytes
    hashes, starts, ends = np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.int32)
    count, value, within, alone, digit = 0, _BASIS, False, False, False
    start, end, letters = 0, 0, 0
    for at in range(text.size + 1):
        fold, width = np.int64(BREAK), 1
        if at < text.size:
            byte = text[at]
            if byte < 0x80:
                fold = np.int64(folded[byte])
            elif byte < 0xC0:
                continue
            else:
                width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                code = code_point(text, at)
                if code < SIZE:
                    fold = np.int64(folded[code])
                elif code < 0x40000:
                    fold = code | FOLDED_ALONE
            if fold == 0x30:
                fold = np.int64(byte) if byte < 0x80 else code
            if fold == DROPPED:
                continue
            if digit and (byte == 0x2C or byte == 0x2E) and at + 1 < text.size and 0x30 <= text[at + 1] <= 0x39:
                continue
        if within and (fold == BREAK or alone or fold & FOLDED_ALONE != 0):
            if letters != 1:
                hashes[count], starts[count], ends[count] = mix(value), start, end
                count += 1
            value, within, digit = _BASIS, False, False
        if fold == BREAK:
            continue
        if not within:
            start, letters = at, 0
        # Counts to 2, and a sign that is no Latin letter is worth both.
        letters = min(2, letters + (1 if 0x61 <= fold <= 0x7A else 2))
        value = (value ^ np.uint64(fold)) * _PRIME
        end = min(at + width, text.size)
        within, alone, digit = True, fold & FOLDED_ALONE != 0, 0x30 <= byte <= 0x39
    return hashes[:count], starts[:count], ends[:count]


@helper
def _top(length: int) -> np.uint64:
    """Factor of the word that leaves an n-gram of this length."""
    power = _1
    for _ in range(length):
        power *= _NGRAM
    return power


@kernel(types.uint64[::1], types.int64)
def ngrams(hashes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Hashes of all n-grams of `length` words, in order: uint64 [max(0, words - length + 1)]."""
    found = np.empty(max(0, hashes.size - length + 1), np.uint64)
    rolling, power = np.uint64(0), _top(length)
    for at in range(hashes.size):
        rolling = rolling * _NGRAM + hashes[at]
        if at >= length:
            rolling -= hashes[at - length] * power
        if at >= length - 1:
            found[at - length + 1] = mix(rolling ^ np.uint64(length))
    return found


@kernel(types.Array(types.uint64, 1, "C", readonly=True), types.int64)
def filter_of(sorted_hashes: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    """A bitmap of 2^bits bits that has the bit of every hash's first bits: uint64 [2^bits / 64]."""
    bitmap = np.zeros(1 << (bits - 6), np.uint64)
    shift = _64 - np.uint64(bits)
    for value in sorted_hashes:
        place = value >> shift
        bitmap[np.int64(place >> _6)] |= _1 << (place & _63)
    return bitmap


@kernel(
    types.uint64[::1],
    types.int64[::1],
    types.Array(types.uint64, 1, "C", readonly=True),
    types.uint64[::1],
)
def occurrences(
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    sorted_hashes: NDArray[np.uint64],
    bitmap: NDArray[np.uint64],
) -> NDArray[np.int32]:
    """Where n-grams of a text's words are in the index: int32 [n, 3], number of the n-gram, first word, length.

    lengths: those of the n-grams in the index. sorted_hashes: its n-grams. bitmap: their `filter_of`.
    """
    found, count = np.empty((16, 3), np.int32), 0
    shift = _64
    size = bitmap.size * 64
    while size > 1:
        size >>= 1
        shift -= _1
    for length in lengths:
        grams = ngrams(hashes, length)
        for at in range(grams.size):
            value = grams[at]
            place = value >> shift
            if (bitmap[np.int64(place >> _6)] >> (place & _63)) & _1 == 0:
                continue
            number = np.searchsorted(sorted_hashes, value)
            if number == sorted_hashes.size or sorted_hashes[number] != value:
                continue
            if count == len(found):
                more = np.empty((2 * count, 3), np.int32)
                more[:count] = found
                found = more
            found[count, 0], found[count, 1], found[count, 2] = number, at, length
            count += 1
    return found[:count]
