"""Parquet as all rooms write and read it: bytes that depend on the rows alone, and damage that is noticed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.errors import FormatError
from firn.core.files import HashingFile

# A row group is flushed at either bound; both depend only on the rows, so equal rows give equal bytes.
ROW_GROUP_ROWS = 4096
ROW_GROUP_BYTES = 64 << 20


def parquet_writer(file: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """zstd, with a checksum per page, so that a flipped bit is an error and not a document."""
    return pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """A Parquet file for reading, pages checked. Raises FormatError where it is not one."""
    try:
        return pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(path, error) from error


def damaged(path: str | Path, error: Exception) -> FormatError:
    """The error for one of our own files that cannot be read."""
    return FormatError(
        f"cannot be read: {error}",
        where=str(path),
        mend="the file is damaged: delete it and run the same command again; its shard is then made anew",
    )


class ShardWriter:
    """Rows to one Parquet file. The bytes depend on the rows alone, not on how they were handed over."""

    def __init__(self, file: HashingFile, schema: pa.Schema):
        self.file, self.schema, self.rows = file, schema, 0
        # Parquet writes headers and pages of a few bytes each.
        self._buffer = io.BufferedWriter(file, buffer_size=1 << 20)
        self._parquet = parquet_writer(pa.PythonFile(self._buffer, mode="w"), schema)
        self._pending: list[pa.Table] = []
        self._pending_rows = self._pending_bytes = 0

    def write(self, rows: pa.Table | pa.RecordBatch | Sequence[Mapping[str, Any]]) -> None:
        """Append rows: a table or batch of the schema, or a list of dicts (missing keys are null)."""
        if isinstance(rows, pa.RecordBatch):
            table = pa.Table.from_batches([rows])
        elif isinstance(rows, pa.Table):
            table = rows
        else:
            table = from_rows(rows, self.schema)
        table = table.select(self.schema.names).cast(self.schema)
        self.rows += table.num_rows
        sizes = row_bytes(table)
        while table.num_rows:
            total = self._pending_bytes + np.cumsum(sizes)
            # Rows up to and including the one that reaches the byte bound, or as many as the row bound leaves room for.
            room = ROW_GROUP_ROWS - self._pending_rows
            take = min(int(np.searchsorted(total, ROW_GROUP_BYTES)) + 1, room, table.num_rows)
            self._pending.append(table.slice(0, take))
            self._pending_rows += take
            self._pending_bytes = int(total[take - 1])
            table, sizes = table.slice(take), sizes[take:]
            if self._pending_rows == ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._pending_rows:
            table = pa.concat_tables(self._pending).combine_chunks()
            for index, part in enumerate(table.schema):
                if pa.types.is_dictionary(part.type):
                    # The dictionary a batch came with may be in any order and hold values that no row has.
                    values = table.column(index).cast(part.type.value_type).combine_chunks()
                    table = table.set_column(index, part, column(values, part.type))
            self._parquet.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def close(self) -> None:
        """Write what is pending and the footer, and make the file durable."""
        if not self.file.closed:
            self._flush()
            self._parquet.close()
            self._buffer.close()


def row_bytes(table: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Bytes of string and binary content per row, int64 [rows]."""
    sizes = np.zeros(table.num_rows, dtype=np.int64)
    for index, part in enumerate(table.schema):
        if pa.types.is_large_string(part.type) or pa.types.is_string(part.type) or pa.types.is_binary(part.type):
            sizes += pc.fill_null(pc.binary_length(table.column(index)), 0).to_numpy()
    return sizes


def from_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """A table of `schema` from dicts; missing keys are null, unknown ones an error (KeyError)."""
    if unknown := {key for row in rows for key in row} - set(schema.names):
        raise KeyError(f"not in the schema: {sorted(unknown)}")
    return pa.table([column([row.get(f.name) for row in rows], f.type) for f in schema], schema=schema)


def from_tuples(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    """A table of `schema` from tuples, whose values stand in its order."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([column(values, f.type) for f, values in zip(schema, columns, strict=True)], schema=schema)


def column(values: Sequence[Any] | pa.Array, kind: pa.DataType) -> pa.Array:
    """An Arrow array of Python or Arrow values; a dictionary holds its values in the order of first appearance."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, type=kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, type=kind)
