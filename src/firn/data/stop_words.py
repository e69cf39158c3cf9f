"""The share of a text's words that are stop words of its language (see `signals` for the definition).

RedPajama-V2 has it as rps_doc_stop_word_fraction (Weber et al. 2024, arXiv:2411.12372, table 12). Its lists are long
(stopwords-json); here the list is that of the preset's table of languages, such as `presets/tables/stop_words.yaml`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import ALONE, DIGIT, LETTER
from firn.data.compiled import kernel
from firn.data.kernels import View
from firn.data.kernels_repeats import ratio
from firn.data.word_lists import NGRAM, phrase_hash
from firn.data.words import mix

_HASHES, _KINDS = types.uint64[::1], types.uint16[::1]


@kernel(_HASHES, _KINDS, _HASHES, types.int64)
def _fraction(hashes: NDArray[np.uint64], kinds: NDArray[np.uint16], stop: NDArray[np.uint64], longest: int) -> float:
    """Words within a run of 1 to `longest` tokens that is among the sorted `stop` / words."""
    words, within, end = 0, 0, 0  # end: of the runs found so far
    for first in range(hashes.size):
        rolling = np.uint64(0)
        for token in range(first, min(first + longest, hashes.size)):
            rolling = mix(rolling * NGRAM + hashes[token])
            at = np.searchsorted(stop, rolling)
            if at < stop.size and stop[at] == rolling:
                end = max(end, token + 1)
        if kinds[first] & (LETTER | DIGIT) != 0:
            words, within = words + 1, within + (first < end)
    return ratio(within, words)


@cache
def _runs(words: tuple[str, ...]) -> tuple[NDArray[np.uint64], int]:
    """Hashes of the runs of tokens to be found, sorted, and the tokens of the longest."""
    hashes, longest = set(), 0
    for word in words:
        view = View(np.frombuffer(word.lower().encode(), np.uint8))
        tokens = view.tokens[0]
        if word.startswith("~") or not tokens.size:
            continue
        if not view.classes[0] & ALONE:
            tokens = tokens[:1]  # l' is l before a word
        hashes.add(int(phrase_hash(tokens)))
        longest = max(longest, tokens.size)
    return np.array(sorted(hashes), np.uint64), longest


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `stop_words`."""
    stop, longest = _runs(view.context.stop_words)
    if stop.size:
        lower = view.text.tobytes().decode("utf-8", "replace").lower().encode()
        hashes, _, kinds = View(np.frombuffer(lower, np.uint8)).tokens
        out[0] = _fraction(hashes, kinds, stop, longest)
