"""One page: limits, main text, metadata."""

from __future__ import annotations

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from firn.data.extract.settings import Extracted, ExtractSettings, Refused
from firn.data.normalise import normalise


def extract_page(html: str, settings: ExtractSettings, url: str | None) -> Extracted:
    size = len(html.encode("utf-8", "replace"))
    if size > settings.max_bytes:
        raise Refused(f"max_bytes is {settings.max_bytes}, the page has {size}")
    tree = HTMLTree.parse(html)
    if tree.document.query_selector(" > ".join(["*"] * 200)):
        raise Refused("max_depth is 200, the page is nested deeper")
    return Extracted(normalise(extract_plain_text(tree, main_content=True)), title=normalise(tree.title or "") or None)
