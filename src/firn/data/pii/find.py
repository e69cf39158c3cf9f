"""Personal data in a text: which bytes, and of what kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firn.data.pii import accounts, addresses, national, phones, secrets
from firn.data.pii.settings import KINDS, Kind
from firn.data.pii.suspects import AT, COLONS, DOTS, NUMBER, TOKEN, suspects


class Span(NamedTuple):
    """Bytes [start, end) of a text that are personal data."""

    start: int
    end: int
    kind: Kind


def find(text: NDArray[np.uint8], kinds: frozenset[str], countries: tuple[str, ...] = national.COUNTRIES) -> list[Span]:
    """Personal data of these kinds in a text in UTF-8, uint8 [n]: in order, no byte in two spans.

    Where two overlap, the kind that comes first in KINDS counts, then the one that begins first. countries: those whose
    national numbers are looked for. Time is linear in the text.
    """
    windows = suspects(text)
    if not windows and "key" not in kinds:
        return []
    everything = text.tobytes()
    candidates = [Span(*span, kind) for kind, span in _candidates(everything, windows, countries) if kind in kinds]
    candidates.sort(key=lambda span: (KINDS.index(span.kind), span.start, -span.end))
    chosen: list[Span] = []
    if candidates:
        taken = np.zeros(len(everything), bool)
        for span in candidates:
            if not taken[span.start : span.end].any():
                taken[span.start : span.end] = True
                chosen.append(span)
    return sorted(chosen)


def _candidates(
    text: bytes, windows: list[tuple[int, int, int]], countries: tuple[str, ...]
) -> Iterator[tuple[Kind, tuple[int, int]]]:
    for start, end, what in windows:
        if what == AT:
            for span in secrets.logins(text, start, end):
                yield "key", span
            for span in addresses.emails(text, start, end):
                yield "email", span
        elif what == NUMBER:
            for span in accounts.ibans(text, start, end):
                yield "iban", span
            for span in accounts.cards(text, start, end):
                yield "card", span
            for span in national.find(text, start, end, countries):
                yield "national_id", span
            for span in phones.find(text, start, end):
                yield "phone", span
        elif what == DOTS:
            for span in addresses.ipv4(text, start, end):
                yield "ip", span
        elif what == COLONS:
            for span in addresses.ipv6(text, start, end):
                yield "ip", span
        elif what == TOKEN:
            for span in secrets.issued(text, start, end):
                yield "key", span
    for span in secrets.unwindowed(text):
        yield "key", span
