"""JATS (NISO Z39.96), the XML of PubMed Central, PLOS, eLife and most journals, and its older form of the NLM."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from firn.data.markup import licenses, mathml
from firn.data.markup.render import Renderer, heads_of, rows_of
from firn.data.markup.work import Work, date, day, one_line
from firn.data.markup.xml import Element


@dataclass(frozen=True, slots=True)
class Include:
    """What a paper's text may hold beyond its own words."""

    references: bool = False
    authors: bool = False
    funding: bool = False
    captions: bool = True
    tables: bool = True


_FUNDING = re.compile(r"\W*(source\w* of )?(funding|financial (support|disclosure)|grant support)\b", re.IGNORECASE)
_AUTHORS = re.compile(r"\W*(author\S* (contributions?|information|notes|details)|contributors)\b", re.IGNORECASE)
_REFERENCES = re.compile(r"\W*(references|bibliography|literature cited)\W*$", re.IGNORECASE)
# Abstracts that only repeat the first one, or are a picture.
_NOT_ABSTRACTS = ("graphical", "toc", "teaser", "precis", "web-summary", "key-points")
_FILE_TYPE = re.compile(r"\((?:\d[\d.]* ?[kKM]B )?(?:[A-Z0-9]{2,5}|Figure|Table|Text)\)\.?")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_NUMBER = re.compile(r"\d{1,4}")
# Empty cells that spans may add to a paper's tables.
_MAX_SPANNED = 100_000
_TEX_BODY = re.compile(r"\\begin\{document\}(.*)\\end\{document\}", re.DOTALL)


def left_out(title: str, include: Include) -> bool:
    """Whether a section of this title is one that the reader did not ask for."""
    return (
        (not include.funding and _FUNDING.match(title) is not None)
        or (not include.authors and _AUTHORS.match(title) is not None)
        or (not include.references and _REFERENCES.match(title) is not None)
    )


def works(root: Element, include: Include) -> list[Work]:
    """The article, and after it those that it holds: decision letters, authors' responses, translations."""
    article = root if root.name == "article" else next(root.all("article"), root)
    inner = [element for element in article.elements() if element.name in ("sub-article", "response")]
    first = _work(article, include)
    parts = [_work(element, include) for element in inner]
    for part in parts:
        part.published, part.license, part.url = part.published or first.published, first.license, first.url
    return [first, *(part for part in parts if part.blocks)]


def _work(article: Element, include: Include) -> Work:
    meta = article.first("front", "article-meta") or article.first("front-stub") or Element("")
    names = {
        element.attributes.get("pub-id-type", ""): element.content.strip()
        for element in meta.elements()
        if element.name == "article-id"
    }
    text = _Jats(include)
    title = text.inline(meta.first("title-group", "article-title"))
    text.front(meta)
    for part in article.elements():
        if part.name in ("body", "back", "floats-group"):
            text.walk(part)
    work = Work(title, text.finish(), _published(meta), _license(meta), article.attributes.get("xml:lang"))
    work.url = f"https://doi.org/{names['doi']}" if names.get("doi") else None
    more = {
        "doi": names.get("doi"),
        "pmc": names.get("pmc") or names.get("pmcid"),
        "article_type": article.attributes.get("article-type") or article.attributes.get("specific-use"),
        "journal": _content(article.first("front", "journal-meta", "journal-title-group", "journal-title"))
        or _content(article.first("front", "journal-meta", "journal-title")),
        "formulas_as_images": text.images or None,
    }
    work.meta = {key: value for key, value in more.items() if value}
    return work


def _content(element: Element | None) -> str:
    return one_line(element.content) if element else ""


def _published(meta: Element) -> datetime | None:
    """The earliest of the dates given to the day, else to the month, else to the year."""
    found: list[tuple[int, datetime]] = []
    for element in meta.elements():
        if element.name == "pub-date":
            year, month, of_month = (_content(element.first(name)) for name in ("year", "month", "day"))
            if not month.isdecimal():
                month = str(_MONTHS.index(name) + 1) if (name := month[:3].lower()) in _MONTHS else ""
            parts = [year, month, of_month if month else ""]
            when = day(*(part or None for part in parts)) or date(element.attributes.get("iso-8601-date", ""))
            if when:
                found.append((-sum(map(bool, parts)), when))
    return min(found)[1] if found else None


def _license(meta: Element) -> str | None:
    permissions = meta.first("permissions")
    if permissions is None:
        return None
    for element in permissions.all("license", "license_ref", "ext-link"):
        url = element.content if element.name == "license_ref" else element.attributes.get("xlink:href", "")
        if name := licenses.from_url(url):
            return name
    return licenses.from_text(permissions.content)


class _Jats(Renderer):
    left_out: ClassVar = frozenset(
        "object-id graphic inline-graphic media inline-media permissions alt-text long-desc label fn-type hr "
        "journal-meta kwd-group front front-stub contrib-group aff author-notes processing-meta sec-meta".split()
    )
    forms: ClassVar = {
        "p": "block", "title": "block", "sec": "section", "app": "section", "ack": "thanks", "notes": "section",
        "glossary": "section", "boxed-text": "section", "bio": "author_section", "ref-list": "reference_section",
        "list": "listed", "def-list": "definitions", "disp-quote": "quotation", "verse-group": "block",
        "verse-line": "line", "preformat": "listing", "code": "listing", "break": "line_break",
        "disp-formula": "display", "inline-formula": "inline_formula", "tex-math": "tex", "math": "formula",
        "alternatives": "alternatives", "fig": "figure", "table-wrap": "table", "table-wrap-foot": "table_foot",
        "table": "cells", "supplementary-material": "figure", "statement": "statement", "sup": "superscript",
        "xref": "reference", "fn": "foot_note", "funding-group": "funding", "speech": "block", "attrib": "block",
        "supplement": "figure", "chem-struct-wrap": "display", "citation": "block", "td": "block", "th": "block",
    }  # fmt: skip

    def __init__(self, include: Include) -> None:
        super().__init__()
        self.include = include
        self._cites = False  # within a reference to the bibliography
        self._spanned = 0  # empty cells that spans added
        self.images = 0  # formulas that the file has as pictures only

    def front(self, meta: Element) -> None:
        """Abstracts, each under a heading; authors and funding where asked for."""
        if self.include.authors:
            names = [
                one_line(f"{_content(name.first('given-names'))} {_content(name.first('surname'))}")
                for group in meta.elements()
                if group.name == "contrib-group"
                for name in group.all("name")
            ]
            self.add(", ".join(names))
        for abstract in meta.elements():
            if abstract.name in ("abstract", "trans-abstract"):
                if abstract.attributes.get("abstract-type") in _NOT_ABSTRACTS:
                    continue
                language = abstract.attributes.get("xml:lang") if abstract.name == "trans-abstract" else None
                self._section(abstract, f"Abstract ({language})" if language else "Abstract")
        for group in meta.elements():
            if group.name == "funding-group":
                self.funding(group)

    def section(self, element: Element) -> None:
        self._section(element, "")

    def _section(self, element: Element, title: str) -> None:
        own = element.first("title")
        title = self.inline(own) or title
        if left_out(title, self.include) or left_out(element.attributes.get("sec-type", ""), self.include):
            return
        self.end_line()
        before = len(self.blocks)
        self.level += 1
        if title:
            self.add(title, self.level + 1)
        self.walk(Element("", {}, [child for child in element.children if child is not own]))
        self.end_line()
        self.level -= 1
        if title and len(self.blocks) == before + 1:
            self.blocks.pop()  # nothing under the heading

    def thanks(self, element: Element) -> None:
        self._section(element, "Acknowledgments")

    def author_section(self, element: Element) -> None:
        if self.include.authors:
            self.section(element)

    def reference_section(self, element: Element) -> None:
        if self.include.references:
            self.add(self.inline(element.first("title")) or "References", 2)
            self.items(element.all("ref"), ordered=True)

    def funding(self, element: Element) -> None:
        if self.include.funding:
            statement = " ".join(self.inline(part) for part in element.all("funding-statement"))
            self.add("Funding", 2)
            self.add(statement or self.inline(element))

    def listed(self, element: Element) -> None:
        self.add(self.inline(element.first("title")))
        items = (child for child in element.elements() if child.name == "list-item")
        self.items(items, ordered=element.attributes.get("list-type") in ("order", "arabic"))

    def definitions(self, element: Element) -> None:
        self.end_line()
        self.add(self.inline(element.first("title")))
        for item in element.elements():
            if item.name == "def-item":
                term, meaning = self.inline(item.first("term")), self.inline(item.first("def"))
                self.add(f"{term}: {meaning}" if term else meaning)

    def line(self, element: Element) -> None:
        self.walk(element)
        self.line_break(element)

    def display(self, element: Element) -> None:
        """A formula on lines of its own, with its number."""
        formula = self._formula(element)
        if formula is None:
            self.block(element)
        else:
            self.add(mathml.tagged(formula, _content(element.first("label"))) if formula else "")

    def inline_formula(self, element: Element) -> None:
        formula = self._formula(element)
        if formula is None:
            self.walk(element)
        elif formula:
            self.say(f"${formula}$")

    def _formula(self, element: Element) -> str | None:
        """LaTeX of the formula; empty where it is a picture only; None where it is written in plain text."""
        for name, reader in (("tex-math", _tex), ("math", mathml.latex)):
            if (found := next(element.all(name), None)) is not None and (formula := reader(found)):
                return formula
        if element.content.strip():
            return None
        self.images += any(True for _ in element.all("graphic", "inline-graphic"))
        return ""

    def tex(self, element: Element) -> None:
        if formula := _tex(element):
            self.say(f"${formula}$")

    def alternatives(self, element: Element) -> None:
        """One of several forms of the same thing: that which keeps most of it."""
        inside = {child.name: child for child in element.elements()}
        for name in ("tex-math", "math", "table", "code", "textual-form"):
            if name in inside:
                self.walk(Element("", {}, [inside[name]]))
                return
        self.walk(element)

    def figure(self, element: Element) -> None:
        """Label and caption."""
        if self.include.captions:
            self.end_line()
            caption = element.first("caption")
            parts = [_content(element.first("label")), *self._caption(caption)]
            self.add(sentences(part for part in parts if not _FILE_TYPE.fullmatch(part)))
            for child in element.elements():
                if child.name not in ("label", "caption"):
                    self.walk(Element("", {}, [child]))
            self.end_line()

    def _caption(self, caption: Element | None) -> list[str]:
        """The caption's title, and each of its paragraphs."""
        if caption is None:
            return []
        title = caption.first("title")
        rest = self.captured(Element("", {}, [child for child in caption.children if child is not title]))
        return [self.inline(title), *(one_line(block.text) for block in rest)]

    def table(self, element: Element) -> None:
        caption = element.first("caption")
        if self.include.captions:
            self.add(sentences([_content(element.first("label")), *self._caption(caption)]))
        if self.include.tables:
            for child in element.elements():
                if child.name not in ("label", "caption"):
                    self.walk(Element("", {}, [child]))
        self.end_line()

    def table_foot(self, element: Element) -> None:
        self.end_line()
        for block in self.captured(element):
            self.add(block.text)

    def cells(self, element: Element) -> None:
        """Rows of an XHTML or OASIS table."""
        names = ("tr", "row", "TR")
        heads = heads_of(element, names)
        rows = self._spread(rows_of(element, names))
        width = max(map(len, rows), default=0)
        for row in rows[:heads]:
            row += self._empty(width - len(row))
        self.rows(rows, heads)

    def _spread(self, rows: Iterable[Element]) -> list[list[str]]:
        """The cells of a table, each in its column: one that spans several has empty ones beside and below it."""
        out: list[list[str]] = []
        below: dict[int, int] = {}  # column -> rows that a cell above still covers
        for row in rows:
            line: list[str] = []
            for cell in [*row.elements(), None]:
                while below.get(len(line)) and (empty := self._empty(1)):
                    below[len(line)] -= 1
                    line += empty
                if cell is not None:
                    across, down = _spans(cell)
                    start = len(line)
                    line += [self.inline(cell), *self._empty(across - 1)]
                    below.update(dict.fromkeys(range(start, len(line)), down - 1))
            out.append(line)
        return out

    def _empty(self, count: int) -> list[str]:
        """Empty cells, as many as may be."""
        count = max(0, min(count, _MAX_SPANNED - self._spanned))
        self._spanned += count
        return [""] * count

    def statement(self, element: Element) -> None:
        """A theorem, a proof, a definition: its name begins the paragraph."""
        self.end_line()
        name = sentences([_content(element.first("label")), self.inline(element.first("title"))])
        self.say(f"{name} ")
        for child in element.elements():
            if child.name not in ("label", "title"):
                if child.name == "p":
                    self.walk(child)
                    self.end_line()
                else:
                    self.walk(Element("", {}, [child]))
        self.end_line()

    def superscript(self, element: Element) -> None:
        if self._cites or any(ref.attributes.get("ref-type") == "bibr" for ref in element.all("xref")):
            self.say(cited(self.inline(element)))
        else:
            super().superscript(element)

    def reference(self, element: Element) -> None:
        kind = element.attributes.get("ref-type")
        if kind not in ("fn", "table-fn", "aff", "corresp"):
            before, self._cites = self._cites, kind == "bibr"
            self.walk(element)
            self._cites = before

    def foot_note(self, element: Element) -> None:
        kind = element.attributes.get("fn-type", "")
        if (kind in ("con", "corresp", "equal", "present-address", "conflict", "COI-statement", "deceased")
                and not self.include.authors) or (kind in ("financial-disclosure", "supported-by")
                and not self.include.funding):  # fmt: skip
            return
        self.note(element)


def _spans(cell: Element) -> tuple[int, int]:
    """How many columns and rows a cell of an XHTML or OASIS table takes."""
    given = cell.attributes.get
    first, last = (_NUMBER.search(given(name, "")) for name in ("namest", "nameend"))
    across = int(last[0]) - int(first[0]) + 1 if first and last else _number(given("colspan", ""), 1)
    return across, _number(given("rowspan", ""), 1) + _number(given("morerows", ""), 0)


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 5 else default


def _tex(element: Element) -> str:
    """What a `tex-math` element holds, often a whole LaTeX document, without the dollar signs."""
    body = _TEX_BODY.search(element.content)
    formula = one_line(body[1] if body else element.content)
    while formula[:1] == "$" and formula[-1:] == "$" and len(formula) > 1:
        formula = formula[1:-1].strip()
    return formula


def cited(number: str) -> str:
    """A raised number that points to the bibliography, in brackets, that it may not run into the word before it."""
    return number if not number or number[0] in "[(" else f" [{number}]"


def sentences(parts: Iterable[str]) -> str:
    """Label, title and text of a caption in one line, each ended by a full stop."""
    out = ""
    for part in parts:
        if part:
            out += f"{'' if not out else ' ' if out[-1] in '.:?!' else '. '}{part}"
    return out
