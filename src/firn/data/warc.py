"""WARC records out of a file, good ones and broken ones, each with its place.

What lies in its file as it should is read by `warc_plain` and `warc_framed`. Of plain files, and gzip files with a
member per record, fastwarc reads the rest. It ends at the first thing that is not sound, and says nothing of a gzip
member cut off before its header is complete; so here every such place becomes a `Record` with an error, and reading
goes on at the next place where a record begins.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Collection, Generator, Iterator
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecord

from firn.data.arc import arc_records, is_arc
from firn.data.frames import kind_of
from firn.data.warc_framed import framed_records, member_records
from firn.data.warc_packed import packed_records
from firn.data.warc_plain import plain_records
from firn.data.warc_record import GZIP, MAX_HEADER, Record, broken, is_usual, is_whole
from firn.data.wikitext.packed import HEAD, damaged_kind

__all__ = ["MAX_BROKEN", "Record", "records"]

#: Broken places in a file after which the rest of it is given up.
MAX_BROKEN = 1000

_MEMBER = re.compile(re.escape(GZIP))
_LINE = re.compile(rb"(?<![^\n\x00])WARC/\d\.\d")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:\s*(\d{1,18})", re.IGNORECASE)
_PIECE = 1 << 16
# Enough of a gzip member to have its first bytes: the tables of its codes come before.
_TRIED = 1 << 12


def records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of a WARC file: plain, gzip (a member per record, or one for all), bzip2, xz, zstd (with a
    dictionary too) or lz4; or of an ARC file, plain or gzip.

    stream: seekable. limit: bytes of the longest block that is read. wanted: types whose blocks are read. Memory stays
    within a few times `limit`. Raises what `stream` raises.
    """
    errors = 0
    for number, record in enumerate(_found(stream, limit, wanted)):
        record.number = number
        if record.error is not None:
            errors += 1
            if errors == MAX_BROKEN:
                record.error = f"{record.error}; the rest of the file is given up"
                yield record
                return
        yield record


def _found(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """The records by the reader that the file's begin asks for."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(MAX_HEADER)
    stream.seek(0)
    if size == 0:
        yield broken("the file is empty, at byte 0", 0, 0)
    elif is_arc(head):
        yield from arc_records(stream, limit, wanted)
    elif head.startswith(GZIP) and _one_record(head):
        yield from _Archive(stream, size, limit, wanted, members=True).records()
    elif (kind := kind_of(head)) and kind.name in ("zstd frame", "lz4 frame"):
        yield from framed_records(stream, limit, wanted)
    elif kind:
        yield from packed_records(stream, limit, wanted)
    else:
        yield from _unknown(stream, size, limit, wanted)


def _unknown(stream: BinaryIO, size: int, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Records of a plain file, or of a compressed one whose first bytes are damaged."""
    head = stream.read(HEAD)
    members = False
    if not head.startswith(b"WARC/"):
        # What a plain file holds may be compressed, and a compressed file may hold blocks as they are.
        kind = damaged_kind(head, _LINE if _LINE.search(head) else None)
        if kind and not (GZIP.startswith(kind.begins) and _one_record(head)):
            stream.seek(0)
            yield from packed_records(stream, limit, wanted)
            return
        members = kind is not None or _Archive(stream, size, limit, wanted, members=True).next(0) is not None
    yield from _Archive(stream, size, limit, wanted, members).records()


class _Bytes:
    """The archive's bytes from `start` on, for fastwarc, whose positions count from there.

    What the stream raises is kept, since fastwarc's own errors are OSErrors too.
    """

    def __init__(self, stream: BinaryIO, start: int = 0):
        self.stream, self.at = stream, 0
        self.failure: BaseException | None = None
        stream.seek(start)

    def read(self, size: int = -1) -> bytes:
        try:
            data = self.stream.read(size)
        except BaseException as error:
            self.failure = error
            raise
        self.at += len(data)
        return data

    def tell(self) -> int:
        return self.at


def _read(found: WarcRecord, offset: int, head: str, limit: int, wanted: Collection[str]) -> Record:
    record = Record(
        0, offset, None, str(found.record_type), head.encode("utf-8", "replace"), None, found.content_length
    )
    if record.type == "unknown":  # to fastwarc
        record.type = record.headers["warc-type"].lower()
    if not record.size and not re.fullmatch("0+", length := record.headers["content-length"]):
        record.error = f"its length is no number: {length[:20]!r}, at byte {offset}"
    elif record.type in wanted and record.size <= limit:
        record.block = found.reader.read()
        if len(record.block) != record.size:
            record.error = f"cut off: {len(record.block)} of {record.size} bytes, at byte {offset}"
    return record


class _Archive:
    """A file whose records each have their place. members: a gzip member per record; otherwise it is plain. lenient:
    the lines of its headers end in LF alone. unusual: the capitals of its fields are not those that fastwarc knows."""

    def __init__(self, stream: BinaryIO, size: int, limit: int, wanted: Collection[str], members: bool):
        self.stream, self.size, self.limit, self.wanted, self.members = stream, size, limit, wanted, members
        self.lenient = self.unusual = False

    def records(self) -> Iterator[Record]:
        at: int | None = 0
        while at is not None and not self.unusual:
            at = yield from self._quick(at)
            if at is not None:
                at = yield from self._sound(at)
        if at is not None:
            yield from packed_records(self.stream, self.limit, self.wanted, at, search=False)

    def _quick(self, start: int) -> Generator[Record, None, int | None]:
        """Records from `start` as far as they are what nearly all are, but the last before one that is not, in whose
        light that is to be read. Returns where to go on, or None."""
        found = (
            member_records(self.stream, self.limit, self.wanted, start)
            if self.members
            else plain_records(self.stream, self.limit, self.wanted, start, self.size)
        )
        if (last := next(found, None)) is None:
            return start
        for record in found:
            yield last
            last = record
        if last.end != self.size:
            return last.offset
        yield last
        return None

    def _sound(self, start: int) -> Generator[Record, None, int | None]:
        """Records from `start` as far as they are sound, then what is not. Returns where to go on, or None."""
        base, source, problem = start, _Bytes(self.stream, start), None
        last: Record | None = None
        try:
            for found in ArchiveIterator(cast(BinaryIO, source), parse_http=False, quirks_mode=self.lenient):
                start = base + found.stream_pos
                if last is not None:
                    last.end = start
                    yield last
                    last = None
                headers = found.headers
                head = str(headers)
                # Beside the fields there are the first line and an empty one. Lines that end in LF alone are joined.
                if head.count("\n") != len(headers) + 2 and not self.lenient and "\n" in "".join(headers.values()):
                    self.lenient = True
                    return start
                if not is_usual(head):
                    if is_whole(head):
                        self.unusual = True
                        return start
                    problem = "no WARC header, or not all of it"
                    break
                last = _read(found, start, head, self.limit, self.wanted)
                if last.error is not None:
                    break
        except OSError as error:
            if source.failure is not None:
                raise source.failure from None
            problem = str(error)
        if last is None:
            return (yield from self._skipped(start, self.next(start + 1), problem or "no WARC record"))
        begin = cast(int, last.offset)
        if last.error:
            after = self.next(begin + 1)
            last.end = self.size if after is None else after
            yield last
            return after
        end, whole = self._end(begin)
        if not whole:
            after = self.next(begin + 1)
            last.end = end = self.size if after is None else after
            yield last
            return (yield from self._skipped(end, after, problem or "the record before is cut off"))
        last.end = end
        yield last
        if problem is None and self._rest_is_blank(end):
            return None
        # Where the next record begins at once, what was wrong lay behind the end of this one, within its member.
        after = self.next(end)
        if after == end:
            return end
        return (yield from self._skipped(end, after, problem or "no WARC record"))

    def _skipped(self, start: int, after: int | None, problem: str) -> Generator[Record, None, int | None]:
        yield broken(f"{problem}, at byte {start}", start, self.size if after is None else after)
        return after

    def _end(self, offset: int) -> tuple[int, bool]:
        """Where the record at `offset` ends, and whether it ends there as it should and not with the file."""
        self.stream.seek(offset)
        if not self.members:
            head = self.stream.read(MAX_HEADER)
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

    def next(self, at: int) -> int | None:
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


def _one_record(head: bytes) -> bool:
    """Whether a gzip file's members hold a record each, as far as can be seen."""
    inflate, data, sound = zlib.decompressobj(31), b"", True
    try:
        for at in range(0, len(head), _TRIED):
            data += inflate.decompress(head[at : at + _TRIED], MAX_HEADER << 4)
            if inflate.eof or len(data) >= MAX_HEADER << 4:
                break
    except zlib.error:
        sound = False  # what came before the damage may tell all the same
    block = _block(data)
    if block and data[sum(block) :].lstrip(b"\r\n").startswith(b"WARC/"):
        return False
    if block and sound and (len(data) >= sum(block) or not inflate.eof):
        return True
    others = (head[found.start() :] for found in _MEMBER.finditer(head, 1))
    return next((_begins_record(other) for other in others if _first(other)), True)


def _block(record: bytes) -> tuple[int, int] | None:
    """Where a record's block begins, and its length by the header; None where the header is not whole."""
    if not (end := _HEADER_END.search(record)):
        return None
    length = _LENGTH.search(record, 0, end.start())
    return end.end(), int(length[1]) if length else 0


def _begins_record(data: bytes) -> bool:
    return _first(data) == b"WARC/"


def _first(data: bytes) -> bytes:
    """The first bytes of a gzip member; none where they cannot be had."""
    try:
        return zlib.decompressobj(31).decompress(data[:_TRIED], 5)
    except zlib.error:
        return b""
