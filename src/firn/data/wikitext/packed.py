"""Compressed files as a stream of pieces that know where in the file they can be read from again.

A multistream dump is many bz2 streams one after the other; each can be unpacked without those before it. A damaged one
is given up and reading goes on at the next.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import pyarrow as pa

_READ = 1 << 16
_PIECE = 1 << 20
_XZ_MEMORY = 256 << 20
#: Damaged streams after which the rest of a file is given up.
MAX_DAMAGED = 1000


@dataclass(frozen=True)
class Piece:
    """Unpacked bytes. block: offset in the file of the compressed stream that they are in; None in a plain file."""

    data: bytes
    block: int | None


@dataclass(frozen=True)
class Cut:
    """Here bytes are lost. final: nothing comes after."""

    error: str
    block: int
    final: bool


class Readable(Protocol):
    """What a file need be able to do."""

    def read(self, size: int, /) -> bytes: ...


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the manners of bz2's and lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))


_BZ2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
# Bytes in which the next stream of a dump begins: its streams are of 100 pages, or 900 kB.
_WINDOW = 16 << 20
#: By the bytes a stream begins with: what unpacks it, and how a stream of the kind is told in the midst of others.
_KINDS: tuple[tuple[bytes, Callable[[], _Unpacker], re.Pattern[bytes]], ...] = (
    (b"BZh", bz2.BZ2Decompressor, _BZ2),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), re.compile(rb"\xfd7zXZ\x00")),
    (b"\x1f\x8b", _Gzip, re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")),
)
_MAGIC = 10  # bytes that the longest of these patterns looks at
_ZSTD = b"\x28\xb5\x2f\xfd"


def begins(stream: BinaryIO, size: int, every: int) -> list[int]:
    """Offsets at which the bz2 streams of a file begin, the next one after each multiple of `every` bytes; 0 first.

    stream: seekable, of `size` bytes. Only 0 where it has one stream, or is packed otherwise. What looks like a begin
    and is none is a damaged stream to whoever reads from there.
    """
    found = [0]
    for place in range(every, size, every):
        begin = _next_begin(stream, place)
        if begin is not None and begin > found[-1]:
            found.append(begin)
        elif len(found) == 1:
            break
    return found


def _next_begin(stream: BinaryIO, place: int) -> int | None:
    """Where the first bz2 stream at `place` or behind it begins; None where none does nearby."""
    stream.seek(place)
    skipped, rest = 0, b""
    while skipped < _WINDOW and (data := stream.read(_PIECE)):
        rest += data
        if match := _BZ2.search(rest):
            return place + skipped + match.start()
        cut = max(0, len(rest) - _MAGIC)
        skipped, rest = skipped + cut, rest[cut:]
    return None


def unpack(stream: Readable) -> Iterator[Piece | Cut]:
    """The pieces of a file, at most 1 MiB each; a `Cut` where the file breaks off or is damaged.

    Plain, bz2, xz, gzip or zstd, by its first bytes. Raises what `stream` raises.
    """
    head = stream.read(_READ)
    if head.startswith(_ZSTD):
        yield from _zstd(stream, head)
        return
    for magic, unpacker, pattern in _KINDS:
        if head.startswith(magic):
            yield from _streams(stream, head, unpacker, pattern)
            return
    while head:
        yield Piece(head, None)
        head = stream.read(_PIECE)


def _streams(
    stream: Readable, data: bytes, make: Callable[[], _Unpacker], pattern: re.Pattern[bytes]
) -> Iterator[Piece | Cut]:
    """The streams in a file, `data` being its first bytes."""
    offset, damaged = 0, 0  # offset: in the file, of `data`
    while data.rstrip(b"\x00"):
        unpacker, block, unread = make(), offset, data
        error: Exception | None = None
        while not unpacker.eof and error is None:
            if unpacker.needs_input and not unread:
                offset += len(data)
                data = unread = stream.read(_READ)
                if not data:
                    yield Cut("the file breaks off within a compressed stream", block, final=True)
                    return
            out = b""
            try:
                out = unpacker.decompress(unread, _PIECE)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as damage:
                error = damage
            unread = b""
            if out:
                yield Piece(out, block)
        if error is not None:
            if block + 1 > offset:
                offset, data = block + 1, data[block + 1 - offset :]
            skipped, data = _skip(stream, data, pattern)
            offset += skipped
            damaged += 1
            if damaged == MAX_DAMAGED:
                yield Cut(f"{damaged} compressed streams are damaged; the rest is given up", block, final=True)
                return
            yield Cut(f"the compressed stream is damaged: {error}", block, final=not data)
            continue
        offset += len(data) - len(unpacker.unused_data)
        data = unpacker.unused_data or stream.read(_READ)


def _skip(stream: Readable, data: bytes, pattern: re.Pattern[bytes]) -> tuple[int, bytes]:
    """How far the next stream is, and the bytes from there on; none where there is no other."""
    skipped = 0
    while True:
        if found := pattern.search(data):
            return skipped + found.start(), data[found.start() :]
        skipped += max(0, len(data) - _MAGIC)
        more = stream.read(_READ)
        if not more:
            return skipped, b""
        data = data[-_MAGIC:] + more


class _Source:
    """A stream as pyarrow reads it, from its first bytes on. error: what its own reading raised."""

    closed = False

    def __init__(self, stream: Readable, head: bytes):
        self._stream, self._head = stream, head
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        try:
            return self._stream.read(size)
        except Exception as error:
            self.error = error
            raise

    def close(self) -> None:
        """The stream is closed by whoever opened it."""


def _zstd(stream: Readable, head: bytes) -> Iterator[Piece | Cut]:
    """The pieces of a zstd file, one frame after the other; a window is at most 128 MiB, as zstd itself has it."""
    source = _Source(stream, head)
    unpacker = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    while True:
        try:
            data = unpacker.read(_PIECE)
        except OSError as error:
            if source.error is not None:
                raise source.error from None
            yield Cut(f"the compressed stream is damaged: {error}", 0, final=True)
            return
        if not data:
            return
        yield Piece(data, 0)
