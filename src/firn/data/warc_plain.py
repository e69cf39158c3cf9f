"""WARC records that are not compressed, and lie in their file as they should."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import numpy as np

from firn.data.warc_kernels import RECORD, find_records
from firn.data.warc_record import MAX_HEADER, TYPES, Record

_PIECE = 1 << 17  # so little that it stays in the processor's cache
_ROWS = 256  # records that are found at once
_blank: Any = re.compile(rb"[\r\n]*").match


def plain_records(
    stream: BinaryIO, limit: int, wanted: Collection[str], start: int, file_size: int
) -> Iterator[Record]:
    """Records from the offset `start` on, up to the first whose header is not as nearly all write it, or whose block
    breaks off. The other arguments are those of `firn.data.warc.records`. Raises what `stream` raises."""
    stream.seek(start)
    base, held, at, found = start, b"", 0, np.empty((_ROWS, RECORD), np.int64)
    is_wanted = [kind in wanted for kind in TYPES]
    missing = 0  # bytes of a block that is to be read
    while data := stream.read(max(_PIECE, missing)):
        base, held, at, missing = base + at, held[at:] + data, 0, 0
        while not missing and (count := find_records(np.frombuffer(held, np.uint8), at, MAX_HEADER, found)):
            for at, block, end, after, kind in found[:count].tolist():
                if base + end > file_size:
                    return
                is_read = is_wanted[kind] and end - block <= limit
                if is_read and end > len(held):
                    missing = end - len(held)
                    break
                content = held[block:end] if is_read else None
                record = Record(0, base + at, None, TYPES[kind], held[at : block - 4], content, end - block)
                if after < 0:
                    base, held, after = _behind(stream, base, held, end)
                record.end = base + after
                yield record
                at = after
        if not missing and len(held) - at >= MAX_HEADER:
            return


def _behind(stream: BinaryIO, base: int, held: bytes, at: int) -> tuple[int, bytes, int]:
    """Pass over the block that ends at `at`, and what is empty behind it."""
    if at > len(held):
        base, held, at = base + at, b"", 0
        stream.seek(base)
    while (at := _blank(held, at).end()) == len(held) and (data := stream.read(_PIECE)):
        base, held, at = base + at, data, 0
    return base, held, at
