"""National numbers of persons: what they look like, and their check digits.

| name    | country       | number                       | checked                                            |
|---------|---------------|------------------------------|----------------------------------------------------|
| `us`    | United States | social security, 3-2-4       | parts that were never given out; needs its hyphens |
| `ca`    | Canada        | social insurance, 3-3-3      | Luhn, and the word                                 |
| `br`    | Brazil        | CPF, 000.000.000-00          | two digits modulo 11                               |
| `es`    | Spain         | DNI and NIE                  | letter modulo 23                                   |
| `fr`    | France        | NIR (sécurité sociale)       | modulo 97, sex and month                           |
| `it`    | Italy         | codice fiscale               | letter modulo 26                                   |
| `de`    | Germany       | Steuer-ID                    | ISO 7064 MOD 11,10, and the word                   |
| `pl`    | Poland        | PESEL                        | weighted modulo 10, and the word                   |
| `se`    | Sweden        | personnummer, 000000-0000    | Luhn, month and day                                |
| `fi`    | Finland       | henkilötunnus                | sign modulo 31, month and day                      |
| `cn`    | China         | resident identity, 18 signs  | ISO 7064 MOD 11-2, year, month and day             |
| `in`    | India         | Aadhaar, 4 4 4               | Verhoeff, and the word                             |
| `gb`    | Britain       | national insurance, AA 00 00 00 A | prefixes that are given out; spaces, or the word |
| `nl`    | Netherlands   | BSN                          | weighted modulo 11, and the word                   |
| `be`    | Belgium       | 00.00.00-000.00              | modulo 97, month and day                           |
| `jp`    | Japan         | individual number, 4 4 4     | weighted modulo 11, and the word                   |
| `kr`    | South Korea   | resident number, 6-7         | month and day                                      |

Where a number is nothing but digits and one in ten would pass its check, the word for it must stand shortly before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from firn.data.pii.checksums import luhn, mod_11_10, verhoeff, weighted

#: Name of each country's number.
COUNTRIES = ("us", "ca", "br", "es", "fr", "it", "de", "pl", "se", "fi", "cn", "in", "gb", "nl", "be", "jp", "kr")

_PATTERN = re.compile(
    rb"(?<![A-Za-z0-9])(?<![0-9][.-])(?:"
    rb"(?P<us>[0-8]\d\d-\d\d-\d{4})"
    rb"|(?P<br>\d{3}\.\d{3}\.\d{3}-\d\d)"
    rb"|(?P<it>[A-Za-z]{6}\d\d[A-EHLMPRSTa-ehlmprst]\d\d[A-Za-z]\d{3}[A-Za-z])"
    rb"|(?P<fi>\d{6}[-+A-FU-Ya-fu-y]\d{3}[0-9A-FHJ-NPR-Ya-fhj-npr-y])"
    rb"|(?P<cn>[1-9]\d{5}(?:18|19|20)\d{9}[\dXx])"
    rb"|(?P<fr>[12] ?\d\d ?[0-9]\d ?\d[0-9AB] ?\d{3} ?\d{3} ?\d\d)"
    rb"|(?P<in>[2-9]\d{3} \d{4} \d{4})"
    rb"|(?P<jp>\d{4}[ -]?\d{4}[ -]?\d{4})"
    rb"|(?P<gb>[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D])"
    rb"|(?P<be>\d\d\.\d\d\.\d\d-\d{3}\.\d\d)"
    rb"|(?P<kr>\d{6}-[1-8]\d{6})"
    rb"|(?P<se>(?:\d\d)?\d{6}[-+]\d{4})"
    rb"|(?P<es>[XYZxyz]?-?\d{7,8}-?[A-Za-z])"
    rb"|(?P<ca>\d{3}[ -]\d{3}[ -]\d{3})"
    rb"|(?P<de>[1-9]\d ?\d{3} ?\d{3} ?\d{3})"
    rb"|(?P<pl>\d{11})"
    rb"|(?P<nl>\d{3}\.?\d{3}\.?\d{3})"
    rb")(?![A-Za-z0-9]|[.-][0-9])"
)
# What looks like one country's number may be another's.
_OTHERWISE = {"de": "pl", "fi": "se", "in": "jp"}

_WORDS = {
    "ca": re.compile(rb"\bSIN\b|social insurance|assurance sociale", re.IGNORECASE),
    "de": re.compile(rb"steuer|\btax\b|\bidnr\b|\btin\b", re.IGNORECASE),
    "pl": re.compile(rb"pesel", re.IGNORECASE),
    "in": re.compile(rb"aadhaar|aadhar|\buid", re.IGNORECASE),
    "gb": re.compile(rb"national insurance|\bnino\b|\bNI\b", re.IGNORECASE),
    "nl": re.compile(rb"\bbsn\b|burgerservice|sofi-?nummer|citizen service", re.IGNORECASE),
    "jp": re.compile("マイナンバー|個人番号|my ?number|individual number".encode(), re.IGNORECASE),
}
#: Bytes before a number in which the word for it is looked for.
_BEFORE = 48

_IT_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21),
            *(2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
        ),
        strict=True,
    )
)


def find(text: bytes, start: int, end: int, countries: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Spans [start, end) of national numbers between two bytes of a text."""
    for match in _PATTERN.finditer(text, start, end):
        name = match.lastgroup or ""
        number = re.sub(r"[ .]", "", match[0].decode("ascii")).upper()
        while name:
            if name in countries and _named(name, text, match.start()) and CHECKS[name](number):
                yield match.span()
                break
            name = _OTHERWISE.get(name, "")


def _named(name: str, text: bytes, start: int) -> bool:
    if name == "gb" and text[start + 2 : start + 3] == b" ":  # no part number is written so
        return True
    return name not in _WORDS or _WORDS[name].search(text, max(0, start - _BEFORE), start) is not None


def _date(year: str, month: str, day: str) -> bool:
    return year.isdigit() and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _us(number: str) -> bool:
    area, group, serial = number.split("-")
    return area not in ("000", "666") and group != "00" and serial != "0000"


def _br(number: str) -> bool:
    digits = number.replace("-", "")
    if len(set(digits)) == 1:
        return False
    first = weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(digits, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return digits[9:] == f"{first}{second}"


def _es(number: str) -> bool:
    plain = number.replace("-", "")
    if plain[0] in "XYZ":
        plain = str("XYZ".index(plain[0])) + plain[1:]
    return len(plain) == 9 and "TRWAGMYFPDXBNJZSQVHLCKE"[int(plain[:8]) % 23] == plain[8]


def _fr(number: str) -> bool:
    month = int(number[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return False
    # Corsica's departments count as 19 and 18 (INSEE).
    plain = number[:13].replace("2A", "19").replace("2B", "18")
    return plain.isdigit() and 97 - int(plain) % 97 == int(number[13:])


def _it(number: str) -> bool:
    total = 0
    for at, sign in enumerate(number[:15]):
        total += _IT_ODD[sign] if at % 2 == 0 else int(sign, 36) - (10 if sign.isalpha() else 0)
    return chr(ord("A") + total % 26) == number[15]


def _de(number: str) -> bool:
    return len(number) == 11 and mod_11_10(number)


def _pl(number: str) -> bool:
    month = int(number[2:4]) % 20
    ends = (10 - weighted(number, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(number[10])
    return ends and _date(number[:2], str(month), number[4:6])


def _se(number: str) -> bool:
    digits = re.sub(r"[-+]", "", number)[-10:]
    day = int(digits[4:6])  # 60 is added to the day of a coordination number
    return luhn(digits) and _date(digits[:2], digits[2:4], str(day - 60 if day > 60 else day))


def _fi(number: str) -> bool:
    sign = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(number[:6] + number[7:10]) % 31]
    return sign == number[10] and _date(number[4:6], number[2:4], number[:2])


def _cn(number: str) -> bool:
    weights = tuple(pow(2, 17 - at, 11) for at in range(17))
    return "10X98765432"[weighted(number, weights) % 11] == number[17] and _date(
        number[6:10], number[10:12], number[12:14]
    )


def _gb(number: str) -> bool:
    return number[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


def _nl(number: str) -> bool:
    """The "elfproef" of burgerservicenummers: the last digit counts -1."""
    return number != "000000000" and (weighted(number, (9, 8, 7, 6, 5, 4, 3, 2)) - int(number[8])) % 11 == 0


def _be(number: str) -> bool:
    digits = number.replace("-", "")
    # From 2000 on a 2 stands before the nine digits (law of 8 August 1983, royal decree of 25 November 1997).
    ends = {97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97}
    return int(digits[9:]) in ends and _date(digits[:2], digits[2:4], digits[4:6])


def _jp(number: str) -> bool:
    digits = number.replace("-", "")
    rest = weighted(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return int(digits[11]) == (0 if rest <= 1 else 11 - rest)


def _kr(number: str) -> bool:
    return _date(number[:2], number[2:4], number[4:6])


CHECKS: dict[str, Callable[[str], bool]] = {
    "us": _us,
    "ca": lambda number: luhn(re.sub(r"-", "", number)),
    "br": _br,
    "es": _es,
    "fr": _fr,
    "it": _it,
    "de": _de,
    "pl": _pl,
    "se": _se,
    "fi": _fi,
    "cn": _cn,
    "in": verhoeff,
    "gb": _gb,
    "nl": _nl,
    "be": _be,
    "jp": _jp,
    "kr": _kr,
}
