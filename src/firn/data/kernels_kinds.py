"""Kernels of kinds of characters and lines (see `signals` for every definition)."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import CONNECTOR, DIGIT, INNER, LETTER, SPACE, UPPER
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels import View
from firn.data.kernels_repeats import ratio

_OUT = types.float64[::1]
_JAVASCRIPT = b"javascript"


@kernel(TEXT, CLASSES, _OUT)
def _measure_characters(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    count, letters, upper, digits, braces, white = 0, 0, 0, 0, 0, 0
    for at in range(text.size):
        kind = classes[at]
        count += kind & INNER == 0
        letters += kind & LETTER != 0
        upper += kind & UPPER != 0
        digits += kind & DIGIT != 0
        white += kind & SPACE != 0 and kind & INNER == 0
        braces += text[at] == 0x7B or text[at] == 0x7D
    out[0], out[1], out[2] = ratio(letters, count), ratio(upper, count), ratio(digits, count)
    out[3], out[4] = ratio(braces, count), ratio(white, count)


@helper
def _ends(text: NDArray[np.uint8], start: int, end: int, spaced: bool) -> bool:
    """Whether bytes start to end close with ..., U+2026 or, if so asked, '. . .'."""
    size = end - start
    if size >= 3 and text[end - 3] == 0xE2 and text[end - 2] == 0x80 and text[end - 1] == 0xA6:
        return True
    if size < 3 or text[end - 1] != 0x2E:
        return False
    if text[end - 2] == 0x2E and text[end - 3] == 0x2E:
        return True
    gaps = size >= 5 and text[end - 2] == 0x20 and text[end - 4] == 0x20
    return bool(spaced and gaps and text[end - 3] == 0x2E and text[end - 5] == 0x2E)


@kernel(TEXT, CLASSES, _OUT)
def _measure_lines(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    size, start = text.size, 0
    lines, bullets, ellipses, terminals, words, long = 0, 0, 0, 0, 0, 0
    sentences, open_sentence = 0, False
    while start < size:
        at, length, last, within = start, 0, -1, False
        while at < size and text[at] != 0x0A:
            kind = classes[at]
            if kind & INNER == 0:
                length += 1
                space = kind & SPACE != 0
                words += not space and not within
                within = not space
                if not space:
                    last = at
            byte = text[at]
            if byte == 0x2E or byte == 0x21 or byte == 0x3F:
                open_sentence = False
            elif not open_sentence and kind & (LETTER | DIGIT | CONNECTOR) != 0:
                sentences, open_sentence = sentences + 1, True
            at += 1
        if at > start:
            lines += 1
            byte = text[start]
            dot = byte == 0xE2 and at - start > 2
            bullets += (
                byte == 0x2D
                or byte == 0x2A
                or (dot and text[start + 1] == 0x80 and text[start + 2] == 0xA2)
                or (dot and text[start + 1] == 0x97 and text[start + 2] == 0x8F)
            )
            ellipses += _ends(text, start, at, True)
            if last >= 0:
                byte = text[last]
                terminals += byte == 0x2E or byte == 0x21 or byte == 0x3F or byte == 0x22
            long += length >= 200
        start = at + 1
    out[0], out[1], out[2] = lines, ratio(bullets, lines), ratio(ellipses, lines)
    out[3], out[4], out[5] = ratio(terminals, lines), ratio(words, lines), long
    out[7] = sentences


def measure_characters(view: View, out: NDArray[np.float64]) -> None:
    """Family `character_kinds`."""
    _measure_characters(view.text, view.classes, out)


def measure_lines(view: View, out: NDArray[np.float64]) -> None:
    """Family `line_kinds`."""
    _measure_lines(view.text, view.classes, out)
    out[6] = view.text.tobytes().lower().count(_JAVASCRIPT)
