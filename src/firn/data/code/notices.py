"""What a source file says of its own licence: SPDX tags, and the classic notices of copyleft licences."""

from __future__ import annotations

import re

from firn.data import spdx

#: Characters of a file's head in which it may say so.
HEAD = 16 << 10
#: Licences and clauses that forbid what open source allows, in lower case and without punctuation.
RESTRICTIVE = (
    "commons clause|server side public licen[cs]e|sspl|business source licen[cs]e|busl|elastic licen[cs]e|polyform"
    "|functional source licen[cs]e|sustainable use licen[cs]e|confluent community licen[cs]e|hippocratic licen[cs]e"
)

_TAG = re.compile(r"SPDX-License-Identifier:[ \t\"'`*]*", re.IGNORECASE)
# What begins a further line of a comment, and what ends an expression: the line, the comment, the string, a remark.
_LEAD = re.compile(r"[^\w\r\n(]*(?:(?:rem|dnl)\b[^\w\r\n(]*)?", re.IGNORECASE)
_END = re.compile(r"\r?\n|\r|\*[/)|]|--+[%}]*>|[#%][}>]|</|<br|[\"'`\\>\]}]", re.IGNORECASE)
_MAX_LINES = 20

# What begins each line of a comment with a word: batch files, m4, Fortran.
_LEADING_WORD = re.compile(r"^[^\w\n]*(?:rem|dnl|c)\b", re.MULTILINE)
_PLUS = re.compile(r"(?<=\d)\+")
# One of these stands in every notice; to look for them costs less than to take the text apart.
_HINTS = (
    "commons", "sspl", "business source", "busl", "elastic", "polyform", "functional source", "sustainable use",
    "confluent", "hippocratic",
)  # fmt: skip
_PUBLIC = re.compile(r"public\W{1,40}(?:\w{1,3}\W{1,40})?licen")
_WORD = re.compile(r"[a-z0-9]+")
_GRANT = re.compile(
    r"\b(?:(?:under|subject to|governed by|covered by|terms of|conditions of|provisions of) (?:\w+ ){0,8}?|licen[cs]e )"
    rf"(?:(?P<restrictive>{RESTRICTIVE})\b|(?:the )?(?:gnu )?"
    r"(?:(?P<kind>(?:affero |lesser |library |)general|mozilla|eclipse) public licen[cs]e"
    r"|(?P<short>[al]?gpl)(?=s?\b|v?\d)))"
)
_VERSION = re.compile(r"(?:\bversion|\bv|licen[cs]es?|gpl) ?v?(\d)(?: (\d))?(?= |$)")
_LATER = re.compile(r"\b(?:any|or) (?:\w+ ){0,4}?(?:later|newer|higher|above)\b|\blater version")
# What says beside it that another licence may be chosen.
_CHOICE = re.compile(
    r"\balternatively\b|\bdual(?:ly)? |\b(?:mit|x11|bsd|apache|isc|artistic)(?: \w+)? (?:licen[cs]es?\b|or )"
    r"|\bor (?:under )?(?:the )?(?:mit|bsd|apache)\b"
)
_KINDS = {
    "general": "GPL", "gpl": "GPL", "lesser": "LGPL", "library": "LGPL", "lgpl": "LGPL", "affero": "AGPL",
    "agpl": "AGPL", "mozilla": "MPL", "eclipse": "EPL",
}  # fmt: skip
_VERSIONS = {
    "GPL": ("1.0", "2.0", "3.0"), "LGPL": ("2.0", "2.1", "3.0"), "AGPL": ("1.0", "3.0"), "MPL": ("1.0", "1.1", "2.0"),
    "EPL": ("1.0", "2.0"),
}  # fmt: skip


def tagged(text: str) -> list[str]:
    """The licence expressions of a file's SPDX tags, as they stand there (SPDX 2.3, annex E)."""
    if "spdx-license-identifier" not in text[:HEAD].lower():
        return []
    return [_expression(text, tag.end()) for tag in _TAG.finditer(text, 0, HEAD)]


def _expression(text: str, at: int) -> str:
    said: list[str] = []
    for _ in range(_MAX_LINES):
        end = _END.search(text, at, at + spdx.MAX_LENGTH)
        if end is None and len(text) > at + spdx.MAX_LENGTH:
            return ""
        said += text[at : end.start() if end else None].rstrip(" \t.*-").split()
        whole = " ".join(said)
        is_open = whole.count("(") > whole.count(")") or whole.upper().endswith((" AND", " OR", " WITH", "/"))
        if end is None or not end[0].endswith(("\n", "\r")) or not is_open:
            break
        at = end.end()
        at = lead.end() if (lead := _LEAD.match(text, at)) else at
    return whole


def noticed(text: str) -> str | None:
    """The copyleft licence that a notice in a file's head names, as SPDX calls it; of several all hold (`AND`).

    An empty string where the notice names one that forbids more, says no version, or leaves a choice; None where there
    is no notice.
    """
    head = text[:HEAD].lower()
    if "gpl" not in head and ("licen" not in head or not (_PUBLIC.search(head) or any(map(head.__contains__, _HINTS)))):
        return None
    return granted(" ".join(_WORD.findall(_LEADING_WORD.sub("", _PLUS.sub(" or later ", head)))))


def granted(words: str) -> str | None:
    """The same of a whole text. words: in lower case, with one space between."""
    found = set()
    for grant in _GRANT.finditer(words):
        if grant["restrictive"] or _CHOICE.search(words, max(grant.start() - 200, 0), grant.end() + 400):
            return ""
        kind = _KINDS[(grant["kind"] or grant["short"]).split()[0]]
        found.add(_called(kind, words[grant.start() : grant.end() + 250]))
    # A notice of later versions often names one alone where it speaks of exceptions.
    found -= {license.replace("-or-later", "-only") for license in found if license.endswith("-or-later")}
    return "" if "" in found else " AND ".join(sorted(found)) or None


def _called(kind: str, notice: str) -> str:
    """The identifier of a licence of this kind in the version that its notice names; an empty string for none."""
    said = _VERSION.search(notice)
    version = f"{said[1]}.{said[2] or 0}" if said else ""
    if version not in _VERSIONS[kind]:
        # Who names no version allows all (GPL-2.0, section 9; LGPL-2.1, section 13).
        return f"{kind}-{_VERSIONS[kind][0]}-or-later" if kind in ("GPL", "LGPL") and not version else ""
    if kind in ("MPL", "EPL"):
        return f"{kind}-{version}"
    return f"{kind}-{version}-{'or-later' if _LATER.search(notice) else 'only'}"
