"""WARC records that have a frame of zstd or lz4 each, as the specification of WARC in zstd wants it.

Such a frame is cut out, unpacked at once and read as one record. What is not so (damage, a record of several frames,
frames of several records, one too large to be held) is read by `packed_records`, up to a record that ends where a frame
does; behind it frames are cut out again.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import BinaryIO

from firn.data.frame_ends import lz4_end, zstd_end
from firn.data.frames import LZ4, BadFrame, Lz4, Tape, Zstd, dictionary
from firn.data.warc_packed import BEGIN, packed_records
from firn.data.warc_record import Record

_PIECE = 1 << 17  # so little that it stays in the processor's cache
_MAX_HEADER = 1 << 16
# After so many changes of the reader a file is not taken for one of a frame per record any more.
_CHANGES = 1000


def framed_records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of a file of zstd or lz4. The arguments are those of `firn.data.warc.records`."""
    try:
        frames = _Frames(stream, limit, wanted)
    except BadFrame:
        yield from packed_records(stream, limit, wanted)
        return
    known: int | None = None  # where the latest record begins that is sound
    start = 0
    for change in range(_CHANGES):
        for record in frames.records(start):
            known = record.offset
            yield record
        if frames.ended:
            return
        # From there on, so that what is behind it is read in the light of a frame that is sound.
        others = packed_records(stream, limit, wanted, known or 0)
        if known is not None:
            next(others)
        for record in others:
            yield record
            if record.error is None and record.end is not None and change < _CHANGES - 1:
                known, start = record.offset, record.end
                break
        else:
            return


class _Frames:
    """The frames of a file that are a record each. ended: whether the file ends where the last of them does.

    Raises BadFrame where the dictionary that the file begins with cannot be read.
    """

    def __init__(self, stream: BinaryIO, limit: int, wanted: Collection[str]):
        self._stream, self._limit, self._wanted = stream, limit, wanted
        stream.seek(0)
        first = dictionary(stream)
        stream.seek(len(first))
        if stream.read(4) == LZ4:
            self._end, self._unpack = lz4_end, Lz4().at_once
        else:
            zstd = Zstd()
            if first:
                next(zstd(Tape(io.BytesIO(first))), None)
            self._end, self._unpack = zstd_end, zstd.at_once
        self._first = len(first)
        self._most = limit + _MAX_HEADER + (1 << 20)  # bytes of a frame that are held
        self.ended = False

    def records(self, start: int) -> Iterator[Record]:
        """The records from an offset on, up to the first frame that is not one, or not as it should be."""
        base, held, at = max(start, self._first), b"", 0
        self._stream.seek(base)
        while True:
            try:
                if (found := self._end(held, at, self._most)) is None:
                    left = len(held) - at
                    # Blocks that hold nothing may be many.
                    data = self._stream.read(max(_PIECE, left)) if left <= self._most else b""
                    if not data:
                        self.ended = not left
                        return
                    base, held, at = base + at, held[at:] + data, 0
                    continue
                end, most = found
                record = self._record(self._unpack(held[at:end], most), base + at, base + end)
            except BadFrame:
                return
            if record is None:
                return
            at = end
            yield record

    def _record(self, data: bytes, offset: int, end: int) -> Record | None:
        """The record that a frame holds, and nothing else."""
        fields = data.find(b"\r\n\r\n", 0, _MAX_HEADER)
        kind, length = _field(data, fields, b"\nWARC-Type: "), _field(data, fields, b"\nContent-Length: ")
        if not kind or not length.isdigit() or len(length) > 18 or not BEGIN.match(data):
            return None
        begin, size = fields + 4, int(length)
        rest = data[begin + size :]
        if len(data) < begin + size or (rest != b"\r\n\r\n" and rest.strip(b"\r\n\0")):
            return None
        record = Record(
            0, offset, end, str(kind, "utf-8", "replace").lower(), str(data[:fields], "utf-8", "replace"), None, size
        )
        if size <= self._limit and record.type in self._wanted:
            record.block = data[begin : begin + size]
        return record


def _field(data: bytes, end: int, name: bytes) -> bytes:
    """The value of a field that a header, which ends there, has once; otherwise nothing."""
    if (at := data.find(name, 0, end)) < 0:
        lower = name.lower()
        return _field(data[:end].lower(), end, lower) if name != lower and end > 0 else b""
    at += len(name)
    return b"" if data.find(name, at, end) >= 0 else data[at : data.find(b"\r", at)]
