"""Records of WARC files that are compressed otherwise than by a gzip member per record.

A record that has frames of the compression to itself, as the specification of WARC in zstd wants it, has its place in
the file; any other is known by its number. Where a frame of the compression is damaged,
reading goes on at the first record that begins behind it, and one `Record` with an error stands for what is lost: the
record that the damage cuts off, or else those bytes of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from firn.data.compressed import FREE, MAX_RATIO, Damaged
from firn.data.frames import dictionary
from firn.data.warc_kernels import RECORD, find_records
from firn.data.warc_record import MAX_HEADER, TYPES, Record, broken, is_whole
from firn.data.wikitext.packed import Cut, unpack

_ROWS, _AHEAD = 256, 1 << 18  # records that are found at once, and bytes in which they are
_BEGIN = re.compile(rb"WARC/\d\.\d{1,2}[ \t]{0,8}\r?\n")
_HEADER_END = re.compile(rb"\n\r?\n")
_BLANK = re.compile(rb"[\r\n\x00]*")
# Bytes that are looked at again when more come: as many as _BEGIN is long, and the two empty lines before it.
_OVERLAP = 32


class Stretches:
    """What a compressed file holds, in stretches from one damaged place to the next. It reads like a file that ends
    where a stretch does; so does a plain file, which is one stretch.

    start: offset in the file of the frame that it is read from. search: as in `unpack`. cut: the damage at the end of
    the stretch, once it is reached; None at the end of the file.

    Reading raises what the file's own does, and Damaged where it unpacks to far more than there is of it.
    """

    def __init__(self, stream: BinaryIO, start: int = 0, search: bool = True):
        self._stream, self.start, self._first, self._taken = stream, start, io.BytesIO(), 0
        stream.seek(0)
        if start:
            self._first = io.BytesIO(dictionary(stream))
            stream.seek(start)
        self._moved = start - len(self._first.getbuffer())
        self._pieces = unpack(_Taken(self), search)
        self._held, self._base = bytearray(), 0  # unpacked bytes, and how many were before them
        self._block: int | None = None
        self._frames: list[tuple[int, int]] = []  # unpacked bytes that are a frame's first, and where it begins
        self.cut: Cut | None = None
        self._failure: Exception | None = None
        self._rows = np.empty((_ROWS, RECORD), np.int64)

    def take(self, size: int) -> bytes:
        """Bytes of the file as it is."""
        data = self._first.read(size) or self._stream.read(size)
        self._taken += len(data)
        return data

    @property
    def at(self) -> int:
        """How many unpacked bytes were read."""
        return self._base

    @property
    def is_plain(self) -> bool:
        """Whether the file is not compressed, once something of it is read."""
        return self._block is None

    def place(self) -> int | None:
        """Offset in the file, if a frame begins with the byte that comes next, or the stretch ends; None otherwise."""
        if not self._held and not self._more():
            return self.cut.block if self.cut else self._taken + self._moved
        if self.is_plain:
            return self._base + self._moved
        return next((block for at, block in self._frames if at == self._base), None)

    def peek(self, size: int) -> bytes:
        """The bytes that come next, fewer only at the end of the stretch."""
        while len(self._held) < size and self._more():
            pass
        with memoryview(self._held) as held:
            return bytes(held[:size])

    def read(self, size: int) -> bytes:
        """So many bytes, fewer only at the end of the stretch."""
        data = self.peek(size)
        self._drop(len(data))
        return data

    def skip(self, size: int) -> int:
        """Pass over so many bytes; returns how many there were."""
        left = size
        while left and (len(self._held) or self._more()):
            step = min(left, len(self._held))
            self._drop(step)
            left -= step
        return size - left

    def skip_blank(self) -> None:
        """Pass over empty lines and zeros."""
        while self._held or self._more():
            blank = _BLANK.match(self._held)
            self._drop(blank.end() if blank else 0)
            if self._held:
                return

    def readline(self, limit: int) -> bytes:
        """A line, or as much of it."""
        searched = 0
        while (end := self._held.find(b"\n", searched, limit)) < 0 and len(self._held) < limit:
            searched = len(self._held)
            if not self._more():
                break
        return self.read(end + 1 if end >= 0 else min(limit, len(self._held)))

    def header(self) -> bytes | None:
        """The header of a record, which begins here; None where none does, or it has no end."""
        size = 1 << 12
        while True:
            head = self.peek(size)
            if not (begin := _BEGIN.match(head)):
                return None
            if end := _HEADER_END.search(head, begin.end() - 1):
                self._drop(end.end())
                return head[: end.start()]
            if len(head) < size or size >= MAX_HEADER:
                return None
            size *= 4

    def records(self, limit: int, wanted: Collection[str]) -> list[Record]:
        """Those that come next within the frame, if they lie as they should, but its last: they have no places."""
        try:
            while len(self._held) < _AHEAD and self._frame_end() is None and self._more():
                pass
        except Exception as error:  # it comes behind what is at hand
            self._failure = error
        found: list[Record] = []
        if self.is_plain:
            return found
        end = 0
        with memoryview(self._held)[: self._frame_end()] as held:
            count = find_records(np.frombuffer(held, np.uint8), 0, MAX_HEADER, self._rows)
            for at, block, block_end, after, kind in self._rows[:count].tolist():
                if after < 0:
                    break
                size, end = block_end - block, after
                content = bytes(held[block:block_end]) if TYPES[kind] in wanted and size <= limit else None
                found.append(Record(0, None, None, TYPES[kind], bytes(held[at : block - 4]), content, size))
        self._drop(end)
        return found

    def _frame_end(self) -> int | None:
        """How many of the bytes at hand are of the frame that they begin with, if another follows."""
        return next((at - self._base for at, _ in self._frames if at > self._base), None)

    def go_behind(self) -> None:
        """Go to the next stretch."""
        self.cut = None
        self._drop(len(self._held))

    def go_on(self) -> tuple[Cut | None, bool]:
        """Go to the next record, in this stretch or a later one, but not to one that begins here.

        A record begins where a frame does, or behind two empty lines. Returns the damage on the way, from the first cut
        to the last, and whether there is a record.
        """
        damage: Cut | None = None
        begin_at = 1
        while True:
            while found := _BEGIN.search(self._held, begin_at):
                begin_at = found.start() + 1
                if self._may_begin(found.start()):
                    del found  # it holds on to the bytes
                    self._drop(begin_at - 1)
                    return damage, True
            self._drop(max(0, len(self._held) - _OVERLAP))
            begin_at = min(len(self._held), 1)
            if self._more():
                continue
            if self.cut is None:
                return damage, False
            damage = replace(damage, end=self.cut.end, final=self.cut.final) if damage else self.cut
            self.go_behind()
            begin_at = 0

    def _may_begin(self, at: int) -> bool:
        before = bytes(self._held[max(0, at - 4) : at])
        if before.endswith((b"\n\r\n", b"\n\n")):
            return True
        # A frame may begin within the empty lines.
        blank = len(before) - len(before.rstrip(b"\r\n"))
        return any(frame == self._base + at - blank for frame, _ in self._frames)

    def _more(self) -> bool:
        """Unpack more of this stretch."""
        if self._failure is not None:
            raise self._failure
        if self.cut is not None or (piece := next(self._pieces, None)) is None:
            return False
        if isinstance(piece, Cut):
            self.cut = piece.moved(self._moved)
            return False
        if piece.block != self._block:
            self._block = piece.block
            self._frames = [frame for frame in self._frames if frame[0] >= self._base]
            self._frames.append((self._base + len(self._held), (piece.block or 0) + self._moved))
        self._held += piece.data
        if self._base + len(self._held) > max(FREE, MAX_RATIO * self._taken):
            raise Damaged(f"it unpacks to more than {MAX_RATIO} times its size")
        return True

    def _drop(self, size: int) -> None:
        del self._held[:size]
        self._base += size


class _Taken:
    """What `unpack` reads."""

    def __init__(self, by: Stretches):
        self._by = by

    def read(self, size: int, /) -> bytes:
        return self._by.take(size)


def packed_records(
    stream: BinaryIO, limit: int, wanted: Collection[str], start: int = 0, search: bool = True
) -> Iterator[Record]:
    """Every record, and one with an error for each place where some are lost. start: offset of the frame, or in a plain
    file of the record, that is read first. search: whether the file is compressed, though its first bytes do not say
    how. The other arguments are those of `firn.data.warc.records`."""
    source, found = Stretches(stream, start, search), False
    try:
        for record in _records(source, limit, wanted):
            found = True
            yield record
    except Damaged as damage:
        found = True
        yield broken(f"{damage}; the rest of the file is given up")
    if not found:
        yield broken("no WARC record in it")


def _records(source: Stretches, limit: int, wanted: Collection[str]) -> Iterator[Record]:
    more = True
    while more:
        source.skip_blank()
        yield from source.records(limit, wanted)
        lost = broken("")
        if source.peek(1):
            at, begin = source.at, source.place()
            record = _record(source, limit, wanted)
            if record is not None and record.error is None:
                try:
                    source.skip_blank()
                except Damaged:
                    yield record
                    raise
                if begin is not None and (end := source.place()) is not None:
                    record.offset, record.end = begin, end
                yield record
                continue
            lost = record or lost
            lost.offset = begin if source.is_plain else None
            where = f"{at} of what it unpacks to" + (f" from byte {source.start} on" if source.start else "")
            lost.error = (
                lost.error or f"no WARC header, or not all of it, at byte {begin if source.is_plain else where}"
            )
        elif source.cut is None:
            return
        damage, more = source.go_on()
        if source.is_plain:
            lost.end = source.place()
        if damage is not None:
            said = replace(damage, final=not more).error
            if lost.head:
                lost.error = f"{lost.error}: {said}"
            else:
                lost.offset, lost.end, lost.error = damage.block, damage.end, said
        yield lost


def _record(source: Stretches, limit: int, wanted: Collection[str]) -> Record | None:
    """The record that begins here; None where none does, or it is cut off and of a type that is not wanted."""
    head = source.header() or b""
    if not is_whole(str(head, "utf-8", "replace")):
        return None
    record = Record(0, None, None, "", head, None, 0)
    if not re.fullmatch(r"\d{1,18}", record.headers["content-length"]):
        return None
    record.type, record.size = record.headers["warc-type"].lower(), int(record.headers["content-length"])
    if record.type in wanted and record.size <= limit:
        record.block = source.read(record.size)
        read = len(record.block)
    else:
        read = source.skip(record.size)
    if read < record.size:
        if record.type not in wanted:
            return None
        record.error = f"cut off: {read} of {record.size} bytes"
    return record
