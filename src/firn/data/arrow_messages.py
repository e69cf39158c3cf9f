"""The messages of an Arrow file or stream from outside, looked at before they are unpacked: none takes too much memory.

Arrow Columnar Format, Serialization and Interprocess Communication; format/Message.fbs, format/Schema.fbs. A file is a
stream between marks, with a footer that need not be read. A buffer that is compressed says in its first 8 bytes how
long it will be.
"""

from __future__ import annotations

import struct
from typing import Protocol

#: Largest record batch, in bytes: it is held whole. Writers make them of some megabytes.
MAX_BATCH = 256 << 20
#: What a compressed record batch may take, packed and unpacked, in bytes.
MAX_UNPACKED = 384 << 20
#: What the dictionaries of a file may take together, in bytes: they are held all along.
MAX_DICTIONARIES = 128 << 20
#: Largest header of a message, in bytes.
MAX_HEADER = 4 << 20
# Bytes of a field's table at least; where a schema has more fields than fit, they lie upon each other.
_FIELD = 16
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
# Tables of types that hold more than numbers -> the slot of what may be long.
_TIMESTAMP, _UNION = 10, 14
_LONG = {_TIMESTAMP: 1, _UNION: 1}
_SMALLER = "write smaller record batches"


class Stream(Protocol):
    """What the messages are read from."""

    def read(self, size: int, /) -> bytes: ...


class Messages:
    """A stream of messages, as pyarrow reads them one after the other. Raises ValueError, struct.error."""

    closed = False

    def __init__(self, source: Stream):
        self._source = source
        self._dictionaries: dict[int, int] = {}  # id -> bytes
        self._ready: list[bytes] = []  # of the message at hand: what has been read already
        self._body = 0  # what has not
        start = source.read(8)
        if not start.startswith(b"ARROW1"):
            self._start(start)

    def read(self, size: int) -> bytes:
        if not self._ready and not self._body:
            self._start(self._source.read(8))
        if self._ready:
            data = self._ready.pop(0)
            if len(data) > size:
                self._ready.insert(0, data[size:])
            return data[:size]
        data = self._source.read(min(size, self._body))
        self._body -= len(data)
        return data

    def close(self) -> None:
        """The stream is closed by whoever opened it."""

    def _start(self, prefix: bytes) -> None:
        """Read a message up to its body; where that is compressed, with it. prefix: its first 8 bytes, or fewer."""
        self._ready, self._body = [prefix] if prefix else [], 0
        if len(prefix) < 8:
            return
        mark, length = struct.unpack("<II", prefix)
        if mark != 0xFFFFFFFF:  # before format 0.15 there was no mark
            if mark == int.from_bytes(b"FEA1", "little"):
                raise ValueError("Feather in its first version; write it again in the second: pyarrow.feather")
            raise ValueError("no Arrow file, or one of a version before 0.15")
        if length > MAX_HEADER:
            raise ValueError(f"a header of {length} bytes; at most {MAX_HEADER} are read")
        if not length:
            return
        header = self._source.read(length)
        self._ready.append(header)
        message = Table.root(header)
        self._body = max(0, message.number("<q", 3))
        kind, about = message.number("<B", 1), message.table(2)
        if kind == _SCHEMA and about:
            check_schema(about)
        records = about.table(1) if kind == _DICTIONARY and about else about
        if self._body > MAX_BATCH:
            raise ValueError(f"a record batch of {self._body} bytes; at most {MAX_BATCH} are read: {_SMALLER}")
        if kind not in (_DICTIONARY, _RECORDS) or about is None or records is None:
            return
        size = self._body
        if records.has(3) or b"ARROW:experimental_compression" in header:
            body = self._source.read(self._body)
            self._ready, self._body = [*self._ready, body], 0
            size = _unpacked(records, body)
            if size + len(body) > MAX_UNPACKED:
                raise ValueError(
                    f"a record batch of {len(body)} bytes that unpacks to {size}; at most {MAX_UNPACKED} are read, "
                    f"both together: {_SMALLER}"
                )
        if kind == _DICTIONARY:
            self._add(about, size)

    def _add(self, about: Table, size: int) -> None:
        id, more = about.number("<q", 0), about.number("<B", 2)
        self._dictionaries[id] = size + (self._dictionaries.get(id, 0) if more else 0)
        if sum(self._dictionaries.values()) > MAX_DICTIONARIES or len(self._dictionaries) > 1 << 16:
            raise ValueError(
                f"dictionaries of more than {MAX_DICTIONARIES} bytes: write the columns without dictionaries"
            )


def check_schema(schema: Table) -> None:
    """Raise ValueError for a schema whose fields are more than lie in it, since they lie upon each other."""
    most = len(schema.data)
    waiting = schema.tables(1)
    fields = len(waiting)
    held = _texts(schema.tables(2))
    while waiting:
        field = waiting.pop()
        inside = field.tables(5)
        kind = field.table(3)
        fields += len(inside)
        held += field.length(0) + _texts(field.tables(6))
        if kind and (slot := _LONG.get(field.number("<B", 2))) is not None:
            held += kind.length(slot)
        if fields * _FIELD > most or held > most:
            raise ValueError("a schema whose parts lie upon each other")
        waiting += inside


def check_message(message: bytes) -> None:
    """Raise ValueError, struct.error for a message, as a schema is kept in Parquet, whose schema is none to be read."""
    header = Table.root(message[8:] if message[:4] == b"\xff" * 4 else message[4:])
    if schema := header.table(2):
        check_schema(schema)


def _texts(pairs: list[Table]) -> int:
    return sum(pair.length(0) + pair.length(1) for pair in pairs)


def _unpacked(records: Table, body: bytes) -> int:
    """Bytes of a record batch's buffers when they are unpacked."""
    total = 0
    for offset, length in records.structs(2, "<qq"):
        if length >= 8 and 0 <= offset <= len(body) - 8:
            (size,) = struct.unpack_from("<q", body, offset)
            total += length if size < 0 else size  # -1: it is not compressed
    return total


class Table:
    """A table of a flatbuffer: an object whose fields stand in numbered slots, or do not."""

    def __init__(self, data: bytes, at: int):
        self.data, self._at = data, at
        self._slots = at - struct.unpack_from("<i", data, at)[0]
        (self._size,) = struct.unpack_from("<H", data, self._slots)

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def has(self, slot: int) -> bool:
        return self._place(slot) is not None

    def number(self, form: str, slot: int) -> int:
        place = self._place(slot)
        return int(struct.unpack_from(form, self.data, place)[0]) if place is not None else 0

    def table(self, slot: int) -> Table | None:
        place = self._place(slot)
        return Table(self.data, self._follow(place)) if place is not None else None

    def length(self, slot: int) -> int:
        """Of a string or vector."""
        place = self._place(slot)
        return int(struct.unpack_from("<I", self.data, self._follow(place))[0]) if place is not None else 0

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables. Raises ValueError where it is longer than its data."""
        start, count = self._vector(slot, 4)
        return [Table(self.data, self._follow(start + 4 * index)) for index in range(count)]

    def structs(self, slot: int, form: str) -> list[tuple[int, ...]]:
        """A vector of structs, without what stands between their fields."""
        size = struct.calcsize(form)
        start, count = self._vector(slot, size)
        return list(struct.iter_unpack(form, self.data[start : start + size * count]))

    def _vector(self, slot: int, size: int) -> tuple[int, int]:
        place = self._place(slot)
        if place is None:
            return 0, 0
        start = self._follow(place)
        (count,) = struct.unpack_from("<I", self.data, start)
        if start + 4 + size * count > len(self.data):
            raise ValueError("a message that is damaged")
        return start + 4, count

    def _place(self, slot: int) -> int | None:
        if 4 + 2 * slot + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self.data, self._slots + 4 + 2 * slot)
        return self._at + offset if offset else None

    def _follow(self, place: int) -> int:
        """Where an offset that stands at a place leads; always on, so that nothing leads in circles."""
        return place + int(struct.unpack_from("<I", self.data, place)[0])
