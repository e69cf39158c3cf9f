"""Licence expressions: what they mean, as truth tables say, and that none is read in part."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data import spdx


def same(text: str) -> str | None:
    tree = spdx.parse(text)
    return None if tree is None else spdx.written(tree)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("MIT", "MIT"), ("(GPL-2.0-only)", "GPL-2.0-only"), (" GPL-2.0+ ", "GPL-2.0+"), ("((A)) or B", "A OR B"),
        ("MIT and GPL-2.0-only", "MIT AND GPL-2.0-only"), ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
        ("A / B AND C", "A OR B AND C"), ("(A OR B) And C", "(A OR B) AND C"), ("(A AND B) OR C", "A AND B OR C"),
        ("((GPL-2.0 WITH Linux-syscall-note) OR MIT)", "GPL-2.0 WITH Linux-syscall-note OR MIT"),
        ("MIT AND (GPL-3.0-only\tOR\nGPL-2.0-only)", "MIT AND (GPL-3.0-only OR GPL-2.0-only)"),
        ("A OR (B OR A)", "A OR B"), ("DocumentRef-a:LicenseRef-b OR A", "DocumentRef-a:LicenseRef-b OR A"),
    ],
)  # fmt: skip
def test_expressions_are_read_whole(text: str, read: str) -> None:
    assert same(text) == read
    assert same(read) == read


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "()", "MIT OR", "AND MIT", "MIT GPL-2.0", "(MIT", "MIT)", "MIT, GPL-2.0", "MIT & GPL-2.0", "MIT | GPL",
        "GPL-2.0 +", "MIT WITH (x)", "MIT WITH", "A WITH B WITH C", "WITH", "MIT//GPL", "é", "MITé", "A_B", "<MIT>",
        "see LICENSE.txt", "(" * 51 + "MIT" + ")" * 51, "(" * 100_000, "MIT OR " * 10_000 + "MIT", "a\0b",
    ],
)  # fmt: skip
def test_what_is_no_expression_is_not_read_at_all(text: str) -> None:
    assert spdx.parse(text) is None


def _lower(found: re.Match[str]) -> str:
    return found[0].lower()


NESTED = st.recursive(
    st.sampled_from("ABCD"),
    lambda inner: (
        st.tuples(inner, st.sampled_from([" AND ", " OR ", " and ", " Or "]), inner).map(
            lambda each: f"({each[0]}{each[1]}{each[2]})"
        )
        | st.lists(inner, min_size=2, max_size=4).map(" AND ".join)
        | st.lists(inner, min_size=2, max_size=4).map(" OR ".join)
    ),
    max_leaves=12,
)


@given(NESTED, st.sets(st.sampled_from("ABCD")))
def test_they_hold_as_logic_has_it(text: str, accepted: set[str]) -> None:
    """Python's `and` binds tighter than its `or`, as SPDX's do."""
    logic = re.sub("[ABCD]", lambda name: str(name[0] in accepted), re.sub(" (AND|OR) ", _lower, text, flags=re.I))
    expected = eval(logic)
    assert spdx.holds(text, accepted.__contains__) == expected
    assert spdx.holds(same(text) or "", accepted.__contains__) == expected


@given(st.text(alphabet="AB ()/+-.andorwithANDOR\n", max_size=60))
def test_what_is_read_is_written_and_read_again(text: str) -> None:
    if (read := same(text)) is not None:
        assert same(read) == read


def test_of_what_is_no_expression_every_part_must_be_accepted() -> None:
    for text in ("MIT, GPL-2.0", "custom text and GPL-2.0", "MIT; GPL-2.0", "see (GPL-2.0)"):
        assert not spdx.holds(text, lambda name: name != "GPL-2.0")
    assert spdx.holds("custom words", {"custom words"}.__contains__)
    assert not spdx.holds(" , ", {"MIT"}.__contains__)
