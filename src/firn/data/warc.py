"""WARC records out of a file, good ones and broken ones, each with its place.

fastwarc reads what is sound. It ends at the first thing that is not, and says nothing of a gzip member cut off before
its header is complete; so here every such place becomes a `Record` with an error. In plain files, and in gzip files
with a member per record, reading goes on at the next place where a record begins.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zlib
from collections.abc import Collection, Generator, Iterator, Mapping
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecord

from firn.data.arc import arc_records, is_arc
from firn.data.warc_record import GZIP, Record, broken

__all__ = ["MAX_BROKEN", "Record", "records"]

#: Broken places in a file after which the rest of it is given up.
MAX_BROKEN = 1000

_BZIP2, _ZSTD, _LZ4 = b"BZh", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
# A skippable frame with the dictionary of all that follow (IIPC, "Zstandard Compression for WARC Files 1.0").
_ZSTD_DICTIONARY = b"\x5d\x2a\x4d\x18"
_MEMBER = re.compile(re.escape(GZIP))
_LINE = re.compile(rb"(?<![^\n])WARC/\d\.\d")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:\s*(\d{1,18})", re.IGNORECASE)
_ONCE = ["content-length", "warc-type"]
_PIECE = 1 << 16
_MAX_HEADER = 1 << 16
# Enough of a gzip member to have its first bytes: the tables of its codes come before.
_TRIED = 1 << 12


def records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of a WARC file: plain, gzip (a member per record, or one for all), bzip2, zstd (with a dictionary
    too) or lz4; or of an ARC file, plain or gzip.

    stream: seekable. limit: bytes of the longest block that is read. wanted: types whose blocks are read. Memory stays
    within a few times `limit`. Raises what `stream` raises.
    """
    head, _ = stream.read(_MAX_HEADER), stream.seek(0)
    found = arc_records(stream, limit, wanted) if is_arc(head) else _Archive(stream, limit, wanted).records()
    errors = 0
    for number, record in enumerate(found):
        record.number = number
        if record.error is not None:
            errors += 1
            if errors == MAX_BROKEN:
                record.error = f"{record.error}; the rest of the file is given up"
                yield record
                return
        yield record


class _Bytes:
    """The archive's bytes from `start` on, for fastwarc, whose positions count from there.

    What the stream raises is kept, since fastwarc's own errors are OSErrors too; a decompressor's error ends the bytes.
    """

    def __init__(self, stream: BinaryIO, start: int = 0):
        self.stream, self.at = stream, 0
        self.inflating = isinstance(stream, gzip.GzipFile | bz2.BZ2File)
        self.failure: BaseException | None = None
        self.damage: str | None = None
        stream.seek(start)

    def read(self, size: int = -1) -> bytes:
        try:
            data = self.stream.read(size)
        except BaseException as error:
            if not self.inflating or not isinstance(error, EOFError | zlib.error | OSError):
                self.failure = error
                raise
            self.damage, data = f"cannot be decompressed: {error}", b""
        self.at += len(data)
        return data

    def tell(self) -> int:
        return self.at


class _Archive:
    """members: a gzip member per record. opaque: compressed otherwise, so that places in the file mean nothing.
    lenient: the lines of its headers end in LF alone."""

    def __init__(self, stream: BinaryIO, limit: int, wanted: Collection[str]):
        self.stream, self.limit, self.wanted = stream, limit, wanted
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(_MAX_HEADER)
        self.members = head.startswith(GZIP) and _one_record(head)
        self.opaque = head.startswith((GZIP, _BZIP2, _ZSTD, _ZSTD_DICTIONARY, _LZ4)) and not self.members
        self.lenient = False
        if not self.opaque and not self.members and not head.startswith(b"WARC/"):
            self.members = True  # unless the first member is damaged
            self.members = self._next(0) is not None
        stream.seek(0)
        if self.opaque and head.startswith(GZIP):
            self.stream = cast(BinaryIO, gzip.GzipFile(fileobj=stream))
        elif head.startswith(_BZIP2):
            self.stream = cast(BinaryIO, bz2.BZ2File(stream))

    def records(self) -> Iterator[Record]:
        if self.size == 0:
            yield broken(0, 0, "the file is empty")
            return
        at: int | None = 0
        while at is not None:
            at = yield from self._sound(at)

    def _sound(self, start: int) -> Generator[Record, None, int | None]:
        """Records from `start` as far as they are sound, then what is not. Returns where to go on, or None."""
        source, problem = _Bytes(self.stream, start), None
        last: Record | None = None
        try:
            for found in ArchiveIterator(cast(BinaryIO, source), parse_http=False, quirks_mode=self.lenient):
                offset = start + found.stream_pos
                if last is not None:
                    yield self._placed(last, offset)
                    last = None
                items = found.headers.items()
                headers = {name.lower(): value for name, value in reversed(items)}  # of repeated ones the first counts
                if not self.lenient and "\n" in "".join(headers.values()):
                    self.lenient = True
                    return offset
                if not _is_whole(headers, items):
                    start, problem = offset, "no WARC header, or not all of it"
                    break
                last = self._read(found, offset, headers)
                if last.error is not None:
                    break
        except OSError as error:
            if source.failure is not None:
                raise source.failure from None
            problem = str(error)
        problem = source.damage or problem
        if self.opaque:
            if last is not None:
                yield self._placed(last, 0)
            if problem and not (last and last.error):
                yield Record(0, None, None, {}, None, 0, f"{problem}; the rest of the file is given up")
            return None
        if last is None:
            return (yield from self._skipped(start, self._next(start + 1), problem or "no WARC record"))
        begin = cast(int, last.offset)
        if last.error:
            after = self._next(begin + 1)
            yield self._placed(last, self.size if after is None else after)
            return after
        end, whole = self._end(begin)
        if not whole:
            after = self._next(begin + 1)
            end = self.size if after is None else after
            yield self._placed(last, end)
            return (yield from self._skipped(end, after, problem or "the record before is cut off"))
        yield self._placed(last, end)
        if problem is None and self._rest_is_blank(end):
            return None
        # Where the next record begins at once, what was wrong lay behind the end of this one, within its member.
        after = self._next(end)
        if after == end:
            return end
        return (yield from self._skipped(end, after, problem or "no WARC record"))

    def _skipped(self, start: int, after: int | None, problem: str) -> Generator[Record, None, int | None]:
        yield broken(start, self.size if after is None else after, problem)
        return after

    def _read(self, found: WarcRecord, offset: int, headers: dict[str, str]) -> Record:
        size = found.content_length
        if headers["warc-type"].lower() not in self.wanted or size > self.limit:
            return Record(0, offset, None, headers, None, size)
        block = found.reader.read()
        error = None if len(block) == size else f"cut off: {len(block)} of {size} bytes, at byte {offset}"
        return Record(0, offset, None, headers, block, size, error)

    def _placed(self, record: Record, end: int) -> Record:
        if self.opaque:
            record.offset = None
        else:
            record.end = end
        return record

    def _end(self, offset: int) -> tuple[int, bool]:
        """Where the record at `offset` ends, and whether it ends there as it should and not with the file."""
        self.stream.seek(offset)
        if not self.members:
            head = self.stream.read(_MAX_HEADER)
            block = _block(head)
            end = offset + sum(block) if block else self.size + 1
            self.stream.seek(min(end, self.size))
            after = self.stream.read(len(b"\r\n\r\n"))
            return min(end, self.size) + len(after) - len(after.lstrip(b"\r\n")), end <= self.size
        inflate, at = zlib.decompressobj(31), offset
        try:
            while data := self.stream.read(_PIECE):
                at += len(data)
                while data and not inflate.eof:
                    inflate.decompress(data, _PIECE << 4)
                    data = inflate.unconsumed_tail
                if inflate.eof:
                    return at - len(inflate.unused_data), True
        except zlib.error:
            pass
        return self.size, False

    def _rest_is_blank(self, at: int) -> bool:
        self.stream.seek(at)
        return not any(data.strip(b"\r\n\0") for data in iter(lambda: self.stream.read(_PIECE), b""))

    def _next(self, at: int) -> int | None:
        """The next place at or after `at` where a record begins."""
        pattern, keep = (_MEMBER, _TRIED) if self.members else (_LINE, 8)
        base, window = max(at - 1, 0), b""  # one more, to see whether a line begins there
        self.stream.seek(base)
        while data := self.stream.read(_PIECE):
            window += data
            for found in pattern.finditer(window):
                place = base + found.start()
                if place >= at and (not self.members or _begins_record(window[found.start() :])):
                    return place
            base, window = base + max(len(window) - keep, 0), window[-keep:]
        return None


def _is_whole(headers: Mapping[str, str], items: Collection[tuple[str, str]]) -> bool:
    """Whether a header has all that each has, and once: where one breaks off, fastwarc takes that of the next record
    for the rest of it."""
    if len(headers) == len(items):
        return "warc-type" in headers and "content-length" in headers
    return sorted(lower for name, _ in items if (lower := name.lower()) in _ONCE) == _ONCE


def _one_record(head: bytes) -> bool:
    """Whether a gzip file's first member holds one record and not the whole archive, as far as can be seen."""
    try:
        data = zlib.decompressobj(31).decompress(head, _MAX_HEADER << 4)
    except zlib.error:
        return True
    block = _block(data)
    return block is None or not data[sum(block) :].lstrip(b"\r\n").startswith(b"WARC/")


def _block(record: bytes) -> tuple[int, int] | None:
    """Where a record's block begins, and its length by the header; None where the header is not whole."""
    if not (end := _HEADER_END.search(record)):
        return None
    length = _LENGTH.search(record, 0, end.start())
    return end.end(), int(length[1]) if length else 0


def _begins_record(data: bytes) -> bool:
    try:
        return zlib.decompressobj(31).decompress(data[:_TRIED], 5) == b"WARC/"
    except zlib.error:
        return False
