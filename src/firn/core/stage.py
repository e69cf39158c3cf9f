"""A stage is a pure function of its settings and inputs, run shard by shard.

`Task` is one shard to be made: it knows its fingerprint before it runs. `Work` is what the stage's function gets inside
the worker. `execute` runs one task: look it up, else run it, check the conservation law, commit.
"""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa

from firn.core.errors import FormatError, RecipeError
from firn.core.hashing import canonical, fingerprint
from firn.core.inputs import External, Input, external
from firn.core.ledger import LEDGER, LedgerWriter, check_conservation
from firn.core.memory import peak_memory, reset_peak_memory
from firn.core.parquet import damaged, open_parquet
from firn.core.schema import DOCUMENT, check
from firn.core.settings import Settings
from firn.core.store import Attempt, Manifest, ShardWriter, Store

__all__ = ["External", "Input", "Quiet", "Stage", "Task", "Watch", "Work", "execute", "external"]

# Rows that a stage gets at a time; fewer where a row group ends, whose bytes are bounded.
BATCH_ROWS = 1024


@dataclass(frozen=True)
class Stage:
    """A kind of step. Raise `version` whenever its bytes change.

    function: a top-level function, so that it pickles by name. libraries: distributions whose versions change the
    bytes. ledger: whether it must account for every input row.
    """

    name: str
    version: int
    function: Callable[[Work], None]
    libraries: tuple[str, ...] = ()
    ledger: bool = False


@dataclass(frozen=True)
class Task:
    """One shard to be made.

    label: for people, as `source/part` or just a name. extra: further plain data that enters the fingerprint.
    """

    stage: Stage
    settings: Settings | None
    inputs: tuple[Input | External, ...]
    label: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Name of the shard. Workers, engine, paths and the recipe's labels do not enter."""
        return fingerprint(
            {
                "stage": self.stage.name,
                "version": self.stage.version,
                "settings": self.settings,
                "libraries": library_versions(self.stage.libraries),
                # A raw file's stable name enters too: document ids and groups are made from it.
                "inputs": [i.identity if isinstance(i, Input) else [i.name, i.identity] for i in self.inputs],
                "extra": self.extra,
            }
        )

    @property
    def bytes(self) -> int:
        """Bytes to be worked through: those of the first input and of others like it."""
        return sum(i.bytes for i in self._worked_through)

    @property
    def rows(self) -> int:
        """Rows to be worked through, as far as they are known."""
        inputs = (i for i in self._worked_through if isinstance(i, Input) and i.files)
        return sum(i.manifest.files[i.files[0]].rows or 0 for i in inputs)

    @property
    def _worked_through(self) -> list[Input | External]:
        return [i for i in self.inputs if _alike(i, self.inputs[0])]


def _alike(one: Input | External, first: Input | External) -> bool:
    """Whether both are raw files, or shards of one stage."""
    if isinstance(one, Input) and isinstance(first, Input):
        return one.manifest.stage == first.manifest.stage
    return isinstance(one, External) and isinstance(first, External)


@cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of distributions, without local build tags. Raises RecipeError where one is not installed."""
    try:
        return {name: importlib.metadata.version(name).split("+")[0] for name in names}
    except importlib.metadata.PackageNotFoundError as error:
        mend = f"pip install {error.name}"
        raise RecipeError("the library is not installed", key=error.name, mend=mend) from None


class Watch(Protocol):
    """What the engine hands to `execute`: which rows are quarantined, and who is told of progress."""

    quarantined: Mapping[int, str]

    def enter(self, row: int) -> None:
        """Row is being worked on from here."""

    def leave(self) -> None:
        """No row is being worked on."""

    def advance(self, rows: int, bytes: int, documents: int) -> None:
        """So much more is done; documents: so many came of all so far."""


class Quiet:
    """A watch that nobody looks at."""

    quarantined: Mapping[int, str] = {}

    def enter(self, row: int) -> None:
        return

    def leave(self) -> None:
        return

    def advance(self, rows: int, bytes: int, documents: int) -> None:
        return


class Work:
    """What a stage's function works with. Rows are numbered as in the stage's input, from 0.

    rows_in: rows that entered, which only a stage with a ledger over raw records must set; for others they are the rows
    of its first input. rows_out: documents that were written; None stands for the rows of the output `documents`.
    """

    def __init__(self, task: Task, store: Store, attempt: Attempt, watch: Watch):
        self.settings: Any = task.settings
        self.extra, self.inputs, self.label = task.extra, task.inputs, task.label
        self.notes: dict[str, Any] = {}
        self.rows_in = _rows(task.inputs)
        self.ledger = LedgerWriter(lambda: attempt.writer("ledger", LEDGER), ids=self.rows_in is not None)
        self.rows_out: int | None = None
        self._store, self._attempt, self._watch = store, attempt, watch
        self._has_ledger = task.stage.ledger

    def enter(self, row: int, id: bytes | None = None, *, url: str | None = None, address: str | None = None) -> bool:
        """Call before each input row. False: it is quarantined, its `failed` row is written, skip it.

        From here to the next `enter` or `leave`, what goes wrong is this row's fault, and the limits of processor time
        and memory are its own. url, address: of a raw record, for that `failed` row.
        """
        if (reason := self._watch.quarantined.get(row)) is not None:
            self._watch.leave()
            if self._has_ledger:
                self.ledger.failed(id, reason, url=url, address=address)
            return False
        self._watch.enter(row)
        return True

    def leave(self) -> None:
        """The work on single rows is over, or pauses. `batches` calls it when its next batch is asked for."""
        self._watch.leave()

    def schema(self, input: int = 0, file: str = "documents") -> pa.Schema:
        """Schema of an input Parquet file."""
        with open_parquet(self.local(input, file)) as parquet:
            return parquet.schema_arrow

    def batches(
        self, input: int = 0, file: str = "documents", columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of an input Parquet file, in order. Raises FormatError for documents of another format."""
        path = self.local(input, file)
        counts = input == 0 or _alike(self.inputs[input], self.inputs[0])
        with open_parquet(path) as parquet:
            if file == "documents":
                check(parquet.schema_arrow, DOCUMENT, str(path))
            for group in range(parquet.num_row_groups):
                batches = parquet.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)
                while (batch := _next(batches, path)) is not None:
                    yield batch
                    self._watch.leave()
                    if counts:
                        self.advance(batch.num_rows, batch.nbytes)

    def table(self, input: int = 0, file: str = "documents", columns: Sequence[str] | None = None) -> pa.Table:
        """An input Parquet file, whole. Raises FormatError for documents of another format."""
        path = self.local(input, file)
        with open_parquet(path) as parquet:
            if file == "documents":
                check(parquet.schema_arrow, DOCUMENT, str(path))
            try:
                return parquet.read(columns=columns, use_threads=False)
            except (OSError, pa.ArrowInvalid) as error:
                raise damaged(path, error) from error

    def local(self, input: int = 0, file: str | None = None) -> Path:
        """Local path of an input: the named file (default: the only one) of a shard, or the raw file.

        What is remote is fetched whole, once, to a cache folder; `stream` reads it where it lies.
        """
        source = self.inputs[input]
        if isinstance(source, External):
            return source.local()
        name = file or source.files[0]
        if name not in source.files:
            raise FormatError(f"{name!r} is not among the declared inputs {source.files}", where=self.label)
        return self._store.local(source.manifest, name)

    def stream(self, input: int = 0, file: str | None = None) -> BinaryIO:
        """An input's bytes, local or remote, from the start."""
        source = self.inputs[input]
        return source.stream() if isinstance(source, External) else open(self.local(input, file), "rb")

    def writer(self, file: str, schema: pa.Schema) -> ShardWriter:
        """A Parquet output of this shard."""
        return self._attempt.writer(file, schema)

    def open(self, file: str, suffix: str = ".bin") -> BinaryIO:
        """Any other output of this shard."""
        return self._attempt.open(file, suffix)

    def note(self, key: str, value: Any) -> None:
        """A number of this shard that stands in its manifest; it must be as deterministic as the bytes."""
        self.notes[key] = value

    def advance(self, rows: int = 0, bytes: int = 0) -> None:
        """Tell the progress display that so much more is done."""
        self._watch.advance(rows, bytes, self.ledger.out)


def execute(task: Task, store: Store, watch: Watch | None = None) -> Manifest:
    """The task's manifest: found in the store, or made now. Raises ConservationError and whatever the stage raises."""
    if (found := store.lookup(task.stage.name, task.fingerprint)) is not None:
        return found
    started, used = time.monotonic(), time.process_time()
    reset_peak_memory()
    with store.attempt(task.stage.name, task.fingerprint) as attempt:
        work = Work(task, store, attempt, watch or Quiet())
        task.stage.function(work)
        work.leave()
        counts: dict[str, Any] = {}
        if task.stage.ledger:
            where = f"{task.stage.name} {task.label}"
            if work.rows_in is None:
                raise FormatError("a stage that keeps a ledger of raw records must set `work.rows_in`", where=where)
            rows_out = attempt.rows("documents") if work.rows_out is None else work.rows_out
            check_conservation(work.ledger, work.rows_in, rows_out, where, _ids(work))
            work.ledger.finish()
            counts = work.ledger.counts()
        return attempt.commit(
            stage=task.stage.name,
            version=task.stage.version,
            fingerprint=task.fingerprint,
            label=task.label,
            settings=_json(task.settings),
            libraries=library_versions(task.stage.libraries),
            inputs=[i.describe() for i in task.inputs],
            counts=counts,
            notes=work.notes,
            observed={
                "seconds": round(time.monotonic() - started, 3),
                "cpu_seconds": round(time.process_time() - used, 3),
                "peak_memory": peak_memory(),
                "bytes_in": task.bytes,
                "rows_in": task.rows,
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
        )


def _next(batches: Iterator[pa.RecordBatch], path: Path) -> pa.RecordBatch | None:
    try:
        return next(batches, None)
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(path, error) from error


def _rows(inputs: Sequence[Input | External]) -> int | None:
    first = inputs[0] if inputs else None
    return first.manifest.files[first.files[0]].rows if isinstance(first, Input) and first.files else None


def _ids(work: Work) -> pa.ChunkedArray | None:
    """The input's document ids, where its first input holds documents."""
    first = work.inputs[0] if work.inputs else None
    is_documents = isinstance(first, Input) and first.files[:1] == ("documents",)
    return work.table(columns=["id"]).column("id") if is_documents else None


def _json(settings: Settings | None) -> Any:
    return json.loads(canonical(settings)) if settings is not None else None
