"""Compressed files from outside, read as if they were not: in bounded memory, and given up where they are bombs."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from firn.data.frames import Readable
from firn.data.wikitext.packed import Cut, unpack

#: A file may unpack to so many times its size, once it has given more than FREE bytes.
MAX_RATIO = 200
FREE = 256 << 20
#: Suffixes of compressed files.
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


class Damaged(Exception):
    """A file cannot be read on: its content is to blame, and not its disk or connection, which raise OSError."""


def plain_name(name: str) -> str:
    """A file's name without the suffix that says how it is compressed."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def opened(stream: BinaryIO, name: str) -> BinaryIO:
    """The content of a file, unpacked where its name says that it is compressed. Reading raises Damaged."""
    return cast(BinaryIO, io.BufferedReader(Unpacked(stream), 1 << 20)) if plain_name(name) != name else stream


class Unpacked(io.RawIOBase):
    """A compressed or plain stream, unpacked. Reading raises Damaged where it breaks off, or gives too much."""

    def __init__(self, stream: Readable):
        self._stream = stream
        self._taken = self._given = 0
        self._rest = memoryview(b"")
        self._pieces = unpack(_Counted(self))

    def take(self, size: int) -> bytes:
        """Bytes of the file as it is."""
        data = self._stream.read(size)
        self._taken += len(data)
        return data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._next())
        data = self._rest[: len(buffer)]
        buffer[: len(data)] = data
        self._rest = self._rest[len(data) :]
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer only at the end."""
        out = bytearray()
        while size < 0 or len(out) < size:
            if not self._rest:
                self._rest = memoryview(self._next())
                if not self._rest:
                    break
            part = self._rest if size < 0 else self._rest[: size - len(out)]
            out += part
            self._rest = self._rest[len(part) :]
        return bytes(out)

    def _next(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            return b""
        if isinstance(piece, Cut):
            raise Damaged(piece.error)
        self._given += len(piece.data)
        if self._given > max(FREE, MAX_RATIO * self._taken):
            raise Damaged(f"it unpacks to more than {MAX_RATIO} times its size")
        return piece.data


class _Counted:
    """What `unpack` reads."""

    def __init__(self, by: Unpacked):
        self._by = by

    def read(self, size: int, /) -> bytes:
        return self._by.take(size)
