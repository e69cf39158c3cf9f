"""MediaWiki's markup to plain text: `to_text(markup, Site())`.

The steps are MediaWiki's own, in its order: what is shown as it stands is taken out, templates and links are resolved,
then tags, then lines. Each takes time and memory proportional to the text, whatever is in it.
"""

from __future__ import annotations

from firn.data.wikitext.brackets import resolve
from firn.data.wikitext.inline import inline
from firn.data.wikitext.layout import Layout
from firn.data.wikitext.site import Site
from firn.data.wikitext.tags import CONTROL, put_back, take_out

__all__ = ["Site", "to_text"]


def to_text(markup: str, site: Site, title: str = "") -> str:
    """The text that a reader of the page sees, without its furniture; blocks apart by an empty line.

    site: of the wiki that the page is from. title: what stands for {{PAGENAME}}.
    """
    text, kept = take_out(CONTROL.sub("", markup.replace("\r\n", "\n")))
    text = inline(resolve(text, site, title), site.language)
    layout = Layout()
    for line in text.split("\n"):
        layout.feed(line)
    return put_back(layout.text(), kept)
