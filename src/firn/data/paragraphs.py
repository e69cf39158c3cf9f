"""Languages within a document: of each line that is long enough to tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firn.data.characters import INNER, LETTER
from firn.data.kernels import View

#: Letters that a line must have for its language to be told. A shorter line says too little (and an ideograph more
#: than a letter: they count threefold).
LETTERS = 40
_IDEOGRAPH_BYTES = 3
_BYTES = 1000  # of a line that are looked at


def told(view: View) -> Iterator[tuple[int, int, str, float]]:
    """(start, end, language, score) of the lines of a text whose language can be told; bytes start to end."""
    detect = view.context.detect
    if detect is None:
        return
    breaks = np.flatnonzero(view.text == 0x0A)
    starts, ends = np.concatenate(([0], breaks + 1)), np.concatenate((breaks, [view.text.size]))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        letters = np.flatnonzero(view.classes[start:end] & LETTER)
        wide = int(np.count_nonzero(view.text[start:end][letters] >= 0xE3)) if letters.size else 0
        if letters.size + (_IDEOGRAPH_BYTES - 1) * wide >= LETTERS:
            line = view.text[start : min(end, start + _BYTES)].tobytes().decode("utf-8", "ignore")
            yield (start, end, *detect(line))


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `languages`."""
    own, total = 0, 0
    for start, end, language, _ in told(view):
        size = int(np.count_nonzero(view.classes[start:end] & INNER == 0))
        total += size
        own += size if language == view.context.language else 0
    out[0] = own / total if total else 0.0


def mark_foreign(view: View, share: float, marks: NDArray[np.uint8]) -> int:
    """Mark the lines told, with a score of at least `share`, to be in another language; returns how many bytes."""
    count = 0
    if view.context.language is None:  # of no language, no line is foreign
        return 0
    for start, end, language, score in told(view):
        if language != view.context.language and score >= share:
            end = min(end + 1, view.text.size)
            marks[start:end] = 1
            count += end - start
    return count
