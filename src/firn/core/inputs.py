"""What a task reads: files of an earlier shard, or raw files from outside. Both are known by content."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from firn.core.errors import InputError
from firn.core.files import Files, cache_folder
from firn.core.hashing import fingerprint, hash_file
from firn.core.store import Manifest

# The hash of a file at least this large is remembered, so that a second run need not read the corpus again.
REMEMBERED_BYTES = 16 << 20
# A file changed this short a time ago (seconds) may change again without its date telling.
_SETTLED = 5.0


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


def external(path: str | Path, root: str | Path | None = None) -> External:
    """A raw file, local or remote. name is its path relative to `root`, or its file name.

    identity is the hash of a local file's content; of a remote file its ETag or checksum, or else size and date.
    Raises InputError where it cannot be read.
    """
    path = str(path)
    files = Files(path)
    name = path.rsplit("/", 1)[-1]
    if root is not None:
        name = os.path.relpath(files.root, Files(root).root).replace(os.sep, "/")
    try:
        if files.is_local:
            return External(files.root, name, _hash_local(files.root), os.path.getsize(files.root))
        info = files.fs.info(files.root)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=path, mend="check the path") from error
    tag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or [info.get("size"), str(info.get("mtime"))]
    return External(path, name, fingerprint(tag), int(info.get("size") or 0))


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
