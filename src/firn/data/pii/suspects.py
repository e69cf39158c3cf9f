"""Where personal data may be: one pass over the bytes of a text, which leaves little for regular expressions."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, helper, kernel

#: What a window may hold. AT: an at sign. NUMBER: digits enough, near each other. DOTS: with dots between
#: as in an IPv4 address. COLONS: as in an IPv6 address. TOKEN: a long run of letters and digits.
AT, NUMBER, DOTS, COLONS, TOKEN = range(5)

_GAP = 6  # bytes between two digits of one number at most: `x` and spaces, a bank's letters
_DIGITS = 6  # of a telephone number at least
_PAD = 16  # bytes on both sides of digits that belong to them
_LOCAL, _DOMAIN = 72, 272  # bytes before and after an at sign that belong to an address
_TOKEN = 16  # characters of a key at least

_GROUP = 5  # bytes from colon to colon in an address at most
_ADDRESS = 40  # of an address at most

# What a byte may begin or end. Letters, hyphens and underscores have nothing: most bytes are passed over at once.
_DIGIT, _END, _COLON, _SIGN = 1, 2, 4, 8
_KINDS = np.full(256, _END, np.uint8)
for _first, _last, _bits in (
    ("0", "9", _DIGIT),
    ("a", "z", 0),
    ("A", "Z", 0),
    ("-", "-", 0),
    ("_", "_", 0),
    (":", ":", _END | _COLON),
    ("@", "@", _END | _SIGN),
    (")", ")", _END | _SIGN),  # "(at)" and "[at]" are told by the bracket that ends them
    ("]", "]", _END | _SIGN),
):
    _KINDS[ord(_first) : ord(_last) + 1] = _bits
_KINDS.setflags(write=False)


@helper
def _note(
    found: NDArray[np.int64],
    count: int,
    latest: NDArray[np.int64],
    kind: int,
    start: int,
    end: int,
) -> int:
    """Write a window down, as part of the latest of its kind where they overlap. Returns how many windows there are."""
    before = latest[kind]
    if before >= 0 and found[before, 1] >= start:
        found[before, 1] = max(found[before, 1], end)
        return count
    found[count, 0], found[count, 1], found[count, 2] = max(0, start), end, kind
    latest[kind] = count
    return count + 1


@helper
def _is_at(text: NDArray[np.uint8], at: int) -> bool:
    """Whether an at sign is at this byte, or `(at)` or `[at]` ends there."""
    if text[at] == 0x40:
        return True
    if at < 3 or (text[at - 3] != 0x28 and text[at - 3] != 0x5B):
        return False
    return bool(text[at - 2] | 0x20 == 0x61 and text[at - 1] | 0x20 == 0x74)


@helper
def _is_mixed(text: NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether there are both digits and letters."""
    digit, letter = False, False
    for at in range(start, end):
        digit = digit or 0x30 <= text[at] <= 0x39
        letter = letter or (text[at] >= 0x41 and text[at] != 0x5F)
    return digit and letter


@kernel(TEXT, types.Array(types.uint8, 1, "C", readonly=True))
def _suspects(text: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
    found, count, latest = np.empty((16, 3), np.int64), 0, np.full(5, -1, np.int64)
    first, last, digits, dots = 0, 0, 0, 0  # of the digits near each other
    run = 0  # where the run of letters and digits at hand began
    colon, colons = -_ADDRESS, 0  # the latest, and how many are near each other
    for at in range(text.size + 1):
        kind = kinds[text[at]] if at < text.size else np.uint8(_END)
        if kind == 0:
            continue
        if count + 3 > len(found):  # no byte ends more than three windows
            more = np.empty((2 * len(found), 3), np.int64)
            more[:count] = found[:count]
            found = more
        if digits > 0 and (at == text.size or (kind & _DIGIT != 0 and at - last > _GAP + 1)):
            if digits >= _DIGITS:
                count = _note(found, count, latest, NUMBER, first - _PAD, last + 1 + _PAD)
            if dots >= 3:
                count = _note(found, count, latest, DOTS, first - _PAD, last + 1 + _PAD)
            digits, dots = 0, 0
        if kind & _DIGIT != 0:
            if digits == 0:
                first = at
            elif at - last == 2 and text[at - 1] == 0x2E:
                dots += 1
            digits, last = digits + 1, at
            continue
        if at - run >= _TOKEN and _is_mixed(text, run, at):
            count = _note(found, count, latest, TOKEN, run, at)
        run = at + 1
        if kind & _COLON != 0:
            colons = colons + 1 if at - colon <= _GROUP else 1
            if colons >= 7 or at - colon == 1:
                count = _note(found, count, latest, COLONS, at - _ADDRESS, at + _ADDRESS)
            colon = at
        elif kind & _SIGN != 0 and _is_at(text, at):
            count = _note(found, count, latest, AT, at - _LOCAL, at + _DOMAIN)
    return found[:count]


def suspects(text: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Windows (start, end, kind) of a text in UTF-8, uint8 [n]; those of one kind neither overlap nor go back."""
    return [(start, min(end, text.size), kind) for start, end, kind in _suspects(text, _KINDS).tolist()]
