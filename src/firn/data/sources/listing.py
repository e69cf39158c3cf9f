"""The files that a recipe's paths name, and how they are put together to shards."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from firn.core.errors import InputError
from firn.core.files import Files, as_os_error
from firn.core.hashing import hash64
from firn.core.inputs import External, external
from firn.core.remote import CONNECTIONS, advice, patiently, shown

#: Most bytes to be read for a shard, unless it is one file, and most files.
BUNDLE_BYTES = 8 << 20
BUNDLE_FILES = 1 << 12

_MAGIC = "*?["
_WEB = ("http", "https")


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
    and folders are passed over; symbolic links are listed and never followed, unless a path names one. Over HTTP a
    folder ends in `/`, its files are those that its page links to, `?` begins a query and is no wildcard, and the query
    is no part of a name. Raises InputError for a path that holds no file, and for two files of one name.
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
                f"has the same name within the source as {shown(other.path)}: {file.name}",
                where=shown(file.path),
                mend="make two sources of them, or name the folder above both",
            )
    return [names[name] for name in sorted(names)]


def files_of(path: str) -> list[Found]:
    """The files of one path. Raises InputError where there are none."""
    found = list(_local(path) if Files(path).is_local else _remote(path))
    if not found:
        raise InputError("holds no file", where=shown(path), mend="check the path; hidden files do not count")
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
    web = protocol in _WEB
    base = shown(files.root)
    wild = _MAGIC.replace("?", "") if web else _MAGIC
    if magic := [i for i, part in enumerate(base.split("/")) if any(c in part for c in wild)]:
        base = "/".join(base.split("/")[: magic[0]])
    try:
        if magic:
            matches = patiently(lambda: files.fs.glob(files.root, detail=True), files.root)
        elif web and path.endswith("/"):
            matches = patiently(lambda: files.fs.find(f"{files.root}/", detail=True), files.root)
        elif (info := patiently(lambda: files.fs.info(files.root), files.root))["type"] == "directory":
            matches = patiently(lambda: files.fs.find(files.root, detail=True), files.root)
        elif web and info.get("mimetype") == "text/html" and not PurePosixPath(base).suffix:
            raise InputError(
                "is a web page, or the list of a folder, and no file",
                where=base,
                mend=f"for the files of a folder write {base}/, or a pattern: {base}/*.jsonl.gz",
            )
        else:
            matches, base = {files.root: info}, base.rsplit("/", 1)[0]
    except FileNotFoundError:
        return
    except InputError:
        raise
    except Exception as error:  # remote file systems raise kinds of their own
        reason = as_os_error(error)
        raise InputError(f"cannot be listed: {reason.strerror or reason}", where=shown(path), mend=advice(path)) from (
            None if "?" in path else error
        )
    found = []
    for match, info in sorted(matches.items()):
        name = shown(match).removeprefix(base).lstrip("/")
        if info.get("type") != "directory" and (not web or match == files.root or _is_file(match, name)):
            url = match if "://" in match else f"{protocol}://{match.lstrip('/') if protocol != 'memory' else match}"
            found.append(Found(url, base, name, int(info.get("size") or 0)))
    yield from _sized(files, found) if web and len(found) > 1 else found


def _sized(files: Files, found: Sequence[Found]) -> Iterator[Found]:
    """The files with their sizes, which a web server's list does not say; 0 where it does not say them at all."""

    def sized(file: Found) -> Found:
        try:
            info = patiently(lambda: files.fs.info(file.path), file.path)
        except OSError:  # whoever comes to read it says so
            return file
        return replace(file, bytes=int(info.get("size") or 0))

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        yield from threads.map(sized, found)


def _is_file(link: str, name: str) -> bool:
    """Whether what a folder's page links to is a file below it, and not the page itself in another order."""
    return bool(name) and not set(link) & set("?#") and ".." not in name.split("/")


def _name(path: str) -> str:
    """A path as a name: '/' between parts; bytes that are no UTF-8 are spelled out."""
    return os.fsencode(path.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def chosen(names: Sequence[str], share: int | float, seed: int) -> list[str]:
    """So many of the names, or this share of them (rounded) and at least one, in their order.

    Those whose hashes with the seed are smallest, so that a larger share holds a smaller one.
    """
    count = max(round(share * len(names)), 1) if isinstance(share, float) else share
    ranked = sorted(names, key=lambda name: (hash64(name.encode(), seed), name))
    return sorted(ranked[:count])


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
