"""A tree of elements written as blocks of text. Vocabularies (JATS, CNXML, XHTML, ...) are subclasses.

An element that a vocabulary does not name is transparent: what is in it is written as if the element were not there.
So text is lost only where a vocabulary says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

from firn.data.markup import mathml
from firn.data.markup.work import Block, one_line
from firn.data.markup.xml import Element

# Within a line: a break that stays. Unicode's own sign for it, which no XML file of ours holds as text.
BREAK = "\u2028"

# Pretty-printed files break the line after a bracket, where no space is meant.
_AFTER_BRACKET = re.compile(r"(?<=[(\[{])[ \t]*\n\s*")
# Where a line may or may not be broken: nothing of the text.
_INVISIBLE = re.compile("[\u00ad\u2060\ufeff]")
_BREAKS = re.compile(f" ?{BREAK} ?")
_RAISED = str.maketrans(
    "0123456789+-\u2212\u2013", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b\u207b"
)
# Lists and quotations within one another that are marked; in a hostile file, every level would add to every line.
_DEEPEST = 8
_EXPONENT = re.compile("[0-9]*[+\u2212\u2013-]?[0-9]*")


class Renderer:
    """Writes one document. `forms`: element name -> method; `left_out`: elements that are skipped with all in them."""

    left_out: ClassVar[frozenset[str]] = frozenset()
    forms: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._inside = 0  # of lists and quotations
        self.level = 0  # of the section that is being written; 0: the work itself
        self._line: list[str] = []
        self._notes: list[Block] = []
        self._forms: dict[str, Callable[[Element], None]] = {
            name: getattr(self, method) for name, method in self.forms.items()
        }

    def walk(self, element: Element) -> None:
        """Write what is in the element."""
        for child in element.children:
            if isinstance(child, str):
                self._line.append(child)
            elif child.name not in self.left_out:
                form = self._forms.get(child.name)
                if form is None:
                    self.walk(child)
                else:
                    form(child)

    def say(self, text: str) -> None:
        """Go on with the line."""
        self._line.append(text)

    def end_line(self) -> None:
        """End the paragraph, if one has begun; the notes to it follow."""
        text = _INVISIBLE.sub("", _AFTER_BRACKET.sub("", "".join(self._line)))
        text = _BREAKS.sub("\n", one_line(text)).strip("\n")
        self._line.clear()
        if text:
            self.blocks.append(Block(text))
            self.blocks.extend(self._notes)
            self._notes.clear()

    def add(self, text: str, level: int = 0) -> None:
        """A block of its own, after the paragraph that may have begun."""
        self.end_line()
        if text.strip():
            self.blocks.append(Block(text, level))

    def finish(self) -> list[Block]:
        """All blocks."""
        self.end_line()
        self.blocks.extend(self._notes)
        self._notes.clear()
        return self.blocks

    def captured(self, element: Element) -> list[Block]:
        """The blocks that the element gives, apart from the document's own."""
        before = self.blocks, self._line, self._notes
        self.blocks, self._line, self._notes = [], [], []
        try:
            self.walk(element)
            return self.finish()
        finally:
            self.blocks, self._line, self._notes = before

    def inline(self, element: Element | None) -> str:
        """The element on one line."""
        if element is None:
            return ""
        return one_line(" ".join(block.text for block in self.captured(element)))

    # Forms that vocabularies share.

    def block(self, element: Element) -> None:
        """A paragraph, or anything that begins and ends on a line of its own."""
        self.end_line()
        self.walk(element)
        self.end_line()

    def line_break(self, element: Element) -> None:
        self.say(BREAK)

    def space(self, element: Element) -> None:
        self.say(" ")

    def superscript(self, element: Element) -> None:
        self.say(raised(self.inline(element)))

    def formula(self, element: Element) -> None:
        """MathML within the line, or on a line of its own where it says so."""
        if element.attributes.get("display") == "block":
            self.add(mathml.display(element))
        else:
            self.say(mathml.inline(element))

    def quotation(self, element: Element) -> None:
        """Lines marked by `>`."""
        self._inside += 1
        text = "\n\n".join(block.text for block in self.captured(element))
        self._inside -= 1
        if self._inside < _DEEPEST:
            text = "\n".join(f"> {line}".rstrip() for line in text.split("\n")) if text else ""
        self.add(text)

    def listing(self, element: Element) -> None:
        """Program text, fenced, as it stands."""
        self.add(fenced(element.content, element.attributes.get("language", element.attributes.get("lang", ""))))

    def note(self, element: Element) -> None:
        """A footnote: after the paragraph that it is in."""
        self._notes.extend(self.captured(element))

    def items(self, elements: Iterable[Element], ordered: bool = False, start: int = 1) -> None:
        """A list, one item a line; what an item holds beyond its first line is indented."""
        lines = []
        self._inside += 1
        for number, element in enumerate(elements, start):
            mark = f"{number}. " if ordered else "- "
            text = "\n".join(block.text for block in self.captured(element))
            if text:
                lines.append(mark + (text.replace("\n", "\n" + " " * len(mark)) if self._inside < _DEEPEST else text))
        self._inside -= 1
        self.add("\n".join(lines))

    def rows(self, rows: Sequence[Sequence[str]], heads: int = 1) -> None:
        """A table. rows: of cells, each on one line. heads: rows at the top that head the columns."""
        self.add(table(rows, heads))


def raised(text: str) -> str:
    """Exponents and charges in raised characters, so that 10\u207b\u00b3 does not become 10-3."""
    if _EXPONENT.fullmatch(text):
        return text.translate(_RAISED)
    if text[0] == "[" or (text.isalpha() and len(text) > 1) or not any(map(str.isalnum, text)):  # 4th, a prime, a star
        return text
    return f"^{text}" if len(text) == 1 else f"^({text})"


def rows_of(table: Element, names: Sequence[str]) -> Iterator[Element]:
    """The rows of a table, by the names that rows have, without those of tables within it."""
    for child in table.elements():
        if child.name in names:
            yield child
        elif child.name.lower() in ("thead", "tbody", "tfoot", "tgroup"):
            yield from rows_of(child, names)


def heads_of(table: Element, names: Sequence[str]) -> int:
    """How many of its rows head the columns."""
    return sum(
        1
        for part in table.elements()
        for head in ((part,) if part.name.lower() == "thead" else part.elements() if part.name == "tgroup" else ())
        if head.name.lower() == "thead"
        for _ in rows_of(head, names)
    )


def table(rows: Sequence[Sequence[str]], heads: int = 1) -> str:
    """Rows of cells as Markdown has tables; empty rows are left out."""
    kept = [row for row in rows if any(row)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in kept]
    if lines and heads:
        lines.insert(min(heads, len(lines)), "|" + " --- |" * len(kept[0]))
    return "\n".join(lines)


def fenced(code: str, language: str = "") -> str:
    """Program text between fences longer than any within it."""
    code = code.replace("\r\n", "\n").strip("\n").rstrip()
    if not code.strip():
        return ""
    longest = max((len(run) for run in re.findall("`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language if language.isalnum() else ''}\n{code}\n{fence}"
