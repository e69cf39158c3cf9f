"""Text that was decoded wrongly: how much of it there is, and putting it right with ftfy.

UTF-8 read as Windows-1252 shows as pairs such as Ã©. `measure` counts them in any text; `lines` finds what ftfy
makes of the lines that have them (Speer 2019, https://doi.org/10.5281/zenodo.2591652; optional: `firn[repair]`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT, kernel
from firn.data.kernels import View
from firn.data.words import code_point, width

_BYTES = types.uint8[::1]


@cache
def _bytes_of() -> NDArray[np.uint8]:
    """What Windows-1252, or else Latin-1, writes each of the first 0x2200 code points as; 0 where both have nothing."""
    table = np.zeros(0x2200, np.uint8)
    table[0x80:0x100] = np.arange(0x80, 0x100)
    for byte in range(0x80, 0xA0):
        character = bytes([byte]).decode("cp1252", "ignore")
        if character:
            table[ord(character)] = byte
    return table


@kernel(TEXT, _BYTES, types.int64[::1], types.int64)
def _suspects(text: NDArray[np.uint8], table: NDArray[np.uint8], places: NDArray[np.int64], room: int) -> int:
    """How many stretches read like UTF-8 taken for Windows-1252; where the first `room` begin is put into `places`."""
    found, wanted, begun, at = 0, 0, 0, 0
    while at < text.size:
        if text[at] < 0xC2:
            wanted, at = 0, at + 1
            continue
        code, byte = code_point(text, at), np.int64(0)
        if code < table.size:
            byte = np.int64(table[code])
        if wanted > 0 and 0x80 <= byte < 0xC0:
            wanted -= 1
            if wanted == 0:
                if found < room:
                    places[found] = begun
                found += 1
        else:
            wanted = 1 if 0xC2 <= byte < 0xE0 else 2 if 0xE0 <= byte < 0xF0 else 3 if 0xF0 <= byte < 0xF5 else 0
            begun = at
        at += width(text, at)
    return found


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `encoding`."""
    data = view.text.tobytes()
    out[0] = data.count(b"\xef\xbf\xbd")
    out[1] = _suspects(view.text, _bytes_of(), np.empty(0, np.int64), 0)


def lines(text: NDArray[np.uint8]) -> list[tuple[int, int, bytes]]:
    """(start, end, right bytes) of the lines with suspect stretches that ftfy decodes otherwise."""
    table = _bytes_of()
    count = _suspects(text, table, np.empty(0, np.int64), 0)
    if not count:
        return []
    places = np.empty(count, np.int64)
    _suspects(text, table, places, count)
    from ftfy import fix_encoding

    data, done, found = text.tobytes(), 0, []
    for place in places.tolist():
        if place < done:
            continue
        start = data.rfind(b"\n", 0, place) + 1
        done = data.find(b"\n", place)
        done = len(data) if done < 0 else done
        line = data[start:done].decode("utf-8", "replace")
        right = fix_encoding(line).encode()
        if right != data[start:done] and b"\n" not in right:
            found.append((start, done, right))
    return found
