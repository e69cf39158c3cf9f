"""Identity and fingerprints: equal values give equal hashes, unequal ones do not."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from firn.core.hashing import canonical, document_id, fingerprint, hash64, hash128, hash_file

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary())
def test_file_hash_is_the_hash_of_its_bytes(data: bytes) -> None:
    assert hash_file(io.BytesIO(data), chunk=7) == hash128(data).hex() == xxhash.xxh3_128_hexdigest(data)


def test_hash64_known_value() -> None:
    # The empty input's XXH3-64, from the xxHash specification's reference implementation.
    assert hash64(b"") == 0x2D06800538D394C2


@given(st.text(), st.integers(0, 2**31), st.binary(), st.text(), st.integers(0, 2**31), st.binary())
def test_document_ids_differ_whenever_anything_differs(a: str, i: int, x: bytes, b: str, j: int, y: bytes) -> None:
    assert (document_id(a, i, x) == document_id(b, j, y)) == ((a, i, x) == (b, j, y))


def test_borders_between_locator_and_payload_count() -> None:
    assert document_id("ab", 0, b"c") != document_id("a", 0, b"bc")


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_key_order_does_not_enter(value: dict[str, object]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(list(value.items()))))


def test_sets_are_hashed_in_one_order_under_any_hash_seed() -> None:
    program = (
        "from firn.core.hashing import fingerprint; print(fingerprint({'kept': {'web', 'code', 'books', 'wiki'}}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"score": float("nan")})
