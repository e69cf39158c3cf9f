"""Archives from outside, read in memory and front to back. Nothing is ever written under a name that one gives.

tar (plain, gzip, bzip2, xz) is streamed, zip is read from a local file. Names that lead out of the archive, links,
members over the limits, and archives that unpack to far more than they are, give an `Unread` each, and no bytes.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from firn.data.markup.work import MarkupError
from firn.data.wikitext.packed import Cut, unpack

#: An archive may unpack to so many times its size, once it has given more than _FREE bytes.
MAX_RATIO = 200
_FREE = 256 << 20
MAX_MEMBERS = 5_000_000

_TAR = re.compile(r"\.(?:tar(?:\.(?:gz|bz2|xz))?|tgz|tbz2?|txz)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. name: its path there, '/' between parts, without `.` and `..`."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Unread:
    """A member that is not read. rule: `link`, `outside` or `too_large`, with its size; or else an error."""

    name: str
    rule: str | None
    bytes: int = 0
    error: str = ""


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive."""
    return _TAR.search(name) is not None or name.lower().endswith(".zip")


def members(
    stream: BinaryIO, name: str, max_bytes: int, wanted: Callable[[str], bool] = lambda name: True
) -> Iterator[Member | Unread]:
    """The files of an archive, in its order. max_bytes: the largest that is read; wanted: which are, by name.

    Raises MarkupError where the archive as a whole cannot be read on, or unpacks to too much.
    """
    if name.lower().endswith(".zip"):
        yield from _zipped(stream, max_bytes, wanted)
    else:
        yield from _tarred(stream, max_bytes, wanted)


def gunzip(data: bytes, limit: int) -> bytes:
    """A gzip file unpacked. Raises MarkupError where it gives more than `limit` bytes, or is damaged."""
    out = bytearray()
    for piece in unpack(io.BytesIO(data)):
        if isinstance(piece, Cut):
            raise MarkupError(piece.error)
        out += piece.data
        if len(out) > limit:
            raise MarkupError(f"unpacks to more than {limit} bytes")
    return bytes(out)


def is_tar(data: bytes) -> bool:
    """Whether unpacked bytes are a tar archive."""
    return data[257:262] == b"ustar" or (len(data) > 512 and _is_old_header(data[:512]))


def _is_old_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _tarred(stream: BinaryIO, max_bytes: int, wanted: Callable[[str], bool]) -> Iterator[Member | Unread]:
    try:
        with tarfile.open(fileobj=_Unpacked(stream), mode="r|", errorlevel=0) as archive:
            for count, info in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise MarkupError(f"more than {MAX_MEMBERS} files in the archive")
                archive.members = []  # type: ignore[attr-defined]  # else every header stays in memory
                name = _inside(info.name)
                if name is None:
                    yield Unread(_shown(info.name), "outside")
                elif info.issym() or info.islnk():
                    yield Unread(name, "link")
                elif info.isfile() and wanted(name):
                    if info.size > max_bytes:
                        yield Unread(name, "too_large", info.size)
                    else:
                        file = archive.extractfile(info)
                        data = file.read() if file else b""
                        yield Member(name, data)
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise MarkupError(f"the archive cannot be read on: {error}") from None


def _zipped(stream: BinaryIO, max_bytes: int, wanted: Callable[[str], bool]) -> Iterator[Member | Unread]:
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise MarkupError(f"not a zip archive: {error}") from None
    with archive:
        packed = unpacked = 0
        for info in archive.infolist():
            name = _inside(info.filename)
            if name is None:
                yield Unread(_shown(info.filename), "outside")
            elif info.external_attr >> 28 == 0xA:
                yield Unread(name, "link")
            elif not info.is_dir() and wanted(name):
                if info.file_size > max_bytes:
                    yield Unread(name, "too_large", info.file_size)
                    continue
                try:
                    with archive.open(info) as file:
                        data = file.read(max_bytes + 1)
                except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
                    yield Unread(name, None, error=f"cannot be unpacked: {error}")
                    continue
                packed, unpacked = packed + info.compress_size, unpacked + len(data)
                if unpacked > max(_FREE, MAX_RATIO * packed):
                    raise MarkupError(f"the archive unpacks to more than {MAX_RATIO} times its size")
                if len(data) > max_bytes:
                    yield Unread(name, "too_large", len(data))
                else:
                    yield Member(name, data)


def _inside(name: str) -> str | None:
    """The path in the archive in its plain form; None where it leads out of it."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path in ("..", ".") or "\x00" in path or re.match(r"[A-Za-z]:", path):
        return None if path != "." else "."
    return _shown(path)


def _shown(name: str) -> str:
    """A name that can be written, whatever bytes it was made of."""
    return name.encode("utf-8", "backslashreplace").decode()[:1000]


class _Unpacked(io.RawIOBase):
    """A compressed or plain stream as tarfile reads it, given up where it gives too much."""

    def __init__(self, stream: BinaryIO):
        self._taken = self._given = 0
        self._rest = b""
        self._pieces = unpack(_Counted(stream, self))

    def count(self, bytes: int) -> None:
        """So many bytes of the file were read."""
        self._taken += bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size or size < 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            if isinstance(piece, Cut):
                raise MarkupError(f"the archive cannot be read on: {piece.error}")
            self._rest += piece.data
            self._given += len(piece.data)
            if self._given > max(_FREE, MAX_RATIO * self._taken):
                raise MarkupError(f"the archive unpacks to more than {MAX_RATIO} times its size")
        size = len(self._rest) if size < 0 else size
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


@dataclass(frozen=True, slots=True)
class _Counted:
    stream: BinaryIO
    by: _Unpacked

    def read(self, size: int, /) -> bytes:
        data = self.stream.read(size)
        self.by.count(len(data))
        return data
