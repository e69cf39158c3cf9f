"""A stage is a pure function of its settings and inputs, run shard by shard.

`Task` is one shard to be made: it knows its fingerprint before it runs. `Work` is what the stage's function gets inside
the worker. `execute` runs one task: look it up, else run it, check the conservation law, commit.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from firn.core.errors import FormatError, InputError
from firn.core.files import Files
from firn.core.hashing import canonical, fingerprint, hash_file
from firn.core.ledger import LEDGER, LedgerWriter, check_conservation
from firn.core.schema import DOCUMENT, check
from firn.core.settings import Settings
from firn.core.store import Attempt, Manifest, ShardWriter, Store


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
class Input:
    """Files of an earlier shard, by content: where the content did not change, nothing after it runs again."""

    manifest: Manifest
    files: tuple[str, ...]

    @cached_property
    def identity(self) -> str:
        return self.manifest.identity(*self.files)

    @property
    def bytes(self) -> int:
        return sum(self.manifest.files[name].bytes for name in self.files)

    def describe(self) -> dict[str, Any]:
        return {"stage": self.manifest.stage, "fingerprint": self.manifest.fingerprint, "identity": self.identity}


@dataclass(frozen=True)
class External:
    """A raw file. name: stable, relative to the source's root. identity: hash of its content, or ETag. bytes: size."""

    path: str
    name: str
    identity: str
    bytes: int

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "identity": self.identity}


@dataclass(frozen=True)
class Task:
    """One shard to be made. label is for people; extra is further plain data that enters the fingerprint."""

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
        """Bytes of all inputs."""
        return sum(i.bytes for i in self.inputs)


@cache
def library_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of distributions, without local build tags."""
    return {name: importlib.metadata.version(name).split("+")[0] for name in names}


def external(path: str | Path, root: str | Path | None = None) -> External:
    """A raw file, local or remote. name is its path relative to `root`, or its file name.

    Raises InputError where it cannot be read.
    """
    path = str(path)
    name = os.path.relpath(path, root).replace(os.sep, "/") if root is not None else path.rsplit("/", 1)[-1]
    files = Files(path)
    try:
        if files.is_local:
            with open(path, "rb") as stream:
                identity = hash_file(stream)
            return External(path, name, identity, os.path.getsize(path))
        info = files.fs.info(files.root)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path, mend="check the path") from error
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or [info.get("size"), str(info.get("mtime"))]
    return External(path, name, fingerprint(tag), int(info.get("size") or 0))


class Watch(Protocol):
    """What the engine hands to `execute`: which rows are quarantined, and who is told of progress."""

    quarantined: Mapping[int, str]

    def enter(self, row: int) -> None:
        """Row is being worked on from here."""

    def advance(self, rows: int, bytes: int) -> None:
        """So much more is done."""


class Quiet:
    """A watch that nobody looks at."""

    quarantined: Mapping[int, str] = {}

    def enter(self, row: int) -> None:
        return

    def advance(self, rows: int, bytes: int) -> None:
        return


class Work:
    """What a stage's function works with. Rows are numbered as in the stage's input, from 0."""

    def __init__(self, task: Task, store: Store, attempt: Attempt, watch: Watch):
        self.settings: Any = task.settings
        self.extra, self.inputs, self.label = task.extra, task.inputs, task.label
        self.ledger = LedgerWriter()
        self.notes: dict[str, Any] = {}
        self._store, self._attempt, self._watch = store, attempt, watch
        self._has_ledger = task.stage.ledger

    def enter(self, row: int, id: bytes | None = None) -> bool:
        """Call before each input row. False: it is quarantined, its `failed` row is written, skip it."""
        if (reason := self._watch.quarantined.get(row)) is not None:
            if self._has_ledger:
                self.ledger.failed(id, reason)
            return False
        self._watch.enter(row)
        return True

    def schema(self, input: int = 0, file: str = "documents") -> pa.Schema:
        """Schema of an input Parquet file."""
        return pq.read_schema(self.local(input, file))

    def batches(
        self, input: int = 0, file: str = "documents", columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Record batches of an input Parquet file, in order. Raises FormatError for documents of another format."""
        path = self.local(input, file)
        with pq.ParquetFile(path, memory_map=True) as parquet:
            if file == "documents":
                check(parquet.schema_arrow, DOCUMENT, str(path))
            for batch in parquet.iter_batches(batch_size=1024, columns=columns):
                self.advance(batch.num_rows, batch.nbytes)
                yield batch

    def table(self, input: int = 0, file: str = "documents", columns: Sequence[str] | None = None) -> pa.Table:
        """An input Parquet file, whole."""
        path = self.local(input, file)
        table = pq.read_table(path, columns=columns)
        if file == "documents" and columns is None:
            check(table.schema, DOCUMENT, str(path))
        return table

    def local(self, input: int = 0, file: str | None = None) -> Path:
        """Local path of an input: the named file (default: the only one) of a shard, or the raw file."""
        source = self.inputs[input]
        if isinstance(source, External):
            return Path(source.path)
        name = file or source.files[0]
        if name not in source.files:
            raise FormatError(f"{name!r} is not among the declared inputs {source.files}", where=self.label)
        return self._store.local(source.manifest, name)

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
        self._watch.advance(rows, bytes)


def execute(task: Task, store: Store, watch: Watch | None = None) -> Manifest:
    """The task's manifest: found in the store, or made now. Raises ConservationError and whatever the stage raises."""
    if (found := store.lookup(task.stage.name, task.fingerprint)) is not None:
        return found
    started, used = time.monotonic(), time.process_time()
    with store.attempt(task.stage.name, task.fingerprint) as attempt:
        work = Work(task, store, attempt, watch or Quiet())
        task.stage.function(work)
        counts: dict[str, Any] = {}
        if task.stage.ledger:
            rows_in = work.notes.pop("rows_in", None)
            if rows_in is None:
                rows_in = _rows(task.inputs[0])
            check_conservation(work.ledger, rows_in, attempt.rows("documents"), f"{task.stage.name} {task.label}")
            attempt.writer("ledger", LEDGER).write(work.ledger.table())
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
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
        )


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _rows(source: Input | External) -> int:
    rows = source.manifest.files[source.files[0]].rows if isinstance(source, Input) else None
    if rows is None:
        raise FormatError("a stage with a ledger that reads raw files must note rows_in", where=str(source))
    return rows


def _json(settings: Settings | None) -> Any:
    return json.loads(canonical(settings)) if settings is not None else None
