"""HTML to main text: `extract(html, ExtractSettings())`."""

from __future__ import annotations

from functools import cache

from firn.data.extract.settings import Extracted, ExtractSettings, Refused

__all__ = ["LIBRARIES", "VERSION", "ExtractSettings", "Extracted", "Refused", "extract", "prepare"]

#: Rises whenever the same page and settings give another result.
VERSION = 5

#: Distributions whose versions change what is extracted.
LIBRARIES = ("resiliparse", "trafilatura")


def extract(html: str | bytes, settings: ExtractSettings, url: str | None = None) -> Extracted:
    """The main text of `html`, with title, author, date, canonical URL, language and licence where the page gives them.

    html: text, or its UTF-8 bytes. url: where the page was found; dates in it and links relative to it are understood.
    Raises Refused for a page over the limits, RecipeError where settings.method is an extra that is not installed.
    """
    from firn.data.extract.page import extract_page  # compiled code, which settings alone do not need

    return extract_page(html, settings, url)


@cache
def prepare(settings: ExtractSettings) -> None:
    """Load the compiled code. Where it has yet to be compiled, this may take longer than a document may."""
    extract("<p>The first page.</p>", settings)
