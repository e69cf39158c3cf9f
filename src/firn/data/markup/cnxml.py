"""CNXML, the format of OpenStax's textbooks: a collection names its modules in reading order; formulas are MathML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from firn.data.markup import licenses, mathml
from firn.data.markup.render import Renderer, fenced, heads_of, rows_of
from firn.data.markup.work import Work, date, one_line
from firn.data.markup.xml import Element


@dataclass(frozen=True, slots=True)
class Module:
    """A section of the book. chapters: titles of the chapters it lies in, the outermost first."""

    name: str
    chapters: tuple[str, ...]


def collection(root: Element) -> tuple[Work, list[Module]]:
    """What a collection says of the book, and its modules in order."""
    metadata = root.first("metadata") or Element("")
    work = Work(title=_text(metadata, "title"), language=_text(metadata, "language") or None)
    license = metadata.first("license")
    work.license = licenses.from_url(license.attributes.get("url", license.content)) if license else None
    slug = _text(metadata, "slug")
    work.url = f"https://openstax.org/details/books/{slug}" if slug else None
    work.meta = {key: text for key in ("slug", "uuid") if (text := _text(metadata, key))}
    return work, list(_modules(root.first("content") or Element(""), ()))


def _text(element: Element, name: str) -> str:
    found = element.first(name)
    return one_line(found.content) if found else ""


def _modules(content: Element, chapters: tuple[str, ...]) -> Iterator[Module]:
    for child in content.elements():
        if child.name == "module":
            yield Module(child.attributes.get("document", ""), chapters)
        elif child.name == "subcollection":
            title = _text(child, "title")
            yield from _modules(child.first("content") or Element(""), (*chapters, title) if title else chapters)


def module(root: Element) -> Work:
    """A module as a work of its own."""
    metadata = root.first("metadata") or Element("")
    _show_listings(root)
    text = _Module({element.attributes["id"]: element.name for element in root.walk() if "id" in element.attributes})
    work = Work(title=text.inline(root.first("title")) or _text(metadata, "title"))
    for name in ("content", "glossary"):
        part = root.first(name)
        if part is not None:
            text.glossary(part) if name == "glossary" else text.walk(part)
    work.blocks = text.finish()
    work.published = date(_text(metadata, "revised")) or date(_text(metadata, "created"))
    work.language = _text(metadata, "language") or None
    license = metadata.first("license")
    work.license = licenses.from_url(license.attributes.get("url", "")) if license else None
    identifier = _text(metadata, "content-id")
    work.meta = {"module": identifier} if identifier else {}
    return work


# What holds paragraphs and no words of its own.
_HOLDERS = frozenset("content section note example exercise problem solution statement proof figure subfigure".split())


def _show_listings(root: Element) -> None:
    """Say of program text on a line of its own that it is a listing. Few modules do."""
    for element in root.walk():
        for child in element.elements():
            if child.name == "code" and (element.name in _HOLDERS or "\n" in child.content.strip()):
                child.attributes["display"] = "block"


def _is_listing(code: Element) -> bool:
    return code.attributes.get("display") == "block"


class _Module(Renderer):
    left_out: ClassVar = frozenset("image iframe object param metadata label download audio video flash".split())
    forms: ClassVar = {
        "para": "block", "title": "own_title", "section": "section", "note": "section", "example": "section",
        "exercise": "block", "problem": "block", "solution": "solution", "commentary": "block", "injected-exercise":
        "block", "list": "listed", "figure": "figure", "media": "nothing", "table": "table", "code": "code",
        "preformat": "listing", "equation": "equation", "math": "formula", "newline": "line_break", "quote": "quote",
        "sup": "superscript", "link": "link", "footnote": "note", "definition": "definition", "space": "space",
        "div": "block", "rule": "block", "statement": "block", "proof": "block",
    }  # fmt: skip

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names  # id -> what kind of element has it

    def link(self, element: Element) -> None:
        """Its text; where a link has none, readers see "Figure 4.7", and the number is known to the publisher only."""
        if element.content.strip():
            self.walk(element)
        else:
            kind = self._names.get(element.attributes.get("target-id", ""))
            self.say(f"the {kind}" if kind in ("figure", "table", "example", "exercise", "section", "equation") else "")

    def own_title(self, element: Element) -> None:
        """A title within a paragraph begins it."""
        self.say(f"{self.inline(element)} ")

    def section(self, element: Element) -> None:
        """Sections, notes and examples: a heading where they have a title."""
        self.end_line()
        own = element.first("title")
        self.level += 1
        if own is not None:
            self.add(self.inline(own), min(self.level + 1, 6))
        before = len(self.blocks)
        self.walk(Element("", {}, [child for child in element.children if child is not own]))
        self.end_line()
        self.level -= 1
        if own is not None and len(self.blocks) == before and self.blocks and self.blocks[-1].level:
            self.blocks.pop()  # a heading over a film or a game

    def solution(self, element: Element) -> None:
        self.end_line()
        self.say("Solution: ")
        blocks = self.captured(element)
        self.say(blocks[0].text if blocks else "")
        if not blocks:
            self._line.clear()
        self.end_line()
        self.blocks.extend(blocks[1:])

    def listed(self, element: Element) -> None:
        if element.attributes.get("display") == "inline":
            self.say(" " + "; ".join(self.inline(item) for item in element.elements() if item.name == "item"))
            return
        own = element.first("title")
        self.end_line()
        self.add(self.inline(own))
        start = element.attributes.get("start-value", "1")
        items = [child for child in element.elements() if child is not own]
        ordered = element.attributes.get("list-type") == "enumerated"
        self.items(items, ordered, int(start) if start.isdecimal() and len(start) < 6 else 1)

    def figure(self, element: Element) -> None:
        """Its caption, or the words that stand for it."""
        self.end_line()
        for name in ("title", "caption"):
            self.add(self.inline(element.first(name)))
        for child in element.elements():
            if child.name in ("table", "code", "list", "para", "subfigure", "figure"):
                self.walk(Element("", {}, [child]))

    def table(self, element: Element) -> None:
        self.end_line()
        self.add(self.inline(element.first("title")))
        for group in element.elements():
            if group.name == "tgroup" and any(_is_listing(code) for code in group.all("code")):
                for row in rows_of(group, ("row",)):  # lines of program text do not fit in a cell
                    for cell in row.elements():
                        self.block(cell)
            elif group.name == "tgroup":
                rows = [[self.inline(cell) for cell in row.elements()] for row in rows_of(group, ("row",))]
                self.rows(rows, heads_of(group, ("row",)))
        self.add(self.inline(element.first("caption")))

    def code(self, element: Element) -> None:
        """A listing, or a few words of program text within a line."""
        if _is_listing(element):
            # No-break spaces are indentation too; what the file's own lines are indented by is none.
            text = textwrap.dedent(element.content.replace("\xa0", " ").strip("\n"))
            self.add(fenced(text, element.attributes.get("lang", "")))
        else:
            text = one_line(element.content)
            self.say(f"`{text}`" if text and "`" not in text else text)

    def equation(self, element: Element) -> None:
        found = next(element.all("math"), None)
        if found is None:
            self.block(element)
        else:
            self.add(mathml.display(found, self.inline(element.first("label"))))

    def quote(self, element: Element) -> None:
        if element.attributes.get("display") == "inline":
            self.say(f"“{self.inline(element)}”")
        else:
            self.quotation(element)

    def glossary(self, element: Element) -> None:
        """Terms and what they mean, under a heading."""
        self.add("Glossary", 2)
        self.walk(element)
        self.end_line()

    def definition(self, element: Element) -> None:
        term = self.inline(element.first("term"))
        meanings = [self.inline(child) for child in element.elements() if child.name == "meaning"]
        self.add(f"{term}: {'; '.join(meanings)}")

    def nothing(self, element: Element) -> None:
        """Pictures and recordings; their descriptions are for those who cannot see them, and repeat the caption."""
