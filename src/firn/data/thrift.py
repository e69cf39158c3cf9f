"""Thrift's compact protocol, as far as the footers and page headers of Parquet need it: read, bounded, never trusted.

Apache Thrift, doc/specs/thrift-compact-protocol.md. Parquet's reader allocates what these structs ask for, so that they
are looked at before it sees them.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Fields of a struct by their ids: 32-bit numbers and structs; of other types there is only None.
Fields = dict[int, "int | Fields | None"]

# Types of fields.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_DEPTH = 16
# What a reader in C++ takes for a struct of Parquet at most, and for any other element of a list, in bytes.
_STRUCT_BYTES, _ELEMENT_BYTES = 512, 32


class Reader:
    """Structs out of `data`, from `at` on, which moves with them.

    max_bytes: what all that is read may take in the memory of a reader, by estimate. Reading raises IndexError where
    the data ends too soon and ValueError where it is damaged or over a bound.
    """

    def __init__(self, data: Sequence[int], at: int = 0, max_bytes: int = 1 << 20):
        self.data, self.at = data, at
        self._left = max_bytes

    def struct(self, depth: int = 0) -> Fields:
        """The struct that begins here."""
        self._take(_STRUCT_BYTES)
        if depth > _DEPTH:
            raise ValueError("a structure that is nested too deep")
        fields: Fields = {}
        id = 0
        while head := self._byte():
            id = id + (head >> 4) if head >> 4 else _signed(self._varint())
            if id in fields or not 0 < id < 1 << 15:
                raise ValueError("a structure that is damaged")
            kind = head & 15
            fields[id] = None if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> int | Fields | None:
        if kind == _I32:
            number = _signed(self._varint())
            if not -(1 << 31) <= number < 1 << 31:
                raise ValueError("a number that is too large")
            return number
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_I16, _I64):
            self._varint()
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in (_LIST, _SET):
            self._elements(depth)
        elif kind in (_TRUE, _FALSE, _BYTE):  # within a list a truth value is a byte
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        else:  # maps do not occur
            raise ValueError("a structure that is damaged")
        return None

    def _elements(self, depth: int) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        for _ in range(count):
            self._take(_ELEMENT_BYTES)
            self._value(kind, depth)

    def _byte(self) -> int:
        byte = self.data[self.at]
        self.at += 1
        return byte

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
            if shift > 63:
                raise ValueError("a number that is too large")

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise IndexError

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("a structure that takes too much memory")


def _signed(number: int) -> int:
    """Zigzag."""
    return (number >> 1) ^ -(number & 1)
