"""Formulas of LaTeX: they stay LaTeX, without labels; those that are referred to keep their numbers."""

from __future__ import annotations

import re

from firn.data.markup.latex_names import LINES
from firn.data.markup.latex_tokens import TokenReader
from firn.data.markup.mathml import tagged
from firn.data.markup.tex_lexer import VERBATIM
from firn.data.markup.work import one_line

_UNNUMBERED = ("\\nonumber", "\\notag")
# A number as plain TeX has it, at the end of the formula; and what is around the number itself.
_EQNO = re.compile(r"\\l?eqno(?![a-zA-Z])(.*)", re.DOTALL)
_AROUND = re.compile(r"[{}$]|\\[a-zA-Z]+\s*")
_LONG = 200  # tokens of a formula in a line that has others within it
_MAX_STRAYS = 1_000  # such formulas whose braces are not closed; beyond, a dollar ends a formula wherever it stands
_CONTROL_WORD = re.compile(r"\\[a-zA-Z]+\*?\Z")


class FormulaReader(TokenReader):
    """Reads formulas, and numbers equations."""

    def __init__(self) -> None:
        super().__init__()
        self._equations = 0
        self._strays = 0
        self._labels: dict[str, tuple[str, str]] = {}  # key -> kind and number of what it is put on

    def dollars(self, token: str) -> None:
        start = self._at
        end = self._formula_end(token == "$$")
        if end is None:  # a lone dollar
            self._say("$")
            return
        self._at = end + 1
        self._show(self._tokens[start:end], display=token == "$$")

    def _formula_end(self, display: bool) -> int | None:
        """Where the formula ends that has begun; None where its paragraph ends before. Dollars within braces are of
        formulas in its words, as in `\\hbox{if $x$}`, unless the braces are never closed."""
        depth, first = 0, None
        for at in range(self._at, len(self._tokens)):
            token = self._tokens[at]
            if token == "$" and depth > 0 and self._strays < _MAX_STRAYS:
                first = at if first is None else first
            elif token in ("$", "$$"):
                return at if display or depth <= 0 or first is None else first
            if not display and (token == "\\par" or (first is not None and at - self._at > _LONG)):
                self._strays += first is not None
                return first
            depth += (token == "{") - (token == "}")
        return len(self._tokens) if first is None else first

    def _math(self, token: str) -> None:
        """Between \\( and \\), or \\[ and \\]."""
        close = "\\)" if token == "\\(" else "\\]"
        if close in self._unclosed:
            return
        try:
            end = self._tokens.index(close, self._at)
        except ValueError:
            self._unclosed.add(close)
            return
        body = self._tokens[self._at : end]
        self._at = end + 1
        self._show(body, display=token == "\\[")

    def _show(self, tokens: list[str], display: bool) -> None:
        formula = source(tokens)
        if not formula:
            return
        if display and not self._hidden:
            formula, tag = self._tag(formula, numbered=False)
            self._add(tagged(formula, tag))
        else:
            self._say(f"${formula}$")

    def _formula(self, name: str) -> None:
        """An environment that is a formula, with the number that its label stands for."""
        if name.startswith(("alignat", "IEEEeqnarray")):
            self._argument()
        formula = source(self._environment(name))
        numbered = not name.endswith("*") and name not in ("math", "displaymath")
        bare = name.rstrip("*")
        if name == "math":
            self._say(f"${formula}$")
        elif bare not in LINES:
            formula, tag = self._tag(formula, numbered)
            self._add(tagged(formula, tag) if formula else "")
        else:
            lines = [self._tag(line, numbered and bare != "multline") for line in formula.split("\\\\")]
            text = " \\\\\n".join(line + (f" \\tag{{{tag}}}" if tag else "") for line, tag in lines)
            bare = "eqnarray" if bare == "IEEEeqnarray" else bare.replace("alignat", "align")
            self._add(f"\\begin{{{bare}*}}\n{text.strip()}\n\\end{{{bare}*}}" if formula else "")

    def _tag(self, formula: str, numbered: bool) -> tuple[str, str]:
        """A line of a formula without its label, and its number where the label makes it one that is referred to."""
        if any(word in formula for word in _UNNUMBERED):
            numbered = False
            for word in _UNNUMBERED:
                formula = formula.replace(word, "")
        labels = re.findall(r"\\label\s*\{([^{}]*)\}", formula)
        formula = one_line(re.sub(r"\\label\s*\{[^{}]*\}", "", formula))
        own = re.search(r"\\tag\*?\s*\{([^{}]*)\}", formula) if formula.count("\\tag") == 1 else None
        number = own[1].strip("$") if own else ""
        if own:
            formula = one_line(formula.replace(own[0], ""))
        elif plain := _EQNO.search(formula):
            formula, number = one_line(formula[: plain.start()]), _AROUND.sub("", plain[1]).strip(" ()")
        elif numbered and formula:
            self._equations += 1
        for label in labels:
            self._labels.setdefault(label, ("Equation", number or str(self._equations)))
        return formula, number or (str(self._equations) if labels and numbered else "")


def source(tokens: list[str]) -> str:
    """Tokens of a formula as LaTeX."""
    out: list[str] = []
    for token in tokens:
        if token == "\\par":
            token = " "
        elif token[0] == VERBATIM:
            token = token.rpartition(VERBATIM)[2]
        elif token in ("\\ensuremath", "\\displaystyle", "\\textstyle", "\\limits@"):
            continue
        elif out and token[0].isalpha() and _CONTROL_WORD.match(out[-1]):
            token = f" {token}"
        out.append(token)
    return one_line("".join(out))
