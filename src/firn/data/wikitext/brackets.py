"""Templates and links, resolved to what a reader sees of them: `{{...}}` and `[[...]]`.

Braces are paired first, in one pass, so that a template that is not kept is leapt over. Then one pass resolves what is
left from the inside out, on a stack of bounded height. Both take time proportional to the text, whatever is in it.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from firn.data.wikitext.site import Site, is_language
from firn.data.wikitext.tags import DROPPED
from firn.data.wikitext.templates import Renderer, number, renderer

_BRACES = re.compile(r"\{\{+|\}\}+")
# The first alternative is a link with nothing within it, which most are.
_TOKEN = re.compile(r"\[\[([^\[\]{}|\n]*+)(?:\|([^\[\]{}|]*+))?+\]\]|\[\[|\]\]|\{\{+|\}\}+")
# A parameter, as templates have them, with what stands for it where nothing is given: `{{{name|default}}}`.
_PARAMETER = re.compile(r"\{\{\{[^{}|\n]*+(?:\|([^{}]*+))?+\}\}\}")
_NAME = re.compile(r"\s*+([^|{}\[\]<\n]{0,100}+)")
_HEADING = re.compile(r"\n==")
_SPACE = re.compile(r"\s*+")
_LABEL = re.compile(r"\s*+([\w .-]{1,40}?)\s*+=")
_PARENTHESES = re.compile(r"[(（][^()（）]*+[)）]\s*$")

# Templates and links within each other. MediaWiki allows 40 templates.
_DEPTH = 40
# A file whose caption is longer, or has headings in it, is none: its brackets were not closed.
_CAPTION = 5000


class _Open:
    """A template or link that is open: its arguments so far, each in pieces."""

    __slots__ = ("args", "close", "render")

    def __init__(self, close: int, render: Renderer | None):
        self.args: list[list[str]] = [[]]
        self.close, self.render = close, render

    def add(self, piece: str) -> None:
        if "|" in piece:
            first, *others = piece.split("|")
            self.args[-1].append(first)
            self.args.extend([other] for other in others)
        else:
            self.args[-1].append(piece)

    def values(self) -> list[str]:
        return ["".join(pieces) for pieces in self.args]


def resolve(text: str, site: Site, title: str) -> str:
    """The text with templates and links replaced by what is seen of them; DROPPED where a template was."""
    if "{{{" in text:
        text = _PARAMETER.sub(lambda found: found[1] or DROPPED, text)
    return _Resolver(text, site, title).run()


class _Resolver:
    """One text in the making. A piece of it goes to the innermost template or link that is open, else to the result."""

    def __init__(self, text: str, site: Site, title: str):
        self._text, self._site, self._title = text, site, title
        self._closes = _pair(text)
        self._headings = [found.start() for found in _HEADING.finditer(text)]
        self._out: list[str] = []
        self._stack: list[_Open] = []
        self._templates = 0  # how many of the stack are

    def run(self) -> str:
        text, out, stack, site, at = self._text, self._out, self._stack, self._site, 0
        while found := _TOKEN.search(text, at):
            start, end = found.span()
            if start > at:
                if stack:
                    stack[-1].add(text[at:start])
                else:
                    out.append(text[at:start])
            at = end
            target = found[1]
            if target is not None:
                self._append(_seen(target, found[2], site))
            elif text[start] == "{":
                at = self._open(start, end)
            elif text[start] == "}":
                at = self._close(start, end)
            elif text[start] == "[":
                if len(stack) < _DEPTH:
                    stack.append(_Open(-1, None))
            elif stack and stack[-1].render is None:
                self._append(_link(stack.pop().values(), site))
        rest = text[at:]
        while stack:
            rest = "|".join(stack.pop().values()) + rest
        out.append(rest)
        return "".join(out)

    def _append(self, piece: str) -> None:
        """Add what is resolved already."""
        if self._stack:
            self._stack[-1].args[-1].append(piece)
        else:
            self._out.append(piece)

    def _open(self, start: int, end: int) -> int:
        """A row of opening braces; returns where to go on."""
        odd = (end - start) % 2
        if odd and self._text.startswith("!}}", end):  # {{{!}} begins a table
            self._append("{")
        for place in range(start + odd, end, 2):
            close = self._closes.get(place, -1)
            if close < 0 or _spans_heading(self._headings, place, close):
                continue
            render, first = _template(self._text, place + 2, close, self._title, self._site)
            if render is not None and len(self._stack) < _DEPTH:
                self._stack.append(_Open(close, render))
                self._templates += 1
                return first
            self._append(DROPPED)
            return close + 2
        return end

    def _close(self, start: int, end: int) -> int:
        """A row of closing braces; returns where to go on."""
        for place in range(start, end - 1, 2):
            if not self._templates:
                break
            while self._stack[-1].render is None:  # links that the template leaves open
                values = self._stack.pop().values()
                self._append("|".join(values))
            if self._stack[-1].close == place:
                done = self._stack.pop()
                self._templates -= 1
                assert done.render is not None
                self._append(done.render(*_arguments(done.values())) or DROPPED)
        if end - start == 3 and self._text.startswith("!", start - 1):  # {{!}}} ends a table
            self._append("}")
        return end


def _pair(text: str) -> dict[int, int]:
    """Where the template that opens at a place closes, for all that do."""
    opens: list[int] = []
    closes: dict[int, int] = {}
    for found in _BRACES.finditer(text):
        start, end = found.span()
        if text[start] == "{":
            # Of three braces the first is not of the template.
            opens.extend(range(start + (end - start) % 2, end, 2))
        else:
            for place in range(start, end - 1, 2):
                if not opens:
                    break
                closes[opens.pop()] = place
    return closes


def _spans_heading(headings: list[int], start: int, close: int) -> bool:
    """A template with a heading within it is taken for one that was not closed, so that no section is lost."""
    index = bisect_left(headings, start)
    return index < len(headings) and headings[index] < close


def _template(text: str, at: int, close: int, title: str, site: Site) -> tuple[Renderer | None, int]:
    """How the template whose name begins at a place is rendered, and where its arguments begin."""
    found = _NAME.match(text, at, close)
    assert found is not None  # it matches the empty string
    name, end = found[1], found.end()
    following = text[end : end + 1]
    if following not in ("|", "}", "\n") and end != close:
        return None, end
    if following == "\n":
        end = _SPACE.match(text, end, close).end()  # type: ignore[union-attr]
        if end != close and text[end] != "|":
            return None, end
    if ":" in name:
        function, colon, _ = name.partition(":")
        render = number(site.language) if function.strip().lower() == "formatnum" else renderer(function + colon)
        return render, found.start(1) + len(function) + 1
    if name.strip() in ("PAGENAME", "PAGENAMEE", "SUBJECTPAGENAME", "FULLPAGENAME"):
        return (lambda args, named: title), end
    # Its first argument follows the bar.
    return renderer(name), min(end + 1, close)


def _arguments(values: list[str]) -> tuple[list[str], dict[str, str]]:
    """Those by position, and those by name. `1=text` is by position."""
    args: list[str] = []
    named: dict[str, str] = {}
    for value in values:
        if "=" in value and (label := _LABEL.match(value)):
            key, value = label[1], value[label.end() :].strip()
            if key.isdecimal() and len(key) < 3 and int(key) == len(args) + 1:
                args.append(value)
            else:
                named[key] = value
        else:
            args.append(value)
    return args, named


def _link(values: list[str], site: Site) -> str:
    """What is seen of a link with other markup within it."""
    target, rest = values[0], values[1:]
    if "\n" in target:
        return "|".join(values)
    text = "|".join(rest) if rest else None
    if text and (len(text) > _CAPTION or _HEADING.search(text)):
        return text
    return _seen(target, text, site)


def _seen(target: str, text: str | None, site: Site) -> str:
    """What is seen of the link `[[target|text]]`."""
    if ":" in target:
        prefix, _, page = target.partition(":")
        key = prefix.strip().lower().replace("_", " ")
        if key in site.files or key in site.categories or is_language(prefix):
            return ""
        if not key:
            target = page
        elif prefix.lower() in ("http", "https"):  # one bracket too many
            return target.partition(" ")[2] if text is None else text
    if text:
        return text
    if text is not None:  # [[Page (kind)|]]
        return _PARENTHESES.sub("", target.rpartition(":")[2]).strip()
    return target.removeprefix("#").replace("_", " ") if "_" in target or target.startswith("#") else target
