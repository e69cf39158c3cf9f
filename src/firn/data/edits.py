"""Edits: cuts made in a text between measurements. Nothing is ever added, so that a list of spans says it all.

`strip_lines`                        white space at both ends of every line
`strip_text`                         white space at both ends of the text
`drop_lines.long_word`               lines with a word of more than `limit` characters
`drop_lines.few_words`               lines of fewer than `limit` words
`drop_lines.no_terminal_punctuation` lines that do not end with . ? ! " or ', and those that end with ...
`drop_lines.phrase`                  lines that hold one of `phrases`, in any ASCII case
`cut.citations`                      [12], [], [edit], [citation needed]

Words are divided by white space here, as C4 has it (Raffel et al. 2020, section 2.2). A line is dropped with the
newline that ends it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import INNER, SPACE
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.words import classify

_STRIP_LINES, _STRIP_TEXT, _LONG_WORD, _FEW_WORDS, _NO_TERMINAL, _PHRASE, _CITATIONS = range(7)

CODES = {
    "strip_lines": _STRIP_LINES,
    "strip_text": _STRIP_TEXT,
    "drop_lines.long_word": _LONG_WORD,
    "drop_lines.few_words": _FEW_WORDS,
    "drop_lines.no_terminal_punctuation": _NO_TERMINAL,
    "drop_lines.phrase": _PHRASE,
    "cut.citations": _CITATIONS,
}

_CITATION_WORDS = (b"edit]", b"citation needed]")


class Draft:
    """A text on its way through edits.

    text: what is left of it, UTF-8, uint8 [n]. classes: of its bytes, uint16 [n] (words.classify).
    """

    def __init__(self, text: NDArray[np.uint8]):
        self.text, self.classes = text, classify(text, characters.classes())
        self._size = text.size
        self._origin: NDArray[np.int32] | None = None  # of each byte left: its place in the original text
        self._cut_by = np.empty(0, np.int8)  # of each original byte: 0, or 1 + the number of the edit that cut it

    @property
    def changed(self) -> bool:
        """Whether an edit has cut anything."""
        return self.text.size < self._size

    def edit(self, number: int, name: str, limit: int = 0, phrases: tuple[bytes, ...] = ()) -> None:
        """Make one edit. number: what its spans are labelled with, 0 to 126. phrases: lower-case UTF-8."""
        if name == "cut.citations":
            phrases = _CITATION_WORDS
            if b"[" not in self.text.tobytes():
                return
        elif name == "drop_lines.phrase":  # mostly there is none in all the text, which C's search finds out sooner
            lower = self.text.tobytes().lower()
            phrases = tuple(phrase for phrase in phrases if phrase in lower)
            if not phrases:
                return
        marks = np.zeros(self.text.size, np.uint8)
        if not mark(self.text, self.classes, CODES[name], limit, *_joined(phrases), marks):
            return
        if self._origin is None:
            self.text = self.text.copy()
            self._origin, self._cut_by = np.arange(self._size, dtype=np.int32), np.zeros(self._size, np.int8)
        left = cut(self.text, self.classes, self._origin, self._cut_by, marks, number + 1)
        self.text, self.classes, self._origin = self.text[:left], self.classes[:left], self._origin[:left]

    def cuts(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Starts and ends (bytes of the original text) and edit numbers of the spans that were cut, in order."""
        labels = np.concatenate(([0], self._cut_by, [0])).astype(np.int8)
        borders = np.flatnonzero(labels[1:] != labels[:-1]).astype(np.int32)
        label = labels[borders + 1]
        starts, ends = borders[:-1], borders[1:]
        inside = label[:-1] > 0
        return starts[inside], ends[inside], (label[:-1][inside] - 1).astype(np.int8)


@cache
def _joined(phrases: tuple[bytes, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Phrases after one another, and where each begins and ends."""
    ends = np.cumsum([0, *map(len, phrases)], dtype=np.int64)
    return np.frombuffer(b"".join(phrases), np.uint8), ends


@helper
def _starts_with(text: NDArray[np.uint8], at: int, end: int, phrase: NDArray[np.uint8], first: int, last: int) -> bool:
    """Whether text[at:end] begins with phrase[first:last], in any ASCII case."""
    if at + last - first > end:
        return False
    for offset in range(last - first):
        byte = text[at + offset]
        if 0x41 <= byte <= 0x5A:
            byte |= 0x20
        if byte != phrase[first + offset]:
            return False
    return True


@helper
def _drops(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    start: int,
    end: int,
    code: int,
    limit: int,
    phrases: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> bool:
    """Whether the edit drops the line of bytes start to end."""
    if code == _PHRASE:
        for index in range(ends.size - 1):
            if ends[index] == ends[index + 1]:
                continue
            lead = phrases[ends[index]]
            for at in range(start, end):
                byte = text[at]
                same = byte == lead or (0x41 <= byte <= 0x5A and byte | 0x20 == lead)
                if same and _starts_with(text, at, end, phrases, ends[index], ends[index + 1]):
                    return True
        return False
    if code == _NO_TERMINAL:
        last = text[end - 1] if end > start else 0
        ellipsis = end - start > 2 and last == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
        ends_well = last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
        return not ends_well or ellipsis
    words, length, longest = 0, 0, 0
    for at in range(start, end):
        kind = classes[at]
        if kind & SPACE != 0:
            length = 0
        elif kind & INNER == 0:  # bytes within a character neither begin a word nor lengthen it
            words += length == 0
            length += 1
            longest = max(longest, length)
    return words < limit if code == _FEW_WORDS else longest > limit


@helper
def _citation_end(text: NDArray[np.uint8], at: int, phrases: NDArray[np.uint8], ends: NDArray[np.int64]) -> int:
    """Where the citation that begins with [ at byte `at` ends: a number, or one of the phrases; `at` if none does."""
    size = text.size
    end = at + 1
    while end < size and 0x30 <= text[end] <= 0x39:
        end += 1
    if end < size and text[end] == 0x5D:
        return end + 1
    for index in range(ends.size - 1):
        length = int(ends[index + 1] - ends[index])
        same = at + 1 + length <= size
        for offset in range(length):
            same = same and text[at + 1 + offset] == phrases[ends[index] + offset]
        if same:
            return at + 1 + length
    return at


@helper
def _strip(text: NDArray[np.uint8], classes: NDArray[np.uint16], start: int, end: int, marks: NDArray[np.uint8]) -> int:
    """Mark the white space at both ends of bytes start to end; returns how many bytes."""
    count, first, last = 0, end, start
    for at in range(start, end):
        if classes[at] & (SPACE | INNER) == 0:
            first = min(first, at)
            last = at
    for at in range(start, first):
        marks[at] = 1
        count += 1
    space = False
    for at in range(max(last, first), end):
        space = classes[at] & SPACE != 0 or (space and classes[at] & INNER != 0)
        if space:
            marks[at] = 1
            count += 1
    return count


@kernel(TEXT, CLASSES, types.int64, types.int64, TEXT, types.int64[::1], types.uint8[::1])
def mark(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    code: int,
    limit: int,
    phrases: NDArray[np.uint8],
    ends: NDArray[np.int64],
    marks: NDArray[np.uint8],
) -> int:
    """Mark with 1 the bytes that an edit cuts; returns how many.

    classes: of each byte (words.classify). phrases: all after one another, phrase i at bytes ends[i] to ends[i + 1].
    """
    count, size = 0, text.size
    if code == _STRIP_TEXT:
        return _strip(text, classes, 0, size, marks)
    if code == _CITATIONS:
        at = 0
        while at < size:
            end = _citation_end(text, at, phrases, ends) if text[at] == 0x5B else at
            for cut in range(at, end):
                marks[cut] = 1
            count += end - at
            at = max(end, at + 1)
        return count
    start = 0
    while start < size:
        end = start
        while end < size and text[end] != 0x0A:
            end += 1
        if code == _STRIP_LINES:
            count += _strip(text, classes, start, end, marks)
        elif _drops(text, classes, start, end, code, limit, phrases, ends):
            for at in range(start, min(end + 1, size)):
                marks[at] = 1
                count += 1
        start = end + 1
    return count


@kernel(types.uint8[::1], types.uint16[::1], types.int32[::1], types.int8[::1], types.uint8[::1], types.int64)
def cut(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    origin: NDArray[np.int32],
    cut_by: NDArray[np.int8],
    marks: NDArray[np.uint8],
    label: int,
) -> int:
    """Take the marked bytes out of the first three arrays, in place; label them in `cut_by`. Returns how many stay."""
    left = 0
    for at in range(text.size):
        if marks[at] != 0:
            cut_by[origin[at]] = label
        else:
            text[left], classes[left], origin[left] = text[at], classes[at], origin[at]
            left += 1
    return left
