"""Settings of HTML extraction, what it returns, and how it says no. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field

from firn.core.settings import Settings


class ExtractSettings(Settings):
    """How the main text of an HTML page is found."""

    method: Literal["firn", "resiliparse", "trafilatura"] = "firn"
    """firn: a classifier over the blocks of the page. resiliparse: rules. trafilatura: rules for articles; an extra."""
    max_bytes: int = Field(default=1 << 25, ge=1)
    """Largest page, in bytes of UTF-8."""
    max_nodes: int = Field(default=2_000_000, ge=1)
    """Most tags and comments in a page."""
    max_depth: int = Field(default=2_000, ge=1)
    """Deepest nesting of elements."""


@dataclass(frozen=True)
class Extracted:
    """The main text of a page and what the page says of itself; None where it says nothing.

    text: NFC, lines ended by LF; paragraphs, headings and list items stand apart, table rows are lines of cells joined
    by " | ", code keeps its line breaks and loses its line numbers, formulas are LaTeX between dollar signs, also those
    that are images with their source in the alt text or the address. published: with a time zone.
    date_method: where the date was found. canonical: the URL that the page gives itself. language: BCP 47, as declared.
    license: URL of a Creative Commons licence that the page links as its own. opt_out: what in the page says that it is
    not to be mined (firn.data.rights), as `html:NAME`.
    """

    text: str
    title: str | None = None
    author: str | None = None
    published: datetime | None = None
    date_method: str | None = None
    canonical: str | None = None
    language: str | None = None
    license: str | None = None
    opt_out: tuple[str, ...] = ()


class Refused(Exception):
    """A page over one of the limits; the message names the limit, its value and the page's."""
