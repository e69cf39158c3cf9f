"""The other ways to find a page's main text, by name: resiliparse and, where it is installed, trafilatura."""

from __future__ import annotations

from collections.abc import Callable

from resiliparse.extract.html2text import extract_plain_text

from firn.core.errors import RecipeError

# resiliparse needs time quadratic in the depth, and does not come back from 100,000 levels. Browsers stop at 512.
RESILIPARSE_DEPTH = 512


def by_resiliparse(html: str) -> str:
    found: str = extract_plain_text(html, main_content=True, alt_texts=False)
    return found


def by_trafilatura(html: str) -> str:
    try:
        import trafilatura
    except ImportError:
        raise RecipeError(
            "trafilatura is not installed", key="extract.method", mend='pip install "firn[trafilatura]"'
        ) from None
    # Without deduplication, which remembers earlier pages: a page's text may not depend on their order.
    return trafilatura.extract(html, deduplicate=False) or ""


METHODS: dict[str, Callable[[str], str]] = {"resiliparse": by_resiliparse, "trafilatura": by_trafilatura}
