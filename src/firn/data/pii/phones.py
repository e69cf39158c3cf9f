"""Telephone numbers: those written as such, and those that a word announces."""

from __future__ import annotations

import re
from collections.abc import Iterator

# E.164 allows 15 digits. Groups as national plans print them.
_WRITTEN = re.compile(
    rb"(?<![A-Za-z0-9.+/=_])(?<![A-Za-z0-9]-)(?<!\d[ ,])(?:"
    rb"\+[1-9](?:(?:[ ().-]|\xc2\xa0){0,2}\d){6,13}\d"  # +49 (0)30 123456
    rb"|00[1-9]\d{0,2}(?:[ .-]\d{2,4}){3,5}"  # 001-755-329-4431
    rb"|\([2-9]\d\d\)[ .-]?\d{3}[ .-]?\d{4}"  # (212) 555-0123
    rb"|\(0?\d{2,4}\)[ .-]?\d{3,5}[ .-]\d{3,5}"  # (030) 1234 567
    rb"|(?:1[ .-])?[2-9]\d\d([ .-])[2-9]\d\d\1\d{4}"  # 212-555-0123
    rb"|0\d{1,4}[ /-]\d{6,8}"  # 030/1234567
    rb"|0\d{2,4}[ ]\d{2,4}(?:[ ]\d{2,4}){1,3}"  # 089 12 34 56, 07700 063 966
    rb"|0[1-9]([ .-])\d\d\2\d\d\2\d\d\2\d\d"  # 03.93.92.16.85
    rb")(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![A-Za-z0-9_]|[.,/:-]\d|[%\xc2\xe2][\xb0\x82])"
)
_ANNOUNCED = re.compile(
    rb"(?<![A-Za-z0-9.+/=_])(?<![A-Za-z0-9]-)(?<!\d[ ,])"
    rb"\+?\(?\d{1,10}\)?(?:[ .-]?\(?\d{1,10}\)?){0,6}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?"
    rb"(?![A-Za-z0-9_]|[.,/:-]\d)"
)
# What announces a number: in English, and the words that several languages share.
_WORD = re.compile(
    rb"(?:\b(?:tel|tele?phone|phone|mobile|cell|cellphone|fax|telefax|whatsapp|dial|call|calling|contact|"
    rb"sms|answering|telefon|telefono|mobil|movil|handy|gsm|hotline|phones|telf|ph|tlf)\b|"
    rb"t\xc3\xa9l|tel\xc3\xa9fono|m\xc3\xb3vil|"
    rb"\xd1\x82\xd0\xb5\xd0\xbb|\xe7\x94\xb5\xe8\xaf\x9d|\xe9\x9b\xbb\xe8\xa9\xb1)[^0-9]{0,32}\Z",
    re.IGNORECASE,
)
_BEFORE = 48
# Other numbers that are named before they are given.
_OTHER = re.compile(
    rb"(?:isbn|issn|doi|pmid|pmc|arxiv|ean|upc|asin|lccn|oclc|sku|part|serial|model|patent|order|invoice|item|version|"
    rb"rfc|issue|ticket|commit|id|no|nr|page|pages|pp|vol)[ .:#=-]{0,4}\Z",
    re.IGNORECASE,
)
_DATE = re.compile(
    rb"(?:1[5-9]|20)\d\d[ .-](?:(?:1[5-9]|20)\d\d|[01]?\d[ .-][0-3]?\d)\Z|[0-3]?\d[ .-][01]?\d[ .-](?:1[5-9]|20)\d\d\Z"
)
_DIGITS = range(6, 16)


def find(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of telephone numbers between two bytes of a text."""
    for match in _WRITTEN.finditer(text, start, end):
        announced = _WORD.search(text, max(0, match.start() - _BEFORE), match.start())
        if announced or not _OTHER.search(text, max(0, match.start() - 12), match.start()):
            yield match.span()
    if not _WORD_NEAR.search(text, max(0, start - _BEFORE), end):
        return
    for match in _ANNOUNCED.finditer(text, start, end):
        number = re.split(rb"[ ]?(?:x|ext)", match[0])[0]
        digits = sum(48 <= c <= 57 for c in number)
        if digits not in _DIGITS or _DATE.match(number):
            continue
        if _WORD.search(text, max(0, match.start() - _BEFORE), match.start()):
            yield match.span()


# A word of the above, wherever: spares the search number by number.
_WORD_NEAR = re.compile(_WORD.pattern.rsplit(rb"[^0-9]", 1)[0], re.IGNORECASE)
