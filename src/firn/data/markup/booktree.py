"""The reading order of a book that is a tree of files, as the tool that makes it into a book has it.

mdBook and GitBook: `SUMMARY.md`. Jupyter Book: `_toc.yml`. MkDocs: `mkdocs.yml`. Sphinx, MyST and d2lbook: `toctree`
and `toc` in index files. Where there is none of these: names in natural order, the index of a folder first.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

#: Files that tell of themselves that a folder holds a book.
MARKERS = ("SUMMARY.md", "_toc.yml", "mkdocs.yml", "mkdocs.yaml")
_SUFFIXES = (".md", ".markdown", ".mdx", ".html", ".htm", ".xhtml", ".tex", ".rst", ".ipynb")
_INDEXES = ("index", "readme", "_index", "intro", "title-page", "cover", "preface", "foreword")
_LAST = (
    "appendix",
    "appendices",
    "glossary",
    "references",
    "bibliography",
    "index",
    "colophon",
    "back-matter",
    "backmatter",
)
_SUMMARY_LINK = re.compile(r"^([ \t]*)(?:[-*+][ \t]+)?\[(.*)\]\(\s*<?([^)>\s]*)>?[^)]*\)", re.MULTILINE)
_TOC_FILE = re.compile(r"^\s*-?\s*(?:file|root)\s*:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
_NAV_FILE = re.compile(r"^\s*-\s+(?:[^:\n]+:\s*)?[\"']?([^\s:\"']+\.md)[\"']?\s*$", re.MULTILINE)
_TOC_FENCE = re.compile(
    r"^(?:(`{3,}|:{3,})\s*(?:toc|\{toctree\}|\{tableofcontents\})[^\n]*\n(.*?)^\1|"
    r"\.\. toctree::[^\n]*\n((?:[ \t]+[^\n]*\n|\n)*))",
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"(\d+)")
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the book. above: titles of the chapters that it lies in, where the order tells them."""

    name: str
    above: tuple[str, ...] = ()


def reading_order(names: Collection[str], text: Callable[[str], str]) -> list[Entry]:
    """The files of a book in reading order, each once. names: all of the tree, relative to the book's folder; text:
    the content of one. Files that an order is given for and does not name are not of the book."""
    for marker, reader in (("SUMMARY.md", _summary), ("_toc.yml", _toc), ("mkdocs.yml", _nav), ("mkdocs.yaml", _nav)):
        at = min((name for name in names if posixpath.basename(name) == marker), key=len, default=None)
        if at is not None:
            found = list(_once(reader(text(at), posixpath.dirname(at), names)))
            if found:
                return found
    index = next((name for name in sorted(names, key=len) if _stem(name) == "index" and _toc_entries(text(name))), None)
    if index is not None and "/" not in index:
        return list(_once(_expanded(index, names, text, 0)))
    found = []
    for name in sorted(names, key=_natural):
        found += _expanded(name, names, text, 0)
    return list(_once(found))


def _once(entries: Iterator[Entry] | Sequence[Entry]) -> Iterator[Entry]:
    seen: set[str] = set()
    for entry in entries:
        if entry.name not in seen:
            seen.add(entry.name)
            yield entry


def _summary(text: str, folder: str, names: Collection[str]) -> Iterator[Entry]:
    open_chapters: list[tuple[int, str]] = []
    for found in _SUMMARY_LINK.finditer(text):
        indent = len(found[1].expandtabs(4))
        while open_chapters and open_chapters[-1][0] >= indent:
            open_chapters.pop()
        name = _resolved(folder, found[3].split("#")[0], names)
        if name:
            yield Entry(name, tuple(title for _, title in open_chapters))
        open_chapters.append((indent, found[2].strip()))


def _toc(text: str, folder: str, names: Collection[str]) -> Iterator[Entry]:
    for found in _TOC_FILE.finditer(text):
        if name := _resolved(folder, found[1], names):
            yield Entry(name)


def _nav(text: str, folder: str, names: Collection[str]) -> Iterator[Entry]:
    own = re.search(r"^docs_dir\s*:\s*[\"']?([^\s\"']+)", text, re.MULTILINE)
    for found in _NAV_FILE.finditer(text):
        if name := _resolved(posixpath.join(folder, own[1] if own else "docs"), found[1], names):
            yield Entry(name)


def _toc_entries(text: str) -> list[str]:
    found = []
    for block in _TOC_FENCE.finditer(text):
        for line in (block[2] or block[3] or "").splitlines():
            line = line.strip()
            if line and not line.startswith((":", "-", "#")):
                titled = re.search(r"<([^<>]+)>$", line)
                found.append(titled[1] if titled else line)
    return found


def _expanded(name: str, names: Collection[str], text: Callable[[str], str], depth: int) -> list[Entry]:
    """A file, and after it those that its table of contents names."""
    found = [Entry(name)]
    if depth < _MAX_DEPTH and _stem(name) in ("index", "readme", "contents", "intro") and len(found) < 10_000:
        for entry in _toc_entries(text(name)):
            inner = _resolved(posixpath.dirname(name), entry, names)
            if inner and inner != name:
                found += _expanded(inner, names, text, depth + 1)
    return found


def _resolved(folder: str, path: str, names: Collection[str]) -> str | None:
    """The file that a path in an index means; None where there is none in the tree."""
    path = posixpath.normpath(posixpath.join(folder, path.lstrip("/")))
    candidates = [path, *(path + suffix for suffix in _SUFFIXES), *(f"{path}/index{suffix}" for suffix in _SUFFIXES)]
    return next((candidate for candidate in candidates if candidate in names), None)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0].lower()


def _natural(name: str) -> list[tuple[int, list[tuple[int, int, str]]]]:
    """Sorts numbers by value, a folder's index before all else in it, appendices after."""
    keys = []
    parts = name.split("/")
    for place, part in enumerate(parts):
        stem = posixpath.splitext(part)[0].lower() if place == len(parts) - 1 else part.lower()
        bare = re.sub(r"^chapter[_-]|^ch[_-]?(?=\d)|^\d+[._-]", "", stem)
        first = _INDEXES.index(stem) if stem in _INDEXES and place == len(parts) - 1 else len(_INDEXES)
        if first == len(_INDEXES) and bare in _INDEXES and not stem[0].isdigit():
            first = _INDEXES.index(bare)
        rank = (
            first
            if first < len(_INDEXES)
            else 102
            if bare.startswith(_LAST)
            else 100
            if bare.startswith("intro")
            else 101
        )
        pieces = [(0, int(p), "") if p.isdecimal() and len(p) < 10 else (1, 0, p) for p in _NUMBER.split(stem) if p]
        keys.append((rank, pieces))
    return keys
