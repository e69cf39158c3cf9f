"""What all sources share: hosts of URLs."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.data.raw import host_of


def _split(url: str) -> str | None:
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.") or None
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.example.com/a?b#c", "example.com"),
        ("http://Example.COM", "example.com"),
        ("http://a.b:80?x", "a.b"),
        ("http://user:word@a.b/", "a.b"),
        ("http://a.b:80@c.d/", "c.d"),
        ("http://[::1]:80/", "::1"),
        ("http://[::1", None),
        ("http://a.b\n.c/", "a.b.c"),
        ("http://a.b\\@c.d/", "c.d"),
        ("http://www./", None),
        ("//a.b/c", "a.b"),
        ("a.b/c", None),
        ("", None),
        (None, None),
    ],
)
def test_the_host_of_a_url(url: str | None, host: str | None) -> None:
    assert host_of(url) == host


@given(
    st.text("ab.w:/?#@[]-_ \n\\A\u00e9\u2100", max_size=20), st.sampled_from(["http://", "https://www.", "HTTP://", ""])
)
def test_hosts_are_those_that_python_finds(rest: str, scheme: str) -> None:
    assert host_of(scheme + rest) == _split(scheme + rest)
