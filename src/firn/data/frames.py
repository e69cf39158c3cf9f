"""Compressed files a frame at a time: what each is called here that can be unpacked without those before it.

These are streams of bz2 and xz, members of gzip, frames of zstd and lz4; the blocks of a damaged bz2 stream are in
`firn.data.bz2_blocks`. Where a bz2, xz or gzip frame ends, only who unpacks it knows; zstd and lz4 say how long their
blocks are, so that a frame is cut out first (RFC 8878, 3.1; LZ4 Frame Format Description 1.6). Output comes in pieces
of at most PIECE bytes, whatever a frame unpacks to.
"""

from __future__ import annotations

import bz2
import lzma
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol, cast

import lz4.frame
import xxhash
import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

PIECE = 1 << 20
#: Bytes that one can go back to where a frame turns out to be damaged.
WINDOW = 8 << 20
_READ = 1 << 16
# Fed to bz2, xz and zlib at once: what an error costs, and how far one reads beyond the end of a small frame.
_STEP = 1 << 13
_OUT = 1 << 17  # bytes for what is unpacked, made anew for each frame, most of which are small
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 128 << 20  # as zstd itself has it
#: Why a zstd frame is not unpacked that is whole.
LONG_WINDOW = (
    f"its window is longer than {_ZSTD_WINDOW >> 20} MiB: unpack it with `zstd -d --long=31`, "
    "and compress it again without --long"
)
_TOO_LONG = "requires too much memory"  # zstd's error of a window over the limit
ZSTD_BLOCK = 128 << 10
ZSTD = b"\x28\xb5\x2f\xfd"
LZ4 = b"\x04\x22\x4d\x18"
_SMALL = 1 << 12  # bytes of a frame of lz4, to which its own check is as quick
_xxh32 = xxhash.xxh32_intdigest
_MAX_EMPTY = 1000  # blocks in a row that hold nothing: a few are where a writer was flushed
# A skippable frame before all others has their dictionary (IIPC, WARC Zstandard 1.0); the specification allows more.
_DICTIONARY, _MAX_DICTIONARY = b"\x5d\x2a\x4d\x18", 16 << 20
_MAGIC = 16  # bytes that the longest of the patterns below looks at, at least


class Readable(Protocol):
    """What a file need be able to do."""

    def read(self, size: int, /) -> bytes: ...


class BadFrame(Exception):
    """The frame cannot be unpacked, or not to its end."""


class Tape:
    """A file that is read once, of which the latest bytes are at hand. at: offset in it of what is read next."""

    def __init__(self, stream: Readable):
        self._stream, self._held, self._first = stream, bytearray(), 0
        self._kept = 0  # offset from which on bytes are wanted again
        self.at = 0

    def read(self, size: int) -> bytes:
        """At most so many bytes, none only at the end."""
        begin = self.at - self._first
        if begin == len(self._held):
            if not self._fill():
                return b""
            begin = self.at - self._first
        data = bytes(self._held[begin : begin + size])
        self.at += len(data)
        return data

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises BadFrame at the end."""
        data = self.read(size)
        if len(data) == size:
            return data
        parts, left = [data], size - len(data)
        while left:
            if not (data := self.read(left)):
                raise BadFrame("the file breaks off within it")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def peek(self, size: int) -> bytes:
        """The bytes that come next, fewer only at the end."""
        while len(self._held) - (self.at - self._first) < size and self._fill():
            pass
        begin = self.at - self._first
        return bytes(self._held[begin : begin + size])

    def keep(self) -> None:
        """What lies before this place is wanted no more."""
        self._kept = self.at

    def back(self, offset: int) -> None:
        """Go back to an offset, or to the first byte behind it that is at hand."""
        self.at = max(offset, self._first)

    def find(self, pattern: re.Pattern[bytes]) -> bool:
        """Go to the next match, or to the end. Returns whether there is one."""
        while True:
            if found := pattern.search(self._held, self.at - self._first):
                self.at = self._first + found.start()
                return True
            self.at = max(self.at, self._first + len(self._held) - _MAGIC)
            self.keep()
            if not self._fill():
                self.at = self._first + len(self._held)
                return False

    def _fill(self) -> bool:
        data = self._stream.read(_READ)
        gone = max(self._kept, self._first + len(self._held) - WINDOW) - self._first
        if gone > WINDOW:  # seldom, since then all that stays is copied
            del self._held[:gone]
            self._first += gone
        self._held += data
        return bool(data)


#: Unpacks the frame that begins where the tape is, and leaves the tape where it ends. With each piece comes an offset:
#: what lies before it was read for the piece or those before; what lies behind may have been. Raises BadFrame.
Decoder = Callable[[Tape], Iterator[tuple[bytes, int]]]


@dataclass(frozen=True)
class Kind:
    """A way of compression.

    name: of one frame, for people. begins: bytes that a file of it begins with. pattern: how a frame is told in the
    midst of others. sure: hardly any other bytes match it. decoder: makes what unpacks the frames of one file. mend:
    what can be done where nothing can be read behind a damaged frame. padded: zeros may stand between frames.
    """

    name: str
    begins: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    sure: bool
    decoder: Callable[[], Decoder]
    mend: str
    padded: bool = False


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """ISA-L's decompressor with the manners of bz2's and lzma's."""

    def __init__(self) -> None:
        self._inner = isal_zlib.decompressobj(31)

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


def _fed(make: Callable[[], _Unpacker]) -> Decoder:
    """Frames whose end the unpacker finds."""

    def decode(tape: Tape) -> Iterator[tuple[bytes, int]]:
        unpacker, least = make(), tape.at
        while not unpacker.eof:
            if unpacker.needs_input:
                least = tape.at
            data = tape.read(_STEP) if unpacker.needs_input else b""
            if unpacker.needs_input and not data:
                raise BadFrame("the file breaks off within it")
            try:
                out = unpacker.decompress(data, PIECE)
            except (OSError, EOFError, ValueError, lzma.LZMAError, IsalError) as error:  # type: ignore[misc]
                raise BadFrame(str(error)) from None
            if out:
                yield out, least
        tape.back(tape.at - len(unpacker.unused_data))

    return decode


class _Cut:
    """A frame that is cut out of a tape, as a file. blocks: its bytes. failure: what reading the tape raised."""

    closed = False

    def __init__(self, blocks: Iterator[bytes]):
        self._blocks, self._rest = blocks, b""
        self.failure: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._rest or next(self._blocks, b"")
        except Exception as error:
            self.failure = error
            raise
        self._rest = data[size:]
        return data[:size]

    def close(self) -> None:
        """The tape stays open."""


def _unpacked(tape: Tape, frame: _Cut, reader: Any) -> Iterator[tuple[bytes, int]]:
    """What a reader makes of a frame of the tape."""
    while True:
        try:
            data = reader.read(_OUT)
        except (OSError, zstandard.ZstdError, BadFrame) as error:
            if frame.failure is not None:
                raise frame.failure from None
            raise BadFrame(LONG_WINDOW if _TOO_LONG in str(error) else str(error)) from None
        if not data:
            break
        yield data, tape.at
    while frame.read(_READ):  # the end of it need not be asked for
        pass


class Zstd:
    """Frames of zstd, of a file whose first frame may be their dictionary."""

    def __init__(self) -> None:
        self._unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)

    def __call__(self, tape: Tape) -> Iterator[tuple[bytes, int]]:
        begin, magic = tape.at, tape.peek(4)
        if _is_skippable(magic):
            size = int.from_bytes(tape.exactly(8)[4:], "little")
            if begin == 0 and magic == _DICTIONARY:
                self._learn(tape, size)
            else:
                while size:
                    size -= len(tape.exactly(min(size, PIECE)))
            return
        frame = _Cut(_zstd_blocks(tape))
        yield from _unpacked(tape, frame, self._unpacker.stream_reader(cast(IO[bytes], frame), read_size=_READ))

    def at_once(self, frame: bytes, most: int) -> bytes:
        """A whole frame, unpacked. most: bytes that it unpacks to at most. Raises BadFrame."""
        if zstandard.frame_content_size(frame) > most:
            raise BadFrame("it is said to unpack to more than it can")
        try:
            return self._unpacker.decompress(frame, max_output_size=most)
        except zstandard.ZstdError as error:
            raise BadFrame(LONG_WINDOW if _TOO_LONG in str(error) else str(error)) from None

    def _learn(self, tape: Tape, size: int) -> None:
        if size > _MAX_DICTIONARY:
            raise BadFrame(f"a dictionary of {size} bytes, at most {_MAX_DICTIONARY} are read")
        data = tape.exactly(size)
        try:
            if data.startswith(ZSTD):
                data = self._unpacker.stream_reader(data).read(_MAX_DICTIONARY + 1)
            if len(data) > _MAX_DICTIONARY:
                raise BadFrame(f"a dictionary of more than {_MAX_DICTIONARY} bytes")
            known = zstandard.ZstdCompressionDict(data)
            self._unpacker = zstandard.ZstdDecompressor(dict_data=known, max_window_size=_ZSTD_WINDOW)
        except (zstandard.ZstdError, MemoryError) as error:
            raise BadFrame(f"the dictionary cannot be read: {error}") from None


def dictionary(stream: Readable) -> bytes:
    """The frame with the dictionary of a zstd file, `stream` being at its begin; empty where there is none."""
    head = stream.read(8)
    size = int.from_bytes(head[4:], "little")
    return head + stream.read(size) if head.startswith(_DICTIONARY) and size <= _MAX_DICTIONARY else b""


def _is_skippable(magic: bytes) -> bool:
    return magic[1:] == b"\x2a\x4d\x18" and magic[0] >> 4 == 5


def _zstd_blocks(tape: Tape) -> Iterator[bytes]:
    head = tape.exactly(5)
    about = head[4]
    if not head.startswith(ZSTD) or about & 8:
        raise BadFrame("no frame begins here")
    alone = about >> 5 & 1
    yield head + tape.exactly(1 - alone + (0, 1, 2, 4)[about & 3] + (alone, 2, 4, 8)[about >> 6])
    last = empty = 0
    while not last:
        block = tape.exactly(3)
        said = int.from_bytes(block, "little")
        last, kind, size = said & 1, said >> 1 & 3, said >> 3
        empty = 0 if size else empty + 1
        if kind == 3 or size > ZSTD_BLOCK or empty > _MAX_EMPTY:
            raise BadFrame("a block's header is damaged")
        yield block + tape.exactly(1 if kind == 1 else size)  # a block of one byte repeated has that byte
    if about & 4:
        yield tape.exactly(4)


class Lz4:
    """Unpacks whole frames of lz4, again and again, since to make ready for one takes longer than a small one."""

    def __init__(self) -> None:
        self._context = lz4.frame.create_decompression_context()

    def at_once(self, frame: bytes, most: int) -> bytes:
        """A whole frame, unpacked. most: bytes that it unpacks to at most. Raises BadFrame."""
        # Bytes of a check sum of what it holds: xxhash takes half the time of the library.
        sum_size = frame[4] & 4 if len(frame) > _SMALL else 0
        packed = _without_sum(frame) if sum_size else frame
        try:
            data, read, ends = lz4.frame.decompress_chunk(self._context, packed, max_length=max(1, most))
        except RuntimeError as error:
            lz4.frame.reset_decompression_context(self._context)
            raise BadFrame(str(error)) from None
        if not ends or read + sum_size < len(frame):
            lz4.frame.reset_decompression_context(self._context)
            raise BadFrame("it unpacks to more than it can")
        if sum_size and _xxh32(data) != int.from_bytes(frame[-4:], "little"):
            raise BadFrame("its check sum is not that of what it holds")
        return data


def _without_sum(frame: bytes) -> bytearray:
    """A frame of lz4 that ends before the check sum of what it holds, by its header."""
    at = 6 + 8 * (frame[4] >> 3 & 1) + 4 * (frame[4] & 1)
    if _xxh32(frame[4:at]) >> 8 & 255 != frame[at]:
        raise BadFrame("its header is damaged")
    other = bytearray(frame)
    other[4] ^= 4
    other[at] = _xxh32(other[4:at]) >> 8 & 255
    return other


def _lz4(tape: Tape) -> Iterator[tuple[bytes, int]]:
    context, size, least = lz4.frame.create_decompression_context(), 0, tape.at
    held: list[bytes] = []
    for block, most in _lz4_blocks(tape):
        try:
            data, _, _ = lz4.frame.decompress_chunk(context, block, max_length=most)
        except RuntimeError as error:
            raise BadFrame(str(error)) from None
        if size + len(data) > _OUT:  # a small frame is held back until its check sum is known to be right
            yield from _pieces(held, least)
            held, size = [], 0
        held.append(data)
        size += len(data)
        least = tape.at
    yield from _pieces(held, tape.at)


def _pieces(blocks: list[bytes], least: int) -> Iterator[tuple[bytes, int]]:
    return ((block[at : at + PIECE], least) for block in blocks for at in range(0, len(block), PIECE))


def _lz4_blocks(tape: Tape) -> Iterator[tuple[bytes, int]]:
    """The header, the blocks and the end of a frame, and the most bytes that each unpacks to."""
    head = tape.exactly(7)
    flags, largest = head[4], head[5] >> 4 & 7
    if not head.startswith(LZ4) or flags >> 6 != 1 or flags & 2 or largest < 4:
        raise BadFrame("no frame begins here")
    most = 1 << 8 + 2 * largest
    yield head + tape.exactly(8 * (flags >> 3 & 1) + 4 * (flags & 1)), most
    while True:
        block = tape.exactly(4)
        size = int.from_bytes(block, "little") & 0x7FFFFFFF
        if size > most:
            raise BadFrame("a block's header is damaged")
        if not size:
            yield block + tape.exactly(4 * (flags >> 2 & 1)), most
            return
        yield block + tape.exactly(size + 4 * (flags >> 4 & 1)), most


_ANEW = "fetch the file anew; of one that is compressed record by record, damage costs a record and not the rest"
KINDS = (
    Kind(
        "bz2 stream",
        (b"BZh",),
        re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
        True,
        lambda: _fed(bz2.BZ2Decompressor),
        "fetch the file anew, or save the blocks of it that are whole with `bzip2recover`",
    ),
    Kind(
        "xz stream",
        (b"\xfd7zXZ\x00",),
        re.compile(rb"\xfd7zXZ\x00"),
        True,
        lambda: _fed(lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)),
        "fetch the file anew",
        padded=True,
    ),
    Kind("gzip member", (b"\x1f\x8b",), re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), False, lambda: _fed(_Gzip), _ANEW),
    Kind(
        "zstd frame",
        (ZSTD, *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60))),
        re.compile(re.escape(ZSTD)),
        False,
        Zstd,
        _ANEW,
    ),
    Kind("lz4 frame", (LZ4,), re.compile(re.escape(LZ4)), False, lambda: _lz4, _ANEW),
)


def kind_of(head: bytes) -> Kind | None:
    """How a file that begins so is compressed; None where it is not."""
    return next((kind for kind in KINDS if head.startswith(kind.begins)), None)
