"""PDF by pdfium (the extra `firn[pdf]`): text of the pages, furniture of the pages cut, words divided at line ends
made whole, lines joined to paragraphs. Chapters are those of the file's outline.

A PDF says where glyphs stand, not what they are. So tables and formulas come out as their characters do, and headings
are not told from other lines. A scanned page has no text at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from firn.core.errors import RecipeError
from firn.core.memory import memory_within
from firn.data.markup.parts import Part, matters
from firn.data.markup.work import Block, MarkupError, Work, one_line

MAX_BYTES = 256 << 20
MAX_MEMORY = 512 << 20
MAX_PAGES = 10_000
MAX_CHARACTERS = 32 << 20
MAX_PAGE_CHARACTERS = 1 << 20

# Lines at the top and the bottom of a page that may be furniture, and on what share of pages a line must be to be it.
_EDGE, _SHARE, _FEWEST = 2, 0.25, 3
_PAGE_NUMBER = re.compile(
    r"\W*(?:(?:page|p\.|seite|página)?\s*\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?|[ivxlc]{1,7})\W*", re.IGNORECASE
)
_DIGITS = re.compile(r"\d+")
# pdfium's sign for a hyphen that ends a line, and the hyphens of Unicode.
_HYPHENS = "-\u00ad\u2010\u0002\ufffe"
_HYPHENATED = re.compile(rf"\w[{_HYPHENS}]\Z")
_COMPOUND = re.compile(r"\b(?=([^\W\d_]+-[^\W\d_]+)\b)")
_SIGN = "\u0002"
_DIVIDED = re.compile(r"(?<!\w)(\w+)[\u0002\ufffe](?=(\w+))")
_NO_CHARACTERS = re.compile("[\u00ad\u0002\ufffe]")
_CHAIN = re.compile(r"\w-\w{1,20}-\Z")
_FIRST_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?:;\u3002\uff01\uff1f\u061f][\"'\u201d\u2019)\]]*\Z")
_ITEM = re.compile(r"(?:[\u2022\u25e6\u25aa\u2013*-]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s")
_DATE = re.compile(r"D:(\d{4})(\d{2})?(\d{2})?")


def read(data: bytes) -> tuple[Work, list[Part]]:
    """What the file says of itself, and its chapters, or all of it as one part.

    Raises MarkupError for what pdfium cannot open or is beyond the limits, RecipeError where the extra is missing. A
    page for which pdfium needs more than MAX_MEMORY bytes ends the process (Linux).
    """
    if len(data) > MAX_BYTES:
        raise MarkupError(f"a PDF of {len(data)} bytes, over the limit of {MAX_BYTES}")
    try:
        import pypdfium2  # noqa: F401
    except ImportError:
        raise RecipeError(
            "PDF needs a library that is not installed", key="pypdfium2", mend="pip install 'firn[pdf]'"
        ) from None
    # A page's drawing unpacks to far more than it is, and pdfium holds it as objects: no other limit can be set there.
    with memory_within(MAX_MEMORY):
        return _read(data)


def _read(data: bytes) -> tuple[Work, list[Part]]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except (pypdfium2.PdfiumError, ValueError) as error:
        raise MarkupError(f"not a PDF that can be read: {error}") from None
    try:
        if len(document) > MAX_PAGES:
            raise MarkupError(f"a PDF of {len(document)} pages, over the limit of {MAX_PAGES}")
        pages, size = [], 0
        for number in range(len(document)):
            pages.append(_lines(document, number))
            size += sum(map(len, pages[-1]))
            if size > MAX_CHARACTERS:
                raise MarkupError(f"a PDF of more than {MAX_CHARACTERS} characters")
        work = _described(document.get_metadata_dict())
        work.meta["pages"] = len(pages)
        return work, _parts(without_furniture(pages), _outline(document))
    except pypdfium2.PdfiumError as error:
        raise MarkupError(f"a PDF that cannot be read: {error}") from None
    finally:
        document.close()


def _lines(document, number: int) -> list[str]:  # type: ignore[no-untyped-def]
    page = document[number]
    try:
        text = page.get_textpage()
        try:
            count = text.count_chars()
            if count > MAX_PAGE_CHARACTERS:
                raise MarkupError(f"page {number + 1} has {count} characters, over the limit of {MAX_PAGE_CHARACTERS}")
            return [one_line(line) for line in str(text.get_text_bounded()).splitlines()]
        finally:
            text.close()
    finally:
        page.close()


def _outline(document) -> list[tuple[int, str]]:  # type: ignore[no-untyped-def]
    """Page and title of each entry of the outline's highest level."""
    found: list[tuple[int, str]] = []
    for place, entry in enumerate(document.get_toc(max_depth=2)):
        if place >= 10_000:
            break
        target = entry.get_dest()
        page = target.get_index() if target else None
        if entry.level == 0 and page is not None:
            found.append((page, one_line(entry.get_title())))
    return sorted(found, key=lambda pair: pair[0])


def without_furniture(pages: Sequence[Sequence[str]]) -> list[list[str]]:
    """Lines of pages without running heads, feet and page numbers: what many pages have at the edge."""
    kept = [[line for line in page if line.strip()] for page in pages]
    counts: Counter[tuple[bool, str]] = Counter()
    for page in kept:
        counts.update({(at_top, _shape(line)) for at_top, line in _edges(page)})
    enough = max(_FEWEST, _SHARE * sum(1 for page in kept if page))

    def is_furniture(at_top: bool, line: str) -> bool:
        return _PAGE_NUMBER.fullmatch(line) is not None or counts[at_top, _shape(line)] >= enough

    out = []
    for page in kept:
        start, end = 0, len(page)
        while start < min(_EDGE, end) and is_furniture(True, page[start]):
            start += 1
        while end > max(start, len(page) - _EDGE) and is_furniture(False, page[end - 1]):
            end -= 1
        out.append(page[start:end])
    return out


def _edges(page: Sequence[str]) -> list[tuple[bool, str]]:
    return [*((True, line) for line in page[:_EDGE]), *((False, line) for line in page[-_EDGE:])]


def _shape(line: str) -> str:
    return _DIGITS.sub("#", line).casefold()


def compounds(pages: Iterable[Iterable[str]]) -> set[str]:
    """The words, in lower case, that have a hyphen within a line."""
    return {word.lower() for page in pages for line in page for word in _COMPOUND.findall(line)}


def paragraphs(lines: Sequence[str], hyphenated: Collection[str] = ()) -> list[str]:
    """Lines joined: a paragraph ends where a line is clearly shorter than the others and ends a sentence, before
    an item of a list, and at a short line that a capital follows.

    hyphenated: words that keep a hyphen at which a line ends. Before a capital or a digit, after a digit, and after two
    hyphens in a word, all do.
    """
    lengths = sorted(len(line) for line in lines if line)
    full = lengths[int(len(lengths) * 0.75)] if lengths else 0
    found: list[list[str]] = []
    begin = True
    for place, line in enumerate(lines):
        if not line:
            begin = True
            continue
        if begin or _ITEM.match(line):
            found.append([line])
        else:
            found[-1][-1:] = [_before(found[-1][-1], line), line]
        after = next((other for other in lines[place + 1 : place + 2] if other), "")
        short = len(line) < 0.8 * full
        ends = _SENTENCE_END.search(line) is not None
        is_open = _HYPHENATED.search(line) is not None
        begin = short and (ends or (len(line) < 0.6 * full and after[:1].isupper() and not is_open))
    return [_mended("".join(pieces), hyphenated) for pieces in found]


def _before(line: str, following: str) -> str:
    """A line as it stands before the one that follows it in the paragraph: with a sign for a hyphen at its end."""
    if _HYPHENATED.search(line) and _FIRST_WORD.match(following):
        return line[:-1] if line.endswith("\u00ad") else f"{line[:-1]}{_SIGN}"
    return line if line.endswith(("\u2014", "/")) else f"{line} "


def _mended(text: str, hyphenated: Collection[str]) -> str:
    """Words divided at line ends made whole. pdfium joins lines itself where one ends with a hyphen."""

    def first(found: re.Match[str]) -> str:
        one, other = found.groups()
        keeps = (
            not (one[-1].isalpha() and other[0].islower())
            or f"{one}-{other}".lower() in hyphenated
            or _CHAIN.search(text, max(0, found.start() - 24), found.start())  # state-of-the-
        )
        return f"{one}-" if keeps else one

    return _NO_CHARACTERS.sub("", _DIVIDED.sub(first, text))


def _parts(pages: Sequence[Sequence[str]], outline: Sequence[tuple[int, str]]) -> list[Part]:
    """The pages divided at the outline's entries."""
    starts = [(0, "")] if not outline or outline[0][0] > 0 else []
    for page, title in outline:
        if starts and starts[-1][0] == page:
            continue
        starts.append((page, title))
    parts, hyphenated = [], compounds(pages)
    for place, (start, title) in enumerate(starts):
        end = starts[place + 1][0] if place + 1 < len(starts) else len(pages)
        blocks = [Block(text) for text in paragraphs([line for page in pages[start:end] for line in page], hyphenated)]
        if blocks:
            parts.append((title, blocks))
    kinds = matters([title for title, _ in parts])
    return [Part(title, kind, blocks) for (title, blocks), kind in zip(parts, kinds, strict=True)]


def _described(metadata: dict[str, str]) -> Work:
    work = Work(title=one_line(metadata.get("Title", "")))
    # The day on which the file was made says little of when the book was written.
    made = _DATE.match(metadata.get("CreationDate", ""))
    meta = {
        "author": one_line(metadata.get("Author", "")),
        "created": "-".join(filter(None, made.groups())) if made else "",
    }
    work.meta = {key: value for key, value in meta.items() if value}
    return work
