"""Comments and extension tags: what MediaWiki takes out of the text before it looks at any other markup.

What is shown as it stands (code, formulas, <nowiki>) is kept aside, a mark in its place; the rest is dropped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

#: A mark in the text: `KEPT`, the number of what was kept aside, `KEPT`. The others are one character. None of these
#: characters is in the text before.
KEPT, DROPPED, NOTHING, CELL, BREAK = "\x02", "\x01", "\x03", "\x04", "\x05"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f]")

_DROPPED = (
    "ref references gallery timeline imagemap score hiero graph mapframe maplink templatedata templatestyles inputbox"
    " indicator categorytree includeonly phonos ruby-tts listen charinsert rss wikihiero section dynamicpagelist"
).split()
_SHOWN = "nowiki pre math chem ce syntaxhighlight source".split()
_TAG = re.compile(rf"<(?:!--|({'|'.join(_DROPPED + _SHOWN)})(?=[\s/>])([^<>]*+)>)", re.IGNORECASE)
_CLOSE = {name: re.compile(rf"</{name}\s*+>", re.IGNORECASE) for name in _DROPPED + _SHOWN}
_SPACE = re.compile(r"\s+")
_INLINE = re.compile(r"\binline\b|enclose\s*=\s*[\"']?none", re.IGNORECASE)
_OWN_LINE = re.compile(r"[ \t]*\n")


def take_out(text: str) -> tuple[str, list[str]]:
    """The text without comments and extension tags, and what marks in it stand for, by number."""
    out: list[str] = []
    kept: list[str] = []
    unclosed: set[str] = set()  # no tag of these names is closed from here on: it need not be looked for again
    at = 0
    while found := _TAG.search(text, at):
        start, end = found.span()
        name = (found[1] or "").lower()
        out.append(text[at:start])
        if not name:
            stop = -1 if "!--" in unclosed else text.find("-->", end)
            if stop < 0:
                unclosed.add("!--")
                at = end
            else:
                at = stop + 3
                # A comment with a line of its own takes its line end with it.
                if (not out[-1] or out[-1].endswith("\n")) and (line := _OWN_LINE.match(text, at)):
                    at = line.end()
            continue
        attributes = found[2]
        if attributes.endswith("/"):
            out.append(NOTHING if name in _KEEP else DROPPED)
            at = end
            continue
        close = None if name in unclosed else _CLOSE[name].search(text, end)
        if close is None:
            unclosed.add(name)
            at = end
            continue
        at = close.end()
        if name in _KEEP:
            out.append(_mark(kept, _KEEP[name](text[end : close.start()], attributes)))
        else:
            out.append(DROPPED)
    out.append(text[at:])
    return "".join(out), kept


def put_back(text: str, kept: list[str]) -> str:
    """The text with what was kept aside in place of the marks."""
    if not kept:
        return text
    return re.sub(f"{KEPT}(\\d+){KEPT}", lambda mark: kept[int(mark[1])], text)


def _mark(kept: list[str], shown: tuple[str, bool]) -> str:
    """Keep aside what is shown, in lines of its own or within one."""
    content, block = shown
    if not content.strip():
        return NOTHING
    kept.append(content)
    mark = f"{KEPT}{len(kept) - 1}{KEPT}"
    return f"\n{mark}\n" if block else mark


def _nowiki(content: str, attributes: str) -> tuple[str, bool]:
    return html.unescape(content), False


def _pre(content: str, attributes: str) -> tuple[str, bool]:
    return html.unescape(content.replace("<nowiki>", "").replace("</nowiki>", "")).strip("\n"), True


def _code(content: str, attributes: str) -> tuple[str, bool]:
    inline = _INLINE.search(attributes) is not None or "\n" not in content.strip()
    return content.strip() if inline else content.strip("\n").rstrip(), not inline


def _math(content: str, attributes: str) -> tuple[str, bool]:
    formula = _SPACE.sub(" ", html.unescape(content)).strip()
    return f"${formula}$" if formula else "", False


def _chemistry(content: str, attributes: str) -> tuple[str, bool]:
    formula = _SPACE.sub(" ", html.unescape(content)).strip()
    return f"$\\ce{{{formula}}}$" if formula else "", False


_KEEP: dict[str, Callable[[str, str], tuple[str, bool]]] = {
    "nowiki": _nowiki,
    "pre": _pre,
    "syntaxhighlight": _code,
    "source": _code,
    "math": _math,
    "chem": _chemistry,
    "ce": _chemistry,
}
