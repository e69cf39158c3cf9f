"""Files written so that a crash at any moment leaves them whole or absent. All writes of firn pass through here."""

from __future__ import annotations

import errno
import io
import os
import secrets
from pathlib import Path
from typing import Any

import fsspec
import xxhash

from firn.core import faults
from firn.core.errors import InputError, StoreError

_MENDS = {
    errno.ENOSPC: "free some space on that disk and run the same command again; what is finished stays",
    errno.EDQUOT: "free some of your quota and run the same command again; what is finished stays",
    errno.EACCES: "make the folder writable, or name another with the recipe's `store` key",
    errno.EPERM: "make the folder writable, or name another with the recipe's `store` key",
    errno.EROFS: "the file system is read-only: name another folder with the recipe's `store` key",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away, or name another folder",
    errno.EEXIST: "a file stands where a folder is needed: move it away, or name another folder",
}


def store_error(
    error: OSError,
    path: str,
    action: str = "written",
    mend: str = "check the disk and run the same command again; what is finished stays",
) -> StoreError:
    """The StoreError that tells a user what `error` at `path` means and how to mend it. mend: where that is not known
    of the error."""
    mend = _MENDS.get(error.errno or 0, mend)
    return StoreError(f"cannot be {action}: {error.strerror or error}", where=path, mend=mend)


class Files:
    """A folder, local or any fsspec URL (s3://, gs://, memory://...), addressed by relative paths."""

    def __init__(self, root: str | Path):
        try:
            # Other machines write here too: a remembered listing would hide what they finished.
            self.fs, path = fsspec.core.url_to_fs(str(root), use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise InputError(
                str(error), where=str(root), mend="install what reads such URLs, or copy the data"
            ) from error
        self.is_local = "file" in ((self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol)
        self.root = os.path.abspath(path) if self.is_local else path.rstrip("/")

    def path(self, name: str) -> str:
        """The full path of `name` in its file system; of the root itself where the name is empty."""
        return f"{self.root}/{name}" if name else self.root

    def read(self, name: str) -> bytes | None:
        """The whole content, or None where there is no such file. Raises StoreError."""
        try:
            return bytes(self.fs.cat_file(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise store_error(error, self.path(name), "read") from error

    def size(self, name: str) -> int | None:
        """Bytes of the file, or None where there is none. Raises StoreError."""
        try:
            return int(self.fs.size(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise store_error(error, self.path(name), "read") from error

    def folders(self, folder: str = "") -> list[str]:
        """The folders directly in one of its folders, sorted; none where it is not there."""
        try:
            inside = self.fs.ls(self.path(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(i["name"].removeprefix(self.root + "/") for i in inside if i["type"] == "directory")

    def list(self, folder: str = "") -> dict[str, tuple[int, float | None]]:
        """Every file below the root or one of its folders, by name: (bytes, last change in seconds or None)."""
        found = {}
        for path, info in sorted(self.fs.find(self.path(folder), detail=True).items()):
            changed = info.get("mtime", info.get("LastModified", info.get("created")))
            seconds = changed.timestamp() if hasattr(changed, "timestamp") else changed
            found[path.removeprefix(self.root + "/")] = (int(info["size"] or 0), seconds)
        return found

    def create(self, name: str) -> HashingFile:
        """A new binary file; its folder is made. The caller gives names that no other attempt uses. StoreError."""
        path = self.path(name)
        try:
            if self.is_local:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                return HashingFile(open(path, "xb", buffering=0), path)
            return HashingFile(self.fs.open(path, "wb"), path)
        except OSError as error:
            raise store_error(error, path) from error

    def replace(self, name: str, data: bytes) -> None:
        """Write the whole file in one step: readers see the old content or the new, never a part."""
        path = self.path(name)
        try:
            if self.is_local:
                atomic_write(path, data)
            else:
                faults.hit("manifest")
                self.fs.pipe_file(path, data)
        except OSError as error:
            raise store_error(error, path) from error

    def remove(self, name: str) -> None:
        """Delete the file if it is there. Raises StoreError."""
        try:
            self.fs.rm_file(self.path(name))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise store_error(error, self.path(name), "removed") from error


def cache_folder() -> Path:
    """Where copies of remote files and other things that can be made again lie: ~/.cache/firn."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "firn"


def as_os_error(error: Exception) -> OSError:
    """`error` itself, or what a remote file system raised, as an OSError."""
    return error if isinstance(error, OSError) else OSError(f"{type(error).__name__}: {error}".rstrip(": "))


class HashingFile(io.RawIOBase):
    """A binary file being written, which knows its size and the hash of its content. `close` makes it durable."""

    def __init__(self, raw: Any, path: str):
        self._raw, self.path = raw, path
        self._state = xxhash.xxh3_128()
        self.bytes = 0
        self._discarded = False

    def discard(self) -> None:
        """Give the file up: what is still written to it goes nowhere."""
        self._discarded = True
        self._raw.close()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.bytes

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        if self._discarded:
            return len(view)
        try:
            faults.hit("write")
            done = 0
            while done < len(view):
                done += self._raw.write(view[done:])
        except OSError as error:
            raise store_error(error, self.path) from error
        self._state.update(view)
        self.bytes += len(view)
        return len(view)

    @property
    def hash(self) -> str:
        """xxh3-128 of what was written, 32 hexadecimal digits."""
        return self._state.hexdigest()

    def close(self) -> None:
        if self.closed or self._discarded:
            return
        try:
            if isinstance(self._raw, io.FileIO):
                faults.hit("fsync")
                os.fsync(self._raw.fileno())
        except OSError as error:
            raise store_error(error, self.path) from error
        finally:
            self._raw.close()
            super().close()


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a local file: temporary, fsync, rename, fsync of the folder. Raises StoreError."""
    path = os.fspath(path)
    folder = os.path.dirname(path) or "."
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        os.makedirs(folder, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                faults.hit("write")
                file.write(data)
                file.flush()
                faults.hit("fsync")
                os.fsync(file.fileno())
            faults.hit("manifest")
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        sync_folder(folder)
    except OSError as error:
        raise store_error(error, path) from error


def sync_folder(folder: str) -> None:
    """Make the names in a local folder durable."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        faults.hit("fsync")
        os.fsync(handle)
    finally:
        os.close(handle)
