"""Streams of bz2, and the blocks of a damaged one.

A stream is blocks of up to 900 kB, each with a check sum, that begin at any bit and can be unpacked alone. As long as a
stream is sound it is unpacked as it is. Behind damage its blocks are looked for by the bits that they begin with, as
bzip2recover does. (The format: https://github.com/dsnet/compress/blob/master/doc/bzip2-format.pdf)
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from firn.data.frames import PIECE, BadFrame, Tape

# What a stream, a block and the end of a stream begin with.
_STREAM, _BLOCK, _END = re.compile(rb"BZh[1-9]"), 0x314159265359, 0x177245385090
_END_BITS = 48 + 32  # with a check sum
_LONGEST = 2_300_000  # bytes of a block, at most: 900,000 symbols of 20 bits, and its tables
_SEARCHED = 1 << 16  # bytes searched at once
_STEP = 1 << 13  # bytes fed at once, or one by one where the end of a block is sought
_HELD = 4 << 20  # bytes of sound blocks that are held until their check sums are seen
_OUT, _FEW = 1 << 15, 32  # the same of a single one: bytes that it gives at once, and how many times
_DAMAGED = "not every block of it can be unpacked"
_ERRORS = (OSError, EOFError, ValueError)
# What the second and third byte are where a block or the end of a stream begins, at any bit of the first.
_PAIRS = np.zeros(1 << 16, bool)
_PAIRS[[magic << 8 >> shift >> 32 & 0xFFFF for magic in (_BLOCK, _END) for shift in range(8)]] = True


@dataclass(frozen=True)
class Lost:
    """Bytes of the file, from `begin` to `end`, of which nothing can be read."""

    reason: str
    begin: int
    end: int


class Streams:
    """The streams of a file, one after the other.

    most: damaged places after which `given_up`. lost: what is lost just before the place where the tape is; where it
    ends is known once something whole comes, so that damage is one however much only looks like a block.
    Memory is bounded, and so is work: what seems a block is tried once, and only up to where the next seems to begin.
    """

    def __init__(self, tape: Tape, most: int):
        self._tape, self._most, self._failed = tape, most, 0
        self._stream = tape.at  # where the latest one begins that has its header
        self.lost: Lost | None = None

    @property
    def given_up(self) -> bool:
        return self._failed >= self._most

    def next(self) -> Iterator[tuple[bytes, int] | Lost]:
        """The stream that begins where the tape is, or what is left of it; leaves the tape where the next one begins.

        Gives pieces, each with the offset from which on it can be read again. No block is given twice, and none whose
        check sum is wrong.
        """
        tape = self._tape
        tape.keep()
        begin = tape.at
        least, most, given = begin, begin, 0  # the latest pieces: what they were read from, and how many bytes they are
        if _STREAM.match(tape.peek(4)):
            self._stream = begin
        try:
            for start, pieces in _sound(tape):
                least, most, given = start, tape.at, sum(map(len, pieces))
                yield from self._told(begin)
                yield from ((piece, self._stream) for piece in pieces)
            yield from self._told(begin)
        except BadFrame as error:
            for found in self._blocks(begin, least, most, given, str(error)):
                yield found if isinstance(found, Lost) else (found, self._stream)
            if self.given_up:
                why = f"{error}; {self._most} places are like it, and the rest is given up"
                self.lost = replace(self.lost or Lost("", tape.at, tape.at), reason=why)

    def _blocks(self, begin: int, least: int, most: int, given: int, reason: str) -> Iterator[bytes | Lost]:
        """The whole blocks of the stream but those that are given: all that end up to `least`, and so many bytes of
        those that end between that and `most`."""
        tape, first, whole, passed = self._tape, 8 * (begin + 4), 0, 0
        bit = _latest(tape, max(begin, least - _LONGEST), max(8 * least, first))
        if bit is None:
            self._lose(reason, most)
            bit = _next(tape, 8 * most)
        while bit is not None and not self.given_up:
            if bit > first and bit >= passed and bit % 8 == 0 and _is_stream(tape, bit // 8 - 4):
                tape.back(bit // 8 - 4)
                break
            magic, size = _bits(tape, bit, _END_BITS)
            if magic >> size - 48 == _END:
                if self.lost is None and size == _END_BITS:
                    tape.back((bit + size + 7) // 8)
                    return
                self._lose(reason, bit // 8)
                bit, whole = _next(tape, bit + 1), 0
                continue
            end = _next(tape, bit + 1, _LONGEST)
            pieces, whole = _block(tape, bit, end) if bit >= passed else ([], 0)
            if pieces and given > 0:
                given -= sum(map(len, pieces))
            elif pieces:
                yield from self._told((bit + 7) // 8)
                yield from pieces
            else:
                self._failed += 1
                self._lose(reason, begin if bit <= first else bit // 8)
                if given > 0:  # what seemed a block was none, so that nobody knows which are given
                    given, passed = 0, 8 * most
            if pieces and whole != end:
                self._lose(reason, whole // 8 - 1)
            bit = _next(tape, bit + 1) if end is None else end
        # Where only as many bits are missing as the end of a stream has, nothing else is.
        if whole and _END_BITS - 7 <= 8 * tape.at - whole < _END_BITS + 8:
            self.lost = None

    def _told(self, end: int) -> Iterator[Lost]:
        if self.lost is not None:
            yield replace(self.lost, end=end)
            self.lost = None

    def _lose(self, reason: str, begin: int) -> None:
        self.lost = self.lost or Lost(reason, begin, begin)


def _sound(tape: Tape) -> Iterator[tuple[int, list[bytes]]]:
    """A stream in pieces, those that are read from as many bytes together, with the offset of these. Raises BadFrame
    where check sums are wrong, or too much would have to be held until they are known."""
    unpacker = bz2.BZ2Decompressor()
    while not unpacker.eof:
        start, held = tape.at, list[bytes]()
        if not (data := tape.read(_STEP)):
            raise BadFrame("the file breaks off within it")
        try:
            while not unpacker.eof and (out := unpacker.decompress(data, PIECE)):
                data = b""
                held.append(out)
                if sum(map(len, held)) > _HELD:
                    raise BadFrame(_DAMAGED)
        except _ERRORS:
            raise BadFrame(_DAMAGED) from None
        if held:
            yield start, held
    tape.back(tape.at - len(unpacker.unused_data))


def _block(tape: Tape, bit: int, end: int | None) -> tuple[Iterable[bytes], int]:
    """What the block at a bit unpacks to, and the bit where it ends, or up to 7 more; nothing where it is damaged. end:
    where the next one seems to begin, but for damage in between."""
    bits, size = _bits(tape, bit, 8 * _LONGEST if end is None else end - bit)
    stream = b"BZh9" + (bits << -size % 8).to_bytes((size + 7) // 8)
    if end is not None and (pieces := _unpacked(stream)):
        return pieces, end
    length = _length(stream)
    return _unpacked(stream[:length]), bit + 8 * (length - 4) if length else 0


def _unpacked(stream: bytes) -> Iterable[bytes]:
    """What the block of a stream unpacks to; nothing where its check sum is wrong, or more follows."""
    try:
        first = list(islice(_pieces(stream), _FEW))
        if len(first) < _FEW:
            return [b"".join(first)] if first else []
        for _ in _pieces(stream):
            pass
    except _ERRORS:
        return []
    return _pieces(stream)


def _pieces(stream: bytes) -> Iterator[bytes]:
    unpacker = bz2.BZ2Decompressor()
    while out := unpacker.decompress(stream, _OUT):
        yield out
        stream = b""


def _length(stream: bytes) -> int:
    """Bytes of a stream up to the end of its first block; 0 where that is damaged."""
    fed = 0
    for step in (_STEP, 1):
        unpacker = bz2.BZ2Decompressor()
        try:
            out = unpacker.decompress(stream[:fed], _OUT)
            while not out and fed < len(stream):
                out = unpacker.decompress(stream[fed : fed + step], _OUT)
                fed += 0 if out and step > 1 else step
            while out and step == 1:
                if not (out := unpacker.decompress(b"", _OUT)):
                    return fed
        except _ERRORS:
            continue
    return 0


def _bits(tape: Tape, bit: int, size: int) -> tuple[int, int]:
    """So many bits of a file, fewer only at its end, and how many."""
    tape.back(bit // 8)
    data = tape.peek((bit % 8 + size + 7) // 8)
    size = min(size, 8 * len(data) - bit % 8)
    return int.from_bytes(data) >> 8 * len(data) - bit % 8 - size & (1 << size) - 1, size


def _is_stream(tape: Tape, offset: int) -> bool:
    tape.back(offset)
    return tape.at == offset and _STREAM.match(tape.peek(4)) is not None


def _latest(tape: Tape, begin: int, bit: int) -> int | None:
    """The last bit from an offset up to a bit at which a block or the end of a stream seems to begin."""
    tape.back(begin)
    begin = tape.at
    found = _magics(tape.peek(max(0, bit // 8 + 7 - begin))) + 8 * begin
    found = found[found <= bit]
    return int(found[-1]) if len(found) else None


def _next(tape: Tape, bit: int, within: int | None = None) -> int | None:
    """The first such bit from a bit on, `within` so many bytes; where there is none the tape is at the end, or behind
    these bytes."""
    tape.back(bit // 8)
    stop = tape.at + within if within is not None else None
    while data := tape.peek(_SEARCHED + 6):
        found = _magics(data) + 8 * tape.at
        found = found[found >= bit]
        if len(found):
            return int(found[0])
        tape.back(tape.at + min(_SEARCHED, len(data)))
        if stop is not None and tape.at >= stop:
            break
    return None


def _magics(data: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """All such bits."""
    each = np.frombuffer(data + bytes(1), np.uint8)
    at = np.flatnonzero(_PAIRS[each[1:-5].astype(np.uint16) << 8 | each[2:-4]])
    words = np.zeros(len(at), np.uint64)
    for i in range(7):
        words = words << np.uint64(8) | each[at + i]
    starts = words[:, None] >> np.arange(8, 0, -1, dtype=np.uint64) & np.uint64((1 << 48) - 1)
    row, shift = np.nonzero((starts == _BLOCK) | (starts == _END))
    found = at[row] * 8 + shift
    return found[found <= 8 * len(data) - 48]
