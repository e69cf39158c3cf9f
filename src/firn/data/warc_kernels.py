"""Where the records of a plain WARC file lie, and the frames of zstd and lz4: many at once, and nothing is unpacked."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, helper, kernel
from firn.data.frames import LZ4, ZSTD, ZSTD_BLOCK
from firn.data.warc_record import GZIP, TYPES

Found = NDArray[np.int64]

_ROWS = types.int64[:, ::1]
_ONES, _FIRST, _HIGH = (np.uint64(0x0101010101010101 * byte) for byte in (1, GZIP[0], 0x80))
_WARC, _END, _BEGIN = (np.frombuffer(each, np.uint8) for each in (b"WARC/", b"\r\n\r\n", b"\r\n\r\nW"))
_TYPE, _LENGTH = (np.frombuffer(each, np.uint8) for each in (b"warc-type: ", b"content-length: "))
_TYPES = np.array([list(f"{name}\r\n".encode().ljust(16)) for name in TYPES], np.uint8)
_TYPE_SIZES = np.array([len(name) + 2 for name in TYPES])
_GZIP, _ZSTD, _LZ4 = (np.frombuffer(each, np.uint8) for each in (GZIP, ZSTD, LZ4))
#: Columns of a record: where it and its block begin, the block ends, and the next record begins, and which of TYPES it
#: is. -1 for the next where that is not among the bytes, or other than two line ends are between them.
RECORD = 5
#: In the first column: more bytes are needed; this is no frame as it should be.
MORE, BAD = 0, -1


@helper
def _is(data: NDArray[np.uint8], at: int, what: NDArray[np.uint8]) -> bool:
    if at + what.size > data.size:
        return False
    for i in range(what.size):  # noqa: SIM110
        if data[at + i] != what[i]:
            return False
    return True


@helper
def _named(data: NDArray[np.uint8], at: int, name: NDArray[np.uint8]) -> bool:
    """Whether a line has this name, which is of small letters, in whatever capitals."""
    if at + name.size > data.size:
        return False
    for i in range(name.size):
        small = name[i] | 32 if 97 <= name[i] <= 122 else 0
        if data[at + i] != name[i] and data[at + i] | 32 != small:
            return False
    return True


@helper
def _type(data: NDArray[np.uint8], at: int) -> int:
    """Which of TYPES is named there; -1 for none."""
    for kind in range(len(_TYPES)):
        if _is(data, at, _TYPES[kind, : _TYPE_SIZES[kind]]):
            return kind
    return -1


@helper
def _version_end(data: NDArray[np.uint8], at: int) -> int:
    """Where the first line of the record at `at` ends; -1 where none begins."""
    if not _is(data, at, _WARC) or at + 8 > data.size or not 48 <= data[at + 5] <= 57 or data[at + 6] != 46:
        return -1
    at += 7
    while at < data.size and 48 <= data[at] <= 57:
        at += 1
    return at


@helper
def _little(data: NDArray[np.uint8], at: int, size: int) -> int:
    """The number whose bytes these are, the lowest first."""
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    return int(value)


@helper
def _number(data: NDArray[np.uint8], at: int) -> int:
    """The decimal number that the line ends with, of 18 digits at most; -1 where there is none."""
    value, begin = 0, at
    while at < data.size and 48 <= data[at] <= 57 and at < begin + 18:
        value, at = value * 10 + _little(data, at, 1) - 48, at + 1
    return value if at > begin and _is(data, at, _END[:2]) else -1


@kernel(TEXT, types.int64, types.int64, _ROWS)
def find_records(data: NDArray[np.uint8], at: int, limit: int, found: Found) -> int:
    """The records from `at` on, up to the first whose header is not all there, longer than `limit` bytes, or not as
    nearly all write it: how many."""
    for row in range(len(found)):
        line_end, kind, size = _version_end(data, at), -1, -1
        if line_end < 0:
            return row
        while not _is(data, line_end, _END):
            line = line_end + 2
            if not _is(data, line_end, _END[:2]) or line - at > limit or line == data.size:
                return row
            if data[line] == 32 or data[line] == 9:  # it goes on with the one before
                return row
            if _named(data, line, _TYPE):
                if kind >= 0:
                    return row
                kind = _type(data, line + _TYPE.size)
                if kind < 0:
                    return row
            elif _named(data, line, _LENGTH):
                if size >= 0:
                    return row
                size = _number(data, line + _LENGTH.size)
                if size < 0:
                    return row
            while line < data.size and data[line] != 10:
                line += 1
            line_end = line - 1
        if kind < 0 or size < 0:
            return row
        block = line_end + _END.size
        end = block + size
        found[row, 0], found[row, 1], found[row, 2], found[row, 3], found[row, 4] = at, block, end, -1, kind
        if not _is(data, end, _BEGIN):
            return row + 1
        at = found[row, 3] = end + _END.size
    return len(found)


@helper
def _begins(data: NDArray[np.uint8], at: int, magic: NDArray[np.uint8], head: int) -> int:
    """What begins at `at`: the header of a frame, with so many bytes of it at hand (1), MORE or BAD."""
    for i in range(min(magic.size, data.size - at)):
        if data[at + i] != magic[i]:
            return BAD
    return 1 if at + head <= data.size else MORE


@helper
def _zstd_frame(data: NDArray[np.uint8], at: int, limit: int) -> tuple[int, int]:
    """Where the frame at `at` ends, and the most bytes that it unpacks to (RFC 8878, 3.1)."""
    begins = _begins(data, at, _ZSTD, 5)
    if begins != 1:
        return begins, 0
    about, most, last = _little(data, at + 4, 1), 0, 0
    if about & 8:
        return BAD, 0
    alone, of_dictionary, of_content = about >> 5 & 1, about & 3, about >> 6
    at += 6 - alone + of_dictionary + (of_dictionary == 3) + (1 << of_content if of_content else alone)
    while not last:
        if at + 3 > data.size:
            return MORE, 0
        said = _little(data, at, 3)
        last, kind, size = said & 1, said >> 1 & 3, said >> 3
        most += ZSTD_BLOCK if kind == 2 else size
        if kind == 3 or size > ZSTD_BLOCK or most > limit:
            return BAD, 0
        at += 4 if kind == 1 else 3 + size  # a block of one byte repeated has that byte
    at += about & 4
    return (at, most) if at <= data.size else (MORE, 0)


@helper
def _lz4_frame(data: NDArray[np.uint8], at: int, limit: int) -> tuple[int, int]:
    """The same of lz4 (LZ4 Frame Format Description 1.6)."""
    begins = _begins(data, at, _LZ4, 6)
    if begins != 1:
        return begins, 0
    flags, largest, most, size = _little(data, at + 4, 1), _little(data, at + 5, 1) >> 4 & 7, 0, 1
    if flags >> 6 != 1 or flags & 2 or largest < 4:
        return BAD, 0
    at += 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    while size:
        if at + 4 > data.size:
            return MORE, 0
        said = _little(data, at, 4)
        size = said & 0x7FFFFFFF
        if size:
            most += size if said >> 31 else 1 << 8 + 2 * largest
            at += size + 4 * (flags >> 4 & 1)
        if size > 1 << 8 + 2 * largest or most > limit:
            return BAD, 0
        at += 4
    at += 4 * (flags >> 2 & 1)
    return (at, most) if at <= data.size else (MORE, 0)


@kernel(TEXT, types.int64, types.int64, _ROWS)
def zstd_frames(data: NDArray[np.uint8], at: int, limit: int, found: Found) -> None:
    """The zstd frames from `at` on, by the lengths that their blocks begin with.

    found: where each ends, and the most bytes that it unpacks to; behind the last MORE, or BAD, also where those may be
    over `limit`, if there is a row left.
    """
    for row in range(len(found)):
        at, most = _zstd_frame(data, at, limit)
        found[row, 0], found[row, 1] = at, most
        if at <= 0:
            return


@kernel(TEXT, types.int64, types.int64, _ROWS)
def lz4_frames(data: NDArray[np.uint8], at: int, limit: int, found: Found) -> None:
    """The lz4 frames from `at` on, as above."""
    for row in range(len(found)):
        at, most = _lz4_frame(data, at, limit)
        found[row, 0], found[row, 1] = at, most
        if at <= 0:
            return


@helper
def _members(data: NDArray[np.uint8], begin: int, end: int, found: NDArray[np.int64], count: int) -> int:
    for place in range(begin, end):
        if count < found.size and _is(data, place, _GZIP):
            found[count] = place
            count += 1
    return count


@kernel(TEXT, types.int64, types.int64[::1])
def gzip_begins(data: NDArray[np.uint8], at: int, found: NDArray[np.int64]) -> int:
    """The places from `at` on that look like the begin of a gzip member (RFC 1952, 2.3): how many."""
    words = data[: data.size // 8 * 8].view(np.uint64)
    first = (at + 7) // 8
    count = _members(data, at, min(8 * first, data.size), found, 0)
    for i in range(first, words.size):
        # One of the eight bytes is the first of a member: then that of `other` is 0, and borrows.
        other = words[i] ^ _FIRST
        if (other - _ONES) & ~other & _HIGH:
            count = _members(data, 8 * i, 8 * i + 8, found, count)
    return _members(data, 8 * max(first, words.size), data.size, found, count)
