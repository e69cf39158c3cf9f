"""Compressed files as a stream of pieces that know where in the file they can be read from again.

A multistream dump is many bz2 streams one after the other; each can be unpacked without those before it. A damaged one
is given up, and reading goes on at the next; likewise in files of many xz streams, gzip members, zstd or lz4 frames.
Of a bz2 stream only the blocks are given up that are damaged.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from firn.data.bz2_blocks import Lost, Streams
from firn.data.frames import KINDS, LONG_WINDOW, PIECE, BadFrame, Kind, Readable, Tape, kind_of

#: Frames that cannot be unpacked, and what only looks like one behind a damaged one, after which a file is given up.
MAX_DAMAGED = 1000
_BZ2 = next(kind for kind in KINDS if kind.name == "bz2 stream")
# Bytes in which the next stream of a dump begins: its streams are of 100 pages, or 900 kB.
_WINDOW = 16 << 20
_MAGIC = 10  # bytes that the pattern looks at
# What looks like a frame behind a damaged one is one if it ends well, or gives so many bytes.
_TRIED = 1 << 16
# Unpacked bytes that are held back, until it is known that the frame is not damaged: lz4 has blocks of as many.
_HELD = 4 << 20
#: Bytes at the begin of a file in which the first frame is that can be read.
HEAD = 1 << 20
_TRIES = 100  # places in them


@dataclass(frozen=True)
class Piece:
    """Unpacked bytes. block: offset in the file of the compressed stream that they are in; None in a plain file."""

    data: bytes
    block: int | None


@dataclass(frozen=True)
class Cut:
    """Here bytes are lost: those of the file from `block` to `end`, compressed as they are. kind: how. final: nothing
    comes after."""

    reason: str
    kind: Kind
    block: int
    end: int
    final: bool

    @property
    def error(self) -> str:
        """What is lost and why, and how it may be mended where that is all."""
        if self.reason == LONG_WINDOW:
            return f"the {self.kind.name} at bytes {self.block}-{self.end - 1} is not unpacked: {self.reason}"
        mend = f"; nothing can be read behind it: {self.kind.mend}" if self.final else ""
        return f"the {self.kind.name} at bytes {self.block}-{self.end - 1} is damaged: {self.reason}{mend}"

    def moved(self, by: int) -> Cut:
        """The same in a file that begins so many bytes earlier."""
        return replace(self, block=self.block + by, end=self.end + by)


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
    while skipped < _WINDOW and (data := stream.read(PIECE)):
        rest += data
        if match := _BZ2.pattern.search(rest):
            return place + skipped + match.start()
        cut = max(0, len(rest) - _MAGIC)
        skipped, rest = skipped + cut, rest[cut:]
    return None


def unpack(stream: Readable, search: bool = False) -> Iterator[Piece | Cut]:
    """The pieces of a file, at most 1 MiB each, and a `Cut` where it is damaged or breaks off.

    Plain, bz2, xz, gzip, zstd or lz4, by its first bytes. search: where those are none that are known, by the first
    frame in it that can be read (`damaged_kind`). Raises what `stream` raises.
    """
    tape = Tape(stream)
    kind = kind_of(tape.peek(_MAGIC))
    if kind is None and search:
        kind = damaged_kind(tape.peek(HEAD))
    if kind is not None:
        yield from _streams(tape) if kind is _BZ2 else _frames(tape, kind)
        return
    while data := tape.read(PIECE):
        tape.keep()
        yield Piece(data, None)


def damaged_kind(head: bytes, holds: re.Pattern[bytes] | None = None) -> Kind | None:
    """How a file is compressed that begins so, where its first bytes are no known ones, but a frame follows that can be
    read, or a block of bz2. holds: what is in its first MiB."""
    first: tuple[int, Kind] | None = None
    for kind in KINDS:
        for tries, found in enumerate(re.finditer(kind.pattern, head[:HEAD])):
            if tries == _TRIES or (first and found.start() > first[0]):
                break
            if _is_frame(head[found.start() :], kind, holds):
                first = found.start(), kind
                break
    if first is None:
        blocks = (found for found in _streams(Tape(io.BytesIO(head[:HEAD]))) if isinstance(found, Piece))
        return _BZ2 if (block := next(blocks, None)) and (holds is None or holds.search(block.data)) else None
    return first[1]


def _is_frame(head: bytes, kind: Kind, holds: re.Pattern[bytes] | None) -> bool:
    tape = Tape(io.BytesIO(head))
    try:
        piece = next(kind.decoder()(tape), None)
        return piece is not None and (holds is None or holds.search(piece[0]) is not None)
    except BadFrame:
        # A block of bz2 gives nothing before its end.
        return kind.sure and not tape.peek(1)


def _streams(tape: Tape) -> Iterator[Piece | Cut]:
    """The bz2 streams of a file, and the whole blocks of damaged ones."""
    streams = Streams(tape, MAX_DAMAGED)
    while not streams.given_up and _is_more(tape, _BZ2):
        for found in streams.next():
            if isinstance(found, Lost):
                yield Cut(found.reason, _BZ2, found.begin, found.end, False)
            else:
                yield Piece(*found)
    if lost := streams.lost:
        yield Cut(lost.reason, _BZ2, lost.begin, max(tape.at, lost.begin + 1), True)


def _frames(tape: Tape, kind: Kind) -> Iterator[Piece | Cut]:
    """The frames of a file.

    Behind a damaged one the next place is tried where a frame seems to begin. Only when one is unpacked the damage is
    told, so that it is one however many places only seem to be frames. And only then it is known which of the latest
    pieces count: where bytes are missing, a frame may take those of the next for its own.
    """
    decode, damaged = kind.decoder(), 0
    cut: Cut | None = None
    before: list[tuple[int, int, Piece]] = []  # the latest of the damaged frame, each read between two offsets
    while _is_more(tape, kind):
        tape.keep()
        block, told, size, held, problem = tape.at, 0, 0, 0, ""
        latest: deque[tuple[int, int, Piece]] = deque()
        try:
            for data, least in decode(tape):
                latest.append((least, tape.at, Piece(data, block)))
                size, held = size + len(data), held + len(data)
                while held > _HELD:
                    yield from _told(cut, before, block)
                    cut, (told, _, piece) = None, latest.popleft()
                    held -= len(piece.data)
                    yield piece
        except BadFrame as error:
            problem = str(error)
        if not problem or size >= _TRIED:
            yield from _told(cut, before, block)
            cut = None
        if not problem:
            yield from (piece for _, _, piece in latest)
            continue
        damaged += 1
        if cut is None:
            cut, before = Cut(problem, kind, block, block, False), list(latest)
        tape.back(max(block + 1, told))  # so nothing is given twice, and a try costs no more than is held
        if damaged == MAX_DAMAGED or not tape.find(kind.pattern):
            if damaged == MAX_DAMAGED:
                cut = replace(cut, reason=f"{cut.reason}; {damaged} places are like it, and the rest is given up")
            yield from _told(replace(cut, final=True), before, max(tape.at, block + 1))
            return
    if cut is not None:
        yield from _told(replace(cut, final=True), before, tape.at)


def _told(cut: Cut | None, before: list[tuple[int, int, Piece]], end: int) -> Iterator[Piece | Cut]:
    """What the damaged frame gave, and that it is damaged up to `end`, where the next begins."""
    if cut is not None:
        yield from (piece for _, most, piece in before if most <= end)
        yield replace(cut, end=end)


def _is_more(tape: Tape, kind: Kind) -> bool:
    """Whether anything but zeros follows. Before a frame they are padding in xz files, and damage in others."""
    if tape.peek(1).strip(b"\x00"):
        return True
    tape.keep()
    begin = tape.at
    while data := tape.read(PIECE):
        if rest := data.lstrip(b"\x00"):
            tape.back(tape.at - len(rest) if kind.padded else begin)
            return True
    return False
