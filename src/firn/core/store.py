"""The shard store: what every stage writes, named by fingerprint and valid only through its manifest.

    <root>/<stage>/<fp[:2]>/<fp>/<file>-<attempt>.parquet     data, names unique to an attempt
    <root>/<stage>/<fp[:2]>/<fp>/manifest.json                written last; names and hashes the files that count

Nothing is overwritten in place and nothing relies on rename of data files: a killed or zombie attempt leaves files
that no manifest names, which `firn gc` takes away. Two attempts at one shard both write valid files; the manifest
written last wins, and since shards are pure functions it names the same bytes.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.errors import FormatError
from firn.core.files import Files, HashingFile
from firn.core.hashing import fingerprint

# A row group is flushed at either bound; both depend only on the rows, so equal rows give equal bytes.
ROW_GROUP_ROWS = 4096
ROW_GROUP_BYTES = 64 << 20


@dataclass(frozen=True)
class FileEntry:
    """One file of a shard. path: relative to the store's root. hash: xxh3-128. rows: of a Parquet file."""

    path: str
    bytes: int
    hash: str
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What a finished shard is. `observed` (times, memory) is the one part that enters no hash."""

    stage: str
    version: int
    fingerprint: str
    label: str
    settings: Any
    libraries: Mapping[str, str]
    inputs: Sequence[Mapping[str, Any]]
    files: Mapping[str, FileEntry]
    counts: Mapping[str, Any]
    notes: Mapping[str, Any]
    observed: Mapping[str, Any] = field(default_factory=dict)

    def identity(self, *files: str) -> str:
        """Hash of the content of the named files (all where none is named): what a later stage's shard depends on."""
        return fingerprint({name: self.files[name].hash for name in (files or sorted(self.files))})

    def to_json(self) -> bytes:
        """JSON with a hash of itself, so that a torn manifest is known."""
        body = asdict(self)
        return json.dumps({**body, "hash": fingerprint(body)}, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest | None:
        """The manifest, or None where the bytes are torn or not one."""
        try:
            body = json.loads(data)
            if body.pop("hash") != fingerprint(body):
                return None
            body["files"] = {name: FileEntry(**entry) for name, entry in body["files"].items()}
            return cls(**body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Store:
    """Shards below a root folder or fsspec URL."""

    def __init__(self, root: str | Path):
        self.root = str(root)
        self.files = Files(root)

    def folder(self, stage: str, fingerprint: str) -> str:
        """A shard's folder, relative to the root."""
        return f"{stage}/{fingerprint[:2]}/{fingerprint}"

    def lookup(self, stage: str, fingerprint: str) -> Manifest | None:
        """The shard's manifest, or None where it is absent, torn, or names a file that is missing or cut short."""
        data = self.files.read(f"{self.folder(stage, fingerprint)}/manifest.json")
        manifest = Manifest.from_json(data) if data else None
        if manifest is None or any(self.files.size(e.path) != e.bytes for e in manifest.files.values()):
            return None
        return manifest

    def attempt(self, stage: str, fingerprint: str) -> Attempt:
        """A new attempt at a shard, to be used in `with`; without `commit` its files are taken away again."""
        return Attempt(self, self.folder(stage, fingerprint))

    def manifests(self) -> Iterator[Manifest]:
        """Every valid manifest of the store, in the order of stage and fingerprint."""
        for path in sorted(self.files.fs.glob(f"{self.files.root}/*/??/*/manifest.json")):
            stage, _, fingerprint, _ = path.split("/")[-4:]
            if manifest := self.lookup(stage, fingerprint):
                yield manifest

    def local(self, manifest: Manifest, file: str) -> Path:
        """A local path of one of the shard's files; a remote one is fetched once to the cache folder.

        Raises FormatError where the shard has no such file.
        """
        entry = manifest.files.get(file)
        if entry is None:
            raise FormatError(
                f"the shard holds no file {file!r}, only {sorted(manifest.files)}",
                where=self.folder(manifest.stage, manifest.fingerprint),
                mend="run the recipe again with this version of firn",
            )
        if self.files.is_local:
            return Path(self.files.path(entry.path))
        copy = Path.home() / ".cache" / "firn" / f"{entry.hash}-{Path(entry.path).name}"
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f"{copy.name}.{secrets.token_hex(6)}.part")
            self.files.fs.get_file(self.files.path(entry.path), str(partial))
            partial.replace(copy)
        return copy


class ShardWriter:
    """Rows to one Parquet file (zstd). The bytes depend on the rows alone, not on how they were handed over."""

    def __init__(self, file: HashingFile, schema: pa.Schema):
        self.file, self.schema, self.rows = file, schema, 0
        self._parquet = pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd")
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
            table = pa.concat_tables(self._pending).combine_chunks().unify_dictionaries()
            self._parquet.write_table(table, row_group_size=ROW_GROUP_ROWS)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def close(self) -> None:
        """Write what is pending and the footer, and make the file durable."""
        if not self.file.closed:
            self._flush()
            self._parquet.close()
            self.file.close()


class Attempt:
    """One attempt at a shard: opens files with names of its own, and commits them by writing the manifest."""

    def __init__(self, store: Store, folder: str):
        self._store, self._folder, self._id = store, folder, secrets.token_hex(6)
        self._open: dict[str, tuple[HashingFile, ShardWriter | BinaryIO]] = {}
        self._committed = False

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._committed:
            return
        for file, _ in self._open.values():
            file.discard()
            self._store.files.remove(file.path.removeprefix(self._store.files.root + "/"))

    def _create(self, file: str, suffix: str) -> HashingFile:
        if file in self._open:
            raise ValueError(f"the stage opened its output {file!r} twice")
        return self._store.files.create(f"{self._folder}/{file}-{self._id}{suffix}")

    def writer(self, file: str, schema: pa.Schema) -> ShardWriter:
        """A Parquet output."""
        raw = self._create(file, ".parquet")
        writer = ShardWriter(raw, schema)
        self._open[file] = (raw, writer)
        return writer

    def open(self, file: str, suffix: str = ".bin") -> BinaryIO:
        """Any other output, as a buffered binary file."""
        raw = self._create(file, suffix)
        stream = cast(BinaryIO, io.BufferedWriter(raw, buffer_size=1 << 20))
        self._open[file] = (raw, stream)
        return stream

    def rows(self, file: str) -> int:
        """Rows written to a Parquet output so far; 0 where the stage has not opened it."""
        entry = self._open.get(file)
        return entry[1].rows if entry and isinstance(entry[1], ShardWriter) else 0

    def commit(self, **description: Any) -> Manifest:
        """Close every file, then write the manifest, whose fields other than `files` are `description`."""
        entries = {}
        for name, (raw, stream) in self._open.items():
            stream.close()
            rows = stream.rows if isinstance(stream, ShardWriter) else None
            entries[name] = FileEntry(raw.path.removeprefix(self._store.files.root + "/"), raw.bytes, raw.hash, rows)
        manifest = Manifest(files=entries, **description)
        self._store.files.replace(f"{self._folder}/manifest.json", manifest.to_json())
        self._committed = True
        return manifest


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


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array of Python values, dictionary types included."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, type=kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, type=kind)
