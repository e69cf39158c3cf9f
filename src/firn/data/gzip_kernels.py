"""Where the members of a gzip file may begin, many at once."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, kernel

_ONES, _FIRST, _HIGH = (np.uint64(0x0101010101010101 * byte) for byte in (1, 0x1F, 0x80))


@kernel(TEXT, types.int64, types.int64[::1])
def gzip_begins(data: NDArray[np.uint8], at: int, found: NDArray[np.int64]) -> int:
    """The places from `at` on that look like the begin of a gzip member (RFC 1952, 2.3). found: int64 [places], the
    first of them. Returns how many it was given."""
    words, count, end = data[: data.size // 8 * 8].view(np.uint64), 0, data.size - 2
    while at < end and count < found.size:
        if at % 8 == 0 and at // 8 < words.size:
            # One of the eight bytes is the first of a member: then that of `other` is 0, and borrows.
            other = words[at // 8] ^ _FIRST
            if not (other - _ONES) & ~other & _HIGH:
                at += 8
                continue
        if data[at] == 0x1F and data[at + 1] == 0x8B and data[at + 2] == 8:
            found[count] = at
            count += 1
        at += 1
    return count
