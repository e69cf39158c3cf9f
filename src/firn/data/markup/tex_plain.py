"""AMS-TeX and plain TeX as LaTeX: what stands between `\\title` and `\\endtitle` becomes the argument of a command.

For documents without `\\begin{document}` only: a LaTeX author may give any of these names to something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# AMS-TeX (amsppt): what stands between `\name` and `\endname` is the argument of another command ...
_ARGUMENTS = {
    "title": "\\title", "head": "\\section*", "heading": "\\section*", "specialhead": "\\section*",
    "subhead": "\\subsection*", "subheading": "\\subsection*", "subsubhead": "\\subsubsection*",
}  # fmt: skip
# ... or left out.
_LEFT_OUT = "author affil address curraddr email date thanks translator keywords subjclass dedicatory Refs ref".split()
# Within formulas, what stands between is an environment.
_ENVIRONMENTS = {
    **{name: name for name in "matrix pmatrix bmatrix vmatrix Vmatrix smallmatrix cases split aligned".split()},
    "align": "aligned", "gather": "gathered", "gathered": "gathered", "multline": "multlined",
}  # fmt: skip
_STATEMENTS = "proclaim demo definition remark example".split()
_ENDS_STATEMENT = frozenset(f"\\end{name}" for name in _STATEMENTS)
_ENDS_NUMBER = frozenset(["$", "$$", "\\\\", "\\par", *(f"\\end{name}" for name in _ENVIRONMENTS)])
_ENDS_DOCUMENT = ("\\bye", "\\enddocument")
_SETTINGS = ("\\headline", "\\footline", "\\output", "\\everypar", "\\everydisplay")
_LENGTH = re.compile(r"=[-+]?[\d.]+(?:true)?(?:pt|cm|mm|in|em|ex|bp|pc|dd|sp)?")
# What ends a paragraph, unlike in LaTeX.
_VERTICAL = frozenset("\\bigskip \\medskip \\smallskip \\vskip \\vfill \\eject \\hrule".split())
_REFERENCES = re.compile(r"references|bibliography", re.IGNORECASE)
_MAX_NUMBER = 12  # tokens
_MAX_HEADING = 300


def as_latex(tokens: Sequence[str]) -> list[str]:
    """The tokens of a whole document, its macros expanded, up to its end."""
    return _Translator(tokens).run()


class _Translator:
    def __init__(self, tokens: Sequence[str]):
        self._tokens, self._at = list(tokens), 0
        self._there = set(tokens)
        self._cites_itself = "\\bibitem" not in self._there
        self._out: list[str] = []

    def run(self) -> list[str]:
        formula = False
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if token in _ENDS_DOCUMENT:
                break
            formula ^= token in ("$", "$$")
            if token == "{" and not formula and self._is_references():
                self._at -= 1
                self._out += ["\\section*", "{", *self._group(), "}"]
            elif token[0] != "\\":
                self._out.append(token)
            elif formula:
                self._in_formula(token)
            else:
                self._in_text(token)
        return self._out

    def _in_formula(self, token: str) -> None:
        name = token.removeprefix("\\end")
        if token == "\\tag" and self._next() != "{":
            number = self._until(_ENDS_NUMBER, _MAX_NUMBER)
            if self._out[-1:] == [" "]:
                self._out.pop()
            if text := "".join(number).strip().strip('"'):
                self._out += ["\\tag", "{", text, "}"]
        elif name != token and name in _ENVIRONMENTS:
            self._out += ["\\end", "{", _ENVIRONMENTS[name], "}"]
        elif (name := token[1:]) in _ENVIRONMENTS and f"\\end{name}" in self._there:
            self._out += ["\\begin", "{", _ENVIRONMENTS[name], "}"]
        else:
            self._out.append(token)

    def _in_text(self, token: str) -> None:
        name, out = token[1:], self._out
        if name in _ARGUMENTS and (between := self._between(name)) is not None:
            out += [_ARGUMENTS[name], "{", *between, "}"]
        elif name in _LEFT_OUT and self._between(name) is not None:
            pass
        elif token == "\\beginsection":
            out += ["\\section*", "{", *self._until(frozenset(["\\par"]), _MAX_HEADING), "}"]
        elif token in ("\\centerline", "\\leftline"):
            line = self._group()
            bold = line[:1] == ["\\bf"] or line[:2] == ["{", "\\bf"]  # as headings are
            out += ["\\section*" if bold else token, "{", *line, "}"]
        elif token in _VERTICAL:
            out += ["\\par", token]
        elif name == "abstract" and "\\endabstract" in self._there:
            out += ["\\begin", "{", "abstract", "}"]
        elif token == "\\endabstract":
            out += ["\\end", "{", "abstract", "}"]
        elif name in _STATEMENTS and f"\\end{name}" in self._there:
            title = self._group()
            out += ["\\par", "{", *title, "}", *([". "] if title and title[-1][-1] != "." else [" "])]
        elif token in _ENDS_STATEMENT:
            out.append("\\par")
        elif token == "\\cite" and self._cites_itself and self._next() == "{":
            out += ["{", "[", *self._group(), "]", "}"]
        elif token in ("\\footnote", "\\vfootnote"):
            self._at += self._next()[:1] == '"'
            mark = self._group()  # plain TeX has the mark before the text
            out += ["\\footnote", "{", *(self._group() or mark), "}"]
        elif token == "\\item" and self._next()[:1] == '"':
            out += [token, *filter(None, [self._next().replace('"', "")])]
            self._at += 1
        elif token == "\\halign":
            self._table()
        elif token == "\\font":
            self._font()
        elif self._next()[:1] == "=":
            self._assignment(token)
        else:
            out.append(token)

    def _is_references(self) -> bool:
        """Whether the group that has begun is `{\\bf References}`."""
        bold, title, end = (self._tokens[self._at : self._at + 3] + [""] * 3)[:3]
        return bold == "\\bf" and end == "}" and _REFERENCES.fullmatch(title.rstrip(".:")) is not None

    def _table(self) -> None:
        """`\\halign{template \\cr row \\cr}`."""
        self._until(frozenset("{"), 4)
        body = self._group()
        rows = body[body.index("\\cr") + 1 :] if "\\cr" in body else body
        self._out += ["\\begin", "{", "tabular", "}", "{", "}", *rows, "\\end", "{", "tabular", "}"]

    def _font(self) -> None:
        """`\\font\\big=cmr10 scaled \\magstep1`: what it is called, and what it is."""
        self._at += 1
        if self._next() == "=":
            self._at += 1 + (self._tokens[self._at + 1 : self._at + 2] == [" "])
        if self._next()[:1] != "\\":
            self._at += 1
        if self._tokens[self._at : self._at + 2] in ([" ", "scaled"], [" ", "at"]):
            self._at += 2
            self._at += self._next() == " "
            self._at += self._next()[:1] != "\\"

    def _assignment(self, token: str) -> None:
        """Lists of tokens and plain lengths go; other lengths are left to the reader of LaTeX, which knows them."""
        if token in _SETTINGS:
            self._at += 1
            self._group()
        elif _LENGTH.fullmatch(self._next()):
            self._at += 1
        else:
            self._out.append(token)

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _between(self, name: str) -> list[str] | None:
        """The tokens up to `\\endname`, which is passed; None where there is none."""
        end = f"\\end{name}"
        if end not in self._there:
            return None
        try:
            stop = self._tokens.index(end, self._at)
        except ValueError:
            self._there.discard(end)  # it need not be looked for again
            return None
        start, self._at = self._at, stop + 1
        return self._tokens[start:stop]

    def _until(self, ends: frozenset[str], most: int) -> list[str]:
        """The tokens before one of these, at most so many."""
        start = self._at
        while self._at < min(len(self._tokens), start + most) and self._tokens[self._at] not in ends:
            self._at += 1
        return self._tokens[start : self._at]

    def _group(self) -> list[str]:
        """The tokens of the group that comes next, without braces; none where none does."""
        if self._next() != "{":
            return []
        start, depth = self._at + 1, 0
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            depth += (token == "{") - (token == "}")
            if not depth:
                return self._tokens[start : self._at - 1]
        return self._tokens[start:]
