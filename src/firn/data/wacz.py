"""WACZ files: web archives packed into a zip file, WARC files under `archive/` (Webrecorder, WACZ 1.1.1)."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from firn.data.compressed import FREE, MAX_RATIO
from firn.data.markup.archive import MAX_DIRECTORY, directory_bytes

_WARC = re.compile(r"archive/(?!.*\.\./).+\.w?arc(?:\.gz|\.zst)?", re.IGNORECASE)


class Refused(Exception):
    """The file, or one in it, is not read, and this is why."""


def is_wacz(head: bytes) -> bool:
    """Whether a file that begins so is a zip file."""
    return head.startswith(b"PK\x03\x04")


def archives(stream: BinaryIO) -> Iterator[tuple[str, BinaryIO | Refused]]:
    """Name and content of every WARC file in a WACZ file, in the order of names; or why there is none to be read.

    What reading them raises where they are damaged is zipfile.BadZipFile or zlib.error.
    """
    if (size := directory_bytes(stream)) > MAX_DIRECTORY:
        yield "", Refused(f"its directory is {size} bytes long, at most {MAX_DIRECTORY} are read")
        return
    try:
        packed = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        yield "", Refused(f"not a zip file: {error}")
        return
    found = {info.filename: info for info in packed.infolist() if _WARC.fullmatch(info.filename)}
    if not found:
        yield "", Refused("no WACZ file: holds no WARC file under archive/")
    for name, info in sorted(found.items()):
        if info.file_size > max(FREE, MAX_RATIO * info.compress_size):
            yield name, Refused(f"{name} unpacks to {info.file_size} bytes, {info.compress_size} are in the file")
            continue
        try:
            yield name, cast(BinaryIO, packed.open(info))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
            yield name, Refused(f"{name} cannot be unpacked: {error}")
