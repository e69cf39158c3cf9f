"""Where the records lie in the bytes of a WARC file, many at once."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, helper, kernel
from firn.data.warc_record import TYPES

#: Columns of a record: where it and its block begin, the block ends, and the next record begins, and which of TYPES it
#: is. -1 for the next where that is not among the bytes, or other than two line ends are between them.
RECORD = 5

# What is looked for, one behind the other, and where each begins: one type of arguments is compiled once.
_ALL = ["WARC/", "\r\n\r\nW", "warc-type: ", "content-length: ", *(f"{name}\r\n" for name in TYPES)]
_WORDS = np.frombuffer("".join(_ALL).encode(), np.uint8)
_STARTS = np.cumsum([0, *map(len, _ALL)])
_MAGIC, _NEXT, _TYPE, _LENGTH, _KINDS = range(5)


@helper
def _is(data: NDArray[np.uint8], at: int, word: int) -> bool:
    """Whether this word is there; a name of a field in whatever capitals."""
    begin, end = _STARTS[word], _STARTS[word + 1]
    if at + end - begin > data.size:
        return False
    small = 32 if _TYPE <= word <= _LENGTH else 0
    for i in range(begin, end):
        byte = data[at + i - begin]
        if byte != _WORDS[i] and (byte < 65 or byte > 90 or byte + small != _WORDS[i]):
            return False
    return True


@kernel(TEXT, types.int64, types.int64, types.int64[:, ::1])
def find_records(data: NDArray[np.uint8], at: int, limit: int, found: NDArray[np.int64]) -> int:
    """The records from `at` on, up to the first whose header is not all there, longer than `limit` bytes, or not as
    nearly all write it. found: int64 [rows, RECORD]. Returns how many of its rows are filled."""
    for row in range(len(found)):
        line, kind, size = at, -1, -1
        if at + 8 > data.size or not _is(data, at, _MAGIC) or data[at + 6] != 46:  # a dot
            return row
        while True:
            while line < data.size and data[line] != 10:
                line += 1
            line += 1
            if line + 2 > data.size or line - at > limit or data[line - 2] != 13:
                return row
            if data[line] == 13:
                break
            if data[line] == 32 or data[line] == 9:  # the line before goes on
                return row
            if _is(data, line, _TYPE):
                first = kind < 0
                line += _STARTS[_TYPE + 1] - _STARTS[_TYPE]
                kind = 0
                while kind < len(TYPES) and not _is(data, line, _KINDS + kind):
                    kind += 1
                if not first or kind == len(TYPES):
                    return row
            elif _is(data, line, _LENGTH):
                first = size < 0
                line += _STARTS[_LENGTH + 1] - _STARTS[_LENGTH]
                begin, size = line, 0
                while line < data.size and 48 <= data[line] <= 57 and line < begin + 18:
                    size, line = size * 10 + int(data[line]) - 48, line + 1
                if not first or line == begin or line + 2 > data.size or data[line] != 13 or data[line + 1] != 10:
                    return row
        if kind < 0 or size < 0 or data[line + 1] != 10:
            return row
        end = line + 2 + size
        found[row, 0], found[row, 1], found[row, 2], found[row, 3], found[row, 4] = at, line + 2, end, -1, kind
        if not _is(data, end, _NEXT):
            return row + 1
        at = found[row, 3] = end + 4
    return len(found)
