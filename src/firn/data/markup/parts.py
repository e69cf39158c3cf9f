"""A book as its chapters: where one begins, and which of them stand before and after the book's own text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from firn.data.markup.work import Block

Matter = Literal["front", "body", "back"]

_FRONT = re.compile(
    r"\W*(?:(?:table of )?contents|list of (?:illustrations|figures|tables|maps)|title[ -]?page|"
    r"half[ -]?title(?:[ -]?page)?|cover(?: page)?|copyright(?: page| notice)?|imprint|"
    r"dedication|epigraph|foreword|preface|acknowledge?ments|"
    r"transcriber['’]?s['’]? notes?|illustrations|legal notice|about this (?:book|edition)|publisher['’]s note|"
    r"table des mati[eè]res|pr[ée]face|avant-propos|au lecteur|inhalt(?:sverzeichnis)?|vorwort|inhoud|voorwoord|"
    r"[ií]ndice general|pr[óo]logo del autor)\W*$",
    re.IGNORECASE,
)
_BACK = re.compile(
    r"\W*(?:index(?: of .{1,40})?|subject index|name index|glossary|bibliography|references|works cited|"
    r"further reading|"
    r"(?:end ?)?notes|footnotes|appendi(?:x|ces)\b.*|answer key|answers?(?: to .{1,40})?|colophon|uncopyright|"
    r"about the (?:authors?|publisher)|credits|errata|also by .*|advertisements?|review questions and answers)\W*$",
    re.IGNORECASE,
)
_CHAPTER = re.compile(r"\W*(?:chapter|part|book|section|lesson|unit|lecture|chapitre|kapitel)\b", re.IGNORECASE)
_OPENING = re.compile(
    r"\W*(?:introduction|introductory|prologue|letter|adventure|stave|canto|act)\b|\W*[IVXLC]+[.:]|\W*[IVX]{2,}\b|\W*\d+\b",
    re.I,
)
_ENTRY = re.compile(r"\W*(?:chapter|book|part|letter|section|[ivxlc]+\.|\d+\.)\s?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """A chapter, or what stands before the first one: title, matter, and the blocks, its heading among them."""

    title: str
    matter: Matter
    blocks: Sequence[Block]


def matter_of(title: str) -> Matter:
    """Front matter, back matter or body, by what a chapter is called."""
    return "front" if _FRONT.match(title) else "back" if _BACK.match(title) else "body"


def chapters(blocks: Sequence[Block]) -> list[Part]:
    """The parts of a book in reading order: divided at its chapters' headings, every block in one part.

    Chapters are what the highest level of headings marks that the book has more than one of. A heading with no text
    under it (the first of "Book I" and "Chapter 1") begins the part that follows.
    """
    level = _level(blocks)
    pieces: list[list[Block]] = [[]]
    has_text = False
    for block in blocks:
        if has_text and 0 < block.level <= level:
            pieces.append([])
            has_text = False
        has_text |= not block.level
        pieces[-1].append(block)
    if len(pieces) > 1 and not has_text:
        pieces[-2].extend(pieces.pop())
    found = [piece for piece in pieces if piece]
    titles = [_title(piece, level) for piece in found]
    kinds = matters(titles, [_is_contents(piece) for piece in found])
    return [Part(title, kind, piece) for title, kind, piece in zip(titles, kinds, found, strict=True)]


def matters(titles: Sequence[str], contents: Sequence[bool] = ()) -> list[Matter]:
    """The matter of parts by their titles and order.

    What comes before the first chapter is front matter but for introductions, and back matter is only what no chapter
    follows. contents: of each part, whether it reads like a table of contents.
    """
    kinds = [matter_of(title.partition(": ")[0]) for title in titles]
    kinds = [
        "front" if is_contents else kind
        for kind, is_contents in zip(kinds, contents or [False] * len(kinds), strict=True)
    ]
    bodies = [place for place, kind in enumerate(kinds) if kind == "body" and titles[place]]
    named = [place for place in bodies if _CHAPTER.match(titles[place]) or _OPENING.match(titles[place])]
    if not bodies or len(titles) == 1:
        return ["body" if kind == "front" and len(titles) == 1 else kind for kind in kinds]
    first = (named if len(named) > 1 else bodies)[0]
    return [
        "front" if place < first else "body" if place < bodies[-1] and kind == "back" else kind
        for place, kind in enumerate(kinds)
    ]


def _is_contents(blocks: Sequence[Block]) -> bool:
    """Whether most lines name a chapter."""
    lines = [line for block in blocks if not block.level for line in block.text.split("\n") if line.strip()]
    return len(lines) > 2 and sum(_ENTRY.match(line) is not None for line in lines) > 0.7 * len(lines)


def _level(blocks: Sequence[Block]) -> int:
    """The level of headings at which chapters begin."""
    counts = Counter(block.level for block in blocks if block.level)
    named = Counter(block.level for block in blocks if block.level and _CHAPTER.match(block.text))
    if named and (best := min(named)) and named[best] > 1:
        return best
    return next((level for level in sorted(counts) if counts[level] > 1), 0)


def _title(blocks: Sequence[Block], level: int) -> str:
    """The headings that a part begins with, in one line."""
    names: list[str] = []
    for block in blocks:
        if not block.level or (names and block.level > level + 1):
            break
        names.append(" ".join(block.text.split()))
    return ": ".join(names)[:300]
