"""The kernels behind `edits`: which bytes an edit cuts, and cutting them."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import DIGIT, INNER, SPACE, UPPER, WORD
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels_repeats import met, newlines, table
from firn.data.words import mix

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)

#: Edit -> what `mark` is told; the names are explained in `edits`.
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
def _words(classes: NDArray[np.uint16], start: int, end: int, limit: int) -> int:
    """Words of bytes start to end; no more than `limit` are counted."""
    words, within = 0, False
    for at in range(start, end):
        kind = classes[at]
        if kind & INNER == 0:  # bytes within a character do not begin a word
            space = kind & SPACE != 0
            if not space and not within:
                words += 1
                if words >= limit:
                    break
            within = not space
    return words


@helper
def _has_long_word(classes: NDArray[np.uint16], start: int, end: int, limit: int) -> bool:
    """Whether bytes start to end hold a word of more than `limit` characters."""
    if end - start <= limit:  # so it is with nearly every line
        return False
    length = 0
    for at in range(start, end):
        kind = classes[at]
        if kind & SPACE != 0:
            length = 0
        elif kind & INNER == 0:
            length += 1
            if length > limit:
                return True
    return False


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
        return _words(classes, start, end, limit + 1) <= limit and _holds(text, start, end, phrases, ends)
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
    if code == _LONG_WORD:
        return _has_long_word(classes, start, end, limit)
    words = _words(classes, start, end, max(limit, 1))
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
    count, first, last = 0, start, end - 1
    while first < end and classes[first] & (SPACE | INNER) != 0:
        first += 1
    while last > first and classes[last] & (SPACE | INNER) != 0:
        last -= 1
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
            if _words(classes, start, end, limit + 1) <= limit:
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
