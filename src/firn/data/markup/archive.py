"""Archives from outside, read in memory and front to back. Nothing is ever written under a name that one gives.

tar (plain, gzip, bzip2, xz) is streamed, zip is read from a local file. Names that lead out of the archive, links,
members over the limits, and archives that unpack to far more than they are, give an `Unread` each, and no bytes.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Self

from firn.data import compressed
from firn.data.compressed import MAX_RATIO, Damaged, Unpacked
from firn.data.markup.work import MarkupError
from firn.data.wikitext.packed import Cut, unpack

#: Most files of an archive, so that their names can be held.
MAX_MEMBERS = 1_000_000
#: Largest directory of a zip archive, in bytes; it is held whole.
MAX_DIRECTORY = 64 << 20
# Largest header that says more of a tar's member, a long name for one, in bytes.
_MAX_HEADER = 1 << 20

#: What Python's zipfile raises for damaged bytes, its own errors and those of what it calls.
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, EOFError, OSError, ValueError,
    LookupError, OverflowError, MemoryError,
)  # fmt: skip

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
        with tarfile.open(fileobj=Unpacked(stream), mode="r|", tarinfo=_Info, errorlevel=0) as archive:
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
                    if info.issparse():
                        yield Unread(name, None, error="a sparse file, which says that it is larger than it is")
                    elif info.size > max_bytes:
                        yield Unread(name, "too_large", info.size)
                    else:
                        file = archive.extractfile(info)
                        data = file.read() if file else b""
                        yield Member(name, data)
    except (Damaged, tarfile.TarError, EOFError, ValueError) as error:
        raise MarkupError(f"the archive cannot be read on: {error}") from None


class _Info(tarfile.TarInfo):
    """A member's header, of bounded size; where one is damaged the archive does not seem to end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.type in _HEADERS and self.size > _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _zipped(stream: BinaryIO, max_bytes: int, wanted: Callable[[str], bool]) -> Iterator[Member | Unread]:
    try:
        if (size := directory_bytes(stream)) > MAX_DIRECTORY:
            raise MarkupError(f"its directory is {size} bytes long, at most {MAX_DIRECTORY} are read")
        archive = zipfile.ZipFile(stream)
    except BROKEN as error:
        raise MarkupError(f"not a zip archive: {error}") from None
    with archive:
        whole = stream.seek(0, io.SEEK_END)
        packed = unpacked = 0
        for info in archive.infolist():
            name = _inside(info.filename)
            if name is None:
                yield Unread(_shown(info.filename), "outside")
            elif info.external_attr >> 28 == 0xA:
                yield Unread(name, "link")
            elif not info.filename.endswith("/") and wanted(name):
                if info.file_size > max_bytes:
                    yield Unread(name, "too_large", info.file_size)
                    continue
                # What cannot be unpacked costs as much, and members that lie in each other are packed once.
                packed, unpacked = packed + info.compress_size, unpacked + info.file_size
                if unpacked > max(compressed.FREE, MAX_RATIO * min(packed, whole)):
                    raise MarkupError(f"the archive unpacks to more than {MAX_RATIO} times its size")
                try:
                    yield Member(name, unzipped(archive, info, max_bytes))
                except MarkupError as error:
                    yield Unread(name, None, error=str(error))


def unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes, or as many as are more than `limit`. Raises MarkupError where it cannot be unpacked."""
    data = bytearray()
    try:
        with archive.open(info) as file:
            # Of bzip2 and LZMA whatever is read at once is unpacked whole.
            while len(data) <= limit and (piece := file.read(4096)):
                data += piece
    except BROKEN as error:
        raise MarkupError(f"cannot be unpacked: {_shown(str(error))}") from None
    return bytes(data)


def directory_bytes(stream: BinaryIO) -> int:
    """Bytes before a zip archive's end record in which its directory lies, as that record says (APPNOTE 4.3.14-16)."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - 22 - 20 - 56))
    tail = stream.read()
    stream.seek(0)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        return 0  # zipfile says what is wrong with it
    bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    if bytes == 0xFFFFFFFF and (wide := tail.rfind(b"PK\x06\x06", 0, end)) >= 0:
        return int.from_bytes(tail[wide + 40 : wide + 48], "little")
    return bytes


def _inside(name: str) -> str | None:
    """The path in the archive in its plain form; None where it leads out of it."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if path.startswith(("/", "../")) or path in ("..", ".") or "\x00" in path or re.match(r"[A-Za-z]:", path):
        return None if path != "." else "."
    return _shown(path)


def _shown(name: str) -> str:
    """A name that can be written, whatever bytes it was made of."""
    return name.encode("utf-8", "backslashreplace").decode()[:1000]
