"""Markdown of papers and books: what tools add for their own use is taken out, and the text is left as it is written.

Taken out: front matter, comments, HTML tags, link targets, pictures (their captions stay), attributes of headings and
figures, templates, and the marks of mdBook, Manubot, MyST and d2lbook. Fenced listings and formulas are not touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from firn.data.markup import licenses
from firn.data.markup.render import fenced
from firn.data.markup.work import Block, MarkupError, Work, date, one_line

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*\n", re.DOTALL)
MAX_CHARACTERS = 16 << 20
_MAX_FRONT = 64 << 10
_FENCE = re.compile(r"^( {0,3}|\t| {4,12}(?=[`~]{3}[^`~]))(`{3,}|~{3,})(.*)$")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?$")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_SETEXT = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_LANGUAGE = re.compile(r"\W*([A-Za-z0-9_+#-]+)?")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)|\{##.{0,1000}?##\}|\{#\s.{0,400}?#\}|\{%.{0,200}?%\}", re.DOTALL)
_IMAGE = re.compile(
    r"!\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?[^()\s]*(?:\([^()]*\)[^()\s]*)*>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_IMAGE_REFERENCE = re.compile(r"!\[([^\[\]]*)\](?:\[[^\[\]]*\])?")
_LINK = re.compile(
    r"(?<![!\\])\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?[^()\s]*(?:\([^()]*\)[^()\s]*)*>?(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)"
)
_LINK_REFERENCE = re.compile(r"(?<![!\\\]])\[([^\[\]]+)\]\[[^\[\]]*\]")
_SHORT_REFERENCE = re.compile(r"(?<![!\\\]\w])\[([^\[\]@^]+)\](?![\[(:\w])")
_DEFINITION = re.compile(
    r"^ {0,3}\[([^\]\n^]+)\]:[ \t]*\S+(?:[ \t]+(?:\"[^\"]*\"|'[^']*'|\([^)]*\)))?[ \t]*$", re.MULTILINE
)
_DIRECTIVES = re.compile(
    r"^:(?:label|eqlabel|width|height|bibliography|begin_tab|end_tab):?`[^`\n]*`[ \t]*$|^\(\w[\w-]*\)=[ \t]*$|"
    r"^:{3,}.*$|^\{\{#[^}]*\}\}[ \t]*$|^\[\[?toc\]?\][ \t]*$|^\[Discussions?\]\(.*\)[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_TAB = re.compile(r"^:(?:begin|end)_tab:(?:`[^`\n]*`)?[ \t]*$", re.MULTILINE)
_CITE = re.compile(r"[ \n]?:(?:cite|citet|citep|footcite):`[^`\n]*`")
_REFERENCE = re.compile(r":(numref|eqref|ref):`([a-z]*)[^`\n]*`")
_KINDS = {
    "fig": "the figure", "tab": "the table", "tbl": "the table", "chap": "the chapter", "eq": "the equation",
    "sec": "the section", "subsec": "the section", "subsubsec": "the section",
}  # fmt: skip
_MANUBOT = re.compile(r"[ \t]?\[-?@[^\[\]]{1,2000}\]")
_FIGURE_REFERENCE = re.compile(r" ?@(?:fig|tbl|eq|sec):[\w:-]+(?:\.\w+)*")
_ATTRIBUTES = re.compile(
    r"(?<=[\])`\w.!?*\x02])[ \t]?\{(?:[#.][A-Za-z]|[\w-]{1,40}=)[^{}\n]{0,300}\}|\{#[\w:.-]{1,200}[^{}\n]{0,300}\}"
)
_EMPTY_SPAN = re.compile(r"\[\](?:\{[^{}\n]*\}|\([^()\n]*\))?")
_TAG = re.compile(r"</?(?:[a-z][a-z0-9-]*)(?:\s+[\w:-]+(?:=(?:\"[^\"]*\"|'[^']*'|[^\s>\"']+))?)*\s*/?>", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>[ \t]*", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script|style|svg|iframe)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_URL = re.compile(r"<((?:https?|ftp|mailto):[^\s<>]+)>")
_CODE_SPAN = re.compile(r"(?<![`\\])(`+)(?!`)(.{1,4000}?)(?<!`)\1(?!`)", re.DOTALL)
_MATH = re.compile(
    r"\$\$.{1,20000}?\$\$|(?<![\\$\w])\$(?=[^\s$])[^$\n]{0,2000}(?:\n[^$\n]{1,2000}){0,3}?(?<=[^\s\\])\$(?!\d)",
    re.DOTALL,
)
_INCLUDE = re.compile(r"\{\{\s*#(?:rustdoc_include|include|playground)\s+([^}\s:]+)(?::[^}\s]*)?[^}]*\}\}")
_MAGIC = re.compile(
    r"^(?:%%tab\b.*|#@tab\b.*|#@save.*|%(?:load_ext|matplotlib)\b.*|tab\.interact_select\(.*)\n?", re.MULTILINE
)
_PROTECTED = re.compile("\x02(\\d+)\x02")
# Languages of fences that are instructions for the tool, not listings.
_TOOLS = ("toc", "toctree", "eval_rst", "{toctree}", "{contents}")


def work(text: str, include: Callable[[str], str | None] = lambda name: None) -> Work:
    """A Markdown file. include: gives another file that a listing is taken from, by its path, or None."""
    if len(text) > MAX_CHARACTERS:
        raise MarkupError(f"Markdown of {len(text)} characters, over the limit of {MAX_CHARACTERS}")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x02", "")
    made = Work()
    front = _FRONT.match(text, 0, _MAX_FRONT)
    if front:
        text = text[front.end() :]
        described(made, front[1])
    made.blocks = list(_blocks(text, include))
    if made.blocks and made.blocks[0].level == 1 and (not made.title or made.title == made.blocks[0].text):
        made.title = made.blocks.pop(0).text
    return made


def described(work: Work, text: str) -> None:
    """Title, date, licence and language out of YAML front matter, where it is YAML."""
    try:
        # References within YAML can stand for more text than there is memory.
        data: Any = None if re.search(r"(?:^|[\s:,\[-])[&*]\w", text) else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    if not isinstance(data, Mapping):
        return
    given = {
        str(key).lower(): str(value)
        for key, value in data.items()
        if isinstance(value, str | int | float) or hasattr(value, "isoformat")
    }
    work.title = one_line(given.get("title", ""))
    work.published = date(given.get("date", given.get("published", "")))
    work.language = given.get("lang") or given.get("language")
    license = given.get("license", given.get("licence", ""))
    work.license = licenses.from_url(license) or licenses.from_text(license) or (license[:100] or None)


def _blocks(text: str, include: Callable[[str], str | None]) -> list[Block]:
    """Headings, fenced listings, and the paragraphs between."""
    found: list[Block] = []
    prose: list[str] = []
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence and not (fence[2][0] == "`" and "`" in fence[3]):
            close = re.compile(rf"[ \t]*{re.escape(fence[2][0])}{{{len(fence[2])},}}[ \t]*$")
            end = at + 1
            while end < len(lines) and not close.match(lines[end]):
                end += 1
            if fence[1].strip(" ") or len(fence[1]) > 3:  # within a list: it stays where it is
                prose += lines[at : end + 1]
            else:
                found += _prose("\n".join(prose))
                prose = []
                found += _listing(fence[3], "\n".join(lines[at + 1 : end]), include)
            at = end + 1
            continue
        heading = _ATX.match(lines[at])
        under = _SETEXT.match(lines[at + 1]) if at + 1 < len(lines) and lines[at].strip() and not heading else None
        after_text = bool(prose and prose[-1].strip()) and under is not None and under[1][0] == "-"
        if under and (after_text or "|" in lines[at] or lines[at].lstrip()[:1] in "-*>#"):
            under = None  # the end of a longer paragraph, a table, a rule
        if heading or under:
            found += _prose("\n".join(prose))
            prose = []
            title = _CLOSING.sub("", (heading[2] or "").strip()) if heading else lines[at]
            level = len(heading[1]) if heading else 1 if under and under[1][0] == "=" else 2
            cleaned = one_line(_cleaned(title))
            if cleaned:
                found.append(Block(cleaned, level))
            at += 1 if heading else 2
            continue
        prose.append(lines[at])
        at += 1
    return found + _prose("\n".join(prose))


def _listing(info: str, code: str, include: Callable[[str], str | None]) -> list[Block]:
    info = info.strip()
    if info.lower() in _TOOLS or info.lower().startswith(_TOOLS):
        return []
    language = (_LANGUAGE.match(info) or [""])[1] or ""
    if info.startswith(("{.", "{code")):
        code = _MAGIC.sub("", code)
        language = language.removeprefix("code-cell").removeprefix("code-block") or "python"

    def included(found: re.Match[str]) -> str:
        return (include(found[1]) or "").rstrip("\n")

    code = _INCLUDE.sub(included, code)
    # Lines that mdBook hides, but that its examples need.
    code = re.sub(r"^([ \t]*)# (?=\S)|^[ \t]*#$\n?", r"\1", code, flags=re.MULTILINE) if "rust" in language else code
    text = fenced(code, language)
    return [Block(text)] if text else []


def _prose(text: str) -> list[Block]:
    if not text.strip():
        return []
    return [Block(part.strip("\n").rstrip()) for part in re.split(r"\n[ \t]*\n", _cleaned(text)) if part.strip()]


def _cleaned(text: str) -> str:
    """Text without marks for tools; code and formulas in it stay as they are."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\x02{len(kept) - 1}\x02"

    if "<!" in text or "{%" in text or "{#" in text:
        text = _COMMENT.sub("", text)
    # References to figures and sections are directives with a code span.
    text = _TAB.sub("", _DIRECTIVES.sub("", text))
    text = _CITE.sub("", _REFERENCE.sub(_named, text)) if ":" in text else text
    text = _CODE_SPAN.sub(keep, text)
    text = _MATH.sub(keep, text) if "$" in text else text
    if "<" in text:
        text = _URL.sub(r"\1", text)
        text = _TAG.sub("", _BREAK.sub("\n", _HIDDEN.sub("", text)))
    if "[" in text:
        defined = {name.lower() for name in _DEFINITION.findall(text)}
        text = _MANUBOT.sub("", _DEFINITION.sub("", text))
        text = _IMAGE_REFERENCE.sub(r"\1", _IMAGE.sub(r"\1", text))
        text = _LINK_REFERENCE.sub(r"\1", _LINK.sub(r"\1", _EMPTY_SPAN.sub("", text)))
        text = _SHORT_REFERENCE.sub(
            lambda m: m[1] if m[1].lower() in defined or m[1].startswith("\x02") else m[0], text
        )
    text = _ATTRIBUTES.sub("", text) if "{" in text else text
    text = _FIGURE_REFERENCE.sub("", text) if "@" in text else text
    return _PROTECTED.sub(lambda found: kept[int(found[1])], text)


def _named(reference: re.Match[str]) -> str:
    """What a reference points to, as its name tells; the number is known to the tool only."""
    return _KINDS.get("eq" if reference[1] == "eqref" else reference[2], "the section")
