"""The files that a recipe's paths name, and how they are put together to shards."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from firn.core.errors import InputError
from firn.core.files import Files, as_os_error
from firn.core.hashing import hash64
from firn.core.inputs import External, external
from firn.core.remote import patiently

#: Most bytes to be read for a shard, unless it is one file, and most files.
BUNDLE_BYTES = 8 << 20
BUNDLE_FILES = 1 << 12

_MAGIC = "*?["


Rule = tuple[str | int, ...]


@dataclass(frozen=True)
class Found:
    """A file. path: where it lies. root: the folder that the recipe names. name: relative to it, '/' between parts; the
    same on every machine. link: it is a symbolic link, which is never followed. rule: why it is not to be read, with
    what was measured and its bound; None where it is."""

    path: str
    root: str
    name: str
    bytes: int
    link: bool = False
    rule: Rule | None = None

    def external(self) -> External:
        """The file as a task's input, known by content. Raises InputError."""
        return replace(external(self.path), name=self.name)


def find(paths: Sequence[str]) -> list[Found]:
    """Every file under the paths, once, in the order of names.

    A path is a file, a folder (all that lies in it) or a pattern (`*`, `?`, `[ab]`, and `**` for any folders), local or
    an fsspec URL. A name is relative to the folder or to what stands before a pattern's first wildcard. Hidden files
    and folders are passed over; symbolic links are listed and never followed, unless a path names one. Raises
    InputError for a path that holds no file, and for two files of one name.
    """
    return unique(file for path in paths for file in files_of(path))


def unique(files: Iterable[Found]) -> list[Found]:
    """The files in the order of names, each once. Raises InputError where two have one name."""
    names: dict[str, Found] = {}
    paths: set[str] = set()
    for file in files:
        if file.path in paths:
            continue
        paths.add(file.path)
        other = names.setdefault(file.name, file)
        if other is not file:
            raise InputError(
                f"has the same name within the source as {other.path}: {file.name}",
                where=file.path,
                mend="make two sources of them, or name the folder above both",
            )
    return [names[name] for name in sorted(names)]


def files_of(path: str) -> list[Found]:
    """The files of one path. Raises InputError where there are none."""
    found = list(_local(path) if Files(path).is_local else _remote(path))
    if not found:
        raise InputError("holds no file", where=path, mend="check the path; hidden files do not count")
    return found


def _local(path: str) -> Iterator[Found]:
    path = Files(os.path.expanduser(path)).root
    if os.path.isfile(path):
        yield Found(path, os.path.dirname(path), _name(os.path.basename(path)), os.path.getsize(path))
        return
    parts = Path(path).parts
    first = next((i for i, part in enumerate(parts) if any(c in part for c in _MAGIC)), None)
    if first is None or os.path.isdir(path):
        yield from below(path, path)
        return
    base = str(Path(*parts[:first]))
    for match in _matches(base, parts[first:]):
        yield from below(match, base) if _is_folder(match) else _file(match, base)


def below(folder: str, base: str, without: Collection[str] = ()) -> Iterator[Found]:
    """The regular files in a folder and its folders, named relative to `base`; links are listed, what is hidden not.

    without: paths of folders that are not looked into.
    """
    for each in _folders(folder, without):
        for entry in _entries(each):
            if not entry.startswith("."):
                yield from _file(os.path.join(each, entry), base)


def _file(path: str, base: str) -> Iterator[Found]:
    try:
        status = os.lstat(path)
    except OSError:  # it went away meanwhile
        return
    link = stat.S_ISLNK(status.st_mode)
    if link or stat.S_ISREG(status.st_mode):
        yield Found(path, base, _name(os.path.relpath(path, base)), 0 if link else status.st_size, link)


def _folders(folder: str, without: Collection[str] = ()) -> Iterator[str]:
    """A folder and all folders in it, but hidden ones, those behind a link and those `without`."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        yield here
        paths = [os.path.join(here, entry) for entry in _entries(here) if not entry.startswith(".")]
        waiting += [path for path in reversed(paths) if path not in without and _is_folder(path)]


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _entries(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=folder, mend="check the path") from error


def _matches(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """What the parts of a pattern match below a folder; no link to a folder is followed."""
    part, *rest = parts
    if part == "**":
        if not rest:
            yield folder
        for each in _folders(folder) if rest else ():
            yield from _matches(each, rest)
        return
    for entry in _entries(folder):
        if fnmatchcase(entry, part) and (part.startswith(".") or not entry.startswith(".")):
            path = os.path.join(folder, entry)
            if not rest:
                yield path
            elif _is_folder(path):
                yield from _matches(path, rest)


def _remote(path: str) -> Iterator[Found]:
    files = Files(path)
    protocol = path.split("://", 1)[0]
    base = files.root
    if magic := [i for i, part in enumerate(base.split("/")) if any(c in part for c in _MAGIC)]:
        base = "/".join(base.split("/")[: magic[0]])
    try:
        if magic:
            matches = patiently(lambda: files.fs.glob(files.root, detail=True), files.root)
        elif (info := patiently(lambda: files.fs.info(files.root), files.root))["type"] == "directory":
            matches = patiently(lambda: files.fs.find(files.root, detail=True), files.root)
        else:
            matches, base = {files.root: info}, base.rsplit("/", 1)[0]
    except FileNotFoundError:
        return
    except Exception as error:  # remote file systems raise kinds of their own
        reason = as_os_error(error)
        raise InputError(f"cannot be listed: {reason}", where=path, mend="check the URL") from error
    for match, info in sorted(matches.items()):
        if info.get("type") != "directory":
            name = match.removeprefix(base).lstrip("/")
            url = match if "://" in match else f"{protocol}://{match.lstrip('/') if protocol != 'memory' else match}"
            yield Found(url, base, name, int(info.get("size") or 0))


def _name(path: str) -> str:
    """A path as a name: '/' between parts; bytes that are no UTF-8 are spelled out."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def bundles(files: Sequence[Found]) -> list[tuple[str, list[Found]]]:
    """Files put together to shards by the hash of their names: the name of each shard, and its files in their order.

    The files of a shard are those whose hashes begin with the same bits, as many bits as it takes to stay within
    BUNDLE_BYTES and BUNDLE_FILES. So one more file changes one shard, or splits one in two, and all others stay as they
    are.
    """
    return list(_split([(hash64(file.name.encode()), file) for file in files], ""))


def _split(files: Sequence[tuple[int, Found]], bits: str) -> Iterator[tuple[str, list[Found]]]:
    size = sum(file.bytes for _, file in files if file.rule is None)
    if len(files) <= 1 or len(bits) == 64 or (size <= BUNDLE_BYTES and len(files) <= BUNDLE_FILES):
        if files:
            yield bits or "all", [file for _, file in files]
        return
    for bit in (0, 1):
        half = [(key, file) for key, file in files if key >> (63 - len(bits)) & 1 == bit]
        yield from _split(half, bits + str(bit))
