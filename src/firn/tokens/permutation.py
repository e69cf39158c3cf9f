"""A keyed permutation of 0..n-1 that needs no memory: each image is computed by itself.

An alternating Feistel network of 6 rounds permutes the numbers of b bits, b the bits of n - 1 (Luby and Rackoff 1988;
halves of unequal width as in Black and Rogaway 2002, section 4). Numbers that fall outside 0..n-1 are put through it
again until they fall inside ("cycle walking", Black and Rogaway 2002, section 3), fewer than two passes on average.
The round function is splitmix64's finaliser (Steele, Lea, Flood 2014). This shuffles data; it is no cipher.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)


def mix(values: U64) -> U64:
    """splitmix64's finaliser: a bijection of 64 bits, every output bit depending on every input bit."""
    values = values ^ (values >> _SHIFTS[0])
    values *= _FACTORS[0]
    values ^= values >> _SHIFTS[1]
    values *= _FACTORS[1]
    values ^= values >> _SHIFTS[2]
    return values


def permute(index: U64, size: U64, key: U64) -> U64:
    """Images of `index` under the permutation of 0..size-1 that `key` names; element by element, all [n].

    For a fixed (size, key) this is a bijection of 0..size-1. Needs 0 <= index < size <= 2**62.
    """
    # At least 2 bits, so that both halves have one. float64 holds `size` to 53 bits: the loop below mends a rounding.
    bits = np.ceil(np.log2(np.maximum(size, np.uint64(4)).astype(np.float64))).astype(np.uint64)
    bits += (np.uint64(1) << bits) < size
    result = _network(index, bits, key)
    outside = np.flatnonzero(result >= size)
    while outside.size:
        walked = _network(result[outside], bits[outside], key[outside])
        result[outside] = walked
        outside = outside[walked >= size[outside]]
    return result


def _network(value: U64, bits: U64, key: U64) -> U64:
    one = np.uint64(1)
    right_bits = bits >> one
    left_bits = bits - right_bits
    right_mask, left_mask = (one << right_bits) - one, (one << left_bits) - one
    left, right = value >> right_bits, value & right_mask
    for _ in range(0, _ROUNDS, 2):
        # Two rounds at a time, so that each half keeps its width.
        key = key + _GOLDEN
        left = (left ^ mix(right + key)) & left_mask
        key = key + _GOLDEN
        right = (right ^ mix(left + key)) & right_mask
    joined: U64 = (left << right_bits) | right
    return joined
