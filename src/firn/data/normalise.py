"""The form that every document's text has: Unicode NFC, lines ended by LF, no control characters.

What changes a reader's view of the text is kept: tabs, spaces of all widths, joiners of scripts that need them.
"""

from __future__ import annotations

import re
import unicodedata

# Line ends of other systems and standards.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Control characters (Cc) but tab and LF, byte order marks within the text, and code points that are no characters.
_NOTHING = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
# Any of the three: most texts have none, and one look is enough.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")

# Most texts hold nothing but these, and one look is enough: printable ASCII, tab and LF, which are taken away first,
# and characters that are in normal form whatever stands beside them: Latin, Greek, Cyrillic, punctuation, symbols,
# kana, Han, Hangul.
_ASCII = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
_PLAIN = re.compile(
    "[\xa0-\u02ff\u0391-\u03a1\u03a3-\u0482\u048a-\u052f\u1e00-\u1eff\u2002-\u2027\u202a-\u205e\u20a0-\u20bf"
    "\u2100-\u2125\u2190-\u2328\u2500-\u27bf\u3001-\u3029\u3041-\u3096\u30a1-\u30ff\u4e00-\u9fff\uac00-\ud7a3"
    "\ufe0f\uff01-\uff9f\ufffd\U0001f300-\U0001f64f]*"
)

#: Combining marks kept in a row (Stream-Safe Text Format, UAX #15 section 13). Sorting a longer row into canonical
#: order takes time quadratic in its length.
MARKS_IN_A_ROW = 30
# Where such a row may be: neither ASCII nor letters nor digits. Marks are among these; so are ornaments.
_ROW = re.compile(rf"[^\w\x00-\x7f]{{{MARKS_IN_A_ROW + 1},}}")
# How a row of so many characters that are not ASCII reads where each is replaced: a look that costs a twentieth.
_REPLACED = b"?" * (MARKS_IN_A_ROW + 1)


def normalise(text: str) -> str:
    """`text` in NFC with LF line ends, without control characters, lone surrogates and endless rows of marks."""
    others = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
    if _PLAIN.fullmatch(others.decode("utf-8", "surrogatepass")):
        return text
    if _ODD.search(text):
        text = _SURROGATES.sub("\ufffd", _NOTHING.sub("", _LINE_ENDS.sub("\n", text)))
    if text.isascii():
        return text
    if _REPLACED in text.encode("ascii", "replace"):
        text = _ROW.sub(_shorten, text)
    return unicodedata.normalize("NFC", text)


def _shorten(row: re.Match[str]) -> str:
    kept, marks = [], 0
    for character in row[0]:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MARKS_IN_A_ROW:
            kept.append(character)
    return "".join(kept)
