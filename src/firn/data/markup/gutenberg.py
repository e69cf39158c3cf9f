"""Plain text as Project Gutenberg has it: lines broken at 70 characters, a header and a licence around the book.

The header's form has changed over thirty years: "*** START OF THIS PROJECT GUTENBERG EBOOK", "*END*THE SMALL PRINT!"
before 2003, and credits of those who made the file below either. All are cut; what the header says is kept as meta.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from firn.data.markup.work import Block, MarkupError, Work, one_line

# In all of these, what may repeat cannot be shared out among two repetitions in more than one way, so that they take
# time linear in the text.
_START = re.compile(
    r"^[ \t]*\*{2,3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)[^\n]*(?:\n[^\n*]+)?\*{3}|"
    r"^[ \t]*\*{2,3}\s*START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT)[^\n]*|"
    r"^\*END[* ]*THE SMALL PRINT![^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_END = re.compile(
    r"^[ \t]*\*{2,3}\s*END OF (?:THE|THIS) PROJECT GUTENBERG|"
    r"^[ \t]*(?:The )?End of (?:The |This )?Project Gutenberg(?:['’]s| E)|"
    r"^[ \t]*\*{3}\s*START:? FULL LICENSE|^\*+\s*START\*+THE SMALL PRINT",
    re.IGNORECASE | re.MULTILINE,
)
_MENTION = re.compile(r"Project Gutenberg", re.IGNORECASE)
_FIELD = re.compile(
    r"^[ \t]*(Title|Author|Editor|Translator|Language|Release [Dd]ate|Illustrator):"
    r"[ \t]*(\S[^\n]*(?:\n[ \t]+\S[^\n]*)*)",
    re.M,
)
_NUMBER = re.compile(r"\[(?:EBook|Etext) ?#(\d+)\]", re.IGNORECASE)
_PAGE = re.compile(r"https?://(?:www\.)?gutenberg\.org/(?:ebooks/|etext/|files/|cache/epub/|(?:\d/)+)?(\d+)\b")
_COPYRIGHTED = re.compile(r"^[^\w\n]*this is a copyrighted", re.IGNORECASE | re.MULTILINE)
_CREDITS = re.compile(
    r"\W*(?:(?:e-?text |ebook )?(?:was )?"
    r"(?:produced|prepared|created|scanned|transcribed|proofread|typed)\b.{0,40}? by\b|"
    r"this (?:e-?text|ebook|file) (?:was|has been)\b|updated editions? will|html version by|"
    r"\[?(?:note|editor['’]?s note)?:? ?this is an? (?:edited|html)|"
    r"end of (?:the |this )?project gutenberg|https?://www\.gutenberg|distributed proofread)",
    re.IGNORECASE,
)  # fmt: skip
_LANGUAGES = {
    "english": "en", "french": "fr", "german": "de", "dutch": "nl", "spanish": "es", "italian": "it", "finnish": "fi",
    "portuguese": "pt", "latin": "la", "greek": "el", "swedish": "sv", "danish": "da", "hungarian": "hu",
    "polish": "pl", "esperanto": "eo", "chinese": "zh", "japanese": "ja", "russian": "ru", "catalan": "ca",
    "norwegian": "no", "czech": "cs", "icelandic": "is", "welsh": "cy", "tagalog": "tl",
}  # fmt: skip

_NUMERAL = (
    r"(?:[ivxlcdm]+|\d+|(?:the )?(?:first|second|third|fourth|fifth|sixth|last|one|two|three|four|five|six|seven|"
    r"eight|nine|ten)[a-z-]*)"
)
_CHAPTER = re.compile(
    rf"\W*(?:chapter|chap\.|chapitre|cap[íi]tulo|capitolo|kapitel|hoofdstuk|luku|letter|stave|adventure|act|canto|scene|"
    rf"book|part|volume|vol\.|livre|partie|buch|teil|boek|deel|lecture|lesson|sermon|fable|essay|tale)\s+{_NUMERAL}\b",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"\s*[IVXLC]+\.?(?:\s+\S.*)?$")
_BARE = re.compile(r"\s*[IVXLC]+\.?\s*")
_NAMED = re.compile(
    r"\W*(?:preface|foreword|introduction|introductory|prologue|epilogue|contents|dedication|appendix|notes?|glossary|"
    r"index|footnotes|conclusion|afterword|postscript|pr[ée]face|vorwort|voorwoord|inhoud|"
    r"table des mati[èe]res|bibliography)\b",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"(?<![\w_])_(?=[^\s_])([^_]{0,2000}?[^\s_])_(?![\w_])")
_BOLD = re.compile(r"(?<![\w=])=(?=[^\s=])([^=\n]{1,200}?[^\s=])=(?![\w=])")
_PICTURE = re.compile(
    r"\[(?:Illustration|Illustratie|Ill|Image|Afbeelding):?\s*((?:[^\[\]]++|\[[^\[\]]*+\])*+)\]", re.IGNORECASE
)
_ORNAMENT = re.compile(r"[\s*.·•_—–-]*")
MAX_CHARACTERS = 32 << 20
MAX_LINES = 1_000_000
_FULL_LINE = 50  # characters; in a paragraph of prose, all lines but the last are longer than this, but for a few


def is_gutenberg(text: str) -> bool:
    """Whether a text has a header of Project Gutenberg."""
    return _MENTION.search(text, 0, 20_000) is not None and (
        _START.search(text, 0, 60_000) is not None or _END.search(text) is not None
    )


def work(text: str, unwrap: bool = True) -> Work:
    """The book within a text file, of Project Gutenberg or any other made the same way.

    unwrap: whether lines of prose are joined to paragraphs. Verse, lists and tables stay as they are.
    Raises MarkupError for a text of more than MAX_CHARACTERS or MAX_LINES.
    """
    if len(text) > MAX_CHARACTERS:
        raise MarkupError(f"a text of {len(text)} characters, over the limit of {MAX_CHARACTERS}")
    if (lines := text.count("\n") + text.count("\r") - text.count("\r\n")) > MAX_LINES:
        raise MarkupError(f"a text of {lines} lines, over the limit of {MAX_LINES}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    made = Work()
    if is_gutenberg(text):
        header, text = _cut(text)
        _describe(made, header)
    made.blocks = _blocks(text, unwrap)
    return made


def cut_blocks(blocks: Sequence[Block]) -> list[Block]:
    """Blocks of a book in another format without header and licence."""
    return cut_files([blocks])[0]


def cut_files(files: Sequence[Sequence[Block]]) -> list[list[Block]]:
    """The same of a book that is several files."""
    kept = [list(blocks) for blocks in files]
    places = [(number, place) for number, blocks in enumerate(files) for place in range(len(blocks))]
    start = end = None
    for count, (number, place) in enumerate(places):
        text = files[number][place].text
        if count < len(places) // 2 + 20 and (found := _START.search(text)):
            start, rest = (number, place), text[found.end() :]
        elif found := _END.search(text):
            end, before = (number, place), text[: found.start()]
            break
    if end is not None:
        number, place = end
        kept[number][place:] = _set(before)
        kept[number + 1 :] = [[] for _ in kept[number + 1 :]]
    if start is not None:
        number, place = start
        kept[number][: place + 1] = _set(rest)
        kept[:number] = [[] for _ in kept[:number]]
    for blocks in kept:
        while blocks and _CREDITS.match(blocks[0].text):
            blocks.pop(0)
        if blocks:
            break
    return kept


def _set(text: str) -> list[Block]:
    """What stands beside the mark in a block. Files of old have the mark in a listing, with text around it."""
    return _blocks(re.sub("^`{3,}.*$", "", text, flags=re.MULTILINE), unwrap=True)


def described(text: str) -> Work:
    """What a header of Project Gutenberg says, as a work without text."""
    made = Work()
    if is_gutenberg(text):
        _describe(made, _cut(text)[0])
    return made


def number_of(url: str | None) -> str | None:
    """The number of the book that an address of Project Gutenberg leads to."""
    found = _PAGE.match(url or "")
    return found[1] if found else None


def page_of(number: str) -> str:
    """The address of a book's page."""
    return f"https://www.gutenberg.org/ebooks/{number}"


def _cut(text: str) -> tuple[str, str]:
    """The header, and the book between header and licence."""
    start = end = 0
    for found in _START.finditer(text):
        if found.start() < len(text) // 2 or found.start() < 20_000:
            start = found.end()
    header = text[:start]
    stop = next((found.start() for found in _END.finditer(text) if found.start() >= start), len(text))
    if not start and (first := re.search(r"\n\s*\n\s*\n", text)):
        header, end = text[: first.end()], first.end()
    return header, text[max(start, end) : stop]


def _describe(work: Work, header: str) -> None:
    fields = {name.title(): one_line(value) for name, value in _FIELD.findall(header)}
    work.title = fields.get("Title", "")
    work.language = _LANGUAGES.get(fields.get("Language", "").lower())
    work.license = "public-domain" if not _COPYRIGHTED.search(header) else None
    number = _NUMBER.search(header)
    meta = {
        "author": fields.get("Author"),
        "translator": fields.get("Translator"),
        "released": re.sub(r"\s*\[.*", "", fields.get("Release Date", "")) or None,
        "gutenberg": number[1] if number else None,
    }
    work.meta = {key: value for key, value in meta.items() if value}
    work.url = page_of(number[1]) if number else None


def _blocks(text: str, unwrap: bool) -> list[Block]:
    text = _PICTURE.sub(lambda found: found[1], text)
    paragraphs = _paragraphs(text)
    levels = [_is_heading(lines) for _, lines in paragraphs]
    # Two empty lines or more stand before a heading; in a few files, one.
    gap = 2 if any(before >= 2 and level for (before, _), level in zip(paragraphs, levels, strict=True)) else 1
    blocks: list[Block] = []
    credits = True
    for (before, lines), level in zip(paragraphs, levels, strict=True):
        if credits:  # those who made the file come first
            if _CREDITS.match(lines[0]):
                continue
            credits = len(blocks) < 3
        if level and before >= gap:
            blocks.append(Block(_clean(one_line(" ".join(lines))), level))
        elif not all(_ORNAMENT.fullmatch(line) for line in lines):
            blocks.append(Block(_clean(_joined(lines) if unwrap else "\n".join(lines))))
    return _demoted(blocks)


def _demoted(blocks: list[Block]) -> list[Block]:
    """Numerals alone are chapters where the book has no others; letters that look like numerals are none."""
    bare = [block for block in blocks if block.level == 1 and _BARE.fullmatch(block.text)]
    chapters = sum(
        block.level == 1 and not _BARE.match(block.text) and not _NAMED.match(block.text) for block in blocks
    )
    if not bare or (chapters < 2 and any(block.text.rstrip(".") == "II" for block in bare)):
        return blocks
    return [Block(block.text, 2) if block.level == 1 and _BARE.fullmatch(block.text) else block for block in blocks]


def _paragraphs(text: str) -> list[tuple[int, list[str]]]:
    """Paragraphs as lines, each with the number of empty lines before it."""
    found: list[tuple[int, list[str]]] = []
    empty = 9
    for line in text.split("\n"):
        line = line.rstrip().replace("\t", "    ")
        if not line:
            empty += 1
        elif empty:
            found.append((empty, [line]))
            empty = 0
        else:
            found[-1][1].append(line)
    return found


def _is_heading(lines: Sequence[str]) -> int:
    """1 for the heading of a chapter, 2 for another, 0 for none."""
    if len(lines) > 4:
        return 0
    text = " ".join(line.strip() for line in lines)
    if len(text) > 160:
        return 0
    if _CHAPTER.match(text) and (len(lines) > 1 or len(text) < 100) and not text.endswith((",", ";")):
        return 1
    if len(lines) > 2:
        return 0
    if _NUMBERED.match(text) and len(text) < 80:
        return 1 if len(text) < 8 or text.upper() == text or not text.endswith((".", ",")) else 0
    if _NAMED.match(text) and len(text) < 60 and (text.upper() == text or len(text.split()) < 4):
        return 1
    letters = [character for character in text if character.isalpha()]
    return 2 if len(letters) > 2 and text.upper() == text and not text.startswith(('"', "“")) and len(text) < 80 else 0


def _joined(lines: Sequence[str]) -> str:
    """Prose as one line; verse and tables line by line, without the margin that all lines share."""
    if len(lines) == 1:
        return lines[0].strip()
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    body = [line[margin:] for line in lines]
    indented = sum(line.startswith("  ") for line in body[1:])
    short = sum(len(line) < _FULL_LINE for line in body[:-1])
    wide_gaps = sum("   " in line.strip() for line in body)
    if indented or wide_gaps > 1 or short * 4 > len(body) - 1:
        return "\n".join(body)
    joined = body[0]
    for line in body[1:]:
        line = line.strip()
        joined += line if joined.endswith(("--", "—")) else f" {line}"
    return joined


def _clean(text: str) -> str:
    """Marks for italics and bold taken away, dashes as characters."""
    text = _EMPHASIS.sub(r"\1", text)
    text = _BOLD.sub(r"\1", text)
    return re.sub(r"(?<!-)--(?!-)", "—", text)
