"""How much of a Parquet file from outside can be read at a time, told from its page headers before any page is decoded.

Apache Parquet format, README (File format) and Encodings.md. A page is held whole, packed and unpacked, and the values
of a batch beside it; a page may be of 2 GiB, a value in a dictionary be meant by every row, and a footer lie. Of what
the headers say, a reader allocates no more, since it stops where a page does not keep to its header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from firn.data.thrift import Fields, Reader

#: Bytes that the pages of a row group and the values of a batch may take together.
HELD = 384 << 20
#: Rows of a batch at most, and bytes of it on average.
ROWS, BATCH = 1024, 8 << 20
# With fewer, batches take time of their own.
_FEW = 16
#: Largest footer, in bytes, and what its structures may take in memory, by estimate.
FOOTER, FOOTER_HELD = 32 << 20, 256 << 20
# A footer of so many bytes takes less than FOOTER_HELD whatever is in it.
_SMALL_FOOTER = 256 << 10
_HEADER = 1 << 20
# Most pages of a row group that are looked at.
_PAGES = 1 << 18
# What a value of a list takes: its levels, its offsets, its objects in Python.
_ELEMENT = 64

_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_PLAIN_DICTIONARY, _DELTA_BYTE_ARRAY, _RLE_DICTIONARY = 2, 7, 8
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_NO_HEADER = "a page header that is damaged"

#: Bytes at an offset: (offset, at most so many) -> those that are there.
Read = Callable[[int, int], bytes]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Column:
    """A column of a row group, as it lies in the file. start, end: offsets. values: how many. width: bytes of a value;
    None: any. repeated: a row has any number of values."""

    name: str
    start: int
    end: int
    values: int
    width: int | None
    repeated: bool


@dataclass(frozen=True)
class Page:
    """bytes: unpacked. packed: as in the file. values: of a dictionary its entries. encoding: as in Encodings.md."""

    bytes: int
    packed: int
    values: int
    encoding: int
    dictionary: bool


@dataclass(frozen=True)
class Plan:
    """How a row group is read: `rows` rows from its start, `batch` at a time. why: what is too large after them. bytes:
    that it may take."""

    batch: int
    rows: int
    why: str = ""
    bytes: int = 0


def check_footer(footer: bytes) -> None:
    """Raise ValueError for a footer that would take too much memory; it is read by others."""
    if len(footer) > _SMALL_FOOTER:
        try:
            Reader(footer, max_bytes=FOOTER_HELD).struct()
        except IndexError:
            raise ValueError("a footer that is damaged") from None


def columns_of(metadata: pq.FileMetaData, group: int, names: Sequence[str], size: int) -> list[Column]:
    """The columns of a row group that lie under the top-level columns `names`, in a file of `size` bytes. Raises
    ValueError for one that does not lie in the file."""
    row_group, schema = metadata.row_group(group), metadata.schema
    columns = []
    for index in range(row_group.num_columns):
        leaf = schema.column(index)
        if leaf.path.split(".")[0] in names:
            part = row_group.column(index)
            start = _start(part)
            width = leaf.length if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" else _WIDTHS.get(leaf.physical_type)
            end, repeated = start + part.total_compressed_size, leaf.max_repetition_level > 0
            if not 0 <= start <= end <= size:
                raise ValueError(f"the column {leaf.path!r} is said to lie outside of the file")
            columns.append(Column(leaf.path, start, end, part.num_values, width, repeated))
    return columns


def begin(metadata: pq.FileMetaData, group: int, size: int) -> int:
    """Where a row group begins in a file of `size` bytes: an offset in the file, whatever the footer says."""
    row_group = metadata.row_group(group)
    return min(max(_start(row_group.column(0)) if row_group.num_columns else 0, 0), size - 1)


def _start(column: pq.ColumnChunkMetaData) -> int:
    dictionary, start = column.dictionary_page_offset, column.data_page_offset
    return int(dictionary) if dictionary is not None and 0 < dictionary < start else int(start)


def pages(read: Read, column: Column) -> Iterator[Page]:
    """The pages of a column by their headers alone. Raises ValueError where one is damaged."""
    at, seen = column.start, 0
    while at < column.end and seen < column.values:
        page, at = _page(read, at)
        yield page
        seen += 0 if page.dictionary else page.values
        at += page.packed


def _page(read: Read, at: int) -> tuple[Page, int]:
    """The page whose header lies at an offset, and the offset of its data."""
    for size in (1 << 10, 1 << 15, _HEADER):
        reader = Reader(read(at, size))
        try:
            header = reader.struct()
        except IndexError:
            continue
        return _checked(header), at + reader.at
    raise ValueError(_NO_HEADER)


def _checked(header: Fields) -> Page:
    """PageHeader of parquet.thrift."""
    kind = _number(header, 1)
    place = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}.get(kind)
    none: Fields = {1: 0, 2: 0}  # of another type, which is passed over
    about = header.get(place) if place else none
    if not isinstance(about, dict):
        raise ValueError(_NO_HEADER)
    encoding = _number(about, 4 if kind == _DATA_2 else 2)
    return Page(_number(header, 2), _number(header, 3), _number(about, 1), encoding, kind == _DICTIONARY)


def _number(fields: Fields, id: int) -> int:
    number = fields.get(id)
    if not isinstance(number, int) or number < 0:
        raise ValueError(_NO_HEADER)
    return number


def plan(read: Read, columns: Sequence[Column], rows: int, beside: int = 0) -> Plan:
    """How the `rows` rows of a row group are read within HELD; if it can be, within it less `beside` bytes. Raises
    ValueError where a page header is damaged."""
    good, why, count = rows, "", 0
    flat: list[_Cost] = []
    always = packed = 0
    for column in columns:
        found = _Cost(column)
        for page in pages(read, column):
            count += 1
            if count > _PAGES:
                return Plan(1, 0, f"a row group of more than {_PAGES} pages")
            if found.rows >= good:
                break
            if (size := found.alone(page)) > HELD:
                at = 0 if page.dictionary or column.repeated else found.rows
                good, why = min(good, at), f"a page of the column {column.name!r} that takes {size} bytes"
                break
            found.add(page)
        packed = max(packed, found.packed)
        always += found.always
        flat.append(found)
    batch = min(ROWS, max(1, BATCH * good // max(1, sum(found.content for found in flat))))
    while (size := always + packed + _largest(flat, batch, good)) > HELD - (beside if batch > _FEW else 0):
        if batch == 1:
            return Plan(1, 0, f"pages that take {size} bytes together")
        batch //= 2
    # A batch must not reach into what is too large.
    return Plan(next(b for b in range(batch, 0, -1) if good % b == 0) if why else batch, good, why, size)


class _Cost:
    """What a column takes, as its pages are added. rows: so far, one to a value unless it is `repeated`. always: bytes
    that are held all along; packed: of the largest page as it is in the file; content: of all pages."""

    def __init__(self, column: Column):
        self.column, self.rows = column, 0
        self.always = self.packed = self.content = 0
        self._page = 0  # bytes of the largest page
        self._widest = column.width or 0  # bytes of the largest value in the dictionary
        self.places: list[tuple[int, int, int, int]] = []  # first row, rows, bytes, bytes more for each row

    def alone(self, page: Page) -> int:
        """Bytes that reading one row of a page takes."""
        extra = page.values * _ELEMENT if self.column.repeated else self._each(page)
        return page.packed + 2 * page.bytes + self._beside(page) + extra

    def add(self, page: Page) -> None:
        self.packed = max(self.packed, page.packed)
        if page.dictionary:
            self.always += 2 * page.bytes + self._beside(page)
            self._widest = self.column.width or page.bytes
            return
        self.content += page.bytes
        self.always += max(0, page.bytes - self._page)
        self._page = max(page.bytes, self._page)
        if self.column.repeated:  # all of them may be one row's
            self.always += 2 * page.bytes + page.values * (_ELEMENT + self._each(page))
        else:
            self.places.append((self.rows, page.values, page.bytes + self._beside(page), self._each(page)))
            self.rows += page.values

    def _beside(self, page: Page) -> int:
        """Bytes that are made of all values of a page at once."""
        if page.dictionary:
            return 16 * page.values
        return 8 * page.values if page.encoding == _DELTA_BYTE_ARRAY else 0

    def _each(self, page: Page) -> int:
        """Bytes of each value that do not stand in the page as often as it is meant."""
        if page.encoding == _DELTA_BYTE_ARRAY and not page.dictionary:
            return 2 * page.bytes  # they are put together, then copied
        if page.encoding in (_PLAIN_DICTIONARY, _RLE_DICTIONARY) and not page.dictionary:
            # Of lists, strings stay in their dictionary: see `firn.data.tables`.
            return 4 if self.column.repeated and self.column.width is None else self._widest
        return 0


def _largest(columns: Sequence[_Cost], batch: int, rows: int) -> int:
    """Bytes of the values of the batch that has the most, of `batch` rows at a time."""
    places = [place for column in columns for place in column.places if place[0] < rows and place[1]]
    if not places:
        return 0
    first, count, size, each = np.array(places, np.int64).T
    take = size + np.minimum(batch, count) * each
    # A page counts from the batch that it begins in to the one that it ends in; what leaves comes before what enters.
    at = np.concatenate([first // batch, (first + count - 1) // batch + 1])
    change = np.concatenate([take, -take])
    return int(np.cumsum(change[np.lexsort((change, at))]).max())
