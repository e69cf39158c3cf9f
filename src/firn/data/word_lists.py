"""Lists of words and phrases by language, such as those of words that a corpus should not hold.

A list is a file of one word or phrase a line, in UTF-8, as the List of Dirty, Naughty, Obscene and Otherwise Bad Words
has them (LDNOOBW, which C4 used: Raffel et al. 2020, section 2.2). They are found in lower case: as whole tokens, in
scripts without spaces anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import ALONE
from firn.data.compiled import kernel
from firn.data.kernels import View
from firn.data.words import mix

#: What a rolling hash of tokens is multiplied with.
NGRAM = np.uint64(0x9E3779B97F4A7C15)
_LONGEST = 16  # tokens of a phrase at most
_BYTES = 1024  # of a line at most
_HASHES = types.uint64[::1]


@kernel(_HASHES, _HASHES, types.int64)
def _count(tokens: NDArray[np.uint64], phrases: NDArray[np.uint64], longest: int) -> int:
    """Runs of 1 to `longest` tokens that are among the sorted phrases."""
    found = 0
    for first in range(tokens.size):
        rolling = np.uint64(0)
        for token in range(first, min(first + longest, tokens.size)):
            rolling = mix(rolling * NGRAM + tokens[token])
            at = np.searchsorted(phrases, rolling)
            if at < phrases.size and phrases[at] == rolling:
                found += 1
    return found


@kernel(_HASHES)
def phrase_hash(tokens: NDArray[np.uint64]) -> np.uint64:
    """The hash of a run of tokens, as kernels make it that look for runs: uint64 [tokens] to one."""
    rolling = np.uint64(0)
    for token in tokens:
        rolling = mix(rolling * NGRAM + token)
    return rolling


class WordList:
    """One language's list."""

    def __init__(self, lines: Iterable[bytes]):
        table, hashes, anywhere = characters.classes(), set(), set()
        self._longest = 0
        for line in lines:
            phrase = line[:_BYTES].decode("utf-8", "replace").strip().lower()
            tokens = View(np.frombuffer(phrase.encode(), np.uint8)).tokens[0]
            if phrase and all(table[min(ord(c), characters.SIZE - 1)] & ALONE for c in phrase):
                anywhere.add(phrase.encode())
            elif 0 < tokens.size <= _LONGEST:
                hashes.add(int(phrase_hash(tokens)))
                self._longest = max(self._longest, tokens.size)
        self._hashes = np.array(sorted(hashes), np.uint64)
        self._anywhere = sorted(anywhere)

    def count(self, text: NDArray[np.uint8]) -> int:
        """How often the list's words and phrases occur in a text, UTF-8."""
        lower = text.tobytes().decode("utf-8", "replace").lower().encode()
        found = sum(lower.count(phrase) for phrase in self._anywhere)
        if self._hashes.size:
            found += int(_count(View(np.frombuffer(lower, np.uint8)).tokens[0], self._hashes, self._longest))
        return found


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `listed_words`."""
    if view.context.words is not None:
        out[0] = view.context.words(view.text)
