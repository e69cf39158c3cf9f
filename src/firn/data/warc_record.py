"""One record of a web archive, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass, field

GZIP = b"\x1f\x8b\x08"
#: Bytes of a header, beyond which none is looked for.
MAX_HEADER = 1 << 16
#: WARC-Types as nearly all write them (ISO 28500, 5.5).
TYPES = ("warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation")


@dataclass(slots=True)
class Record:
    """One record, or one place that should have been one.

    number: from 0, in the order of the file. offset, end: bytes of the file that hold it, compressed as they lie there;
    None where the file is compressed as a whole. type: WARC-Type in lower case; empty where there is none. head: its
    header, as it stands. block: its content; None where it was not read, being longer than the limit or of a type not
    wanted. size: bytes of the block as its header says. error: what is wrong with it, and then the rest may be missing.
    """

    number: int
    offset: int | None
    end: int | None
    type: str
    head: bytes
    block: bytes | None
    size: int
    error: str | None = None
    _headers: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def headers(self) -> dict[str, str]:
        """The header's values by their names in lower case."""
        if self._headers is None:
            self._headers = headers(str(self.head, "utf-8", "replace"))
        return self._headers

    @property
    def place(self) -> str:
        """Where it lies within its file: `bytes=100-199`, as HTTP's Range header takes it, or `record=7`."""
        if self.offset is None or self.end is None:
            return f"record={self.number}"
        return f"bytes={self.offset}-{self.end - 1 if self.end > self.offset else ''}"


def broken(error: str, offset: int | None = None, end: int | None = None) -> Record:
    """A place where no record can be read."""
    return Record(0, offset, end, "", b"", None, 0, error)


def items(head: str) -> list[tuple[str, str]]:
    """Names and values of a header; a line that begins with a space continues the one before."""
    found: list[tuple[str, str]] = []
    for line in head.split("\n"):
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        elif colon:
            found.append((name.strip(), value.strip()))
    return found


def headers(head: str) -> dict[str, str]:
    """Values of a header by their names in lower case. Of repeated ones the first counts."""
    return {name.lower(): value for name, value in reversed(items(head))}


def is_usual(head: str) -> bool:
    """Whether a WARC header has what each has once, with the capitals that nearly all write."""
    return _once(head, "\nWARC-Type:") and _once(head, "\nContent-Length:")


def is_whole(head: str) -> bool:
    """Whether a WARC header has all that each has, and once: where one breaks off, the header of the next record may
    have been taken for the rest of it."""
    names = [name.lower() for name, _ in items(head)]
    return names.count("warc-type") == names.count("content-length") == 1


def _once(head: str, name: str) -> bool:
    at = head.find(name)
    return at >= 0 and head.find(name, at + 1) < 0
