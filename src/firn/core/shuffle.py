"""The one global step: rows with equal keys come together, however many shards they were in.

Every part is a task with a fingerprint of its own, so a killed shuffle goes on with the parts it lacks:

1. map: each input shard writes one Parquet file with one row group per partition, sorted; Parquet's footer holds the
   offsets.
2. merge rounds: while there are more than `fan_in` files, groups of `fan_in` become one.
3. reduce: the task of partition p reads row group p of at most `fan_in` files, sorts and hands the table on.

The number of partitions comes from the bytes of input, never from the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.engine import LocalEngine
from firn.core.errors import FormatError
from firn.core.parquet import damaged, open_parquet, parquet_writer
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
        tables = list(self.map(work))
        work.leave()
        if not tables:
            _write_groups(work, pa.schema([]), ())
            return
        table = pa.concat_tables(tables)
        if table.schema.names[0] != "key" or table.schema.field("key").type != pa.uint64():
            raise FormatError("the first column of what a shuffle maps must be `key`, uint64", where=work.label)
        _write_groups(work, table.schema, _cut(sort_rows(table), self.partitions))


@dataclass(frozen=True)
class _Merger:
    """Makes one file of runs of several."""

    partitions: int

    def __call__(self, work: Work) -> None:
        with _Runs(work) as runs:
            _write_groups(work, runs.schema, (runs.gather(p) for p in range(self.partitions)) if runs.files else ())


@dataclass(frozen=True)
class _Reducer:
    """Runs `reduce` on the sorted rows of one partition."""

    reduce: Reduce

    def __call__(self, work: Work) -> None:
        with _Runs(work) as runs:
            table = runs.gather(work.extra["partition"]) if runs.files else None
        if table is not None:
            self.reduce(work, table)


def shuffle(
    engine: LocalEngine,
    *,
    name: str,
    version: int,
    settings: Settings | None,
    inputs: Sequence[tuple[Input, ...]],
    map: Map,
    reduce: Reduce,
    extras: Sequence[Mapping[str, Any]] | None = None,
    bytes_per_partition: int = 256 << 20,
    fan_in: int = 64,
    libraries: tuple[str, ...] = (),
) -> list[Manifest]:
    """Manifests of the reduce tasks, in the order of partitions.

    inputs: what each map task reads; extras: further plain data for each, as `work.extra`. map: yields tables with a
    first column `key` (uint64, a uniform hash) and others that sort (no lists); an empty table where it has no rows.
    reduce: gets all rows of its partition, sorted by all columns, so that equal keys are neighbours; it is not called
    where no map yielded a table. bytes_per_partition: of input; what a reduce task holds in memory grows with it.
    """
    if not inputs:
        return []
    total = sum(i.bytes for group in inputs for i in group)
    partitions = 1 << max(0, (total - 1) // bytes_per_partition).bit_length()
    extra = {"partitions": partitions}
    mapper = Stage(f"{name}-map", version, _Mapper(map, partitions), libraries)
    maps = [
        Task(mapper, settings, group, f"{name} {i}", {**(extras[i] if extras else {}), **extra})
        for i, group in enumerate(inputs)
    ]
    # Content alone orders the parts, so that neither the order of the inputs nor their labels enter.
    files = engine.run(sorted(maps, key=lambda task: task.fingerprint))
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


class _Runs:
    """The files of runs that are a task's inputs, but for those whose map yielded nothing."""

    def __init__(self, work: Work):
        self._paths = [work.local(index, "runs") for index in range(len(work.inputs))]
        self._stack = ExitStack()
        self.files: list[pq.ParquetFile] = []

    def __enter__(self) -> _Runs:
        opened = [self._stack.enter_context(open_parquet(path)) for path in self._paths]
        self.files = [file for file in opened if file.schema_arrow.names]
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def schema(self) -> pa.Schema:
        return self.files[0].schema_arrow if self.files else pa.schema([])

    def gather(self, partition: int) -> pa.Table:
        """The rows of one partition, sorted."""
        try:
            return sort_rows(pa.concat_tables([f.read_row_group(partition, use_threads=False) for f in self.files]))
        except (OSError, pa.ArrowInvalid) as error:
            raise damaged(self._paths[0].parent, error) from error


def sort_rows(table: pa.Table) -> pa.Table:
    """Sorted by all columns, the first one first: one order whatever order the rows came in."""
    return table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.schema.names]))


def _cut(table: pa.Table, partitions: int) -> Iterator[pa.Table]:
    """The partitions of a table sorted by key: its top bits say which."""
    bits = partitions.bit_length() - 1
    keys = table.column("key").to_numpy()
    part = keys >> np.uint64(64 - bits) if bits else np.zeros(len(keys), dtype=np.uint64)
    bounds = np.searchsorted(part, np.arange(partitions + 1, dtype=np.uint64))
    return (table.slice(int(a), int(b - a)) for a, b in pairwise(bounds))


def _write_groups(work: Work, schema: pa.Schema, groups: Iterable[pa.Table]) -> None:
    with work.open("runs", ".parquet") as stream, parquet_writer(stream, schema) as writer:
        for group in groups:
            # An empty partition keeps its row group, so that row group p is partition p in every file.
            writer.write_table(group, row_group_size=max(1, group.num_rows))
