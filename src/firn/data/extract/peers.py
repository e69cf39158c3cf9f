"""The other ways to find a page's main text, by name: resiliparse and, where it is installed, trafilatura."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from resiliparse.extract.html2text import extract_plain_text

from firn.core.errors import RecipeError
from firn.data.extract.metadata import Page
from firn.data.extract.scan import END, KIND, START
from firn.data.extract.settings import Refused
from firn.data.extract.tags import TEXT

# resiliparse needs time quadratic in the depth and in a tag's attributes, and does not come back from 100,000 levels.
# Browsers stop at 512 levels; lxml, on which trafilatura stands, at 256.
_DEEPEST, _MOST_ATTRIBUTES = 512, 2_000


def _check(page: Page, depth: int) -> None:
    """Refuse what the libraries would not come back from."""
    if depth > _DEEPEST:
        raise Refused(f"this method reads pages nested {_DEEPEST} deep, this one is nested {depth:,} deep")
    spans = page.nodes[END] - page.nodes[START]
    for node in np.flatnonzero((page.nodes[KIND] != TEXT) & (spans > 3 * _MOST_ATTRIBUTES)):
        span = page.data[page.nodes[START, node] : page.nodes[END, node]]
        if (number := len(span.split())) > _MOST_ATTRIBUTES and span.count(b"=") > _MOST_ATTRIBUTES // 2:
            raise Refused(f"this method reads tags of {_MOST_ATTRIBUTES:,} attributes, this page has one of {number:,}")


def by_resiliparse(html: str, page: Page, depth: int) -> str:
    """The text that resiliparse takes for the main content."""
    _check(page, depth)
    found: str = extract_plain_text(html, main_content=True, alt_texts=False)
    return found


def by_trafilatura(html: str, page: Page, depth: int) -> str:
    """The text that trafilatura finds. Raises RecipeError where it is not installed."""
    _check(page, depth)
    try:
        import trafilatura
    except ImportError:
        raise RecipeError(
            "trafilatura is not installed", key="extract.method", mend='pip install "firn[trafilatura]"'
        ) from None
    # Without deduplication, which remembers earlier pages: a page's text may not depend on their order.
    return trafilatura.extract(html, deduplicate=False) or ""


METHODS: dict[str, Callable[[str, Page, int], str]] = {"resiliparse": by_resiliparse, "trafilatura": by_trafilatura}
