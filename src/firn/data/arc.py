"""ARC records, the format before WARC (Internet Archive, 1996), as records of WARC: plain, or gzip with a member each.

A header is one line: URL, IP address, time, type, length; in version 2 with five fields more before the length. Where
there is none, or the record is cut off, a `Record` with an error stands for the bytes up to the next header.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO, cast

from firn.data.compressed import Damaged
from firn.data.warc_packed import Stretches
from firn.data.warc_record import GZIP, Record, broken

_FILE = b"filedesc:"
_HEADER = re.compile(
    rb"([a-z][a-z0-9+.-]{1,20}:[^\r\n]{0,8192}) ([0-9a-fA-F.:-]{1,45}) (\d{12}|\d{14}) ([^ \r\n]{1,100})"
    rb"(?: [^ \r\n]{1,8192}){0,5}? (\d{1,18})\r?",
    re.IGNORECASE,
)
_STARTS = re.compile(rb"[a-z][a-z0-9+.-]{1,20}:", re.IGNORECASE)
_MEMBER = re.compile(re.escape(GZIP))
_LINE = 1 << 15
_PIECE = 1 << 16
# Enough of a gzip member to have its first bytes.
_TRIED = 1 << 12


def is_arc(head: bytes) -> bool:
    """Whether a file that begins so is an ARC file."""
    return (_first(head, len(_FILE)) if head.startswith(GZIP) else head).startswith(_FILE)


def arc_records(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Every record of an ARC file. The arguments are those of `firn.data.warc.records`."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(_PIECE)
    stream.seek(0)
    if not head.startswith(GZIP):
        yield from _lines(stream, limit, wanted, size)
    elif _one_record(head):
        yield from _members(stream, limit, wanted, size)
    else:
        yield from _inflated(stream, limit, wanted)


def _lines(
    stream: BinaryIO, limit: int, wanted: Collection[str], size: int | None, behind: bool = False
) -> Iterator[Record]:
    """Records one after another. size: of the file, None where it is compressed and places in it mean nothing. behind:
    what is damaged, so that what stands before the first record is the rest of another."""
    at, lost = 0, None
    while line := stream.readline(_LINE):
        start, at = at, at + len(line)
        header = _HEADER.fullmatch(line.removesuffix(b"\n"))
        if header is None:
            # Records end with an empty line, and some writers are generous with them.
            if lost is None and line.strip() and not behind:
                lost = start
            continue
        behind = False
        if lost is not None:
            yield broken(f"no ARC header, at byte {lost}", lost, start)
            lost = None
        record = _record(header, start)
        record.block, read = _read(stream, record, limit, wanted)
        at += read
        if read < record.size:
            record.error = f"cut off: {read} of {record.size} bytes, at byte {start}"
        yield _placed(record, at, size)
    if lost is not None:
        yield _placed(broken(f"no ARC header, at byte {lost}", lost), at, size)


def _inflated(stream: BinaryIO, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    """Records of a file that is compressed as a whole, those behind damaged places too."""
    source, behind = Stretches(stream), False
    try:
        while True:
            last: Record | None = None
            for record in _lines(cast(BinaryIO, source), limit, wanted, None, behind):
                if last is not None:
                    yield last
                last = record
            damage, behind = source.cut, True
            if damage is not None and last is not None and last.error:
                last.error = f"{last.error}: {damage.error}"
            if last is not None:
                yield last
            if damage is None:
                return
            if last is None or not last.error:
                yield broken(damage.error, damage.block, damage.end)
            source.go_behind()
    except Damaged as damaged:
        yield broken(f"{damaged}; the rest of the file is given up")


def _members(stream: BinaryIO, limit: int, wanted: Collection[str], size: int) -> Iterator[Record]:
    """Records that have a gzip member each."""
    at: int | None = 0
    while at is not None and at < size:
        start, end, problem, record = at, size, None, None
        inflated = _Member(stream, at)
        try:
            header = _HEADER.fullmatch(inflated.readline(_LINE).removesuffix(b"\n"))
            if header is None:
                problem = "no ARC header"
            else:
                record = _record(header, start)
                record.block, read = _read(cast(BinaryIO, inflated), record, limit, wanted)
                if read < record.size:
                    problem = f"cut off: {read} of {record.size} bytes"
                elif inflated.read(_PIECE).strip(b"\r\n") or inflated.read(1):
                    problem = "longer than its header says"
                else:
                    end = inflated.end
        except (EOFError, zlib.error) as error:
            problem = f"cannot be decompressed: {error}"
        at = _next(stream, start + 1) if problem else end
        end = size if at is None else at
        if problem:
            yield broken(f"{problem}, at byte {start}", start, end)
        else:
            assert record is not None
            yield _placed(record, end, size)


class _Member(io.BufferedReader):
    """The content of the gzip member at `at`. end: where the member ends, once all was read."""

    def __init__(self, stream: BinaryIO, at: int):
        self._inflating = _Inflating(stream, at)
        super().__init__(self._inflating)

    @property
    def end(self) -> int:
        return self._inflating.at - len(self._inflating.inflate.unused_data)


class _Inflating(io.RawIOBase):
    def __init__(self, stream: BinaryIO, at: int):
        self.stream, self.at, self.inflate, self._rest = stream, at, zlib.decompressobj(31), b""
        stream.seek(at)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        while not self.inflate.eof:
            data = self._rest or self.stream.read(_PIECE)
            if not data:
                raise EOFError("the file ends")
            self.at += 0 if self._rest else len(data)
            out = self.inflate.decompress(data, len(view))
            self._rest = self.inflate.unconsumed_tail
            if out:
                view[: len(out)] = out
                return len(out)
        return 0


def _record(header: re.Match[bytes], offset: int) -> Record:
    url, address, time, mime, length = (part.decode("utf-8", "replace") for part in header.groups())
    digits = time.ljust(14, "0")
    day, clock = (f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", f"{digits[8:10]}:{digits[10:12]}:{digits[12:]}")
    kind = "warcinfo" if url.startswith("filedesc:") else "response"
    head = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": f"{day}T{clock}Z",
        "WARC-IP-Address": address,
        "Content-Type": mime,
        "Content-Length": length,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return Record(0, offset, None, kind, lines.encode(), None, int(length))


def _read(stream: BinaryIO, record: Record, limit: int, wanted: Collection[str]) -> tuple[bytes | None, int]:
    """The block, where it is wanted and within the limit, and how many bytes of it there are."""
    if record.type in wanted and record.size <= limit:
        block = stream.read(record.size)
        return block, len(block)
    read = 0
    while read < record.size and (data := stream.read(min(_PIECE, record.size - read))):
        read += len(data)
    return None, read


def _placed(record: Record, end: int, size: int | None) -> Record:
    record.offset, record.end = (None, None) if size is None else (record.offset, end)
    return record


def _next(stream: BinaryIO, at: int) -> int | None:
    """The next place at or after `at` where a gzip member begins that holds a record."""
    base, window = at, b""
    stream.seek(at)
    while data := stream.read(_PIECE):
        window += data
        for found in _MEMBER.finditer(window):
            if _STARTS.match(_first(window[found.start() :], 32)):
                return base + found.start()
        base, window = base + max(len(window) - _TRIED, 0), window[-_TRIED:]
    return None


def _first(data: bytes, size: int) -> bytes:
    """The first bytes of a gzip member; none where they cannot be had."""
    try:
        return zlib.decompressobj(31).decompress(data[:_TRIED], size)
    except zlib.error:
        return b""


def _one_record(head: bytes) -> bool:
    """Whether a gzip file's first member holds one record and not the whole archive, as far as can be seen."""
    try:
        data = zlib.decompressobj(31).decompress(head, _PIECE << 4)
    except zlib.error:
        return True
    header = _HEADER.match(data)
    rest = data[header.end() + 1 + int(header[5]) :] if header else b""
    return not rest.strip(b"\r\n")
