"""Lines: headings, lists, tables and paragraphs, as plain text.

Blocks stand apart by an empty line. Items of lists begin with `- ` or their number, rows of tables are lines of cells
joined by ` | `, and a heading with nothing below it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from firn.data.wikitext.inline import breaks, clean, plain
from firn.data.wikitext.tags import BREAK, KEPT, NOTHING

# Begins a line that is a finished row of an inner table.
_ROW = "\x06"
_TABLES = 20  # within each other
_LEVELS = 12  # of a list
# A cell with more lines is no cell of data, but a part of the page that a table lays out.
_CELL_LINES = 3
_FURNITURE = re.compile(
    r"\b(?:infobox|navbox|vertical-navbox|sidebar|ambox|tmbox|metadata|vcard|taxobox|noprint|toc|succession-box|"
    r"navigation-not-searchable|navbox-\w+)\b|display\s*:\s*none",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\|\|")
_HEADER_SEPARATOR = re.compile(r"\|\||!!")
_PARAMETER = re.compile(r"[|!]\s*[\w -]{1,40}=")
_ATTRIBUTES = re.compile(
    r"^(?:\s*\b(?:colspan|rowspan|style|class|align|valign|bgcolor|width|height|scope|data-sort-value)\s*=\s*+"
    r"(?:\"[^\"\n]*+\"|'[^'\n]*+'|[^\s|\"']++))++",
    re.IGNORECASE,
)
_LIST = re.compile(r"^[*#:;]+\s*")
# Scripts that write no spaces: Chinese characters, kana, their punctuation, Thai.
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uff65]")
_WORD = re.compile(rf"\w|{KEPT}")


class _Table:
    """A table that is open. rows: of cells, each a list of lines."""

    __slots__ = ("before", "furniture", "rows")

    def __init__(self, attributes: str):
        self.furniture = _FURNITURE.search(attributes) is not None
        self.rows: list[list[list[str]]] = [[]]
        self.before: list[str] = []


class Layout:
    """Feed it the lines of a page, then take `text`."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._headings: list[tuple[int, str]] = []  # with nothing below them so far
        self._terms: list[str] = []  # likewise
        self._vanished = False  # an item below these terms, which was a template
        self._tables: list[_Table] = []
        self._last = ""  # kind of the last block
        self._broken = False  # what comes next is on a line of its own
        self._list = ""  # marks of the last item
        self._numbers = [0] * _LEVELS

    def feed(self, line: str) -> None:
        """The next line."""
        if line[:1] == BREAK:
            self._broken = True
        line = line.lstrip(BREAK + NOTHING)
        if "{|" in line and line.lstrip(f":*; \t{BREAK}{NOTHING}").startswith("{|"):
            if len(self._tables) < _TABLES:
                self._tables.append(_Table(line))
        elif self._tables:
            self._in_table(line.strip(f" \t{NOTHING}"), line)
        else:
            self._flow(line)

    def text(self) -> str:
        """What was fed, laid out."""
        while self._tables:
            self._tables[-1].furniture = False  # never closed: the rest of the page may be in it
            self._close()
        self._end_terms()
        self._write_terms()
        return "".join(self._out).strip("\n")

    # Tables

    def _in_table(self, bare: str, line: str) -> None:
        table = self._tables[-1]
        if bare.startswith("|}"):
            self._close()
            if rest := bare[2:].strip(f" |}}{BREAK}"):
                self.feed(rest)
        elif bare.startswith("|-"):
            table.rows.append([])
        elif bare.startswith("|+"):
            table.rows.append([[_content(bare[2:])]])
            table.rows.append([])
        elif bare.startswith("|"):
            table.rows[-1].extend([_content(cell)] for cell in _SEPARATOR.split(bare[1:]))
        elif bare.startswith("!"):
            table.rows[-1].extend([_content(cell)] for cell in _HEADER_SEPARATOR.split(bare[1:]))
        elif table.rows[-1]:
            table.rows[-1][-1].append(line)
        elif bare:
            table.before.append(line)

    def _close(self) -> None:
        """Write the innermost table out, into the cell of the next or into the text."""
        table = self._tables.pop()
        if table.furniture:
            return
        write: Callable[[str], None] = self._flow
        if self._tables:
            outer = self._tables[-1]
            write = outer.rows[-1][-1].append if outer.rows[-1] else outer.before.append
        for line in table.before:
            write(line)
        for row in table.rows:
            cells: list[str] = []
            for lines in row:
                filled = [line for line in lines if line.strip()]
                if len(filled) > _CELL_LINES or (
                    len(filled) > 1 and any(line[0] in f"={KEPT}{_ROW}" for line in filled)
                ):
                    _write_row(write, cells)
                    cells = []
                    for line in lines:
                        write(line)
                    write("")
                else:
                    cells.append(_joined(filled))
            _write_row(write, cells)
        write("")

    # Text

    def _flow(self, line: str) -> None:
        """A line outside of tables."""
        self._line(line)
        self._broken = line.rstrip(f" \t{NOTHING}")[-1:] == BREAK

    def _line(self, line: str) -> None:
        first = line[:1]
        if not line.strip():
            self._last = self._list = ""
        elif first == _ROW:
            self._write("row", line[1:])
        elif first == "=" and self._heading(line):
            return
        elif first in "*#:;":
            self._item(line)
        elif first == " " and self._last in ("code", ""):
            self._write("code", breaks(plain(line[1:]), "\n").rstrip())
        elif first == "|" or (first == "!" and _PARAMETER.match(line)):
            # Of a table or template whose begin is not there.
            if not line.startswith(("|}", "|-")) and not _PARAMETER.match(line):
                self._write("text", breaks(clean(line.lstrip("|")), "\n"))
        else:
            text = breaks(clean(line.lstrip("-") if line.startswith("----") else line), "\n")
            self._write("kept" if text.startswith(KEPT) and text.count(KEPT) == 2 else "text", text)

    def _heading(self, line: str) -> bool:
        line = line.rstrip(f" \t{BREAK}{NOTHING}")
        level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
        text = breaks(clean(line[level:-level]), " ") if level and len(line) > 2 * level else ""
        if not level or not text.strip("= "):
            return level > 0
        self._end_terms()
        self._write_terms()
        while self._headings and self._headings[-1][0] >= level:
            self._headings.pop()
        self._headings.append((level, text))
        self._list = ""
        return True

    def _item(self, line: str) -> None:
        found = _LIST.match(line)
        marks = found[0].strip()[:_LEVELS] if found else ""
        text = breaks(clean(line[found.end() if found else 0 :]), "\n")
        if not _WORD.search(text):
            self._vanished = bool(self._terms)
            return
        if marks == ";" and " : " not in text:
            self._end_terms()
            self._terms.append(text)
            self._list = marks
            return
        common = 0
        while common < min(len(marks), len(self._list)) and marks[common] == self._list[common]:
            common += 1
        self._numbers[common:] = [0] * (_LEVELS - common)
        self._list = marks
        depth = sum(mark in "*#" for mark in marks[:-1])
        bullet = ""
        if marks[-1] == "*":
            bullet = "- "
        elif marks[-1] == "#":
            self._numbers[len(marks) - 1] += 1
            bullet = f"{self._numbers[len(marks) - 1]}. "
        elif marks[-1] == ";":
            text = text.replace(" : ", ": ", 1)
        self._write("list", f"{'  ' * depth}{bullet}{text}")

    def _end_terms(self) -> None:
        """Nothing follows that belongs to the terms: those whose items were templates go."""
        if self._vanished:
            self._terms.clear()
            self._vanished = False

    def _write_terms(self) -> None:
        self._vanished = False
        for term in self._terms:
            self._write_block("list", term)
        self._terms.clear()

    def _write(self, kind: str, text: str) -> None:
        if text.strip() and (kind != "text" or _WORD.search(text)):
            self._write_terms()
            self._write_block(kind, text)

    def _write_block(self, kind: str, text: str) -> None:
        if kind != "list":
            self._list = ""
        for _, heading in self._headings:
            self._out += ["\n\n", heading]
            self._last = ""
        self._headings.clear()
        if kind != self._last:
            self._out.append("\n\n")
        elif kind == "text" and not self._broken:  # the same paragraph
            self._out.append("" if _UNSPACED.match(text) or _UNSPACED.match(self._out[-1][-1:]) else " ")
        else:
            self._out.append("\n")
        self._out.append(text)
        self._last = kind


def _content(cell: str) -> str:
    """What a cell holds, without its attributes: `style="x" | content`."""
    attributes, bar, content = cell.partition("|")
    if bar and ("=" in attributes or attributes.strip().lower() in ("", "nowrap")):
        cell = content
    # A template that was to bring the bar with it is no longer there.
    return _ATTRIBUTES.sub("", cell, 1).lstrip()


def _joined(lines: list[str]) -> str:
    """The lines of a cell as one."""
    parts: list[str] = []
    for line in lines:
        text = breaks(line.removeprefix(_ROW), "\n")
        parts += [clean(_LIST.sub("", part, 1) or part) for part in text.split("\n") if part]
    out = ""
    for part in parts:
        if part:
            out += (
                " " if out.endswith((",", ";", ":", ".", "(", "–", "-", "/")) or part[0] in "(,;/–" else ", "
            ) + part
    return out[1:].lstrip() if out[:1] in (",", " ") else out


def _write_row(write: Callable[[str], None], cells: list[str]) -> None:
    row = " | ".join(cells).rstrip(" |")
    if _WORD.search(row):
        write(_ROW + " ".join(row.split(" ")))
