"""Where the frames of a zstd or lz4 file lie, many at once: nothing is unpacked for it."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, helper, kernel
from firn.data.frames import LZ4, ZSTD, ZSTD_BLOCK

#: In the first column: more bytes are needed; this is no frame as it should be.
MORE, BAD = 0, -1

_ROWS = types.int64[:, ::1]
_ZSTD, _LZ4 = (np.frombuffer(each, np.uint8) for each in (ZSTD, LZ4))


@helper
def _little(data: NDArray[np.uint8], at: int, size: int) -> int:
    """The number whose bytes these are, the lowest first."""
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    return int(value)


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
def zstd_frames(data: NDArray[np.uint8], at: int, limit: int, found: NDArray[np.int64]) -> int:
    """The zstd frames from `at` on, by the lengths that their blocks begin with.

    found: int64 [rows, 2], where each ends, and the most bytes that it unpacks to; behind the last MORE, or BAD, also
    where those may be over `limit`, if there is a row left. Returns how many rows are filled.
    """
    for row in range(len(found)):
        at, most = _zstd_frame(data, at, limit)
        found[row, 0], found[row, 1] = at, most
        if at <= 0:
            return row + 1
    return len(found)


@kernel(TEXT, types.int64, types.int64, _ROWS)
def lz4_frames(data: NDArray[np.uint8], at: int, limit: int, found: NDArray[np.int64]) -> int:
    """The lz4 frames from `at` on, as above."""
    for row in range(len(found)):
        at, most = _lz4_frame(data, at, limit)
        found[row, 0], found[row, 1] = at, most
        if at <= 0:
            return row + 1
    return len(found)
