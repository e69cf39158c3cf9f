"""WARC records out of a file, good ones and broken ones, each with its place.

fastwarc reads what is sound. It ends at the first thing that is not, and says nothing of a gzip member cut off before
its header is complete; so here every such place becomes a `Record` with an error, and reading goes on at the next place
where a record begins.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import zlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecord

_GZIP, _BZIP2, _ZSTD, _LZ4 = b"\x1f\x8b\x08", b"BZh", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_MEMBER = re.compile(re.escape(_GZIP))
_LINE = re.compile(rb"(?<![^\n])WARC/\d\.\d")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:\s*(\d{1,18})", re.IGNORECASE)
_WINDOW = 1 << 20
_MAX_HEADER = 1 << 16


@dataclass(frozen=True)
class Record:
    """One record, or one place that should have been one.

    number: from 0, in the order of the file. offset, end: bytes of the file that hold it, compressed as they lie there;
    None where the file is compressed as a whole. headers: names in lower case. block: its content; None where it was
    not read, being longer than the limit or of a type not wanted. size: bytes of the block as its header says. error:
    what is wrong with it, and then the rest may be missing.
    """

    number: int
    offset: int | None
    end: int | None
    headers: Mapping[str, str]
    block: bytes | None
    size: int
    error: str | None = None

    @property
    def type(self) -> str:
        """WARC-Type in lower case; empty where there is none."""
        return self.headers.get("warc-type", "").lower()

    @property
    def place(self) -> str:
        """Where it lies within its file: `bytes=100-199`, as HTTP's Range header takes it, or `record=7`."""
        if self.offset is None:
            return f"record={self.number}"
        last = (self.end or 0) - 1
        return f"bytes={self.offset}-{last if last >= self.offset else ''}"


def records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of a WARC file: plain, gzip (a member per record, or one for all), bzip2, zstd or lz4.

    stream: seekable. limit: bytes of the longest block that is read. wanted: types whose blocks are read. Memory stays
    within a few times `limit`. Raises what `stream` raises.
    """
    return _Archive(stream, limit, wanted).records()


class _Bytes:
    """The archive's bytes from `start` on, for fastwarc, whose positions count from there.

    What the stream raises is kept: fastwarc's own errors are OSErrors too. A decompressor's error ends the bytes.
    """

    def __init__(self, stream: BinaryIO, start: int, inflating: bool):
        self.stream, self.at, self.inflating = stream, 0, inflating
        self.failure: BaseException | None = None
        self.damage: str | None = None
        stream.seek(start)

    def read(self, size: int = -1) -> bytes:
        try:
            data = self.stream.read(size)
        except (EOFError, zlib.error, OSError) as error:
            if not self.inflating:
                self.failure = error
                raise
            self.damage, data = f"cannot be decompressed: {error}", b""
        except BaseException as error:
            self.failure = error
            raise
        self.at += len(data)
        return data

    def tell(self) -> int:
        return self.at


class _Archive:
    def __init__(self, stream: BinaryIO, limit: int, wanted: Collection[str]):
        self.limit, self.wanted = limit, wanted
        self.size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        head = stream.read(_WINDOW)
        self.members = head.startswith(_GZIP) and _one_record(head)
        self.opaque = head.startswith((_ZSTD, _LZ4))
        self.inflating = head.startswith(_BZIP2) or (head.startswith(_GZIP) and not self.members)
        if self.inflating:
            stream.seek(0)
            whole = bz2.BZ2File(stream) if head.startswith(_BZIP2) else gzip.GzipFile(fileobj=stream)
            stream = cast(BinaryIO, whole)
        self.stream = stream
        self.lenient = False
        self.number = 0

    def records(self) -> Iterator[Record]:
        if self.size == 0:
            yield self._broken(0, 0, "the file is empty")
            return
        at: int | None = 0
        while at is not None:
            at = yield from self._sound(at)

    def _sound(self, start: int) -> Generator[Record, None, int | None]:
        """Records from `start` as far as they are sound, then what is not. Returns where to go on, or None."""
        source, problem = _Bytes(self.stream, start, self.inflating), None
        last: Record | None = None
        try:
            for found in ArchiveIterator(cast(BinaryIO, source), parse_http=False, quirks_mode=self.lenient):
                offset = start + found.stream_pos
                if last is not None:
                    yield self._numbered(replace(last, end=offset))
                    last = None
                headers = _lower(found.headers.items())
                if not self.lenient and any("\n" in value for value in headers.values()):
                    self.lenient = True  # the lines of its headers end in LF alone
                    return offset
                if not headers:
                    problem, start = "no WARC header", offset
                    break
                last = self._read(found, offset, headers)
                if last.error:
                    break
        except OSError as error:
            if source.failure is not None:
                raise source.failure from None
            problem = str(error)
        problem = source.damage or problem
        if self.opaque:
            if last is not None:
                yield self._numbered(last)
            if problem:
                yield self._broken(0, self.size, problem)
            return None
        if last is not None and last.error:
            after = self._next(cast(int, last.offset) + 1)
            yield self._numbered(replace(last, end=self.size if after is None else after))
            return after
        at = start
        if last is not None:
            at, whole = self._end(cast(int, last.offset))
            yield self._numbered(replace(last, end=at))
            if not whole:
                problem = problem or "the file is cut off"
            elif problem is None and self._rest_is_blank(at):
                return None
            elif self._next(at) == at:
                return at  # what is wrong lies behind the record's end, within its member
        after = self._next(at + 1)
        yield self._broken(at, self.size if after is None else after, problem or "no WARC record")
        return after

    def _read(self, found: WarcRecord, offset: int, headers: dict[str, str]) -> Record:
        size, block, error = found.content_length, None, None
        if headers.get("warc-type", "").lower() in self.wanted and size <= self.limit:
            block = found.reader.read()
            if len(block) < size:
                error = f"cut off: {len(block)} of {size} bytes, at byte {offset}"
        return Record(0, offset, None, headers, block, size, error)

    def _numbered(self, record: Record) -> Record:
        offset, end = (None, None) if self.opaque or self.inflating else (record.offset, record.end)
        self.number += 1
        return replace(record, number=self.number - 1, offset=offset, end=end)

    def _broken(self, offset: int, end: int, problem: str) -> Record:
        return self._numbered(Record(0, offset, end, {}, None, 0, f"{problem}, at byte {offset}"))

    def _end(self, offset: int) -> tuple[int, bool]:
        """Where the record at `offset` ends, and whether it ends there as it should and not with the file."""
        if not self.members:
            self.stream.seek(offset)
            head = self.stream.read(_MAX_HEADER)
            block = _block(head)
            end, size = offset + (sum(block) if block else len(head)), self._length()
            return (end, True) if end <= size else (size, False)
        self.stream.seek(offset)
        inflate, at = zlib.decompressobj(31), offset
        try:
            while data := self.stream.read(_WINDOW >> 4):
                at += len(data)
                while data and not inflate.eof:
                    inflate.decompress(data, _WINDOW)
                    data = inflate.unconsumed_tail
                if inflate.eof:
                    return at - len(inflate.unused_data), True
        except zlib.error:
            pass
        return self.size, False

    def _length(self) -> int:
        if not self.inflating:
            return self.size
        source = _Bytes(self.stream, 0, True)
        while source.read(_WINDOW):
            pass
        return source.at

    def _rest_is_blank(self, at: int) -> bool:
        source = _Bytes(self.stream, at, self.inflating)
        while data := source.read(_WINDOW):
            if data.strip(b"\r\n\0"):
                return False
        return True

    def _next(self, at: int) -> int | None:
        """The next place at or after `at` where a record begins."""
        pattern, keep = (_MEMBER, 64) if self.members else (_LINE, 8)
        source, window = _Bytes(self.stream, max(at - 1, 0), self.inflating), b""
        base = max(at - 1, 0)
        while data := source.read(_WINDOW):
            window += data
            for found in pattern.finditer(window):
                place = base + found.start()
                if place >= at and (not self.members or _begins_record(window[found.start() :])):
                    return place
            base, window = base + max(len(window) - keep, 0), window[-keep:]
        return None


def _one_record(head: bytes) -> bool:
    """Whether a gzip file's first member holds one record and not the whole archive, as far as can be seen."""
    inflate = zlib.decompressobj(31)
    try:
        data = inflate.decompress(head, _WINDOW)
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
        return zlib.decompressobj(31).decompress(data[:64], 5) == b"WARC/"
    except zlib.error:
        return False


def _lower(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in items:
        headers.setdefault(name.lower(), value)
    return headers
