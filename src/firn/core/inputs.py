"""What a task reads: files of an earlier shard, or raw files from outside. Both are known by content."""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from firn.core.errors import InputError
from firn.core.files import Files, as_os_error, cache_folder
from firn.core.hashing import fingerprint, hash_file
from firn.core.remote import BLOCK, CONNECTIONS, Remote, RemoteFile, WithoutRanges, advice, fetch, shown
from firn.core.store import Manifest

# The hash of a file at least this large is remembered, so that a second run need not read the corpus again.
REMEMBERED_BYTES = 16 << 20
# A file changed this short a time ago (seconds) may change again without its date telling.
_SETTLED = 5.0
# Characters of a remote file's name that its local copy keeps, for people and for its suffix.
_CACHED_NAME = 80


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
    """A raw file. name: stable, relative to the source's root. identity: hash of its content, or ETag. bytes: size.

    How a remote one is read, which changes no byte: connections to its server at once; cache, a folder where a whole
    copy is kept, None: it is streamed.
    """

    path: str
    name: str
    identity: str
    bytes: int
    connections: int = CONNECTIONS
    cache: str | None = None

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "identity": self.identity}

    def local(self) -> Path:
        """A local path; a remote file is fetched whole, once, to a cache folder. Raises StoreError, InputError."""
        files = Files(self.path)
        if files.is_local:
            return Path(files.root)
        folder = Path(self.cache).expanduser() if self.cache else None
        copy = fetch(files, "", _key(self.identity, self.name), folder, self.connections, self.identity)
        if copy.stat().st_size != self.bytes:
            copy.unlink()
            raise InputError("changed while it was read", where=shown(self.path), mend="run the same command again")
        return copy

    def stream(self, block: int = BLOCK) -> BinaryIO:
        """Its bytes, read where they lie, or in a copy where a server gives no parts of files; they can be sought.

        block: bytes of a remote file that are fetched at a time.
        Raises OSError, then and while it is read; InputError where a remote file is another than it was.
        """
        if self.cache or Files(self.path).is_local:
            return open(self.local(), "rb")
        remote = Remote(Files(self.path), connections=self.connections)
        if remote.identity not in (self.identity, None):
            raise remote.changed()
        try:
            return io.BufferedReader(RemoteFile(remote, block), buffer_size=min(block, 1 << 20))
        except WithoutRanges:
            return open(self.local(), "rb")


def opened(path: str | Path, connections: int = CONNECTIONS) -> BinaryIO:
    """The bytes of a file that no shard is named for, local or remote, which can be sought.

    Raises OSError, then and while it is read; StoreError, InputError where it must be fetched whole and cannot be.
    """
    files = Files(path)
    if files.is_local:
        return open(files.root, "rb")
    try:
        return io.BufferedReader(RemoteFile(Remote(files, connections=connections)))
    except WithoutRanges:
        return open(external(path, connections=connections).local(), "rb")


def external(
    path: str | Path, root: str | Path | None = None, connections: int = CONNECTIONS, cache: str | None = None
) -> External:
    """A raw file, local or remote. name is its path relative to `root`, or its file name, without a URL's query.

    identity is the hash of a local file's content; of a remote file its ETag or checksum, or else size and date, or
    else the hash of its content. connections, cache: as in External.
    Raises InputError where it cannot be read.
    """
    files = Files(path)
    place = files.root if files.is_local else shown(files.root)
    name = place.rsplit("/", 1)[-1]
    if root is not None and files.root != Files(root).root:
        name = os.path.relpath(place, Files(root).root).replace(os.sep, "/")
    try:
        if files.is_local:
            return External(files.root, name, _hash_local(files.root), os.path.getsize(files.root))
        remote = Remote(files, connections=connections)
        identity, size = remote.identity, remote.bytes
        if identity is None or size is None:
            identity, size = _hash_remote(files, remote, name, connections, cache)
        return External(str(path), name, identity, size, connections, cache)
    except OSError as error:
        reason = as_os_error(error)
        raise InputError(
            f"cannot be read: {reason.strerror or reason}",
            where=shown(str(path)),
            mend="check the path" if files.is_local else advice(str(path)),
        ) from error


def _key(identity: str, name: str) -> str:
    """Name of a copy in the cache folder."""
    return f"{identity}-{name.rsplit('/', 1)[-1][-_CACHED_NAME:]}"


def _hash_remote(files: Files, remote: Remote, name: str, connections: int, cache: str | None) -> tuple[str, int]:
    """Hash and size of the content of a remote file of which the server says too little to know it by.

    What must be fetched whole for that stays in the cache folder, so that it is not fetched again to be read.
    """
    try:
        with io.BufferedReader(RemoteFile(remote)) as stream:
            return fingerprint(hash_file(stream)), stream.tell()
    except WithoutRanges:
        pass
    folder = Path(cache).expanduser() if cache else None
    copy = fetch(files, "", _key(secrets.token_hex(6), name), folder, connections)
    with open(copy, "rb") as file:
        identity, size = fingerprint(hash_file(file)), file.tell()
    copy.replace(copy.with_name(_key(identity, name)))
    return identity, size


def _hash_local(path: str) -> str:
    """Hash of the file's content: remembered where path, size, date and inode are as they were, else read."""
    status = os.stat(path)
    facts = [path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    note = cache_folder() / "hashes" / fingerprint(facts)
    worth_it = status.st_size >= REMEMBERED_BYTES
    if worth_it:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return str(json.loads(note.read_bytes())["hash"])
    with open(path, "rb") as stream:
        identity = hash_file(stream)
    if worth_it and time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:
        with contextlib.suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            partial = note.with_name(f"{note.name}.{secrets.token_hex(6)}.part")
            partial.write_text(json.dumps({"hash": identity, "path": path}))
            partial.replace(note)
    return identity
