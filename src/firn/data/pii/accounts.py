"""Numbers of payment cards and of bank accounts, known by their check digits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from firn.data.pii.checksums import luhn, mod_97

# Groups as they are printed: 4-4-4-4 and longer, 4-6-5 and 4-6-4; or no separator at all.
_CARD = re.compile(
    rb"(?<![A-Za-z0-9])(?<![0-9][.,-])(?:"
    rb"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}"
    rb"|\d{4}([ -])\d{6}\2\d{4,5}"
    rb"|\d{12,19}"
    rb")(?![A-Za-z0-9]|[.,-][0-9])"
)
# Issuers' numbers (ISO/IEC 7812 ranges as the schemes publish them) with the lengths that they give out.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)\d{10,14}"  # Mastercard; the length is looked at below
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]|65)\d{12,17}"  # Discover
    r"|(?:352[89]|35[3-8])\d{12,16}|(?:2131|1800)\d{11}"  # JCB
    r"|(?:30[0-5]|309|36|3[89])\d{11,16}"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"  # Maestro
)
# A word before a number of another issuer.
_WORD, _BEFORE = re.compile(rb"\bcards?\b", re.IGNORECASE), 32
_SIXTEEN = re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720")

_IBAN = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
#: Signs of an IBAN, by country (SWIFT IBAN registry).
_LENGTHS = {
    code: int(length)
    for length, codes in {
        "15": "NO", "16": "BE", "18": "DK FI FO GL NL SD", "19": "MK SI", "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR", "27": "FR GR IT MC MR SM BI DJ",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE",
        "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip


def cards(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of card numbers between two bytes of a text: right by Luhn's check, and an issuer's or after the word."""
    for match in _CARD.finditer(text, start, end):
        number = re.sub(r"[ -]", "", match[0].decode("ascii"))
        if not luhn(number):
            continue
        issued = _ISSUERS.fullmatch(number) and (len(number) == 16 or not _SIXTEEN.match(number))
        if issued or _WORD.search(text, max(0, match.start() - _BEFORE), match.start()):
            yield match.span()


def ibans(text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of IBANs that begin between two bytes of a text: as long as the country's, and right by modulo 97."""
    for match in _IBAN.finditer(text, start, end):
        length = _LENGTHS.get(match[0][:2].decode("ascii").upper())
        if length is None:
            continue
        stop = _walk(text, match.start(), length)
        if stop is None:
            continue
        number = re.sub(r"[ -]", "", text[match.start() : stop].decode("ascii")).upper()
        if mod_97(number):
            yield match.start(), stop


def _walk(text: bytes, at: int, length: int) -> int | None:
    """Where `length` letters and digits end that begin at `at`, single spaces or hyphens between; None: elsewhere."""
    left = length
    while at < len(text) and left:
        if text[at : at + 1].isalnum():
            left -= 1
        elif text[at : at + 1] not in (b" ", b"-") or not text[at - 1 : at].isalnum():
            return None
        at += 1
    return at if not left and not text[at : at + 1].isalnum() else None
