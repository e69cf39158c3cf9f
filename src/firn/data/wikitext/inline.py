"""Markup within lines: HTML tags, external links, quotes, magic words, entities, and the gaps of dropped templates."""

from __future__ import annotations

import html
import re

from firn.data.wikitext.scripts import subscript, superscript
from firn.data.wikitext.tags import BREAK, CELL, DROPPED, NOTHING

# Elements that begin lines of their own, and others. Those not in the lists are shown as they stand, as MediaWiki does.
_LINES = "br p div center blockquote hr li ul ol dl dt dd tr table caption h1 h2 h3 h4 h5 h6 poem".split()
_OTHERS = (
    "abbr b bdi bdo big cite code data del dfn em font i ins kbd link mark meta noinclude onlyinclude nobr q rb rbc rp"
    " rt rtc ruby s samp section small span strike strong sub sup tbody td tfoot th thead time translate tt tvar u var"
    " wbr img a col colgroup ref references gallery nowiki pre math source syntaxhighlight includeonly timeline hiero"
    " score imagemap templatestyles chem ce noindex categorytree includeonly"
).split()
_NAMES = "|".join(sorted([*_LINES, *_OTHERS], key=len, reverse=True))
_TAG = re.compile(rf"<[ /\\]{{0,2}}({_NAMES})(?![\w-])[^<>]*+>", re.IGNORECASE)
# A tag that its line ends in.
_HALF_TAG = re.compile(r"</?(?:ref|br|div|span|small|sup|sub|center|nowiki|references)\b[^<>\n]*+$", re.I | re.M)
_REPLACED = dict.fromkeys(_LINES, BREAK) | {"li": f"{BREAK}- "} | dict.fromkeys(("td", "th"), CELL)
# Where cells of one row meet, whether or not their tags are closed; and the ends of the row.
_CELLS = re.compile(rf"({BREAK}\s*)?{CELL}(?:\s*{CELL})*(?=\s*({BREAK}|\Z))?")
_POEM = re.compile(r"<poem(?:\s[^<>]*+)?>", re.IGNORECASE)
_POEM_END = re.compile(r"</poem\s*+>", re.IGNORECASE)
_SCRIPT = re.compile(r"<(su[pb])(?:\s[^<>]*+)?>([^<>\n]{1,60}+)</su[pb]\s*+>", re.IGNORECASE)
_READING = re.compile(r"<rp>[^<>\n]{0,10}</rp>\s*|<(/?)rt(?:\s[^<>]*+)?>", re.IGNORECASE)

_LINK = re.compile(
    r"\[(?:(?:https?|ftps?|sftp|gopher|ircs?|news|mailto|urn|git|svn|magnet|tel|geo):|//)[^\s\[\]<>]*+([^\[\]\n]*+)\]",
    re.IGNORECASE,
)
_MAGIC = re.compile(r"__([^\W\d_]{3,30}+)__")
_VARIANT = re.compile(r"-\{([^{}]*+)\}-")
_CODE = re.compile(r"\s*+(?:[A-Za-z-]{2,12}\s*+:)\s*+([^;]*+)")

_QUOTES = re.compile(r"'{2,}+")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_WIDE = "\u3000"
_GAP = re.compile(f"{DROPPED}[ ,;:、，；：{DROPPED}]*+")
_IN_GAP = f" ,;:、，；：{DROPPED}"
_PUNCTUATION = re.compile("[,;:、，；：]")
_OPENERS, _CLOSERS, _ENDS = "(（[「『", ")）]」』", ".,;:!?。、，；：！？"

#: Languages written in several scripts, where `-{...}-` marks how a word is converted.
_VARIANTS = frozenset("zh sr sh kk ku uz gan iu shi tg crh wuu hak ban".split())


def inline(text: str, language: str | None) -> str:
    """The whole text, without tags, external links' addresses and magic words; BREAK where a tag ends a line."""
    if "-{" in text and language in _VARIANTS:
        text = _VARIANT.sub(_variant, text)
    if "<" in text:
        text = _SCRIPT.sub(_raise_or_lower, text)
        text = _READING.sub(_reading, text)
        text = _verse(text)
        text = _TAG.sub(_tag, text)
        text = _HALF_TAG.sub("", text)
        if CELL in text:
            text = _CELLS.sub(lambda m: m[1] or ("" if m.start() == 0 or m[2] is not None else " | "), text)
    text = _LINK.sub(_link, text)
    if "__" in text:
        text = _MAGIC.sub(lambda m: "" if m[1] == m[1].upper() else m[0], text)
    return _close_gaps(text) if DROPPED in text else text


def clean(line: str) -> str:
    """One line as a reader sees it: without the quotes of bold and italics, entities decoded, spaces as one."""
    # Ideographic spaces are Japanese punctuation, and stay.
    return _WIDE.join(" ".join(part.split()) for part in plain(line).split(_WIDE)).strip()


def plain(line: str) -> str:
    """The same with its spaces as they are."""
    if "''" in line:
        line = _quotes(line)
    if "&" in line:
        line = _ENTITY.sub(lambda entity: html.unescape(entity[0]), line).replace("\u00ad", "")
    return line.replace(NOTHING, "")


def breaks(line: str, mark: str) -> str:
    """A line with what tags divide it into joined by `mark`."""
    if BREAK not in line:
        return line
    return mark.join(part for part in (part.strip() for part in line.split(BREAK)) if part)


def _tag(found: re.Match[str]) -> str:
    name = found[1].lower()
    if name == "li" and found[0].startswith("</"):
        return ""
    return _REPLACED.get(name, "")


def _verse(text: str) -> str:
    """The text with the lines of each <poem> ended by BREAK; their marks of indentation go."""
    before, *poems = _POEM.split(text)
    out = [before]
    for poem in poems:
        verse, *after = _POEM_END.split(poem, 1)
        if after:
            # The item of a list that a poem is in has one line.
            end = BREAK if before.rpartition("\n")[2][:1] in tuple("*#:;") else f"{BREAK}\n"
            verse = end.join(line.strip().lstrip(":") for line in verse.split("\n"))
        out += [BREAK, verse, *(f"{BREAK}{rest}" for rest in after)]
        before = poem
    return "".join(out)


def _reading(found: re.Match[str]) -> str:
    """The reading of a word, as <ruby> has it above the word, in parentheses after it."""
    return "" if found[1] is None else ")" if found[1] else "("


def _raise_or_lower(found: re.Match[str]) -> str:
    return (superscript if found[1].lower() == "sup" else subscript)(found[2].replace("''", ""))


def _link(found: re.Match[str]) -> str:
    return found[1].strip() or DROPPED


def _variant(found: re.Match[str]) -> str:
    """`-{A}-` and `-{zh-hans:A; zh-hant:B}-`: the first; flags before a bar."""
    flags, bar, text = found[1].rpartition("|")
    if bar and not set(flags.strip()) <= {"R", "A"}:
        return ""  # a rule for the whole page or its title
    first = _CODE.match(text)
    return first[1].strip() if first else text.strip()


def _close_gaps(text: str) -> str:
    """Take away the punctuation that dropped templates leave alone, as in `( ; born 1950)`, and empty parentheses."""
    out: list[str] = []
    done = 0
    for found in _GAP.finditer(text):
        start, end = found.span()
        if start < done:
            continue
        while True:
            while start > done and text[start - 1] in _IN_GAP:
                start -= 1
            before = text[start - 1] if start > done else ""
            if not before or before not in _OPENERS or text[end : end + 1] not in _CLOSERS or end == len(text):
                break
            start -= 1  # parentheses with nothing in them
            end += 1
            while text[end : end + 1] and text[end] in _IN_GAP:
                end += 1
        out.append(text[done:start])
        # Not nothing: bars of a table on both sides of it stay apart.
        out.append(_left_over(text[start:end], before or text[start - 1 : start], text[end : end + 1]) or NOTHING)
        done = end
    out.append(text[done:])
    return "".join(out)


def _left_over(gap: str, before: str, after: str) -> str:
    """What stays of the punctuation around a dropped template. before, after: the characters beside it."""
    if before in _OPENERS:  # also at the begin of the text
        return ""
    if before == "\n":  # colons and semicolons may be marks of a list
        return gap[: len(gap) - len(gap.lstrip(":;"))]
    if before in "*#" or (after and after in _CLOSERS):
        return ""
    mark = _PUNCTUATION.search(gap)
    if after in ("", "\n", BREAK):
        return mark[0] if mark else ""
    if mark:
        return mark[0] + (" " if " " in gap else "")
    return "" if after in _ENDS or " " not in gap else " "


def _quotes(line: str) -> str:
    """Without the apostrophes that make bold and italics, but with those that are meant: of four the first, of six and
    more all but five; and the first of three where otherwise bold and italics would both stay open, as in
    `l'''idée''` (MediaWiki's Parser::doQuotes)."""
    lengths = [len(run) for run in _QUOTES.findall(line)]
    bold = sum(n in (3, 4) or n >= 5 for n in lengths)
    italic = sum(n == 2 or n >= 5 for n in lengths)
    spared = -1
    if bold % 2 and italic % 2:
        spared = _spared(line)

    def apostrophes(run: re.Match[str]) -> str:
        n = len(run[0])
        if n == 4 or run.start() == spared:
            return "'"
        return "'" * max(0, n - 5)

    return _QUOTES.sub(apostrophes, line)


def _spared(line: str) -> int:
    """Where the three apostrophes are of which the first is meant: after a word of one letter, after a longer word, or
    after a space, in this order."""
    places = [run.start() for run in _QUOTES.finditer(line) if run.end() - run.start() == 3]
    words = [at for at in places if at > 0 and line[at - 1] != " "]
    single = [at for at in words if at == 1 or line[at - 2] == " "]
    return min(single or words or places, default=-1)
