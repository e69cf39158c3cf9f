"""Edits: cuts made in a text between measurements. Nothing is added, so that a list of spans says it all.

`strip_lines`                        white space at both ends of every line
`strip_text`                         white space at both ends of the text
`cut.newlines`                       newlines beyond `limit` in a row
`cut.citations`                      [12], [], [edit], [citation needed]
`cut.phrase`, `cut.phrase_at_start`, `cut.phrase_at_end`
                                     `phrases` in lines of at most `limit` words, anywhere or at that end, with one
                                     white space before; a line of which nothing is left is dropped
`drop_lines.long_word`               lines with a word of more than `limit` characters
`drop_lines.few_words`               lines of fewer than `limit` words
`drop_lines.few_words_not_blank`     the same, but blank lines stay
`drop_lines.no_terminal_punctuation` lines that do not end with . ? ! " or ', and those that end with ...
`drop_lines.phrase`                  lines that hold one of `phrases`
`drop_lines.short_with_phrase`       lines of at most `limit` words that hold one of `phrases`
`drop_lines.uppercase`               lines of which more than `limit` percent of the characters are upper-case letters
`drop_lines.numeric`                 lines of nothing but numbers and white space
`drop_lines.counter`                 lines that are a number, with or without k, m or b, and one of `phrases` (3 likes),
                                     apart from symbols around
`drop_lines.repeated`                lines of at least `limit` characters that occurred before
`drop_paragraphs.few_words`          paragraphs of fewer than `limit` words
`drop_paragraphs.phrase`             paragraphs that hold one of `phrases`
`drop_lines.language`                lines told, with a score of at least `limit` percent, to be in another language
                                     than the document (`paragraphs` says which lines can be told)
`repair.encoding`                    lines that read like UTF-8 taken for Windows-1252, decoded anew (`repair`). The one
                                     edit that writes: its spans are the lines that it wrote anew

Phrases are in lower case and are found in any ASCII case. Words are divided by white space here, as C4 has it (Raffel
et al. 2020, section 2.2). A line is dropped with the newline that ends it, a paragraph with all that follow it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import DIGIT, INNER, SPACE, UPPER, WORD
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels import Context, View
from firn.data.kernels_repeats import met, newlines, table
from firn.data.words import classify, mix

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)

CODES = {
    name: code
    for code, name in enumerate(
        (
            "strip_lines",
            "strip_text",
            "cut.newlines",
            "cut.citations",
            "cut.phrase",
            "cut.phrase_at_start",
            "cut.phrase_at_end",
            "drop_lines.long_word",
            "drop_lines.few_words",
            "drop_lines.few_words_not_blank",
            "drop_lines.no_terminal_punctuation",
            "drop_lines.phrase",
            "drop_lines.short_with_phrase",
            "drop_lines.uppercase",
            "drop_lines.numeric",
            "drop_lines.counter",
            "drop_lines.repeated",
            "drop_paragraphs.few_words",
            "drop_paragraphs.phrase",
        )
    )
}
(
    _STRIP_LINES, _STRIP_TEXT, _NEWLINES, _CITATIONS, _CUT, _CUT_START, _CUT_END, _LONG_WORD, _FEW_WORDS,
    _FEW_WORDS_NOT_BLANK, _NO_TERMINAL, _PHRASE, _SHORT_PHRASE, _UPPERCASE, _NUMERIC, _COUNTER, _REPEATED,
    _FEW_WORDS_PARAGRAPH, _PHRASE_PARAGRAPH,
) = range(19)  # fmt: skip
_WITH_PHRASES = frozenset(name for name in CODES if "phrase" in name or name == "drop_lines.counter")

_CITATION_WORDS = (b"edit]", b"citation needed]")


class Draft:
    """A text on its way through edits.

    text: what is left of it, UTF-8, uint8 [n]. classes: of its bytes, uint16 [n] (words.classify). context: what is
    known of the document.
    """

    def __init__(self, text: NDArray[np.uint8], context: Context | None = None):
        self.text, self.classes = text, classify(text, characters.classes())
        self.context = context or Context()
        self._size = text.size
        self._view: View | None = None  # of the text as it stands, once asked for
        # Of each byte left: its place in the original text, -1 where an edit wrote it; None while nothing is cut.
        self._origin: NDArray[np.int32] | None = None
        self._cut_by = np.empty(0, np.int8)  # of each original byte: 0, or 1 + the number of the edit that cut it

    @property
    def changed(self) -> bool:
        """Whether an edit has cut anything."""
        return self._origin is not None

    def view(self) -> View:
        """The text as it stands, to be measured."""
        if self._view is None:
            self._view = View(self.text, self.classes, self.context)
        return self._view

    def edit(self, number: int, name: str, limit: int = 0, phrases: tuple[bytes, ...] = ()) -> None:
        """Make one edit. number: what its spans are labelled with, 0 to 126. phrases: lower-case UTF-8."""
        if name == "repair.encoding":
            self._repair(number)
            return
        if name == "cut.citations":
            phrases = _CITATION_WORDS
            if b"[" not in self.text.tobytes():
                return
        elif name in _WITH_PHRASES:  # mostly there is none in all the text, which C's search finds out sooner
            lower = self.text.tobytes().lower()
            phrases = tuple(phrase for phrase in phrases if phrase in lower)
            if not phrases:
                return
        marks = np.zeros(self.text.size, np.uint8)
        if name == "drop_lines.language":
            from firn.data.paragraphs import mark_foreign

            count = mark_foreign(self.view(), limit / 100, marks)
        else:
            count = mark(self.text, self.classes, CODES[name], limit, *_joined(phrases), marks)
        if count:
            origin = self._begin()
            left = cut(self.text, self.classes, origin, self._cut_by, marks, number + 1)
            self.text, self.classes, self._origin = self.text[:left], self.classes[:left], origin[:left]

    def _begin(self) -> NDArray[np.int32]:
        """The origin of each byte, made where there is none yet; the text may be written to from here on."""
        self._view = None
        if self._origin is None:
            self.text = self.text.copy()
            self._origin, self._cut_by = np.arange(self._size, dtype=np.int32), np.zeros(self._size, np.int8)
        return self._origin

    def _repair(self, number: int) -> None:
        """Decode lines anew."""
        from firn.data.repair import lines

        found = lines(self.text)
        if not found:
            return
        origin, texts, origins, done = self._begin(), [], [], 0
        for start, end, right in found:
            of = origin[start:end]
            self._cut_by[of[of >= 0]] = number + 1
            texts += [self.text[done:start], np.frombuffer(right, np.uint8)]
            origins += [origin[done:start], np.full(len(right), -1, np.int32)]
            done = end
        self.text = np.concatenate([*texts, self.text[done:]])
        self._origin = np.concatenate([*origins, origin[done:]])
        self.classes = classify(self.text, characters.classes())

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
def _phrase_end(text: NDArray[np.uint8], at: int, end: int, phrases: NDArray[np.uint8], ends: NDArray[np.int64]) -> int:
    """Where one of the phrases, beginning at byte `at`, ends before or at `end`; `at` if none does."""
    byte = text[at] | 0x20 if 0x41 <= text[at] <= 0x5A else text[at]
    for index in range(ends.size - 1):
        first, last = ends[index], ends[index + 1]
        if first < last and phrases[first] == byte and _starts_with(text, at, end, phrases, first, last):
            return int(at + last - first)
    return at


@helper
def _holds(text: NDArray[np.uint8], start: int, end: int, phrases: NDArray[np.uint8], ends: NDArray[np.int64]) -> bool:
    """Whether bytes start to end hold one of the phrases."""
    at = start
    while at < end and _phrase_end(text, at, end, phrases, ends) == at:
        at += 1
    return at < end


@helper
def _words(classes: NDArray[np.uint16], start: int, end: int) -> tuple[int, int]:
    """Words of bytes start to end, and characters of the longest."""
    words, length, longest = 0, 0, 0
    for at in range(start, end):
        kind = classes[at]
        if kind & SPACE != 0:
            length = 0
        elif kind & INNER == 0:  # bytes within a character neither begin a word nor lengthen it
            words += length == 0
            length += 1
            longest = max(longest, length)
    return words, longest


@helper
def _is_counter(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    start: int,
    end: int,
    phrases: NDArray[np.uint8],
    ends: NDArray[np.int64],
) -> bool:
    """Whether bytes start to end are a number and one of the phrases."""
    at = start
    while at < end and (classes[at] & WORD == 0 or classes[at] & INNER != 0):
        at += 1
    digits = at
    while at < end and (0x30 <= text[at] <= 0x39 or (at > digits and (text[at] == 0x2C or text[at] == 0x2E))):
        at += 1
    if at in (digits, end):
        return False
    letter = text[at] | 0x20
    if letter == 0x6B or letter == 0x6D or letter == 0x62:  # k, m, b
        at += 1
    gap = at
    while at < end and classes[at] & SPACE != 0:
        at += 1
    if at in (gap, end):
        return False
    rest = _phrase_end(text, at, end, phrases, ends)
    if rest == at:
        return False
    while rest < end and (classes[rest] & WORD == 0 or classes[rest] & INNER != 0):
        rest += 1
    return rest == end


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
    """Whether the edit drops the line or paragraph of bytes start to end."""
    if code in (_PHRASE, _PHRASE_PARAGRAPH):
        return _holds(text, start, end, phrases, ends)
    if code == _SHORT_PHRASE:
        return _words(classes, start, end)[0] <= limit and _holds(text, start, end, phrases, ends)
    if code == _COUNTER:
        return _is_counter(text, classes, start, end, phrases, ends)
    if code == _NO_TERMINAL:
        last = text[end - 1] if end > start else 0
        ellipsis = end - start > 2 and last == 0x2E and text[end - 2] == 0x2E and text[end - 3] == 0x2E
        ends_well = last == 0x2E or last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
        return not ends_well or ellipsis
    if code in (_UPPERCASE, _NUMERIC):
        count, upper, digits, others = 0, 0, 0, 0
        for at in range(start, end):
            kind = classes[at]
            if kind & INNER == 0:
                count += 1
                upper += kind & UPPER != 0
                digits += kind & DIGIT != 0
                others += kind & (DIGIT | SPACE) == 0
        return 100 * upper > limit * count if code == _UPPERCASE else digits > 0 and others == 0
    words, longest = _words(classes, start, end)
    if code == _LONG_WORD:
        return longest > limit
    return words < limit and (words > 0 or code != _FEW_WORDS_NOT_BLANK)


@helper
def _mark_phrases(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    start: int,
    end: int,
    code: int,
    phrases: NDArray[np.uint8],
    ends: NDArray[np.int64],
    marks: NDArray[np.uint8],
) -> int:
    """Mark the phrases in the line of bytes start to end; the line and its newline where nothing else is left."""
    count, at = 0, start
    while at < end:
        after = _phrase_end(text, at, end, phrases, ends)
        if after == at or (code == _CUT_END and after != end):
            at += 1
            if code == _CUT_START:
                break
            continue
        before = at
        if before > start:  # one white space before, of one byte or more
            before -= 1
            while before > start and classes[before] & INNER != 0:
                before -= 1
            if classes[before] & SPACE == 0:
                before = at
        for byte in range(before, after):
            count += marks[byte] == 0
            marks[byte] = 1
        at = after
    if count == 0:
        return 0
    space = False
    for at in range(start, end):
        space = classes[at] & SPACE != 0 or (space and classes[at] & INNER != 0)
        if marks[at] == 0 and not space:
            return count
    for at in range(start, min(end + 1, text.size)):
        count += marks[at] == 0
        marks[at] = 1
    return count


@helper
def _mark_repeated(text: NDArray[np.uint8], classes: NDArray[np.uint16], limit: int, marks: NDArray[np.uint8]) -> int:
    """Mark the lines of at least `limit` characters that occurred before."""
    keys, count, start = table(newlines(text) + 1), 0, 0
    while start < text.size:
        value, length, end = _BASIS, 0, start
        while end < text.size and text[end] != 0x0A:
            value = (value ^ np.uint64(text[end])) * _PRIME
            length += classes[end] & INNER == 0
            end += 1
        if length > 0 and length >= limit and met(keys, mix(value)):
            for at in range(start, min(end + 1, text.size)):
                marks[at] = 1
                count += 1
        start = end + 1
    return count


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
    if code == _REPEATED:
        return _mark_repeated(text, classes, limit, marks)
    if code == _NEWLINES:
        row = 0
        for at in range(size):
            row = row + 1 if text[at] == 0x0A else 0
            if row > limit:
                marks[at] = 1
                count += 1
        return count
    if code == _CITATIONS:
        at = 0
        while at < size:
            end = _citation_end(text, at, phrases, ends) if text[at] == 0x5B else at
            for cut in range(at, end):
                marks[cut] = 1
            count += end - at
            at = max(end, at + 1)
        return count
    paragraphs = code in (_FEW_WORDS_PARAGRAPH, _PHRASE_PARAGRAPH)
    start = 0
    while start < size:
        end = start
        while end < size and (text[end] != 0x0A or (paragraphs and (end + 1 == size or text[end + 1] != 0x0A))):
            end += 1
        next_start = min(end + 1, size)
        while paragraphs and next_start < size and text[next_start] == 0x0A:
            next_start += 1
        if code == _STRIP_LINES:
            count += _strip(text, classes, start, end, marks)
        elif code in (_CUT, _CUT_START, _CUT_END):
            if _words(classes, start, end)[0] <= limit:
                count += _mark_phrases(text, classes, start, end, code, phrases, ends, marks)
        elif _drops(text, classes, start, end, code, limit, phrases, ends):
            for at in range(start, next_start):
                marks[at] = 1
                count += 1
        start = next_start if paragraphs else end + 1
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
            if origin[at] >= 0:
                cut_by[origin[at]] = label
        else:
            text[left], classes[left], origin[left] = text[at], classes[at], origin[at]
            left += 1
    return left
