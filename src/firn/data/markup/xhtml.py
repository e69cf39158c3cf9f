"""XHTML of books, clean by nature: all that is written is kept, with headings, lists, tables, notes and listings.

For pages of the web, with navigation and advertisements around the text, there is firn.data.extract.
"""

from __future__ import annotations

import re
from typing import ClassVar

from resiliparse.parse.html import HTMLTree, NodeType
from resiliparse.parse.html.exception import HTMLParserException

from firn.core.memory import memory_within
from firn.data.markup import mathml
from firn.data.markup.render import BREAK, Renderer, fenced, rows_of
from firn.data.markup.work import Block, MarkupError, one_line
from firn.data.markup.xml import MAX_BYTES, MAX_DEPTH, MAX_NODES, Element, NotWellFormed, parse

# Every tag begins with `<`, and gives an element and a text after it at most. But a page may open the same elements
# anew in every paragraph, so that few tags give many nodes: the parser has so much memory and no more.
MAX_TAGS = MAX_NODES // 2
MAX_MEMORY = 512 << 20
# The parser looks through all attributes of a tag for each of them.
MAX_ATTRIBUTES = 1_000
_TAG = re.compile(r"""<[a-z](?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')?+)*+""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>]*+))?+""")


def tree(data: bytes, text: str) -> Element:
    """The tree of a page: as XML where it is well-formed, else as HTML. data: the file; text: the same, decoded.

    Raises MarkupError for a page beyond the limits of XML or HTML.
    """
    _count(text)
    if data.lstrip()[:5] == b"<?xml" or b"http://www.w3.org/1999/xhtml" in data[:4096]:
        try:
            return parse(data)
        except NotWellFormed:
            pass
    return html(text)


def _count(text: str) -> None:
    """Raise MarkupError for a page whose size alone tells that its tree would be too large."""
    if len(text) > MAX_BYTES:
        raise MarkupError(f"HTML of {len(text)} characters, over the limit of {MAX_BYTES}")
    if (tags := text.count("<")) > MAX_TAGS:
        raise MarkupError(f"HTML of {tags} tags, over the limit of {MAX_TAGS}")


def html(text: str) -> Element:
    """The tree of an HTML page. Raises MarkupError for a page beyond the limits."""
    _count(text)
    if any(_attributes(tag[0]) > MAX_ATTRIBUTES for tag in _TAG.finditer(text)):
        raise MarkupError(f"HTML of a tag with more than {MAX_ATTRIBUTES} attributes")
    try:
        with memory_within(MAX_MEMORY):
            page = HTMLTree.parse(text)
    except (HTMLParserException, MemoryError):
        raise MarkupError(f"HTML that takes more than {MAX_MEMORY} bytes as a tree") from None
    root = Element("html")
    left = [(child, root, 0) for child in _children(page.document)]
    left.reverse()
    count = 0
    while left:
        node, parent, depth = left.pop()
        count += 1
        if count > MAX_NODES:
            raise MarkupError(f"more than {MAX_NODES} HTML nodes")
        if node.type == NodeType.TEXT:
            parent.children.append(node.text)
        elif node.type == NodeType.ELEMENT:
            if depth > MAX_DEPTH:
                raise MarkupError(f"HTML nested more than {MAX_DEPTH} deep")
            element = Element(node.tag.rpartition(":")[2], {name: node[name] or "" for name in node.attrs})
            parent.children.append(element)
            left.extend((child, element, depth + 1) for child in reversed(_children(node)))
    return root


def _attributes(tag: str) -> int:
    """How many attributes a tag has, at most."""
    return sum(1 for _ in _ATTRIBUTE.finditer(tag)) - 1 if len(tag) > 2 * MAX_ATTRIBUTES else 0


def _children(node):  # type: ignore[no-untyped-def]
    found, child = [], node.first_child
    while child is not None:
        found.append(child)
        child = child.next
    return found


def blocks(root: Element) -> list[Block]:
    """What a page says, in its order. What it hides is taken out of the tree."""
    for element in root.walk():
        if any(map(_is_hidden, element.elements())):
            element.children = [c for c in element.children if isinstance(c, str) or not _is_hidden(c)]
    page = _Page()
    body = root.first("body") or next(root.all("body"), root)
    page.walk(body)
    return page.finish()


def _is_hidden(element: Element) -> bool:
    """Whether readers do not see it. Notes are hidden where they stand, and shown where the text refers to them."""
    attributes = element.attributes
    if not ("hidden" in attributes or _HIDDEN.search(attributes.get("style", ""))):
        return False
    return "note" not in attributes.get("epub:type", "")


def page_title(root: Element) -> str:
    """The title in the page's head."""
    found = next(root.all("title"), None)
    return one_line(found.content) if found is not None else ""


# A line of verse is shorter than this, in characters.
_LONGEST_LINE = 90
_HIDDEN = re.compile(r"\bdisplay\s*:\s*none\b", re.IGNORECASE)
# Classes of marks that count pages and lines.
_NUMBERS = frozenset(("pagenum", "pageno", "page-number", "linenum", "lineno", "linenumber", "line-number"))


class _Page(Renderer):
    left_out: ClassVar = frozenset(
        "head script style template noscript iframe object audio video canvas img image svg map button select input "
        "textarea form link meta".split()
    )
    forms: ClassVar = {
        **dict.fromkeys(
            "p section article main header footer aside figure figcaption address details summary center body "
            "fieldset hgroup dialog caption legend dt dd".split(),
            "block",
        ),
        **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "heading"),
        "blockquote": "quotation", "ul": "bullets", "ol": "numbers", "dl": "definitions", "table": "table",
        "div": "division", "pre": "preformatted", "br": "line_break", "hr": "rule", "sup": "superscript",
        "math": "formula", "nav": "navigation", "aside": "aside", "li": "block", "a": "anchor", "span": "span",
        "rt": "reading", "rp": "nothing",
    }  # fmt: skip

    def heading(self, element: Element) -> None:
        self.end_line()
        self.add(self.inline(element), int(element.name[1]))

    def division(self, element: Element) -> None:
        """A division; one of nothing but short lines is verse, or something set like it."""
        inner = [child for child in element.children if isinstance(child, Element) or child.strip()]
        lines = [child for child in inner if isinstance(child, Element) and child.name in ("div", "span")]
        texts = [line.content for line in lines]
        is_verse = 1 < len(lines) == len(inner) and all(
            len(text) < _LONGEST_LINE
            and not any(child.name in self.forms for child in line.elements() if child.name != "span")
            for text, line in zip(texts, lines, strict=True)
        )
        if is_verse:
            self.add("\n".join(filter(None, map(self.inline, lines))))
        else:
            self.block(element)

    def bullets(self, element: Element) -> None:
        self.items(self._entries(element))

    def numbers(self, element: Element) -> None:
        start = element.attributes.get("start", "1")
        self.items(
            self._entries(element), ordered=True, start=int(start) if start.isdecimal() and len(start) < 6 else 1
        )

    def _entries(self, element: Element) -> list[Element]:
        """Items, and what writers put between them."""
        return [child for child in element.elements() if child.name not in self.left_out]

    def definitions(self, element: Element) -> None:
        """Terms on lines of their own, what they mean after them."""
        self.end_line()
        lines: list[str] = []
        inner = [
            part for child in element.elements() for part in (child.elements() if child.name == "div" else [child])
        ]
        for child in inner:
            if child.name == "dt":
                lines.append(self.inline(child))
            elif child.name == "dd":
                text = "\n".join(block.text for block in self.captured(child))
                if lines and not lines[-1].endswith("\n") and ": " not in lines[-1]:
                    lines[-1] += f": {text}"
                else:
                    lines.append(text)
        for line in lines:
            self.add(line)

    def table(self, element: Element) -> None:
        """Data as a table; a table that only arranges text as that text."""
        caption = element.first("caption")
        self.end_line()
        if caption is not None:
            self.add(self.inline(caption))
        rows = list(rows_of(element, ("tr",)))
        widths = [sum(cell.name in ("td", "th") for cell in row.elements()) for row in rows]
        if max(widths, default=0) <= 1 or any(inner is not element for inner in element.all("table")):
            for cell in element.elements():
                if cell.name != "caption":
                    self.block(cell)
            return
        cells = [[self.inline(cell) for cell in row.elements() if cell.name in ("td", "th")] for row in rows]
        self.rows(cells, 1 if any(True for _ in element.all("th")) else 0)

    def preformatted(self, element: Element) -> None:
        code = element.first("code")
        classes = (code or element).attributes.get("class", "")
        language = next(
            (name.removeprefix("language-") for name in classes.split() if name.startswith("language-")), ""
        )
        self.add(fenced(element.content, language))

    def formula(self, element: Element) -> None:
        text = element.attributes.get("alttext", "") if not any(True for _ in element.elements()) else ""
        if element.attributes.get("display") == "block":
            self.add(mathml.display(element) or text)
        else:
            self.say(mathml.inline(element) or text)

    def rule(self, element: Element) -> None:
        self.end_line()

    def navigation(self, element: Element) -> None:
        """Left out: lists of links to what is written elsewhere."""

    def reading(self, element: Element) -> None:
        """How a word is read, which stands above it: in parentheses after it."""
        if text := self.inline(element):
            self.say(f"({text})")

    def nothing(self, element: Element) -> None:
        """Parentheses around a reading, for readers that cannot set it above the word."""

    def aside(self, element: Element) -> None:
        self.end_line()
        self.walk(element)
        self.end_line()

    def anchor(self, element: Element) -> None:
        """The text of a link; nothing of a mark that only points to a note or a page."""
        kind = element.attributes.get("epub:type", "") + element.attributes.get("role", "")
        if "noteref" in kind or "pagebreak" in kind or "backlink" in kind:
            return
        self.walk(element)

    def span(self, element: Element) -> None:
        classes = element.attributes.get("class", "").lower().split()
        if "pagebreak" in element.attributes.get("epub:type", "") or _NUMBERS.intersection(classes):
            return
        self.walk(element)
        if "i0" in classes or any(name.startswith("i") and name[1:].isdecimal() for name in classes):
            self.say(BREAK)  # lines of verse
