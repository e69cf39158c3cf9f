"""LaTeX source as text: sections, paragraphs, lists, tables, captions; formulas stay LaTeX, the author's macros in them
expanded. Numbers of sections, figures and equations, and citations, are worked out as LaTeX would."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Mapping

from firn.data.markup.citations import Citations
from firn.data.markup.jats import Include, left_out
from firn.data.markup.latex_blocks import BlockReader
from firn.data.markup.latex_formulas import source
from firn.data.markup.latex_glossary import COMMANDS as GLOSSARY
from firn.data.markup.latex_glossary import Glossary
from firn.data.markup.latex_names import (
    ACCENTS,
    BROKEN,
    ENVIRONMENT_ARGUMENTS,
    FORMULAS,
    FRAMES,
    HEADINGS,
    LEFT_OUT,
    LENGTHS,
    LISTS,
    SETTINGS_FIRST,
    SKIPPED,
    STATEMENTS,
    SYMBOLS,
    TABLES,
    TITLED,
)
from firn.data.markup.render import BREAK, raised
from firn.data.markup.tex import Expander
from firn.data.markup.tex_plain import as_latex
from firn.data.markup.work import Block, Work

# The first line of a document, but for pictures and parts that are documents only to be set alone.
_DOCUMENT = re.compile(r"^[^%\n]*\\document(?:class|style)\s*(?:\[[^\]]*\])?\s*\{(?!standalone|subfiles)", re.MULTILINE)
# What arXiv has authors write at the head of a file that is no document by itself.
_IGNORED = re.compile(r"\s*%\s*auto-ignore(?!.*\\begin\{document\})", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile("\x01([^\x01]*)\x01")
_LENGTH = re.compile(
    r"\s*=?\s*[-+]?[\d.]*\s*(?:true)?(?:pt|cm|mm|in|em|ex|bp|pc|dd|sp|mu)?"
    r"(?:\s*(?:plus|minus)\s*[\d.]+\s*(?:pt|cm|mm|in|em|ex|fil+)?)*\s*"
)
_BREAKS = re.compile(f" ?{BREAK} ?")
_KINDS = {"\\autoref", "\\cref", "\\Cref"}


def work(files: Mapping[str, str], main: str, include: Include) -> Work:
    """The document whose main file is files[main]. Raises MarkupError for one beyond the limits."""
    plain = not any("\\begin{document}" in text for text in files.values())
    expander = Expander(files, _known_in_plain if plain else known)
    tokens = expander.expand(main)
    own = posixpath.splitext(main)[0] + ".bbl"
    bibliography = next((files[name] for name in (own, *sorted(files)) if name in files and name.endswith(".bbl")), "")
    reader = _Latex(include, expander.theorems, Citations(bibliography, tokens), Glossary(tokens))
    reader.read(_body(tokens, reader))
    made = Work(reader.title, reader.finish())
    if expander.missing:
        made.meta["missing_files"] = sorted(set(expander.missing))
    return made


def main_file(files: Mapping[str, str]) -> str | None:
    """The file that a document begins with: it has a class and a body and is included by no other."""
    files = {name: text for name, text in files.items() if not _IGNORED.match(text)}
    mains = [name for name, text in files.items() if "\\begin{document}" in text and name.endswith((".tex", ".ltx"))]
    classes = [name for name in mains if _DOCUMENT.search(files[name])]
    plain = [name for name, text in files.items() if name.endswith(".tex") and re.search(r"\\bye\b|\\end\s*$", text)]
    found = classes or mains or plain or [name for name in files if name.endswith(".tex")]
    # Nearest to the top, then that which says most.
    return min(found, key=lambda name: (name.count("/"), -len(files[name]), name), default=None)


def main_files(files: Mapping[str, str]) -> list[str]:
    """All files that are documents of their own: first the one that main_file gives, then others by name."""
    files = {name: text for name, text in files.items() if not _IGNORED.match(text)}
    one = main_file(files)
    others = [name for name, text in sorted(files.items()) if name.endswith(".tex") and _DOCUMENT.search(text)]
    return [one, *(name for name in others if name != one)] if one else []


def known(name: str) -> bool:
    """Whether the reader understands a control sequence, or `\\begin{...}`, by itself."""
    if name.startswith("\\begin{"):
        environment = name[7:-1]
        return environment in FORMULAS or environment in TABLES or environment in LISTS or environment in SKIPPED
    return name in _KNOWN


def _known_in_plain(name: str) -> bool:
    """The same for plain TeX, whose authors define for themselves how they refer to things."""
    return known(name) and name not in ("\\ref", "\\cite", "\\eqref", "\\label")


def _body(tokens: list[str], reader: _Latex) -> list[str]:
    """What is between begin and end of the document; the title may stand before."""
    begin = _place(tokens, "\\begin", "document")
    if begin is None:
        return as_latex(tokens)
    end = _place(tokens, "\\end", "document") or len(tokens)
    reader.title_in(tokens[:begin])
    return tokens[begin + 4 : end]


def _place(tokens: list[str], control: str, name: str) -> int | None:
    at = -1
    while True:
        try:
            at = tokens.index(control, at + 1)
        except ValueError:
            return None
        if tokens[at + 1 : at + 4] == ["{", name, "}"]:
            return at


class _Latex(BlockReader):
    def __init__(self, include: Include, theorems: Mapping[str, str], citations: Citations, glossary: Glossary):
        super().__init__(include)
        self.title = ""
        self._theorems = {**STATEMENTS, **theorems}
        self._citations = citations
        self._glossary = glossary
        self._sections = [0] * 7
        self._appendix = False
        self._counters = {"figure": 0, "table": 0, "statement": 0}
        self._float = "figure"
        self._keep_breaks = False

    def finish(self) -> list[Block]:
        """All blocks, references resolved."""
        self._end_line()
        return [Block(_BREAKS.sub("\n", _REFERENCE.sub(self._resolved, b.text)), b.level) for b in self.blocks]

    def title_in(self, tokens: list[str]) -> None:
        """The title that the preamble gives."""
        if "\\title" in tokens:
            self._tokens, self._at = tokens, tokens.index("\\title") + 1
            self._optional()
            self.title = self.inline(self._argument())

    # Commands.

    def control(self, token: str) -> None:
        name = token if token in _COMMANDS else token.removesuffix("*")
        if token in SYMBOLS:
            self._say(SYMBOLS[token])
        elif token == "\\par":
            self._end_line()
        elif token == "\\\\" or token == "\\cr":
            self._optional()
            if self._next() == "*":
                self._at += 1
            self._say(BREAK if self._keep_breaks else " ")
        elif token in ACCENTS:
            self._accent(ACCENTS[token])
        elif name in _COMMANDS:
            _COMMANDS[name](self, token)
        elif name in HEADINGS:
            self._heading(name, token)
        elif token in LEFT_OUT:
            self._leave_out(LEFT_OUT[token])
        elif name in LEFT_OUT:
            self._leave_out(LEFT_OUT[name])
        elif token in SETTINGS_FIRST:
            while self._optional() is not None:
                pass
            for _ in range(SETTINGS_FIRST[token]):
                self._argument()
                self._optional()
        elif token in LENGTHS:
            self._length()
        elif "cite" in token and token.isprintable() and token[1:].rstrip("*").isalpha():
            self._cite(token)
        elif self._next() == "[":
            self._optional()

    def _leave_out(self, count: int) -> None:
        while self._optional() is not None:
            pass
        for _ in range(count):
            self._argument()
            self._optional()

    def _length(self) -> None:
        """A length after a register of plain TeX, with its unit, perhaps in several tokens."""
        at, text = self._at, ""
        while self._at < len(self._tokens) and self._tokens[self._at][0] not in "\\{}$&#\x00[" and self._at < at + 12:
            text += self._tokens[self._at]
            self._at += 1
        rest = text[_LENGTH.match(text).end() :] if text else ""  # type: ignore[union-attr]
        if rest:
            self._say(rest)

    def _accent(self, mark: str) -> None:
        letter = "".join(SYMBOLS.get(token, token) for token in self._argument() if token != "\\relax")
        letter = letter.replace("ı", "i").replace("ȷ", "j")
        if mark == "\u0303" and not letter.strip():
            self._say("~")
        elif letter:
            self._say(unicodedata.normalize("NFC", letter[0] + mark) + letter[1:])

    def _heading(self, name: str, token: str) -> None:
        self._optional()
        level = HEADINGS[name]
        self._end_line()
        self._hidden = False
        title = self.inline(self._argument())
        if not token.endswith("*"):
            self._sections[level] += 1
            self._sections[level + 1 :] = [0] * (6 - level)
            top = 1 if self._sections[1] and name != "\\part" else 2
            numbers = [str(number) for number in self._sections[top : level + 1]]
            if self._appendix and numbers and numbers[0].isdecimal():
                numbers[0] = chr(64 + min(26, max(1, int(numbers[0]))))
            self._labelled = ("Chapter" if level == 1 else "Section", ".".join(numbers))
        self._hidden = left_out(title, self._include)
        self._add(title, level)

    def _begin_appendix(self, token: str) -> None:
        self._appendix = True
        self._sections = [0] * 7

    def _set_title(self, token: str) -> None:
        self._optional()
        title = self.inline(self._argument())
        self.title = self.title or title

    def _caption(self, token: str) -> None:
        self._optional()
        text = self._argument()
        if self._next() == "{" and token == "\\captionof":
            text = self._argument()
        kind = self._float
        if not token.endswith("*"):
            self._counters[kind] += 1
            self._labelled = (kind.capitalize(), str(self._counters[kind]))
        if self._include.captions:
            line, self._line = self._line, []
            self._add(f"{kind.capitalize()} {self._counters[kind]}: {self.inline(text)}")
            self._line = line
        else:
            self.inline(text)  # for its labels

    def _label(self, token: str) -> None:
        key = self._plain()
        if key:
            self._labels.setdefault(key, self._labelled)

    def _ref(self, token: str) -> None:
        self._optional()
        keys = self._plain()
        self._say(f"\x01{token.rstrip('*')} {keys}\x01")

    def _resolved(self, found: re.Match[str]) -> str:
        command, _, keys = found[1].partition(" ")
        pairs = [self._labels.get(key.strip(), ("", "")) for key in keys.split(",")]
        numbers = [number for _, number in pairs if number]
        if command == "\\eqref":
            numbers = [f"({number})" for number in numbers]
        text = ", ".join(numbers)
        if command in _KINDS and numbers:
            kind = pairs[0][0]
            return f"{kind}{'s' if len(numbers) > 1 else ''} {f'({text})' if kind == 'Equation' else text}"
        return text

    def _cite(self, token: str) -> None:
        before, after = self._optional(), self._optional()
        keys = self._plain()
        if after is None:
            before, after = None, before
        notes = [self.inline(list(note)) if note else "" for note in (before, after)]
        text = self._citations.text(token, keys, *notes)
        if text and self._line and self._line[-1][-1:] not in (" ", "(", "[", ""):
            text = f" {text}"
        self._say(text)

    def _key(self, token: str) -> None:
        """A key of the glossary."""
        self._optional()
        self.read(self._glossary.tokens(token.rstrip("*"), self._plain()))

    def _acronym(self, token: str) -> None:
        """A line of the list of abbreviations: `\\acro{key}[short]{long}`."""
        key, short = self._plain(), self._optional()
        if self._next() == "{":
            self._end_line()
            self._say(f"{self.inline(short) if short else key}: {self.inline(self._argument())}")
            self._end_line()
        else:
            self._say(key)

    def _superscript(self, token: str) -> None:
        text = self.inline(self._argument())
        self._say(text if "$" in text else raised(text))

    def _footnote(self, token: str) -> None:
        self._optional()
        tokens = self._argument()
        if not self._hidden:
            note = self.captured(tokens)
            if len(note) == 1 and " " not in note[0].text:  # an address, mostly
                self._say(f" ({note[0].text})")
            else:
                self._notes.extend(note)

    def _url(self, token: str) -> None:
        self._say("".join(self._argument()).replace("\\", ""))

    def _href(self, token: str) -> None:
        self._optional()
        self._argument()

    def _item(self, token: str) -> None:
        """An item outside of a list that is known."""
        self._end_line()
        label = self._optional()
        if label:
            self._say(f"{self.inline(label)} ")

    def _own_line(self, token: str) -> None:
        self._end_line()
        self.read(self._argument())
        self._end_line()

    def _text_or_pdf(self, token: str) -> None:
        """The first of two arguments is what is printed."""
        text = self._argument()
        self._argument()
        self.read(text)

    def _quote(self, token: str) -> None:
        text = self._argument()
        self._say("“")
        self.read(text)
        self._say("”")

    def _unit(self, token: str) -> None:
        """siunitx: a number and its unit."""
        self._optional()
        number = self.inline(self._argument()) if token != "\\si" else ""
        unit = "" if token == "\\num" else "".join(_UNITS.get(t, t.lstrip("\\")) for t in self._argument())
        self._say(f"{number} {unit}".strip())

    def _ensure_math(self, token: str) -> None:
        self._say(f"${source(self._argument())}$")

    def _rule(self, token: str) -> None:
        """A rule under some columns: `\\cmidrule[width](trim){columns}`."""
        self._optional()
        if self._next()[:1] == "(":
            while self._next() not in ("", "{"):
                self._at += 1
        self._argument()

    def _end(self, token: str) -> None:
        """The end of an environment that did not begin."""
        self._argument()

    def _nothing(self, token: str) -> None:
        pass

    # Environments.

    def _begin(self, token: str) -> None:
        name = self._plain()
        if name in FORMULAS:
            self._formula(name)
        elif name in SKIPPED:
            self._environment(name)
        elif name in TABLES:
            self._rows(name)
        elif name in LISTS:
            self._list(name)
        else:
            self._other_environment(name)

    def _other_environment(self, name: str) -> None:
        """What is in it is written as if it stood alone, under a heading or a name where it has one."""
        self._optional() if name not in self._theorems else None
        if name in ENVIRONMENT_ARGUMENTS:
            for _ in range(ENVIRONMENT_ARGUMENTS[name]):
                self._argument()
                self._optional()
        self._end_line()
        if name in FRAMES:
            self._frame()
        if name.rstrip("*") in (
            "figure",
            "table",
            "wrapfigure",
            "wraptable",
            "longtable",
            "sidewaystable",
            "algorithm",
        ):
            self._float = "table" if "table" in name else "figure"
        hidden = self._hidden
        if name in TITLED:
            self._hidden = False
            self._add(TITLED[name], 2)
        elif name.rstrip("*") in self._theorems:
            self._statement(self._theorems[name.rstrip("*")], name)
        keep, self._keep_breaks = self._keep_breaks, self._keep_breaks or name in BROKEN
        if name in ("quote", "quotation", "displayquote", "verse"):
            text = "\n\n".join(block.text for block in self.captured(self._environment(name))).replace(BREAK, "\n")
            self._add("\n".join(f"> {line.strip()}".rstrip() for line in text.split("\n")) if text else "")
        elif name != "document":
            self.read(self._environment(name))
        self._keep_breaks = keep
        if name.rstrip("*") not in FORMULAS:
            self._end_line()
        self._hidden = hidden if name in TITLED else self._hidden

    def _frame(self) -> None:
        """What stands in braces after the begin of a slide is its title, and a subtitle."""
        if self._next()[:1] == "<":  # on which slides it is seen
            self._at += 1
        self._optional()
        while self._next() == "{":
            self._add(self.inline(self._argument()), 4)

    def _frame_title(self, token: str) -> None:
        self._add(self.inline(self._argument()), 4)

    def _statement(self, title: str, name: str) -> None:
        note = self._optional()
        number = ""
        if title != "Proof" and not name.endswith("*"):
            self._counters["statement"] += 1
            number = f" {self._counters['statement']}"
            self._labelled = (title, number.strip())
        self._say(f"{title}{number}{f' ({self.inline(note)})' if note else ''}. ")


_UNITS = {"\\percent": "%", "\\celsius": "°C", "\\micro": "µ", "\\ohm": "Ω", "\\per": "/", "\\degree": "°"}

_COMMANDS: dict[str, Callable[[_Latex, str], None]] = {
    "\\begin": _Latex._begin, "\\end": _Latex._end, "\\appendix": _Latex._begin_appendix, "\\title": _Latex._set_title,
    "\\caption": _Latex._caption, "\\captionof": _Latex._caption, "\\label": _Latex._label, "\\ref": _Latex._ref,
    "\\eqref": _Latex._ref, "\\autoref": _Latex._ref, "\\cref": _Latex._ref, "\\Cref": _Latex._ref,
    "\\footnote": _Latex._footnote, "\\footnotetext": _Latex._footnote, "\\url": _Latex._url, "\\path": _Latex._url,
    "\\centerline": _Latex._own_line, "\\leftline": _Latex._own_line, "\\rightline": _Latex._own_line,
    "\\href": _Latex._href, "\\item": _Latex._item, "\\itemitem": _Latex._item, "\\texorpdfstring": _Latex._text_or_pdf,
    "\\enquote": _Latex._quote, "\\SI": _Latex._unit, "\\si": _Latex._unit, "\\num": _Latex._unit,
    "\\qty": _Latex._unit, "\\ensuremath": _Latex._ensure_math, "\\(": _Latex._math, "\\[": _Latex._math,
    "\\frametitle": _Latex._frame_title, "\\framesubtitle": _Latex._frame_title,
    "\\textsuperscript": _Latex._superscript, "\\acro": _Latex._acronym,
    "\\cmidrule": _Latex._rule, "\\maketitle": _Latex._nothing, "\\protect": _Latex._nothing, "\\pageref": _Latex._ref,
    **dict.fromkeys(GLOSSARY, _Latex._key),
}  # fmt: skip
_KNOWN = frozenset(
    [*_COMMANDS, *SYMBOLS, *ACCENTS, *HEADINGS, *LEFT_OUT, *SETTINGS_FIRST, "\\cite", "\\citep", "\\citet"]
) - {
    # Names that authors use for something else.
    "\\eg", "\\ie", "\\etal", "\\cmark", "\\xmark", "\\checkmark", "\\th", "\\orcid", "\\terms", "\\category",
    "\\country", "\\city", "\\state", "\\qty", "\\num", "\\path", "\\acro", *GLOSSARY,
}  # fmt: skip
