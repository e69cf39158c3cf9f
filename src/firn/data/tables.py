"""Tables from outside as rows: CSV, Parquet and Arrow, streamed, in memory that does not grow with the file.

Parquet is read by row group and page, Arrow by record batch, CSV by record. A row is a dict by column; what cannot be
a row is an `Unread`. Raises Damaged where a file cannot be read on; what `stream` raises passes through.
"""

from __future__ import annotations

import csv
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from firn.data import charset
from firn.data.compressed import Damaged

#: Suffix -> form of a table.
FORMS = {
    "csv": "csv", "tsv": "tsv", "parquet": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
}  # fmt: skip
#: Largest record batch of an Arrow file, in bytes: it is held whole. Writers make them of some megabytes.
MAX_BATCH = 256 << 20
# A row group is not read where its rows, with all that stands beside them, are so many times too large on average.
_LARGE = 4
# Rows are made of so many bytes at a time, and of so many at most.
_BYTES, _ROWS = 8 << 20, 1024
_BUFFER = 1 << 20
_HEAD = 64 << 10

Row = dict[str, Any]
#: Given a file's columns, those that are wanted; called once, before the first row.
Choose = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Unread:
    """Rows that are not read. error: why; None: they are too large. count: how many they are."""

    error: str | None = None
    count: int = 1


def rows(stream: BinaryIO, form: str, choose: Choose, max_bytes: int, delimiter: str | None) -> Iterator[Row | Unread]:
    """The rows of a table, in order, with the columns that `choose` names.

    form: `csv`, `tsv`, `parquet` (whose stream must be seekable) or `arrow` (IPC file, Feather or stream). max_bytes:
    of a row of CSV, and a bound for row groups of Parquet, which are passed over where their rows are far above it.
    delimiter: of CSV; None: comma, or tab for TSV.
    """
    if form in ("csv", "tsv"):
        yield from _csv(stream, choose, max_bytes, delimiter or ("\t" if form == "tsv" else ","))
        return
    source = _Source(stream)
    try:
        yield from _parquet(source, choose, max_bytes) if form == "parquet" else _arrow(source, choose)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        if source.error is not None:
            raise source.error from None
        raise Damaged(" ".join(str(error).split())[:300]) from None


def _parquet(source: _Source, choose: Choose, max_bytes: int) -> Iterator[Row | Unread]:
    # With a buffer, a column is read page by page and not whole.
    file = pq.ParquetFile(pa.PythonFile(source, mode="r"), buffer_size=_BUFFER, page_checksum_verification=True)
    columns = list(choose(file.schema_arrow.names))
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        parts = (group.column(index) for index in range(group.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
        if size > _LARGE * max_bytes * group.num_rows:
            yield Unread(count=group.num_rows)
            continue
        most = max(1, min(_ROWS, _BYTES * group.num_rows // max(size, 1)))
        for batch in file.iter_batches(most, row_groups=[number], columns=columns, use_threads=False):
            yield from batch.to_pylist()


def _arrow(source: _Source, choose: Choose) -> Iterator[Row]:
    with pa.ipc.open_stream(pa.PythonFile(_Messages(source), mode="r")) as batches:
        columns = list(choose(batches.schema.names))
        for batch in batches:
            chosen = batch.select(columns)
            most = max(1, min(_ROWS, _BYTES * chosen.num_rows // max(chosen.nbytes, 1)))
            for start in range(0, chosen.num_rows, most):
                yield from chosen.slice(start, most).to_pylist()


class _Source:
    """A stream as pyarrow reads it. error: what its own reading raised, which is not the fault of the content."""

    closed = False

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        return self._tried(lambda: self._stream.read(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._tried(lambda: self._stream.seek(offset, whence))

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        """The stream is closed by whoever opened it."""

    def _tried(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:
            self.error = error
            raise


class _Messages:
    """The messages of an Arrow file or stream (Arrow Columnar Format, Encapsulated message format), none too large.

    A file is a stream between marks, with a footer that need not be read.
    """

    closed = False

    def __init__(self, source: _Source):
        self._source = source
        self._head = source.read(8)
        self._body = 0
        if self._head.startswith(b"ARROW1"):
            self._head = b""
        else:
            self._start(self._head)

    def read(self, size: int) -> bytes:
        if not self._head and not self._body:
            self._start(self._source.read(8))
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        data = self._source.read(min(size, self._body))
        self._body -= len(data)
        return data

    def close(self) -> None:
        """As of _Source."""

    def _start(self, prefix: bytes) -> None:
        """Read a message up to its body. prefix: its first 8 bytes, or what is there."""
        self._head = prefix
        if len(prefix) < 8:
            return
        mark, length = struct.unpack("<II", prefix)
        if mark != 0xFFFFFFFF:  # before format 0.15 there was no mark
            raise ValueError("no Arrow file, or one of a version before 0.15")
        if length > MAX_BATCH:
            raise ValueError(f"a header of {length} bytes")
        about = self._source.read(length)
        self._head += about
        self._body = _body_length(about) if length else 0
        if self._body > MAX_BATCH:
            raise ValueError(f"a record batch of {self._body} bytes; at most {MAX_BATCH} are read: write smaller ones")


def _body_length(message: bytes) -> int:
    """The field bodyLength of a flatbuffer of the table Message (format/Message.fbs)."""
    (table,) = struct.unpack_from("<I", message)
    vtable = table - struct.unpack_from("<i", message, table)[0]
    (size,) = struct.unpack_from("<H", message, vtable)
    (offset,) = struct.unpack_from("<H", message, vtable + 10) if size >= 12 else (0,)
    (length,) = struct.unpack_from("<q", message, table + offset) if offset else (0,)
    return max(0, int(length))


def _csv(stream: BinaryIO, choose: Choose, max_bytes: int, delimiter: str) -> Iterator[Row | Unread]:
    """Records as RFC 4180 has them, the first one naming the columns."""
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    buffered = io.BufferedReader(cast(io.RawIOBase, stream), _HEAD)
    head = buffered.peek(_HEAD)[:_HEAD]
    found = charset.decode(head[: head.rfind(b"\n") + 1] or head, html=False)
    encoding = "utf-8" if head.isascii() else found.charset
    text = io.TextIOWrapper(buffered, encoding=encoding, errors="replace", newline="")
    try:
        records = _Records(text, delimiter, max_bytes)
        names = [name.lstrip("\ufeff").strip() for name in next(records, None) or ()]
        places = [(name, names.index(name)) for name in choose(names)] if names else []
        for record in records:
            if record is None:
                yield Unread()
            elif len(record) > len(names):
                yield Unread(f"{len(record)} cells under {len(names)} columns")
            elif record:
                yield {name: record[place] if place < len(record) else None for name, place in places}
    finally:
        text.detach()
        buffered.detach()


class _Overlong(Exception):
    pass


class _Records:
    """The records of a CSV file; None for one of more than `limit` characters, which is passed over."""

    def __init__(self, text: TextIO, delimiter: str, limit: int):
        self._text, self._delimiter, self._limit = text, delimiter, limit
        self._reader = csv.reader(self._lines(), delimiter=delimiter)
        self._used = 0  # characters of the record so far

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> list[str] | None:
        self._used = 0
        try:
            return next(self._reader)
        except csv.Error:
            return None
        except _Overlong:  # with which the iterator of lines ended
            self._reader = csv.reader(self._lines(), delimiter=self._delimiter)
            return None

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(self._limit + 1):
            if self._used + len(line) > self._limit:
                self._skip(line, quoted=self._used > 0)
                raise _Overlong
            self._used += len(line)
            yield line

    def _skip(self, line: str, quoted: bool) -> None:
        """Pass over the rest of a line; of one that began in a quoted cell, up to the line in which the cell ends."""
        quotes = line.count('"')
        while line and not (line.endswith("\n") and (not quoted or quotes % 2)):
            line = self._text.readline(_BUFFER)
            quotes += line.count('"')
