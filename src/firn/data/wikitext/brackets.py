"""Templates and links, resolved to what a reader sees of them: `{{...}}` and `[[...]]`.

Braces are paired first, in one pass, so that a template that is not kept is leapt over. Then one pass resolves what is
left from the inside out, on a stack of bounded height. Both take time proportional to the text, whatever is in it.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from firn.data.wikitext.site import Site, is_language
from firn.data.wikitext.tags import DROPPED
from firn.data.wikitext.templates import Renderer, renderer

_BRACES = re.compile(r"\{\{+|\}\}+")
# The first alternative is a link with nothing within it, which most are.
_TOKEN = re.compile(r"\[\[([^\[\]{}|\n]*+)(?:\|([^\[\]{}|]*+))?+\]\]|\[\[|\]\]|\{\{+|\}\}+")
_NAME = re.compile(r"\s*+([^|{}\[\]<\n]{0,100}+)")
_HEADING = re.compile(r"\n==")
_SPACE = re.compile(r"\s*+")
_LABEL = re.compile(r"\s*([\w .-]{1,40}?)\s*=")
_PARENTHESES = re.compile(r"\s*[(（][^()（）]*+[)）]\s*$")

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
    closes = _pair(text)
    headings = [found.start() for found in _HEADING.finditer(text)]
    out: list[str] = []
    stack: list[_Open] = []
    templates = at = 0  # templates: how many of the stack are
    search = _TOKEN.search
    while found := search(text, at):
        start, end = found.span()
        top = stack[-1] if stack else None
        if start > at:
            piece = text[at:start]
            out.append(piece) if top is None else top.add(piece)
        at = end
        target = found[1]
        if target is not None:
            seen = _seen(target, found[2], site)
            out.append(seen) if top is None else top.args[-1].append(seen)
            continue
        token = text[start]
        if token == "[":
            if len(stack) < _DEPTH:
                stack.append(_Open(-1, None))
        elif token == "]":
            if top is not None and top.render is None:
                stack.pop()
                _append(out, stack, _link(top.values(), site))
        elif token == "{":
            odd = (end - start) % 2
            start += odd
            at = start + 2
            if odd and text.startswith("!}}", at):  # {{{!}} begins a table
                _append(out, stack, "{")
            close = closes.get(start, -1)
            if close < 0 or _spans_heading(headings, start, close):
                continue
            render, first = _template(text, at, close, title)
            if render is None or len(stack) >= _DEPTH:
                _append(out, stack, DROPPED)
                at = close + 2
                if text.startswith("}", at) and odd:
                    at += 1
            else:
                stack.append(_Open(close, render))
                templates += 1
                at = first
        else:
            at = start + 2
            odd = end - start == 3
            if templates:
                while stack[-1].render is None:  # links that the template leaves open
                    unclosed = stack.pop()
                    _append(out, stack, "|".join(unclosed.values()))
                if stack[-1].close == start:
                    done = stack.pop()
                    templates -= 1
                    assert done.render is not None
                    _append(out, stack, done.render(*_arguments(done.values())) or DROPPED)
            if odd:
                at += 1
                if text.startswith("!", start - 1):  # {{!}}} ends a table
                    _append(out, stack, "}")
    rest = text[at:]
    while stack:
        unclosed = stack.pop()
        rest = "|".join(unclosed.values()) + rest
    out.append(rest)
    return "".join(out)


def _append(out: list[str], stack: list[_Open], piece: str) -> None:
    if stack:
        stack[-1].args[-1].append(piece)
    else:
        out.append(piece)


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


def _template(text: str, at: int, close: int, title: str) -> tuple[Renderer | None, int]:
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
        render = renderer(function + colon)
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
        return _PARENTHESES.sub("", target.rpartition(":")[2])
    return target.removeprefix("#").replace("_", " ") if "_" in target or target.startswith("#") else target
