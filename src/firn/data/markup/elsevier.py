"""The article XML of Elsevier (`ja` and `ce` vocabularies), as its text-mining service and open corpora give it."""

from __future__ import annotations

from typing import ClassVar

from firn.data.markup import licenses, mathml
from firn.data.markup.jats import Include, left_out, sentences
from firn.data.markup.render import Renderer, heads_of, rows_of
from firn.data.markup.work import Work, date, one_line
from firn.data.markup.xml import Element

_ARTICLES = ("article", "converted-article", "simple-article", "book-review", "exam", "chapter")


def work(root: Element, include: Include) -> Work:
    """The article in a file whose root is `doc`, `full-text-retrieval-response` or the article itself."""
    article = root if root.name in _ARTICLES else next(root.all(*_ARTICLES), root)
    head = article.first("head") or article.first("simple-head") or Element("")
    text = _Elsevier(include, {e.attributes["id"]: e for e in article.all("figure", "table") if "id" in e.attributes})
    title = text.inline(head.first("title"))
    for part in head.elements():
        if part.name == "abstract" and part.attributes.get("class") not in ("graphical", "teaser"):
            text.abstract(part)
        elif part.name == "author-group" and include.authors:
            text.add(", ".join(one_line(author.content) for author in part.all("author")))
    for part in article.elements():
        if part.name == "body":
            text.walk(part)
        elif part.name == "tail" and include.references:
            text.references(part)
    text.rest_of_floats()
    made = Work(title, text.finish(), language=article.attributes.get("xml:lang"))
    made.published = date(_first(root, "cover-date-start", "coverDate", "cover-date-year") or "")
    url = _first(root, "oa-user-license", "openaccessUserLicense")
    made.license = licenses.from_url(url) if url else licenses.from_text(_first(root, "copyright") or "")
    doi, journal = _first(root, "doi"), _first(root, "srctitle", "publicationName")
    made.url = f"https://doi.org/{doi}" if doi else None
    made.meta = {key: value for key, value in (("doi", doi), ("journal", journal)) if value}
    return made


def _first(root: Element, *names: str) -> str | None:
    found = next(root.all(*names), None)
    return one_line(found.content) if found is not None else None


class _Elsevier(Renderer):
    left_out: ClassVar = frozenset(
        "link label e-component alt-text object hsp-none keywords floats footnote-ref biography intra-ref-end "
        "copyright-line table-footnote-ref".split()
    )
    forms: ClassVar = {
        "para": "block", "simple-para": "block", "note-para": "block", "section-title": "block",
        "section": "section", "acknowledgment": "section", "appendices": "block", "display": "block",
        "formula": "display", "math": "formula", "float-anchor": "anchor", "figure": "float", "table": "float",
        "list": "listed", "def-list": "definitions", "displayed-quote": "quotation", "enunciation": "statement",
        "footnote": "note", "sup": "superscript", "hsp": "space", "vsp": "space", "br": "line_break",
        "textbox": "block", "verbatim": "listing", "glossary": "section",
    }  # fmt: skip

    def __init__(self, include: Include, floats: dict[str, Element]) -> None:
        super().__init__()
        self.include = include
        self._floats = floats
        self._placed: set[str] = set()

    def abstract(self, element: Element) -> None:
        """Abstract or highlights, under the heading they have."""
        self.add(self.inline(element.first("section-title")) or "Abstract", 2)
        for part in element.elements():
            if part.name == "abstract-sec":
                self.add(self.inline(part.first("section-title")), 3)
                self.walk(_without(part, "section-title"))
                self.end_line()

    def section(self, element: Element) -> None:
        title = self.inline(element.first("section-title"))
        if left_out(title, self.include):
            return
        if title:
            self.add(title, self.level + 2)
        before = len(self.blocks)
        self.level += 1
        self.block(_without(element, "section-title"))
        self.level -= 1
        if title and len(self.blocks) == before:
            self.blocks.pop()

    def display(self, element: Element) -> None:
        """A formula on lines of its own, or several, with a number."""
        label = self.inline(element.first("label"))
        formulas = [formula for math in element.all("math") if (formula := mathml.latex(math))]
        if formulas:
            self.add("\n".join(mathml.tagged(formula, label) for formula in formulas))
        else:
            self.block(_without(element, "label"))

    def anchor(self, element: Element) -> None:
        """Where a figure or table, which the file keeps elsewhere, is to be."""
        found = self._floats.get(element.attributes.get("refid", ""))
        if found is not None:
            self.float(found)

    def float(self, element: Element) -> None:
        name = element.attributes.get("id", "")
        if name in self._placed:
            return
        self._placed.add(name)
        # It may stand within a sentence that goes on after it.
        line, self._line = self._line, []
        if self.include.captions:
            captions = [self.inline(child) for child in element.elements() if child.name == "caption"]
            self.add(sentences([self.inline(element.first("label")), *captions]))
        if element.name == "table" and self.include.tables:
            for group in element.elements():
                if group.name == "tgroup":
                    rows = [[self.inline(cell) for cell in row.elements()] for row in rows_of(group, ("row",))]
                    self.rows(rows, heads_of(group, ("row",)))
            for note in element.elements():
                if note.name in ("legend", "table-footnote"):
                    self.add(self.inline(note))
        self._line = line

    def rest_of_floats(self) -> None:
        """Figures and tables that no anchor has placed, in the file's order."""
        for element in self._floats.values():
            self.end_line()
            self.float(element)

    def references(self, tail: Element) -> None:
        """The bibliography, one entry a line."""
        self.add("References", 2)
        self.items(tail.all("bib-reference"), ordered=True)

    def listed(self, element: Element) -> None:
        items = [child for child in element.elements() if child.name == "list-item"]
        labels = [self.inline(item.first("label")).strip("().[]") for item in items]
        self.items(items, ordered=bool(labels) and all(label.isdigit() for label in labels))

    def definitions(self, element: Element) -> None:
        """Terms and what they mean, which stand beside one another."""
        term = ""
        for child in element.elements():
            if child.name == "def-term":
                term = self.inline(child)
            elif child.name == "def-description":
                self.add(f"{term}: {self.inline(child)}")

    def statement(self, element: Element) -> None:
        """A theorem, a proof, a definition: its name begins the paragraph."""
        name = sentences([self.inline(element.first("label")), self.inline(element.first("section-title"))])
        self.end_line()
        self.say(f"{name}. " if name else "")
        first = True
        for child in element.elements():
            if child.name == "para" and first:
                self.walk(child)
                self.end_line()
                first = False
            elif child.name not in ("label", "section-title"):
                self.walk(Element("", {}, [child]))
        self.end_line()


def _without(element: Element, name: str) -> Element:
    """The element but for its first child of that name."""
    own = element.first(name)
    return Element(element.name, element.attributes, [child for child in element.children if child is not own])
