"""Dates as fields of records have them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data import dates

MAY = datetime(2024, 5, 17, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        MAY,
        MAY.replace(tzinfo=None),
        MAY.astimezone(timezone(timedelta(hours=-7))),
        "2024-05-17T10:00:00Z",
        " 2024-05-17 10:00:00 ",
        "2024-05-17T12:00:00+0200",
        "2024-05-17 12:00:00 +0200",
        "2024-05-17 10:00:00 UTC",
        "20240517T100000",
        "20240517100000",
        20240517100000,
        "Fri, 17 May 2024 10:00:00 GMT",
        "17 May 2024 03:00:00 -0700",
        1715940000,
        1715940000.0,
        1715940000_000,
        1715940000_000_000,
        1715940000_000_000_000,
        "1715940000",
        "1715940000.0",
        "1715940000000",
    ],
)
def test_one_time_in_all_its_forms(value: Any) -> None:
    assert dates.read(value) == MAY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2024, 5, 1), (2024, 5, 1)),
        ("2024-05-01", (2024, 5, 1)),
        ("2024-05", (2024, 5, 1)),
        (20240501, (2024, 5, 1)),
        ("2024", (2024, 1, 1)),
        (2024, (2024, 1, 1)),
        ("2024.0", (2024, 1, 1)),
        (1066, (1066, 1, 1)),
        ("1970", (1970, 1, 1)),
    ],
)
def test_days_months_and_years_are_their_beginning(value: Any, expected: tuple[int, int, int]) -> None:
    assert dates.read(value) == datetime(*expected, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, "", "  ", 0, 0.0, "0", "1970-01-01T00:00:00Z"])
def test_nothing_and_a_time_not_known(value: Any) -> None:
    assert dates.read(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "soon", "2024-13", "2024-02-30", 20241399, "20240230", True, -5, 17, 631_151_999, 4_102_444_800, 10**400,
        float("nan"), float("inf"), "9" * 5000, "x" * 100_000, {"a": 1}, [2024], b"2024", "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00", "Fri, 99 May 2024 10:00:00 GMT", "1 Foo 2024 10:00",
    ],
)  # fmt: skip
def test_what_is_no_date(value: Any) -> None:
    with pytest.raises(ValueError):
        dates.read(value)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31)))
def test_every_form_gives_the_time_back(time: datetime) -> None:
    time = time.replace(microsecond=0, tzinfo=UTC)
    seconds = int(time.timestamp())
    for form in (time.isoformat(), format_datetime(time, usegmt=True), seconds, f"{seconds * 1000}"):
        assert dates.read(form) == time


@given(st.text(max_size=80) | st.from_regex(r"\w{3}, \d\d? [A-Za-z]{3} \d{2,4} \d\d?:.{0,30}") | st.floats())
def test_nothing_else_is_raised(value: Any) -> None:
    try:
        dates.read(value)
    except ValueError:
        return
