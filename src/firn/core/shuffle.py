"""The one global step: rows with equal keys come together, however many shards they were in.

Every part is a task with a fingerprint of its own, so a killed shuffle goes on with the parts it lacks:

1. map: each input shard writes one Parquet file with one row group per partition, sorted; Parquet's footer holds the
   offsets.
2. merge rounds: while there are more than `fan_in` files, groups of `fan_in` become one.
3. reduce: the task of partition p reads row group p of at most `fan_in` files, sorts and hands the table on.

The number of partitions comes from the bytes of input, never from the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.engine import LocalEngine
from firn.core.errors import FormatError
from firn.core.settings import Settings
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest

Map = Callable[[Work], Iterable[pa.Table]]
Reduce = Callable[[Work, pa.Table], None]


@dataclass(frozen=True)
class _Mapper:
    """Runs `map` and writes its rows as sorted runs, one row group per partition."""

    map: Map
    partitions: int

    def __call__(self, work: Work) -> None:
        tables = [table for table in self.map(work) if table.num_rows]
        _write_runs(work, pa.concat_tables(tables) if tables else None, self.partitions)


@dataclass(frozen=True)
class _Merger:
    """Makes one file of runs of several."""

    partitions: int

    def __call__(self, work: Work) -> None:
        files = [_open(work, i) for i in range(len(work.inputs))]
        full = [file for file in files if file is not None]
        _write_groups(work, (_gather(full, p) for p in range(self.partitions)), full[0].schema_arrow if full else None)


@dataclass(frozen=True)
class _Reducer:
    """Runs `reduce` on the sorted rows of one partition."""

    reduce: Reduce

    def __call__(self, work: Work) -> None:
        files = [file for i in range(len(work.inputs)) if (file := _open(work, i)) is not None]
        if files:
            self.reduce(work, _gather(files, work.extra["partition"]))


def shuffle(
    engine: LocalEngine,
    *,
    name: str,
    version: int,
    settings: Settings | None,
    inputs: Sequence[tuple[Input, ...]],
    map: Map,
    reduce: Reduce,
    bytes_per_partition: int = 256 << 20,
    fan_in: int = 64,
    libraries: tuple[str, ...] = (),
) -> list[Manifest]:
    """Manifests of the reduce tasks, in the order of partitions.

    inputs: what each map task reads. map: yields tables with a first column `key` (uint64, a uniform hash).
    reduce: gets all rows of its partition, sorted by all columns, so that equal keys are neighbours.
    """
    if not inputs:
        return []
    # Content alone orders the parts, so that neither file order nor labels enter.
    inputs = sorted(inputs, key=lambda group: [i.identity for i in group])
    total = sum(i.bytes for group in inputs for i in group)
    partitions = 1 << max(0, (total - 1) // bytes_per_partition).bit_length()
    extra = {"partitions": partitions}
    mapper = Stage(f"{name}-map", version, _Mapper(map, partitions), libraries)
    files = engine.run([Task(mapper, settings, group, f"{name} {i}", extra) for i, group in enumerate(inputs)])
    merger = Stage(f"{name}-merge", version, _Merger(partitions), libraries)
    while len(files) > fan_in:
        groups = [files[i : i + fan_in] for i in range(0, len(files), fan_in)]
        files = engine.run(
            [Task(merger, settings, _runs(group), f"{name} merge {i}", extra) for i, group in enumerate(groups)]
        )
    reducer = Stage(f"{name}-reduce", version, _Reducer(reduce), libraries)
    return engine.run(
        [
            Task(reducer, settings, _runs(files), f"{name} {p}/{partitions}", {**extra, "partition": p})
            for p in range(partitions)
        ]
    )


def _runs(files: Sequence[Manifest]) -> tuple[Input, ...]:
    return tuple(Input(file, ("runs",)) for file in files)


def _open(work: Work, index: int) -> pq.ParquetFile | None:
    """A file of runs, or None where its map had no rows."""
    file = pq.ParquetFile(work.local(index, "runs"), memory_map=True)
    return file if file.schema_arrow.names else None


def _gather(files: Sequence[pq.ParquetFile], partition: int) -> pa.Table:
    return sort_rows(pa.concat_tables([file.read_row_group(partition) for file in files]))


def sort_rows(table: pa.Table) -> pa.Table:
    """Sorted by all columns, the first one first: one order whatever order the rows came in."""
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.schema.names]))


def _write_runs(work: Work, table: pa.Table | None, partitions: int) -> None:
    if table is None:
        _write_groups(work, (), None)
        return
    if table.schema.names[0] != "key" or table.schema.field("key").type != pa.uint64():
        raise FormatError("the first column of what a shuffle maps must be `key`, uint64", where=work.label)
    table = sort_rows(table)
    bits = partitions.bit_length() - 1
    keys = table.column("key").to_numpy()
    part = keys >> np.uint64(64 - bits) if bits else np.zeros(len(keys), dtype=np.uint64)
    bounds = np.searchsorted(part, np.arange(partitions + 1, dtype=np.uint64))
    _write_groups(
        work,
        (table.slice(int(a), int(b - a)) for a, b in pairwise(bounds)),
        table.schema,
    )


def _write_groups(work: Work, groups: Iterable[pa.Table], schema: pa.Schema | None) -> None:
    with (
        work.open("runs", ".parquet") as stream,
        pq.ParquetWriter(stream, schema or pa.schema([]), compression="zstd") as writer,
    ):
        for group in groups:
            # An empty partition keeps its row group, so that row group p is partition p in every file.
            writer.write_table(group, row_group_size=max(1, group.num_rows))
