"""Branches and tags of a git repository that has them in tables (`git init --ref-format=reftable`).

Format: https://git-scm.com/docs/reftable, versions 1 and 2. Tables lie one upon the other; of a name that several have
the newest counts. Only the blocks of names are read: neither indexes nor logs.
"""

from __future__ import annotations

import re
from pathlib import Path

from firn.core.errors import InputError

_MAX_LIST, _MAX_TABLES = 1 << 16, 1000
#: Bytes of a table; one of a million names has some 40 MB.
MAX_TABLE = 256 << 20
_TABLE = re.compile(r"[\w-][\w.-]{0,200}\.ref", re.ASCII)
_DELETED, _HASH, _TAG, _SYMBOLIC = range(4)


def is_used(folder: Path) -> bool:
    """Whether a repository's folder has its branches in tables."""
    return (folder / "reftable" / "tables.list").is_file()


def lookup(folder: Path, name: str) -> str:
    """The hash that a name stands for, or `ref: ` and another name; empty where it stands for nothing.

    Raises InputError where a table cannot be read.
    """
    for table in reversed(_tables(folder / "reftable")):
        if (value := _find(table, name.encode())) is not None:
            return value
    return ""


def _tables(folder: Path) -> list[Path]:
    """The tables, the newest last."""
    listed = _bytes(folder / "tables.list", _MAX_LIST).decode("utf-8", "replace").split()
    for name in listed:
        if not _TABLE.fullmatch(name):
            raise _unreadable(folder / "tables.list", f"no name of a table: {name!r}")
    if len(listed) > _MAX_TABLES:
        raise _unreadable(folder / "tables.list", f"{len(listed)} tables, at most {_MAX_TABLES} are read")
    return [folder / name for name in listed]


def _find(path: Path, name: bytes) -> str | None:
    """What a table says of a name; None where it says nothing."""
    data = _bytes(path, MAX_TABLE)
    version, size = data[4:5], int.from_bytes(data[5:8], "big")
    if not data.startswith(b"REFT") or version not in (b"\x01", b"\x02"):
        raise _unreadable(path, "no table, or of a version that is not known")
    width = 32 if version == b"\x02" and data[24:28] == b"s256" else 20
    start, at = 0, 24 if version == b"\x01" else 28  # the first block begins with the file
    try:
        while data[at : at + 1] == b"r":
            stop = start + int.from_bytes(data[at + 1 : at + 4], "big")
            if not at + 6 <= stop <= len(data):
                raise _unreadable(path, "a block is longer than the table")
            found, last = _in_block(data, at + 4, stop, name, width)
            if found is not None or last >= name:
                return found
            start = at = start + max(1, -(-(stop - start) // size)) * size if size else stop
    except (IndexError, ValueError) as error:
        raise _unreadable(path, f"a block is damaged: {error}") from None
    return None


def _in_block(data: bytes, at: int, stop: int, name: bytes, width: int) -> tuple[str | None, bytes]:
    """What a block says of a name, and the last name that was looked at; names are in order."""
    end = stop - 2 - 3 * int.from_bytes(data[stop - 2 : stop], "big")  # places where names stand whole
    key = b""
    while at < end and key < name:
        prefix, at = _number(data, at)
        packed, at = _number(data, at)
        if prefix > len(key):
            raise ValueError("a name has more in common with the one before than that is long")
        key = key[:prefix] + data[at : at + (packed >> 3)]
        _, at = _number(data, at + (packed >> 3))  # when it was written
        kind, value = packed & 7, ""
        if kind in (_HASH, _TAG):
            value = data[at : at + width].hex()
            at += width * kind  # a tag's commit stands behind it
        elif kind == _SYMBOLIC:
            length, at = _number(data, at)
            value = f"ref: {data[at : at + length].decode()}"
            at += length
        elif kind != _DELETED:
            raise ValueError(f"a value of kind {kind}")
        if key == name:
            return value, key
    return None, key


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the first ones first, and where it ends; as of offsets in git's packs."""
    byte = data[at]
    value = byte & 127
    while byte & 128:
        at += 1
        byte = data[at]
        value = (value + 1 << 7) | byte & 127
        if value >> 40:
            raise ValueError("a number is too large")
    return value, at + 1


def _bytes(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise _unreadable(path, str(error)) from error
    if len(data) > most:
        raise _unreadable(path, f"more than {most} bytes")
    return data


def _unreadable(path: Path, problem: str) -> InputError:
    mend = "write its branches as files: `git refs migrate --ref-format=files`; or name a commit's whole hash"
    return InputError(f"cannot be read: {problem}", where=str(path), mend=mend)
