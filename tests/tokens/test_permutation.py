"""The permutation of windows: a bijection under every key, and one that shuffles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.tokens.permutation import mix, permute


def images(size: int, key: int) -> list[int]:
    index = np.arange(size, dtype=np.uint64)
    return permute(index, np.full(size, size, np.uint64), np.full(size, key, np.uint64)).tolist()


@settings(max_examples=200, deadline=None)
@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_is_a_bijection(size: int, key: int) -> None:
    assert sorted(images(size, key)) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 255, 256, 257, 65535, 65536, 65537])
def test_is_a_bijection_around_powers_of_two(size: int) -> None:
    assert sorted(images(size, 7)) == list(range(size))


@settings(deadline=None)
@given(data=st.data(), key=st.integers(0, 2**64 - 1))
def test_each_image_is_computed_by_itself(data: st.DataObject, key: int) -> None:
    sizes = data.draw(st.lists(st.integers(1, 2**62), min_size=1, max_size=20))
    index = [data.draw(st.integers(0, size - 1)) for size in sizes]
    together = permute(*(np.array(values, np.uint64) for values in (index, sizes, [key] * len(sizes))))
    alone = [
        permute(*(np.array([value], np.uint64) for value in (i, size, key)))[0]
        for i, size in zip(index, sizes, strict=True)
    ]
    assert together.tolist() == [int(value) for value in alone]
    assert all(image < size for image, size in zip(together.tolist(), sizes, strict=True))


def test_mix_is_splitmix64() -> None:
    """First outputs of the published generator for seed 1234567 (Steele, Lea, Flood 2014)."""
    state = np.array([1234567], np.uint64)
    outputs = []
    for _ in range(3):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        outputs.append(int(mix(state)[0]))
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_shuffles() -> None:
    """Over many keys each image of a number is about equally likely, and so is each difference of two neighbours."""
    size, keys = 11, 4000
    found = np.array([images(size, key) for key in range(keys)])
    expected = keys / size
    counts = np.stack([np.bincount(found[:, i], minlength=size) for i in range(size)])
    assert ((counts - expected) ** 2 / expected).sum() < 200  # chi square with 100 degrees of freedom: 1 in 1e8
    steps = np.bincount((found[:, 1] - found[:, 0]) % size, minlength=size)[1:]
    assert ((steps - keys / 10) ** 2 / (keys / 10)).sum() < 45  # 9 degrees of freedom: 1 in 1e6


def test_keys_give_different_orders() -> None:
    assert len({tuple(images(100, key)) for key in range(500)}) == 500
