"""Where a frame of zstd or lz4 ends, by the lengths that its blocks begin with (RFC 8878, 3.1; LZ4 Frame Format
Description 1.6), and how much it can unpack to: nothing is unpacked for it."""

from __future__ import annotations

from firn.data.frames import LZ4, ZSTD, ZSTD_BLOCK, BadFrame

_LARGE = "it may unpack to more than is held"


def zstd_end(data: bytes, at: int, limit: int) -> tuple[int, int] | None:
    """Where the zstd frame ends that begins at `at`, and the most bytes that it unpacks to; None where more of it is
    needed to tell. Raises BadFrame, also where that may be more than `limit`."""
    if data[at : at + 4] != ZSTD[: len(data) - at]:
        raise BadFrame("no frame begins here")
    if len(data) < at + 5:
        return None
    about, most = data[at + 4], 0
    if about & 8:
        raise BadFrame("no frame begins here")
    alone = about >> 5 & 1
    at += 6 - alone + (0, 1, 2, 4)[about & 3] + (alone, 2, 4, 8)[about >> 6]
    last = 0
    while not last:
        if at + 3 > len(data):
            return None
        said = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        last, kind, size = said & 1, said >> 1 & 3, said >> 3
        if kind == 3 or size > ZSTD_BLOCK:
            raise BadFrame("a block's header is damaged")
        most += ZSTD_BLOCK if kind == 2 else size
        if most > limit:
            raise BadFrame(_LARGE)
        at += 4 if kind == 1 else 3 + size  # a block of one byte repeated has that byte
    at += about & 4
    return (at, most) if at <= len(data) else None


def lz4_end(data: bytes, at: int, limit: int) -> tuple[int, int] | None:
    """Where the lz4 frame ends that begins at `at`, and the most bytes that it unpacks to; None where more of it is
    needed to tell. Raises BadFrame, also where that may be more than `limit`."""
    if data[at : at + 4] != LZ4[: len(data) - at]:
        raise BadFrame("no frame begins here")
    if len(data) < at + 6:
        return None
    flags, largest, most = data[at + 4], data[at + 5] >> 4 & 7, 0
    if flags >> 6 != 1 or flags & 2 or largest < 4:
        raise BadFrame("no frame begins here")
    at += 7 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    after = 4 * (flags >> 4 & 1)
    while True:
        if at + 4 > len(data):
            return None
        said = int.from_bytes(data[at : at + 4], "little")
        size = said & 0x7FFFFFFF
        if size > 1 << 8 + 2 * largest:
            raise BadFrame("a block's header is damaged")
        at += 4
        if not size:
            at += 4 * (flags >> 2 & 1)
            return (at, most) if at <= len(data) else None
        at += size + after
        most += size if said >> 31 else 1 << 8 + 2 * largest
        if most > limit:
            raise BadFrame(_LARGE)
