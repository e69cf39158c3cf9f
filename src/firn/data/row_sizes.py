"""Rows of Arrow batches from outside, measured before they become Python objects.

What is small in Arrow may be large in Python: a dictionary holds a value once that a million rows refer to, and a list
of empty lists takes a few bits each. So batches are cut by what their rows will take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Bytes that a value takes beside its content, and an element of a list or struct.
VALUE, ELEMENT = 16, 64
#: Rows are handed out in pieces of so many bytes, unless it is one row.
PIECE = 8 << 20
# Most rows of a piece, and most elements of lists that are measured at once.
_ROWS, _ELEMENTS = 1 << 14, 1 << 20
_BYTES = {pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}
_VIEWS = {pa.string_view(), pa.binary_view()}

Sizes = np.ndarray[Any, np.dtype[np.int64]]


def pieces(batch: pa.RecordBatch, max_bytes: int) -> Iterator[tuple[pa.RecordBatch | None, int]]:
    """The rows of a batch, in order and a piece at a time, with their size in bytes; None for a row of more than
    `max_bytes`, which are at least PIECE. Raises ValueError for types that may hold far more than they take."""
    size = batch.nbytes + VALUE * batch.num_rows * batch.num_columns
    if size <= PIECE and all(map(_is_plain, batch.schema.types)):
        yield batch, size
        return
    elements = sum(_elements(column) for column in batch.columns)
    if batch.num_rows > _ROWS or (elements > _ELEMENTS and batch.num_rows > 1):
        half = batch.num_rows // 2
        yield from pieces(batch.slice(0, half), max_bytes)
        yield from pieces(batch.slice(half), max_bytes)
        return
    if elements > _ELEMENTS and elements * ELEMENT > max_bytes:
        yield None, elements * ELEMENT
        return
    ends = np.cumsum(sum((sizes(column) for column in batch.columns), np.zeros(batch.num_rows, np.int64)))
    start = before = 0
    while start < batch.num_rows:
        stop = max(start + 1, int(np.searchsorted(ends, before + PIECE, side="right")))
        size = int(ends[stop - 1]) - before
        yield None if size > max_bytes else batch.slice(start, stop - start), size
        start, before = stop, int(ends[stop - 1])


def sizes(array: pa.Array) -> Sizes:
    """About the bytes that each value takes in Python, int64 [values]."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return sizes(array.storage)
    if pa.types.is_dictionary(kind):
        return _taken(array)
    if _is_bytes(kind):
        return _numbers(_lengths(array)) + VALUE
    if pa.types.is_struct(kind):
        parts = (sizes(array.field(index)) for index in range(kind.num_fields))
        return sum(parts, np.full(len(array), ELEMENT, np.int64))
    if _is_list(kind):
        array = _as_list(array)
        inside = array.flatten()
        ends = np.cumsum(_numbers(pc.list_value_length(array)))
        content = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes(inside) + ELEMENT)])
        return np.diff(content[ends], prepend=0) + ELEMENT
    if pa.types.is_null(kind):
        return np.full(len(array), VALUE, np.int64)
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        return np.full(len(array), VALUE + kind.bit_width // 8, np.int64)
    raise ValueError(f"a column of the type {kind}, which is not read: write it as another")


def _elements(array: pa.Array) -> int:
    """How many values lie in lists, at all depths."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _elements(array.storage)
    if pa.types.is_struct(kind):
        return sum(_elements(array.field(index)) for index in range(kind.num_fields))
    if _is_list(kind):
        inside = _as_list(array).flatten()
        return len(inside) + _elements(inside)
    return 0


def _taken(array: pa.DictionaryArray) -> Sizes:
    """Of values that stand in a dictionary, which may be far longer than the array."""
    if _is_bytes(array.dictionary.type):
        return _numbers(_lengths(array.dictionary).take(array.indices)) + VALUE
    return _numbers(pa.array(sizes(array.dictionary)).take(array.indices)) + VALUE


def _lengths(array: pa.Array) -> pa.Array:
    """Bytes of strings or binary values."""
    if array.type not in _VIEWS:
        return pc.binary_length(array)
    # Arrow Columnar Format, Variable-size Binary View Layout: the length is the first of a view's four numbers.
    views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, 4)
    lengths = pa.array(views[array.offset : array.offset + len(array), 0])
    return pc.if_else(array.is_valid(), lengths, 0)


def _numbers(array: pa.Array) -> Sizes:
    return pc.fill_null(array, 0).to_numpy(zero_copy_only=False).astype(np.int64)


def _is_bytes(kind: pa.DataType) -> bool:
    return kind in _BYTES or kind in _VIEWS


def _is_plain(kind: pa.DataType) -> bool:
    """Whether each value takes bytes of its own."""
    return not kind.num_fields and (pa.types.is_primitive(kind) or (_is_bytes(kind) and kind not in _VIEWS))


def _is_list(kind: pa.DataType) -> bool:
    return any(getattr(pa.types, f"is_{test}")(kind) for test in ("list", "large_list", "fixed_size_list", "map"))


def _as_list(array: pa.Array) -> pa.Array:
    """A map as the list of pairs that it is."""
    if not pa.types.is_map(array.type):
        return array
    return array.cast(pa.list_(pa.struct([array.type.key_field, array.type.item_field])))
