"""One record of a web archive, whatever its format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

GZIP = b"\x1f\x8b\x08"
_ONCE = ["content-length", "warc-type"]


@dataclass(slots=True)
class Record:
    """One record, or one place that should have been one.

    number: from 0, in the order of the file. offset, end: bytes of the file that hold it, compressed as they lie there;
    None where the file is compressed as a whole. headers: names in lower case. block: its content; None where it was
    not read, being longer than the limit or of a type not wanted. size: bytes of the block as its header says. error:
    what is wrong with it, and then the rest may be missing.
    """

    number: int
    offset: int | None
    end: int | None
    headers: Mapping[str, str]
    block: bytes | None
    size: int
    error: str | None = None

    @property
    def type(self) -> str:
        """WARC-Type in lower case; empty where there is none."""
        return self.headers.get("warc-type", "").lower()

    @property
    def place(self) -> str:
        """Where it lies within its file: `bytes=100-199`, as HTTP's Range header takes it, or `record=7`."""
        if self.offset is None or self.end is None:
            return f"record={self.number}"
        return f"bytes={self.offset}-{self.end - 1 if self.end > self.offset else ''}"


def broken(offset: int, end: int, problem: str) -> Record:
    """A place where no record can be read."""
    return Record(0, offset, end, {}, None, 0, f"{problem}, at byte {offset}")


def is_whole(headers: Mapping[str, str], items: Collection[tuple[str, str]]) -> bool:
    """Whether a WARC header has all that each has, and once: where one breaks off, the header of the next record may
    have been taken for the rest of it. headers: by names in lower case. items: as they stand."""
    if len(headers) == len(items):
        return "warc-type" in headers and "content-length" in headers
    return sorted(lower for name, _ in items if (lower := name.lower()) in _ONCE) == _ONCE
