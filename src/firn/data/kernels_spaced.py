"""Kernels of spaced words and folded words (see `signals` for every definition)."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import BREAK, DROPPED, FOLDED_ALONE, INNER, LETTER, LOWER, SIZE, SPACE, UPPER
from firn.data.compiled import CLASSES, FOLDED, TEXT, helper, kernel
from firn.data.kernels import View
from firn.data.kernels_repeats import ratio, slot_of, table
from firn.data.signals import STOP_ENGLISH
from firn.data.words import code_point, mix, width

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_OUT = types.float64[::1]
_LONGEST = 4096  # characters; longer words count as this long where the median is taken
_STOP = np.array([int.from_bytes(word.encode(), "little") for word in STOP_ENGLISH], np.uint64)


@helper
def _marks(text: NDArray[np.uint8]) -> int:
    """#, ..., '. . .' and U+2026."""
    count, stops, spaced = 0, 0, 0
    for at in range(text.size):
        byte = text[at]
        count += byte == 0x23
        count += byte == 0xE2 and at + 2 < text.size and text[at + 1] == 0x80 and text[at + 2] == 0xA6
        stops = stops + 1 if byte == 0x2E else 0
        count += stops > 0 and stops % 3 == 0
        # Characters of '. . .' met so far.
        if byte == (0x2E if spaced % 2 == 0 else 0x20):
            spaced += 1
        else:
            spaced = 1 if byte == 0x2E else 0
        if spaced == 5:
            count, spaced = count + 1, 0
    return count


@kernel(TEXT, CLASSES, types.uint64[::1], _OUT)
def _measure_spaced(
    text: NDArray[np.uint8], classes: NDArray[np.uint16], stop: NDArray[np.uint64], out: NDArray[np.float64]
) -> None:
    words, total, with_letter, upper, stops = 0, 0, 0, 0, 0
    counts = np.zeros(_LONGEST + 1, np.int64)  # words by length, for the median
    length, cased, packed, size = 0, 0, np.uint64(0), 0
    letter = False
    for at in range(text.size + 1):
        kind = SPACE if at == text.size else int(classes[at])
        if kind & SPACE == 0:
            if kind & INNER == 0:
                length, cased, letter = length + 1, cased | kind, letter or kind & LETTER != 0
            if length > 0 and size < 8:
                byte = np.uint64(text[at])
                if 0x41 <= byte <= 0x5A:
                    byte |= np.uint64(0x20)
                packed |= byte << np.uint64(8 * size)
            size += length > 0
        elif length > 0:
            words, total, with_letter = words + 1, total + length, with_letter + letter
            upper += cased & UPPER != 0 and cased & LOWER == 0
            if size <= 8:
                for index in range(stop.size):
                    stops += packed == stop[index]
            counts[min(length, _LONGEST)] += 1
            length, cased, packed, size, letter = 0, 0, np.uint64(0), 0, False
    below, low, high = 0, -1, -1
    for value in range(counts.size):
        below += counts[value]
        if low < 0 and 2 * below >= words and words > 0:
            low = value
        if high < 0 and 2 * below > words:
            high = value
    out[0], out[1] = words, ratio(total, words)
    out[2] = (low + high) / 2 if words > 0 else 0.0
    out[3], out[4], out[5] = ratio(with_letter, words), ratio(upper, words), stops
    out[6] = ratio(_marks(text), words)


@helper
def _count_folded(
    text: NDArray[np.uint8], folded: NDArray[np.uint32], seen: NDArray[np.uint64], counts: NDArray[np.int32]
) -> int:
    """Folded words of the text. Where `seen` has room, each is put there, and how often it occurs into `counts`."""
    words, value, within, alone, digits, at = 0, _BASIS, False, False, False, 0
    while at <= text.size:
        fold, step = np.int64(BREAK), 1
        if at < text.size:
            step = width(text, at)
            code = np.int64(text[at]) if text[at] < 0x80 else code_point(text, at)
            if code < SIZE:
                fold = np.int64(folded[code])
            elif code < 0x40000:
                fold = code | FOLDED_ALONE
        if fold != DROPPED:
            single = fold & FOLDED_ALONE != 0
            if within and (fold == BREAK or single or alone):
                words += 1
                if seen.size > 0:
                    key = mix(value) | np.uint64(1)
                    slot = slot_of(seen, key)
                    seen[slot] = key
                    counts[slot] += 1
                value, within, digits = _BASIS, False, False
            if fold != BREAK:
                if fold != 0x30 or not digits:  # a run of digits is one 0
                    value = (value ^ np.uint64(fold)) * _PRIME
                within, alone, digits = True, single, fold == 0x30
        at += step
    return words


@kernel(TEXT, FOLDED, _OUT)
def _measure_folded(text: NDArray[np.uint8], folded: NDArray[np.uint32], out: NDArray[np.float64]) -> None:
    words = _count_folded(text, folded, np.empty(0, np.uint64), np.empty(0, np.int32))
    seen = table(words)
    counts = np.zeros(seen.size, np.int32)
    _count_folded(text, folded, seen, counts)
    distinct, entropy = 0, 0.0
    for slot in range(seen.size):
        if counts[slot] > 0:
            share = counts[slot] / words
            distinct, entropy = distinct + 1, entropy - share * np.log(share)
    out[0], out[1], out[2] = words, ratio(distinct, words), entropy


@kernel(TEXT, CLASSES)
def count_spaced(text: NDArray[np.uint8], classes: NDArray[np.uint16]) -> int:
    """Spaced words of a text."""
    count, within = 0, False
    for at in range(text.size):
        if classes[at] & INNER == 0:
            space = classes[at] & SPACE != 0
            count += not space and not within
            within = not space
    return count


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `spaced_words`."""
    _measure_spaced(view.text, view.classes, _STOP, out[:7])
    _measure_folded(view.text, characters.folded(), out[7:])


def measure_cuts(view: View, out: NDArray[np.float64]) -> None:
    """Family `cuts`."""
    original = view.context.original
    if original is not None:
        before = View(original)
        words = count_spaced(before.text, before.classes)
        out[0] = 1 - count_spaced(view.text, view.classes) / words if words else 0.0
