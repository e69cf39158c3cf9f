"""The shard store: what every stage writes, named by fingerprint and valid only through its manifest.

    <root>/<stage>/<fp[:2]>/<fp>/<file>-<attempt>.parquet     data, names unique to an attempt
    <root>/<stage>/<fp[:2]>/<fp>/manifest.json                written last; names and hashes the files that count
    <root>/<stage>/<fp[:2]>/<fp>/released.json                names files that were let go on purpose

Nothing is overwritten in place and nothing relies on rename of data files: a killed or zombie attempt leaves files
that no manifest names, which `firn gc` takes away. Of two attempts at one shard the first to commit wins and the other
takes its files back; where both commit at once, the manifest written last names the same bytes, since a shard is a pure
function of its fingerprint.

A shard that is released has let files go and kept its manifest, so that everything after it is still known by content.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import pyarrow as pa

from firn.core import faults
from firn.core.errors import FormatError, StoreError
from firn.core.files import Files, HashingFile
from firn.core.hashing import fingerprint
from firn.core.parquet import ShardWriter
from firn.core.remote import fetch

__all__ = ["MARKER", "Attempt", "FileEntry", "Manifest", "ShardWriter", "Store"]

#: The file of a shard's folder that names what was let go.
MARKER = "released.json"


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

    def lookup(self, stage: str, fingerprint: str, *, released: bool = False) -> Manifest | None:
        """The shard's manifest, or None where it is absent, torn, or names a file that is missing or cut short.

        released: files that were let go may be missing.
        """
        data = self.files.read(f"{self.folder(stage, fingerprint)}/manifest.json")
        manifest = Manifest.from_json(data) if data else None
        if manifest is None:
            return None
        missing = {e.path for e in manifest.files.values() if self.files.size(e.path) != e.bytes}
        return manifest if not missing or (released and missing <= self._let_go(manifest)) else None

    def holds(self, manifest: Manifest, *files: str) -> bool:
        """Whether the named files of the shard (all where none is named) are there."""
        entries = [manifest.files[name] for name in (files or manifest.files)]
        return all(self.files.size(entry.path) == entry.bytes for entry in entries)

    def release(self, manifest: Manifest, keep: Collection[str] = ("ledger",)) -> int:
        """Let the shard's files go, but for those named in `keep`; the bytes that became free. Raises StoreError.

        `lookup` then finds the shard only where it is asked for released ones, and whoever makes it again makes it
        whole. Killed on the way, the shard is whole or released, and the next call goes on.
        """
        goes = {e.path: e.bytes for name, e in manifest.files.items() if name not in keep}
        there = {path: bytes for path, bytes in goes.items() if self.files.size(path) is not None}
        if not there:
            return 0
        let_go = self._let_go(manifest)
        if not goes.keys() <= let_go:
            # Before anything goes, so that what is missing is never without a reason.
            body = json.dumps({"files": sorted(let_go | goes.keys())}, indent=1).encode()
            self.files.replace(f"{self.folder(manifest.stage, manifest.fingerprint)}/{MARKER}", body)
        for path in there:
            faults.hit("remove")
            self.files.remove(path)
        return sum(there.values())

    def _let_go(self, manifest: Manifest) -> set[str]:
        """Paths of the shard's files that its marker names; of a shard made again they are others than before."""
        try:
            named = json.loads(self.files.read(f"{self.folder(manifest.stage, manifest.fingerprint)}/{MARKER}") or "{}")
            return {e.path for e in manifest.files.values()} & set(named.get("files", ()))
        except (ValueError, TypeError, AttributeError):
            return set()

    def attempt(self, stage: str, fingerprint: str) -> Attempt:
        """A new attempt at a shard, to be used in `with`; without a commit its files are taken away again."""
        return Attempt(self, self.folder(stage, fingerprint))

    def manifests(self) -> Iterator[Manifest]:
        """Every valid manifest of the store, of released shards too, in the order of stage and fingerprint."""
        for name in self.files.list():
            parts = name.split("/")
            if len(parts) == 4 and parts[3] == "manifest.json":
                manifest = self.lookup(parts[0], parts[2], released=True)
                if manifest is not None:
                    yield manifest

    def some(self, stage: str, most: int) -> list[Manifest]:
        """Up to `most` of a stage's `manifests`, the first by fingerprint, without reading the whole store."""
        found: list[Manifest] = []
        for prefix in self.files.folders(stage):
            for name in self.files.folders(prefix):
                if len(found) == most:
                    return found
                if (manifest := self.lookup(stage, name.rsplit("/", 1)[-1], released=True)) is not None:
                    found.append(manifest)
        return found

    def local(self, manifest: Manifest, file: str) -> Path:
        """A local path of one of the shard's files; a remote one is fetched once to the cache folder.

        Raises FormatError where the shard has no such file, StoreError where it was let go.
        """
        entry = manifest.files.get(file)
        if entry is None:
            raise FormatError(
                f"the shard holds no file {file!r}, only {sorted(manifest.files)}",
                where=self.folder(manifest.stage, manifest.fingerprint),
                mend="run the recipe again with this version of firn",
            )
        if self.files.size(entry.path) is None and entry.path in self._let_go(manifest):
            raise StoreError(
                f"the file {file!r} of this shard was let go when a run had finished",
                where=self.folder(manifest.stage, manifest.fingerprint),
                mend="run the recipe again, with `retain: all` where you want to look into its documents",
            )
        if self.files.is_local:
            return Path(self.files.path(entry.path))
        return fetch(self.files, entry.path, f"{entry.hash}-{Path(entry.path).name}")


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
        """Close every file, then write the manifest, whose fields other than `files` are `description`.

        Where another attempt was first, its manifest is returned and this attempt's files go away.
        """
        entries = {}
        for name, (raw, stream) in self._open.items():
            stream.close()
            rows = stream.rows if isinstance(stream, ShardWriter) else None
            entries[name] = FileEntry(raw.path.removeprefix(self._store.files.root + "/"), raw.bytes, raw.hash, rows)
        manifest = Manifest(files=entries, **description)
        if (first := self._store.lookup(manifest.stage, manifest.fingerprint)) is not None:
            return first
        data = manifest.to_json()
        self._store.files.replace(f"{self._folder}/manifest.json", data)
        self._committed = True
        # As it will be read, so that a shard made now and one found later are equal.
        return Manifest.from_json(data) or manifest
