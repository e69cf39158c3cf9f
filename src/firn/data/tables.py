"""Tables from outside as rows: CSV, Parquet and Arrow, streamed, in memory that does not grow with the file.

Parquet is read by page, Arrow by record batch, CSV by record. A row is a dict by column; what cannot be a row is an
`Unread`. Raises Damaged where a file cannot be read on; what `stream` raises passes through.
"""

from __future__ import annotations

import base64
import csv
import io
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO, TextIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from firn.data import arrow_messages, arrow_values, charset, parquet_pages, row_sizes
from firn.data.compressed import FREE, MAX_RATIO, Damaged

#: Suffix -> form of a table.
FORMS = {
    "csv": "csv", "tsv": "tsv", "parquet": "parquet", "arrow": "arrow", "feather": "arrow", "ipc": "arrow",
}  # fmt: skip
_BUFFER = 1 << 20
# Of all columns of a Parquet file together.
_BUFFERS = 64 << 20
# The wanted columns of a row group are read at once, and once, where they have at most so many bytes; small gaps with
# them.
_HOLD, _GAP = 192 << 20, 64 << 10
# Bytes of batches that are made whatever the size of a file.
_WORK = 16 << 30
_PARQUET = b"PAR1"
_SMALLER = "write smaller pages and row groups"
_HEAD = 64 << 10
# How undecodable bytes are told from a U+FFFD that was written; other character sets have none, or hardly ever.
_MARKED = {"utf-8": "surrogateescape"}
_STRINGS = {pa.string(), pa.large_string()}
_NUMBERS = {pa.int32(), pa.int64(), pa.float32(), pa.float64()}

Row = dict[str, Any]
#: Given a file's columns, those that are wanted; called once, before the first row.
Choose = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Unread:
    """Rows that are not read. error: why; None: they are too large. count: how many they are. elsewhere: whether they
    are none of the part that was asked for."""

    error: str | None = None
    count: int = 1
    elsewhere: bool = False


def rows(
    stream: BinaryIO,
    form: str,
    choose: Choose,
    max_bytes: int,
    delimiter: str | None,
    part: tuple[int, int] | None = None,
) -> Iterator[Row | Unread]:
    """The rows that `pieces` has, one at a time."""
    return chain.from_iterable(pieces(stream, form, choose, max_bytes, delimiter, part))


def pieces(
    stream: BinaryIO,
    form: str,
    choose: Choose,
    max_bytes: int,
    delimiter: str | None,
    part: tuple[int, int] | None = None,
) -> Iterator[Sequence[Row | Unread]]:
    """The rows of a table, in order, with the columns that `choose` names; some at a time, as they are read.

    form: `csv`, `tsv`, `parquet` (whose stream must be seekable) or `arrow` (IPC file, Feather or stream). max_bytes:
    of a row of CSV; of others, which may have 8 MiB more for what stands beside their text. delimiter: of CSV; None:
    comma, or tab for TSV. part: of a Parquet file, where a row group that is read begins: from one offset to before
    another; every row group is in one part of a file that is divided.
    """
    if form in ("csv", "tsv"):
        yield from _csv(stream, choose, max_bytes, delimiter or ("\t" if form == "tsv" else ","))
        return
    source = _Source(stream)
    with _damage(source):
        yield from _parquet(source, choose, max_bytes, part) if form == "parquet" else _arrow(source, choose, max_bytes)


def parquet_rows(stream: BinaryIO, part: tuple[int, int] | None = None) -> int:
    """How many rows a Parquet file, or a part of it as for `rows`, has: what its footer says. Raises Damaged."""
    source = _Source(stream)
    with _damage(source):
        metadata, size = _metadata(source), source.seek(0, io.SEEK_END)
        groups = range(metadata.num_row_groups)
        chosen = [n for n in groups if not part or part[0] <= parquet_pages.begin(metadata, n, size) < part[1]]
        return sum(metadata.row_group(number).num_rows for number in chosen)


@contextmanager
def _damage(source: _Source) -> Iterator[None]:
    """What reading raises is Damaged, unless it is not the content's fault."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, struct.error) as error:
        if source.error is not None:
            raise source.error from None
        raise Damaged(" ".join(str(error).split())[:300]) from None


def _metadata(source: _Source) -> pq.FileMetaData:
    return pq.read_metadata(pa.BufferReader(_footer(source)))


def _parquet(
    source: _Source, choose: Choose, max_bytes: int, part: tuple[int, int] | None
) -> Iterator[Sequence[Row | Unread]]:
    metadata = _metadata(source)
    if kept := (metadata.metadata or {}).get(b"ARROW:schema"):
        arrow_messages.check_message(base64.b64decode(kept))
    leaves = [metadata.schema.column(index) for index in range(metadata.num_columns)]
    file = pq.ParquetFile(
        pa.PythonFile(source, mode="r"),
        metadata=metadata,
        # Strings in lists stay in their dictionary, since nobody knows how many of them are in a row.
        read_dictionary=[leaf.path for leaf in leaves if leaf.max_repetition_level and _is_bytes(leaf)],
        # Without `pre_buffer` and with a buffer, a column is read page by page.
        pre_buffer=False,
        buffer_size=max(1 << 12, min(_BUFFER, _BUFFERS // max(1, len(leaves)))),
        page_checksum_verification=True,
    )
    columns, size = list(choose(file.schema_arrow.names)), source.seek(0, io.SEEK_END)
    for number in range(file.num_row_groups):
        rows = metadata.row_group(number).num_rows
        if rows < 0:
            raise ValueError(f"a row group of {rows} rows")
        if part and not part[0] <= parquet_pages.begin(metadata, number, size) < part[1]:
            yield [Unread(count=rows, elsewhere=True)]
            continue
        group = parquet_pages.columns_of(metadata, number, columns, size)
        held = source.hold((column.start, column.end) for column in group)
        plan = parquet_pages.plan(source.at, group, rows, held)
        if plan.bytes + held > parquet_pages.HELD:
            source.hold(())
        left = plan.rows
        batches = file.iter_batches(plan.batch, row_groups=[number], columns=columns, use_threads=False)
        while left > 0:
            batch = next(batches, None)
            if batch is None:
                raise ValueError(f"{left} rows fewer than the footer says")
            left -= batch.num_rows
            yield from _rows(source, batch, max_bytes)
        if plan.rows < rows:
            yield [Unread(f"{plan.why}; at most {parquet_pages.HELD} are held: {_SMALLER}", rows - plan.rows)]


def _footer(source: _Source) -> bytes:
    """The footer of a Parquet file, as a file that has nothing else. Raises ValueError."""
    end = source.seek(0, io.SEEK_END)
    tail = source.at(max(0, end - 8), 8)
    size = int.from_bytes(tail[:4], "little")
    if tail[4:] != _PARQUET or size > end - 12:
        raise ValueError("no Parquet file, or one that is cut off or encrypted")
    if size > parquet_pages.FOOTER:
        raise ValueError(f"a footer of {size} bytes; at most {parquet_pages.FOOTER} are read: write larger row groups")
    footer = source.at(end - 8 - size, size)
    parquet_pages.check_footer(footer)
    return _PARQUET + footer + tail


def _is_bytes(leaf: pq.ColumnSchema) -> bool:
    return leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in ("NONE", "STRING", "ENUM", "JSON", "BSON")


def _arrow(source: _Source, choose: Choose, max_bytes: int) -> Iterator[Sequence[Row | Unread]]:
    with pa.ipc.open_stream(pa.PythonFile(arrow_messages.Messages(source), mode="r")) as batches:
        columns = list(choose(batches.schema.names))
        for batch in batches:
            chosen = batch.select(columns)
            chosen.validate(full=True)
            yield from _rows(source, chosen, max_bytes)


def _rows(source: _Source, batch: pa.RecordBatch, max_bytes: int) -> Iterator[Sequence[Row | Unread]]:
    # A dictionary or a value in it is gone through with every batch, however few rows that has.
    source.worked += batch.nbytes
    if source.worked > _WORK + MAX_RATIO * source.taken:
        raise ValueError("dictionaries that are far larger than what refers to them: write the columns without them")
    for piece, size in row_sizes.pieces(batch, max_bytes + row_sizes.PIECE):
        if piece is None:
            yield [Unread()]
            continue
        source.given += size
        if source.given > max(FREE, MAX_RATIO * source.taken):
            raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size")
        columns = [_values(column) for column in piece.columns]
        records = zip(*columns, strict=True) if columns else [()] * piece.num_rows
        yield [dict(zip(piece.schema.names, values, strict=True)) for values in records]


def _values(column: pa.Array) -> list[Any]:
    """The values of a column in Python, as `arrow_values` has them, which takes five times as long."""
    values: list[Any]
    if column.type in _STRINGS or (column.type in _NUMBERS and not column.null_count):
        with suppress(pa.ArrowException, ValueError):  # no UTF-8, which to_pylist says in its own words
            values = column.to_numpy(zero_copy_only=False).tolist()
            return values
    return arrow_values.values(column)


class _Source:
    """A stream as pyarrow reads it.

    error: what its own reading raised, which is not the fault of the content. taken: bytes that were read of it.
    worked: bytes of the batches that were made of them; given: bytes of the rows.
    """

    closed = False

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._held: list[tuple[int, bytes]] = []
        self._place = 0
        self.error: Exception | None = None
        self.taken = self.worked = self.given = 0

    def read(self, size: int = -1) -> bytes:
        """From where `seek` led; without it, from the start on."""
        for start, held in self._held:
            if start <= self._place <= self._place + size <= start + len(held):
                data = held[self._place - start : self._place - start + size]
                break
        else:
            if self._held:
                self._tried(lambda: self._stream.seek(self._place))
            data = self._tried(lambda: self._stream.read(size))
            self.taken += len(data)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = self._tried(lambda: self._stream.seek(offset, whence))
        return self._place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        """The stream is closed by whoever opened it."""

    def at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from an offset on."""
        self.seek(offset)
        return self.read(size)

    def hold(self, ranges: Iterable[tuple[int, int]]) -> int:
        """Keep these ranges in memory, in place of those before, unless they are large. Returns how many bytes.

        Of a local file nothing is kept, since reading it again costs nothing.
        """
        self._held = []
        if isinstance(getattr(self._stream, "raw", None), io.FileIO):
            return 0
        joined: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if joined and start <= joined[-1][1] + _GAP:
                start, last = joined.pop()
                end = max(end, last)
            joined.append((start, end))
        if sum(end - start for start, end in joined) <= _HOLD:
            self._held = [(start, self.at(start, end - start)) for start, end in joined]
        return sum(len(held) for _, held in self._held)

    def _tried(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:
            self.error = error
            raise


def _csv(stream: BinaryIO, choose: Choose, max_bytes: int, delimiter: str) -> Iterator[Sequence[Row | Unread]]:
    """Records as RFC 4180 has them, the first one naming the columns. Raises Damaged."""
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    buffered = io.BufferedReader(cast(io.RawIOBase, stream), _HEAD)
    head = buffered.peek(_HEAD)[:_HEAD]
    found = charset.decode(head[: head.rfind(b"\n") + 1] or head, html=False)
    encoding = "utf-8" if head.isascii() else found.charset
    text = io.TextIOWrapper(buffered, encoding=encoding, errors=_MARKED.get(encoding, "replace"), newline="")
    try:
        records = _Records(text, delimiter, max_bytes)
        header = next(records, [])
        if isinstance(header, Unread):
            raise Damaged(f"its first record, which names the columns: {header.error or 'too large'}")
        names = [name.lstrip("\ufeff").strip() for name in header]
        places = [(name, names.index(name)) for name in choose(names)] if names else []
        lost = False  # whether it is not known where the next record begins
        piece: list[Row | Unread] = []
        size = 0
        try:
            for record in records:
                if isinstance(record, Unread):
                    lost = record.error is not None
                    piece.append(record)
                elif lost and record and (len(record) != len(names) or any('"' in cell for cell in record)):
                    piece.append(Unread("behind a record whose end is not known, and perhaps a part of it"))
                elif len(record) > len(names):
                    piece.append(Unread(f"{len(record)} cells under {len(names)} columns"))
                elif record:
                    lost = False
                    piece.append({name: record[place] if place < len(record) else None for name, place in places})
                size += records.used
                if size >= _BUFFER:
                    yield piece
                    piece, size = [], 0
        except Damaged:
            yield piece
            raise
        yield piece
    finally:
        text.detach()
        buffered.detach()


class _Overlong(Exception):
    pass


class _Records:
    """The records of a CSV file; what is none, or has more than `limit` characters, is passed over.

    used: characters of the latest one.
    """

    def __init__(self, text: TextIO, delimiter: str, limit: int):
        self._text, self._delimiter, self._limit = text, delimiter, limit
        self._reader = self._new()
        self.used = self._count = 0  # lines of the record
        self._first = self._last = ""
        self._is_broken = False

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> list[str] | Unread:
        self.used = self._count = 0
        self._is_broken = False
        try:
            record = next(self._reader)
        except csv.Error:
            return Unread(self._problem())
        except _Overlong:  # with which the iterator of lines ended
            self._reader = self._new()
            return Unread()
        if self._is_broken:
            return Unread(f"not in the character set of the file's beginning, {self._text.encoding}")
        return record

    def _new(self) -> Iterator[list[str]]:
        return csv.reader(self._lines(), delimiter=self._delimiter, strict=True)

    def _problem(self) -> str:
        """What is wrong with a quoted cell. Raises Damaged where other rows would be read wrongly."""
        if '\\"' in self._first or '\\"' in self._last:
            raise Damaged("quotes escaped by backslashes, not doubled")
        lines = f"; {self._count} lines are lost with it" if self._count > 1 else ""
        return ("text behind a closing quote" if self._last else "a quote that is not closed") + lines

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(self._limit + 1):
            if self.used + len(line) > self._limit:
                self._skip(line, quoted=self.used > 0)
                raise _Overlong
            self._first = self._first if self.used else line
            self._last = line
            self.used += len(line)
            self._count += 1
            if not line.isascii() and _is_broken(line, self._text.encoding):
                self._is_broken = True
            yield line
        self._last = ""

    def _skip(self, line: str, quoted: bool) -> None:
        """Pass over the rest of a line; of one that began in a quoted cell, up to the line in which the cell ends."""
        quotes = line.count('"')
        while line and not (line.endswith("\n") and (not quoted or quotes % 2)):
            line = self._text.readline(_BUFFER)
            quotes += line.count('"')


def _is_broken(line: str, encoding: str) -> bool:
    """Whether there were bytes in a line that are none of its character set."""
    if encoding not in _MARKED:
        return "\ufffd" in line
    try:
        line.encode()
    except UnicodeEncodeError:
        return True
    return False
