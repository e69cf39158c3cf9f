"""What every parser gives: a work as blocks of text in reading order, and what the file says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from firn.data.normalise import normalise


class MarkupError(Exception):
    """A file cannot be read as what it claims to be, or goes beyond a limit. The message says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, formula, list, table or listing (level 0), or a heading (level 1 is that of a chapter)."""

    text: str
    level: int = 0


@dataclass(slots=True)
class Work:
    """A paper, a book, or a chapter of one.

    published: when it was published, as the file says; license: SPDX identifier or URL; language: BCP 47 tag;
    url: where the world finds it; meta: what else the file says, as JSON can hold it.
    """

    title: str = ""
    blocks: list[Block] = field(default_factory=list)
    published: datetime | None = None
    license: str | None = None
    language: str | None = None
    url: str | None = None
    meta: dict[str, str | int | list[str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The whole text: title and blocks, headings marked as in Markdown, an empty line between blocks."""
        title = [Block(self.title, 1)] if self.title else []
        return written([*title, *self.blocks])


def written(blocks: Iterable[Block]) -> str:
    """Blocks as text in the form that all documents have."""
    parts = [f"{'#' * min(block.level, 6)} {block.text}" if block.level else block.text for block in blocks]
    return normalise("\n\n".join(part for part in parts if part.strip()))


_DATE = re.compile(r"\s*(\d{4})(?:-?(\d{2})(?:-?(\d{2}))?)?(?!\d)")


def date(text: str) -> datetime | None:
    """The day that an ISO 8601 date names, complete or cut off; of a month or a year, the first day."""
    found = _DATE.match(text)
    return day(*found.groups()) if found else None


def day(year: str | None, month: str | None = None, of_month: str | None = None) -> datetime | None:
    """A date out of the numbers that XML elements hold; None where they make no date."""
    try:
        return datetime(int(year or ""), int(month or 1), int(of_month or 1), tzinfo=UTC)
    except ValueError:
        return None


_SPACES = re.compile(r"[ \t\n\r\f]+")


def one_line(text: str) -> str:
    """White space (but no-break spaces) as single spaces, none at the ends."""
    return _SPACES.sub(" ", text).strip()
