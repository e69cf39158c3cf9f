"""Bytes to text: which character set a page is in, and what it says.

Evidence in order: a byte order mark; bytes that are valid UTF-8 and more than ASCII, which chance does not produce;
what the HTTP header and then the page itself declare, where the bytes agree; else a guess from the bytes. Labels mean
what browsers take them for (WHATWG Encoding Standard, section 4.2): `iso-8859-1` is windows-1252, `gb2312` GB 18030.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Python's name of a codec -> the superset that browsers use for it.
_SUPERSETS = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949",
    "big5": "big5hkscs", "utf-16": "utf-16-le", "utf-8-sig": "utf-8", "iso2022_jp": "iso2022_jp_2",
}  # fmt: skip

# The codecs that a page may name; Python knows others, which are no character sets.
_ALLOWED = {
    "utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5hkscs", "euc_jp", "iso2022_jp_2", "cp932", "cp949",
    "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp866", "cp874", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "cp1258", "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6",
    "iso8859-7", "iso8859-8", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
}  # fmt: skip

# Labels that Python does not know by these names.
_LABELS = {
    "macintosh": "mac-roman", "x-mac-roman": "mac-roman", "x-mac-cyrillic": "mac-cyrillic", "x-gbk": "gb18030",
    "x-sjis": "cp932", "x-x-big5": "big5hkscs", "ks_c_5601-1987": "cp949", "iso-8859-8-i": "iso8859-8",
    "windows-874": "cp874", "x-cp1250": "cp1250", "x-cp1251": "cp1251", "x-cp1252": "cp1252", "unicode": "utf-16-le",
    "x-unicode20utf8": "utf-8", "dos-874": "cp874", "visual": "iso8859-8", "logical": "iso8859-8",
}  # fmt: skip

# A page that declares itself does so within its first bytes (HTML Standard, section 13.2.3.2: 1024; servers differ).
_PRESCAN = 4096
_META = re.compile(rb"<meta\b[^>]*?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.+-]+)", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml\b[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9_:.+-]+)", re.IGNORECASE)

# Beyond this share of replacement characters among those that are not ASCII, a declared set is not believed.
_TRUST = 0.1

# What a browser takes for granted.
_FALLBACK = "cp1252"


@dataclass(frozen=True)
class Decoded:
    """text; charset: Python's name of the codec; told_by: bom, utf-8, http, page, bytes; replaced: characters that
    could not be read and became U+FFFD."""

    text: str
    charset: str
    told_by: str
    replaced: int


def codec(label: str) -> str | None:
    """Python's codec for a label of the web, or None where it names no known character set."""
    label = label.strip(" \t\n\f\r\"'").lower()
    try:
        name = _LABELS.get(label) or codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    name = _SUPERSETS.get(name, name)
    return name if name in _ALLOWED else None


def declared_in(page: bytes) -> str | None:
    """The codec that an HTML or XML page declares for itself."""
    head = page[:_PRESCAN]
    found = _XML.search(head) or _META.search(head)
    name = codec(found[1].decode("ascii")) if found else None
    # A declaration that can be read as ASCII is not in UTF-16, whatever it says.
    return "utf-8" if name in ("utf-16-le", "utf-16-be") else name


def decode(data: bytes, http_charset: str | None = None, html: bool = True) -> Decoded:
    """The text of `data`. Never fails: what cannot be read becomes U+FFFD and is counted.

    http_charset: the label of the HTTP header. html: whether the page may declare a set itself.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _read(data[len(mark) :], name, "bom")
    if wide := _wide(data):
        return _read(data, wide, "bytes")
    if not (data.isascii() and b"\x1b" in data):  # else it may be one of the 7-bit sets of East Asia
        try:
            return Decoded(data.decode("utf-8"), "utf-8", "utf-8", 0)
        except UnicodeDecodeError:
            pass
    declared = ((codec(http_charset) if http_charset else None, "http"), (declared_in(data) if html else None, "page"))
    tries = []
    for label, told_by in declared:
        if label:
            tries.append(_read(data, label, told_by))
            if _believable(tries[-1]):
                return tries[-1]
    guess = detect_encoding(data, html5_compatible=False)  # its mapping takes cp949 for UTF-8; ours does not
    tries.append(_read(data, (codec(guess) if guess else None) or _FALLBACK, "bytes"))
    if not _believable(tries[-1]):
        tries.append(_read(data, _FALLBACK, "bytes"))
    return min(tries, key=lambda found: found.replaced)


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark, known by the zero bytes of its ASCII characters."""
    head = data[:1024]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) >= 4 and even + odd > len(head) // 8:
        return "utf-16-le" if odd > 8 * even else "utf-16-be" if even > 8 * odd else None
    return None


def _read(data: bytes, name: str, told_by: str) -> Decoded:
    text = data.decode(name, "replace")
    return Decoded(text, name, told_by, text.count("\ufffd"))


def _believable(found: Decoded) -> bool:
    return found.replaced <= _TRUST * (len(found.text) - len(found.text.encode("ascii", "ignore")))
