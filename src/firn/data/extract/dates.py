"""When a page was first published: what it declares, then what its address says, then what stands near its headline.

The order follows htmldate (Barbaresi 2020, JOSS 5(51) 2439): metadata before markup before address before text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

#: Dates outside these years are misread numbers: before, there was no web; after, nothing is published yet.
EARLIEST, LATEST = 1990, 2100

_MONTH_NAMES = """
    january jan januar januari janvier enero ene gennaio janeiro styczeń stycznia января|february feb februar februari
    février fevrier febrero fevereiro febbraio lutego февраля|march mar märz maart mars marzo março marca марта|april
    apr
    avril abril aprile kwietnia апреля|may mai mei mayo maggio maio maja мая|june jun juni juin junio giugno junho
    czerwca
    июня|july jul juli juillet julio luglio julho lipca июля|august aug augustus août aout agosto sierpnia августа|
    september sep sept septembre septiembre settembre setembro września сентября|october oct oktober okt octobre octubre
    ottobre outubro października октября|november nov novembre noviembre novembro listopada ноября|december dec dezember
    dez décembre decembre diciembre dicembre dezembro grudnia декабря
"""
_MONTHS = {name: at for at, names in enumerate(_MONTH_NAMES.split("|"), start=1) for name in names.split()}
_NAME = "|".join(sorted(_MONTHS, key=len, reverse=True))
_ISO = re.compile(
    r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T ,]{1,2}(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?(?!\d)",
    re.IGNORECASE,
)
_COMPACT = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|\.)?[\s-]+(?:de\s+)?({_NAME})\b\.?,?[\s-]+(?:de\s+)?(\d{{4}})(?!\d)", re.I
)
_MONTH_DAY = re.compile(rf"\b({_NAME})\b\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})(?!\d)", re.I)
_HAN = re.compile(r"(?<!\d)(\d{4})\s*年\s*(\d{1,2})\s*月\s*(\d{1,2})\s*日")
_NUMBERS = re.compile(r"(?<!\d)(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)")
_ADDRESS = re.compile(r"/(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?=[/_.-]|$)|[/_-](\d{4})-?(\d{2})-?(\d{2})(?=[/_.-]|$)")


def parse(text: str) -> datetime | None:
    """The first date in a short text, in UTC where it names no zone; None if there is none between the bounds."""
    text = text[:200]
    if found := _ISO.search(text):
        year, month, day, hour, minute, second, zone = found.groups()
        return _date(year, month, day, hour or 0, minute or 0, second or 0, zone)
    if found := _MONTH_DAY.search(text):
        return _date(found[3], _MONTHS[found[1].lower()], found[2])
    if found := _DAY_MONTH.search(text):
        return _date(found[3], _MONTHS[found[2].lower()], found[1])
    if found := _HAN.search(text):
        return _date(*found.groups())
    if found := _COMPACT.search(text):
        return _date(*found.groups())
    if found := _NUMBERS.search(text):
        first, mark, second, year = found.groups()
        # 31.12.2024 is European; 12/31/2024 American; what may be both is read as its separator suggests
        american = int(second) > 12 or (mark == "/" and int(first) <= 12)
        return _date(year, first, second) if american else _date(year, second, first)
    return None


def _date(
    year: str | int, month: str | int, day: str | int, hour: str | int = 0, minute: str | int = 0, second: str | int
    = 0,
    zone: str | None = None,
) -> datetime | None:  # fmt: skip
    if not EARLIEST <= int(year) <= LATEST:
        return None
    offset = timedelta()
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        offset = -offset if zone[0] == "-" else offset
    try:
        return datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second),
            tzinfo=timezone(offset) if offset else UTC,
        )  # fmt: skip
    except ValueError:
        return None


def in_address(url: str) -> datetime | None:
    """The date in the path of a URL, as news sites and blogs have it: /2024/05/31/ or -2024-05-31."""
    path = url.split("?")[0].split("#")[0]
    for found in _ADDRESS.finditer(path):
        groups = [g for g in found.groups() if g]
        if date := _date(*groups):
            return date
    return None


def first(candidates: Iterable[tuple[str, str]]) -> tuple[datetime | None, str | None]:
    """The first candidate (how it was found, text) that holds a date, and how it was found."""
    for method, text in candidates:
        if date := parse(text):
            return date, method
    return None, None
