"""WACZ files: web archives packed into a zip file, WARC files under `archive/` (Webrecorder, WACZ 1.1.1)."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, cast

from firn.data.compressed import FREE, MAX_RATIO
from firn.data.markup.archive import BROKEN, MAX_DIRECTORY, directory_bytes
from firn.data.markup.work import MarkupError

_WARC = re.compile(r"archive/(?!.*\.\./).+\.w?arc(?:\.gz|\.zst)?", re.IGNORECASE)


class Refused(MarkupError):
    """The file, or one in it, is not read, or not to its end, and this is why."""


class _Content(io.BufferedIOBase):
    """A file within, whose damage is Refused, whatever zipfile raises for it."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def _guarded(self, done: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return done(*arguments)
        except BROKEN as error:
            raise Refused(f"it cannot be unpacked: {error or type(error).__name__}") from None

    def read(self, size: int | None = -1, /) -> bytes:
        return cast(bytes, self._guarded(self._file.read, size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return cast(bytes, self._guarded(self._file.readline, size))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return cast(int, self._guarded(self._file.seek, offset, whence))

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def is_wacz(head: bytes) -> bool:
    """Whether a file that begins so is a zip file."""
    return head.startswith(b"PK\x03\x04")


def archives(stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | Refused]]:
    """Name and content of every WARC file in a WACZ file, in the order of names; or why there is none to be read.

    Reading one raises Refused where it is damaged.
    """
    if (size := directory_bytes(stream)) > MAX_DIRECTORY:
        yield "", Refused(f"its directory is {size} bytes long, at most {MAX_DIRECTORY} are read")
        return
    try:
        packed = zipfile.ZipFile(stream)
    except BROKEN as error:
        yield "", Refused(f"not a zip file: {error}")
        return
    found = {info.filename: info for info in packed.infolist() if _WARC.fullmatch(info.filename)}
    if not found:
        yield "", Refused("no WACZ file: holds no WARC file under archive/")
    for name, info in sorted(found.items()):
        if info.file_size > max(FREE, MAX_RATIO * info.compress_size):
            yield name, Refused(f"{name} unpacks to {info.file_size} bytes, {info.compress_size} are in the file")
            continue
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # What unpacks those bounds no piece of them. WACZ stores its archives as they are.
            yield name, Refused(f"{name} is packed otherwise than deflated: pack the file anew")
            continue
        try:
            content = packed.open(info)
        except BROKEN as error:
            yield name, Refused(f"{name} cannot be unpacked: {error or type(error).__name__}")
            continue
        yield name, cast(BinaryIO, _Content(content))
