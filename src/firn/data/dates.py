"""Dates as fields of records have them: timestamps, ISO 8601, RFC 822, epochs, years and months."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{1,20}(\.\d{0,20})?", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
_RFC_822 = re.compile(r"(?:[a-z]{3,9}, *)?\d\d? [a-z]{3} \d{2,4} \d\d?:\d\d", re.ASCII | re.IGNORECASE)
# What `fromisoformat` does not read: a zone behind a space, as databases and git write it.
_ZONE = re.compile(r" (?:UTC|GMT|([+-]\d\d:?\d\d))\Z", re.ASCII)
# Whole numbers that are years, days as 20240517, or the seconds of the Internet Archive, as 20240517100000.
_YEARS, _DAYS, _SECONDS = (1000, 2100), (1000_01_01, 2100_12_31), (1990_01_01_000000, 2100_12_31_235959)
# What epochs count a second in, and between which seconds they are believed: 1990 and 2100.
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)
_SINCE, _UNTIL = 631_152_000, 4_102_444_800
_LONGEST = 64


def read(value: Any) -> datetime | None:
    """A time in UTC, to which what has no zone belongs; None where nothing stands, or 1970's first second, which stands
    for a time not known. A year or month is its beginning. Raises ValueError for what is no date."""
    if isinstance(value, str):
        return _text(value.strip())
    if value is None:
        return None
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    raise ValueError("no date")


def _text(text: str) -> datetime | None:
    if not text:
        return None
    if text[4:5] != "-" and _NUMBER.fullmatch(text):
        return _number(float(text) if "." in text else int(text))
    time = _in_utc(_written(text))
    return time if time != _EPOCH else None


def _written(text: str) -> datetime:
    if len(text) > _LONGEST:
        raise ValueError("too long for a date")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        if _MONTH.fullmatch(text):
            return datetime.fromisoformat(f"{text}-01")
        if _RFC_822.match(text):
            return parsedate_to_datetime(text)
        return datetime.fromisoformat(_ZONE.sub(r"\1", text))


def _number(value: float) -> datetime | None:
    if not value:
        return None
    for (first, last), form in ((_YEARS, "%Y"), (_DAYS, "%Y%m%d"), (_SECONDS, "%Y%m%d%H%M%S")):
        if first <= value <= last and value == int(value):
            return datetime.strptime(str(int(value)), form).replace(tzinfo=UTC)
    for unit in _UNITS:
        if _SINCE * unit <= value < _UNTIL * unit:
            return datetime.fromtimestamp(value / unit, UTC)
    raise ValueError("no date, nor seconds since 1970")


def _in_utc(time: datetime) -> datetime:
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of the years 1 to 9999") from None
