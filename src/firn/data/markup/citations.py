"""What stands for a citation in LaTeX: `[3, 7]`, or `Knuth (1984)` where the bibliography knows names and years."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import islice

from firn.data.markup.latex_names import ACCENTS
from firn.data.markup.work import one_line

_ITEM = re.compile(r"\\bibitem\s*(?:%[^\n]*\n\s*)?(?=[\[{])")
_ENTRY = re.compile(r"\\entry\{([^{}]*)\}")
_AUTHOR_YEAR = re.compile(r"(.*?)\s*\(\s*(\d{4}[a-z]?|in press|[^()]{0,20})\s*\)", re.DOTALL)
_ACCENT = re.compile(r"(\\(?:['`^\"~=.]|[uvHckrdb](?![a-zA-Z])))\s*\{?\\?([a-zA-Z])\}?")
_MAX_ITEMS = 10_000
_NOTHING = ("\\nocite", "\\citestyle", "\\setcitestyle", "\\citationstyle", "\\bibcite")


class Citations:
    """The bibliography of one document: keys in its order, and names where it is by author and year."""

    def __init__(self, bibliography: str, tokens: Sequence[str]):
        text = bibliography or _own(tokens)
        self._numbers: dict[str, int] = {}
        self._names: dict[str, tuple[str, str]] = {}
        for found in islice(_ITEM.finditer(text), _MAX_ITEMS):
            label, at = _bracketed(text, found.end(), "[", "]")
            key, _ = _bracketed(text, at, "{", "}")
            self._known(key.strip(), label)
        for entry in _ENTRY.finditer(text):  # biblatex
            self._known(entry[1].strip(), "")

    def _known(self, key: str, label: str) -> None:
        if key and key not in self._numbers:
            self._numbers[key] = len(self._numbers) + 1
            plain = _plain(label)
            found = _AUTHOR_YEAR.match(plain)
            if found and found[1].strip() and any(map(str.isalpha, found[1])):
                self._names[key] = one_line(found[1]), found[2]

    def text(self, command: str, keys: str, before: str = "", after: str = "") -> str:
        """What LaTeX prints for `\\citep[before][after]{keys}`."""
        if command in _NOTHING:
            return ""
        named = [key for key in (key.strip() for key in keys.split(",")) if key]
        for key in named:
            self._numbers.setdefault(key, len(self._numbers) + 1)
        if not named or named == ["*"]:
            return ""
        kind = command[1:].rstrip("*").lower()
        if any(key not in self._names for key in named):
            inner = ", ".join(str(self._numbers[key]) for key in named)
            return f"[{_noted(inner, before, after)}]"
        names = [self._names[key] for key in named]
        if "author" in kind:
            return ", ".join(name for name, _ in names)
        if "year" in kind:
            years = ", ".join(year for _, year in names)
            return f"({years})" if kind.endswith("par") else years
        if kind in ("citet", "newcite", "citealt", "textcite", "shortcite@", "citetext@"):
            form = "{} {}" if kind == "citealt" else "{} ({})"
            return _noted(", ".join(form.format(*name) for name in names), before, after)
        inner = _noted("; ".join(f"{name}, {year}" for name, year in names), before, after)
        return inner if kind in ("citealp",) else f"({inner})"


def _noted(text: str, before: str, after: str) -> str:
    return f"{before + ' ' if before else ''}{text}{', ' + after if after else ''}"


def _own(tokens: Sequence[str]) -> str:
    """The bibliography that the document holds itself."""
    try:
        start = list(tokens).index("\\bibitem")
    except ValueError:
        return ""
    return "".join(tokens[start:])


def _bracketed(text: str, at: int, opening: str, closing: str) -> tuple[str, int]:
    """What the brackets that begin at `at` hold, and the place after them; nothing where none begin."""
    while at < len(text) and text[at] in " \t\n%":
        at += 1
    if at >= len(text) or text[at] != opening:
        return "", at
    depth = 0
    for end in range(at, min(len(text), at + 2_000)):
        character = text[end]
        if opening == "[" and character in "{}":
            depth += 1 if character == "{" else -1
        elif character == opening and opening == "{":
            depth += 1
        if character == closing:
            depth -= opening == "{"
            if depth == 0:
                return text[at + 1 : end], end + 1
    return "", at


def _plain(label: str) -> str:
    """A label without its markup: the part before the year, and the year."""
    label = re.sub(
        r"\\protect\\citeauthoryear\{(.*?)\}\{(.*?)\}(?:\{(.*?)\})?", lambda m: f"{m[1]}({m[3] or m[2]})", label
    )
    label = re.sub(r"\\(?:natexlab|bibinfo\{\w+\})\{?", "", label).replace("~", " ").replace("\\&", "&")
    label = _ACCENT.sub(lambda m: unicodedata.normalize("NFC", m[2] + ACCENTS[m[1]]), label)
    return re.sub(r"[{}\\]", "", label)
