"""Lists, tables and listings of LaTeX."""

from __future__ import annotations

import re

from firn.data.markup.jats import Include
from firn.data.markup.latex_formulas import FormulaReader
from firn.data.markup.latex_names import ENVIRONMENT_ARGUMENTS
from firn.data.markup.render import fenced, table
from firn.data.markup.tex_lexer import VERBATIM

_ROWS = re.compile(r"\\\\|\\tabularnewline|\\cr")

_SPAN = re.compile(r"\{? ?([0-9]{1,2})")
# Empty cells that spans may add to a paper's tables.
_MAX_SPANNED = 100_000


class BlockReader(FormulaReader):
    """Reads environments that are written as one block."""

    def __init__(self, include: Include) -> None:
        super().__init__()
        self._include = include
        self._spanned = 0  # empty cells so far
        self._labelled = ("Section", "")  # what a label that comes next is put on

    def _list(self, name: str) -> None:
        self._optional()
        for _ in range(ENVIRONMENT_ARGUMENTS.get(name, 0)):
            self._argument()
        items: list[list[str]] = []
        depth = 0
        for token in self._environment(name):
            depth += (token == "\\begin") - (token == "\\end")
            if token == "\\item" and not depth:
                items.append([])
            elif items:
                items[-1].append(token)
        if "enum" in name and not self._hidden:
            self._labelled = ("Item", "")
        lines, number = [], 0
        for item in items:
            label = self._label_of(item)
            if "enum" in name and label is None:
                number += 1
                mark = f"{number}. "
                self._labelled = ("Item", str(number))
            else:
                mark = "- "
            text = "\n".join(block.text for block in self.captured(item))
            if label and name != "list":
                text = f"{label.rstrip(':')}: {text}"
            if text:
                lines.append(mark + text.replace("\n", "\n" + " " * len(mark)))
        self._add("\n".join(lines))

    def _label_of(self, item: list[str]) -> str | None:
        """The label that an item has in brackets, which is taken out of it."""
        before = self._tokens, self._at
        self._tokens, self._at = item, 0
        label = self._optional()
        del item[: self._at]
        self._tokens, self._at = before
        return None if label is None else self.inline(label)

    def _rows(self, name: str) -> None:
        self._optional()
        for _ in range(ENVIRONMENT_ARGUMENTS.get(name, 1)):
            self._argument()
        rows: list[list[list[str]]] = [[[]]]
        depth = 0
        for token in self._environment(name):
            depth += (token in ("{", "\\begin")) - (token in ("}", "\\end"))
            if depth:
                rows[-1][-1].append(token)
            elif _ROWS.fullmatch(token):
                rows.append([[]])
            elif token == "&":
                rows[-1].append([])
            elif token not in ("\\hline", "\\toprule", "\\midrule", "\\bottomrule", "\\endhead", "\\endfirsthead"):
                rows[-1][-1].append(token)
        if self._include.tables:
            cells = [[text for cell in row for text in self._cell(cell)] for row in rows]
            cells = [row for row in cells if any(row)]
            width = max(map(len, cells), default=0)
            for row in cells[:1]:
                row += self._empty(width - len(row))
            text = cells[0][0] if width == 1 and len(cells) == 1 else table(cells)
            self._add(text)

    def _cell(self, tokens: list[str]) -> list[str]:
        """What a cell holds, and empty cells beside one that spans several columns."""
        span = 1
        if "\\multicolumn" in tokens:
            at = tokens.index("\\multicolumn") + 1
            found = _SPAN.match("".join(tokens[at : at + 3]))
            span = int(found[1]) if found else 1
        return [self.inline(tokens), *self._empty(span - 1)]

    def _empty(self, count: int) -> list[str]:
        """Empty cells, as many as may be."""
        count = max(0, min(count, _MAX_SPANNED - self._spanned))
        self._spanned += count
        return [""] * count

    def verbatim(self, token: str) -> None:
        name, _, text = token[1:].partition(VERBATIM)
        if not name:
            self._say(text)
            return
        if name == "minted":
            options = re.match(r"(?:\[[^\]]*\])?\{(\w*)\}", text)
            language = options[1] if options else ""
            text = text[options.end() :] if options else text
        else:
            options = re.match(r"\s*\[((?:[^\[\]]|\[[^\]]*\])*)\]", text)
            text = text[options.end() :] if options else text
            found = re.search(r"language=\W*(\w+)", options[1]) if options else None
            language = found[1].lower() if found else ""
        self._add(fenced(text, language))
