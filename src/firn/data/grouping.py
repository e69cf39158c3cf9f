"""Groups of letters in scripts written without spaces: words without a dictionary.

`words.split` makes every letter of such a script a word. Rules tuned on words (how long they are, which runs of five
come back) then see something else than in other languages, so `grouped` signals join letters that stand together:

- katakana: the whole run, which is mostly one borrowed word;
- Han, hiragana, Yi: two letters, where the bond between them is stronger than the bonds on both sides;
- Thai, Lao, Khmer, Myanmar and the like: all letters between two bonds that are weaker than the one before them and the
  two after them.

The strength of a bond is a hash of the two letters, so a phrase is divided the same way wherever it stands, and
nothing is learned or looked up. Groups hold 1.5 letters on average in the second case and 4 in the third, near what
dictionaries give (docs/rules.md has the comparison), which is what counts for thresholds; they are not words.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import ALONE, DIGIT, INNER, LETTER, SPACE
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels import Tokens, View, first_tokens
from firn.data.kernels_repeats import ratio
from firn.data.words import code_point, mix

_NGRAM = np.uint64(0x9E3779B97F4A7C15)
_OUT = types.float64[::1]
_HASHES, _LENGTHS, _KINDS = types.uint64[::1], types.int32[::1], types.uint16[::1]
_KATAKANA, _HIRAGANA, _HAN, _OTHER = 1, 2, 3, 4


@helper
def _script(code: np.int64) -> int:
    """How the letters around this one are grouped."""
    if 0x30A0 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF or 0xFF66 <= code <= 0xFF9D:
        return _KATAKANA
    if 0x3040 <= code <= 0x309F:
        return _HIRAGANA
    if (0x0E00 <= code <= 0x1FFF) or (0xA980 <= code <= 0xAAFF):
        return _OTHER
    return _HAN


@kernel(TEXT, CLASSES, _HASHES, _LENGTHS, _KINDS)
def group(
    text: NDArray[np.uint8],
    classes: NDArray[np.uint16],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    kinds: NDArray[np.uint16],
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint16]]:
    """The tokens of words.split with letters in groups; the same where there are no such letters."""
    tokens, at, alone = hashes.size, 0, 0
    scripts = np.zeros(tokens + 1, np.uint8)  # of a letter that is a word; 0 for all else
    bonds = np.zeros(tokens + 2, np.uint64)  # with the token before; 0 where nothing binds them
    for token in range(tokens):
        start = at
        while classes[at] & (SPACE | INNER) != 0:
            at += 1
        if classes[at] & ALONE != 0:
            scripts[token], alone = _script(code_point(text, at)), alone + 1
            if token > 0 and start == at and scripts[token] == scripts[token - 1]:
                bonds[token] = mix(hashes[token - 1] * _NGRAM + hashes[token]) | np.uint64(1)
        left = lengths[token]
        while left > 0:
            left -= classes[at] & INNER == 0
            at += 1
        while at < text.size and classes[at] & INNER != 0:
            at += 1
    if alone == 0:
        return hashes, lengths, kinds
    grouped, sizes, bits, count = (
        np.empty(tokens, np.uint64),
        np.empty(tokens, np.int32),
        np.empty(tokens, np.uint16),
        0,
    )
    for token in range(tokens):
        bond, joins = bonds[token], False
        if bond != 0:
            before, after = bonds[token - 1], bonds[token + 1]
            if scripts[token] == _KATAKANA:
                joins = True
            elif scripts[token] == _OTHER:
                joins = before == 0 or after == 0 or bond > min(before, after, bonds[token + 2])
            else:
                joins = bond > before and bond > after
        if joins:
            grouped[count - 1] = mix(grouped[count - 1] * _NGRAM + hashes[token])
            sizes[count - 1] += lengths[token]
        else:
            grouped[count], sizes[count], bits[count] = hashes[token], lengths[token], kinds[token]
            count += 1
    return grouped[:count], sizes[:count], bits[:count]


@kernel(TEXT, _HASHES, _LENGTHS, _KINDS, _OUT)
def _measure(
    text: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    kinds: NDArray[np.uint16],
    out: NDArray[np.float64],
) -> None:
    words, characters_of_words, with_letter = 0, 0, 0
    for token in range(hashes.size):
        if kinds[token] & (LETTER | DIGIT) != 0:
            words, characters_of_words = words + 1, characters_of_words + lengths[token]
            with_letter += kinds[token] & LETTER != 0
    hash_signs, ellipses, breaks, stops = 0, 0, 0, 0
    for at in range(text.size):
        byte = text[at]
        hash_signs += byte == 0x23
        breaks += byte == 0x0A
        stops = stops + 1 if byte == 0x2E else 0
        dots = byte == 0xE2 and at + 2 < text.size and text[at + 1] == 0x80 and text[at + 2] == 0xA6
        ellipses += (stops > 0 and stops % 3 == 0) or dots
    out[0], out[1] = words, hashes.size
    out[2], out[3] = ratio(characters_of_words, words), ratio(with_letter, hashes.size)
    out[4], out[5] = ratio(hash_signs, hashes.size), ratio(ellipses, hashes.size)
    out[6] = ratio(breaks, hashes.size)


@kernel(_HASHES, _HASHES)
def _distinct(hashes: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> int:
    """How many of the wanted are among the hashes."""
    found = np.zeros(wanted.size, np.uint8)
    for token in range(hashes.size):
        for index in range(wanted.size):
            if hashes[token] == wanted[index]:
                found[index] = 1
    return int(found.sum())


@cache
def _stop_words(words: tuple[str, ...]) -> tuple[NDArray[np.uint64], tuple[bytes, ...]]:
    """Hashes of the tokens to be found, and what is to be found anywhere."""
    table = characters.classes()
    parts = [word for word in words if word[0] == "~" or all(table[ord(c)] & ALONE or not c.isalpha() for c in word)]
    spaced = tuple(word for word in words if word not in parts)
    hashes = np.unique(first_tokens(spaced)) if spaced else np.empty(0, np.uint64)
    return hashes, tuple(word.lstrip("~").encode() for word in parts)


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `grouped_words`."""
    grouped: Tokens = view.grouped
    _measure(view.text, *grouped, out)
    if view.context.stop_words:
        hashes, anywhere = _stop_words(view.context.stop_words)
        data = view.text.tobytes() if anywhere else b""
        out[7] = _distinct(view.tokens[0], hashes) + sum(word in data for word in anywhere)
