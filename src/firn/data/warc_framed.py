"""WARC records that have a member of gzip or a frame of zstd or lz4 each, and lie in their file as they should.

Frames are unpacked whole, and the records of many are found at once. All else (damage, a record of several frames,
frames of several records, one too large to be held, a header that few write) others read: of gzip `firn.data.warc`, of
zstd and lz4 `packed_records`, up to a record that ends where a frame does; behind it the quick way is taken again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from itertools import accumulate
from typing import BinaryIO, cast

import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from firn.data.frames import LZ4, BadFrame, Lz4, Tape, Zstd, dictionary
from firn.data.warc_kernels import RECORD, find_records
from firn.data.warc_packed import packed_records
from firn.data.warc_record import MAX_HEADER, TYPES, Record

_PIECE = 1 << 18  # so little that it stays in the processor's cache
_BATCH = 1 << 17  # unpacked bytes of which the records are found at once, if they are not of one frame
_ROWS = 256  # of what is found at once
# After so many changes of the reader a file is not taken for one of a frame per record any more.
_CHANGES = 1000
#: Frames: where each ends in the file, and what it holds. Raises BadFrame at one that is not sound.
Frames = Iterator[tuple[int, bytes]]


def framed_records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of a file of zstd or lz4. The arguments are those of `firn.data.warc.records`."""
    from firn.data.frame_kernels import lz4_frames, zstd_frames

    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    first = dictionary(stream)
    stream.seek(len(first))
    try:
        if stream.read(4) == LZ4:
            find, unpack = lz4_frames, Lz4().at_once
        else:
            zstd = Zstd()
            if first:
                next(zstd(Tape(io.BytesIO(first))), None)
            find, unpack = zstd_frames, zstd.at_once
    except BadFrame:
        yield from packed_records(stream, limit, wanted)
        return
    known = 0  # where the latest record begins that is sound
    for change in range(_CHANGES):
        # From there on, so that what is behind it is read in the light of a frame that is sound.
        others = packed_records(stream, limit, wanted, known)
        if change:
            next(others)
        for record in others:
            yield record
            if record.error is None and record.end is not None and change < _CHANGES - 1:
                break
        else:
            return
        known, start = cast(int, record.offset), record.end
        for record in _records(_frames(stream, start, find, unpack, _most(limit)), start, limit, wanted):
            known, start = cast(int, record.offset), cast(int, record.end)
            yield record
        if start >= size:
            return


def member_records(stream: BinaryIO, limit: int, wanted: Collection[str], start: int) -> Iterator[Record]:
    """Records of a gzip file from the offset `start` on, up to the first member that is not sound or holds anything but
    a record. The other arguments are those of `firn.data.warc.records`."""
    return _records(_members(stream, start, _most(limit)), start, limit, wanted)


def _most(limit: int) -> int:
    """Bytes of a frame that are held."""
    return limit + MAX_HEADER + (1 << 20)


def _records(frames: Frames, offset: int, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """The records of frames, the first of which begins at `offset`, up to one that is not all that its frame holds."""
    found, is_wanted = np.empty((_ROWS, RECORD), np.int64), [kind in wanted for kind in TYPES]
    for ends, parts in _batches(frames):
        data, places, after = b"".join(parts), zip(ends, accumulate(map(len, parts)), strict=True), 0
        while after < len(data):
            count = find_records(np.frombuffer(data, np.uint8), after, MAX_HEADER, found)
            if not count:
                return
            rows = found[:count].tolist()
            for (at, block, block_end, begin, kind), (end, after) in zip(rows, places, strict=False):
                if begin != after and (block_end > after or data[block_end:after].strip(b"\r\n")):
                    return
                size = block_end - block
                content = data[block:block_end] if is_wanted[kind] and size <= limit else None
                yield Record(0, offset, end, TYPES[kind], data[at : block - 4], content, size)
                offset = end


def _batches(frames: Frames) -> Iterator[tuple[list[int], list[bytes]]]:
    """Frames, some at once: where each ends, and what each holds."""
    ends: list[int] = []
    parts: list[bytes] = []
    size, failure = 0, None
    try:
        for end, part in frames:
            ends.append(end)
            parts.append(part)
            size += len(part)
            if size >= _BATCH:
                yield ends, parts
                ends, parts, size = [], [], 0
    except BadFrame:
        pass
    except Exception as error:  # the stream's: what was read before it counts
        failure = error
    yield ends, parts
    if failure is not None:
        raise failure


def _frames(
    stream: BinaryIO, base: int, find: Callable[..., int], unpack: Callable[[bytes, int], bytes], most: int
) -> Frames:
    """Frames of zstd or lz4 from the offset `base` on. most: bytes that one unpacks to."""
    held, at, found = b"", 0, np.empty((_ROWS, 2), np.int64)
    stream.seek(base)
    # A frame may be longer than what it unpacks to: its blocks may hold nothing.
    while len(held) - at <= most and (data := stream.read(max(_PIECE, len(held) - at))):
        base, held, at, end = base + at, held[at:] + data, 0, 1
        while end > 0:
            count = find(np.frombuffer(held, np.uint8), at, most, found)
            for end, unpacked in found[:count].tolist():
                if end <= 0:
                    break
                yield base + end, unpack(held[at:end], unpacked)
                at = end
        if end < 0:
            return


def _members(stream: BinaryIO, base: int, most: int) -> Frames:
    """Members of gzip from the offset `base` on, of `most` bytes.

    Where one ends, only who unpacks it knows: it is given what lies before the next place that looks like the begin of
    one.
    """
    from firn.data.gzip_kernels import gzip_begins

    found, inflate = np.empty(_ROWS, np.int64), None
    parts: list[bytes] = []
    size = 0
    stream.seek(base)
    while data := stream.read(_PIECE):
        held, at = memoryview(data), 0
        while at < len(held):
            count = gzip_begins(np.frombuffer(held, np.uint8), at + 1, found)
            for place in [*found[:count].tolist(), *([len(held)] if count < _ROWS else [])]:
                inflate = inflate or isal_zlib.decompressobj(31)
                try:
                    part = inflate.decompress(held[at:place], most)
                except IsalError:  # type: ignore[misc]  # a class, whatever its stub says
                    return
                at = place
                if not inflate.eof:
                    parts.append(part)
                    size += len(part)
                    if size >= most:
                        return
                    continue
                if parts:
                    part = b"".join([*parts, part])
                    parts, size = [], 0
                at -= len(inflate.unused_data)
                inflate = None
                yield base + at, part
                if at < place:
                    break
        base += len(held)
