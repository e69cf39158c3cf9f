"""The kernels that measure: one per family of signals (see `signals` for every definition)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import DIGIT, INNER, LETTER, PUNCTUATION, SPACE, TERMINAL
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.signals import FAMILIES, STOP_ENGLISH
from firn.data.words import FIRST, classify, mix, split

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_NGRAM = np.uint64(0x9E3779B97F4A7C15)  # base of the polynomial over token hashes, odd
_LOREM_IPSUM = np.frombuffer(b"lorem ipsum", np.uint8)
_OUT = types.float64[::1]
_HASHES, _LENGTHS, _KINDS = types.uint64[::1], types.int32[::1], types.uint16[::1]


def measure(
    text: NDArray[np.uint8], families: tuple[str, ...], classes: NDArray[np.uint16] | None = None
) -> NDArray[np.float64]:
    """The signals of these families, in the order of `signals.FAMILIES`, of one text.

    text: UTF-8, uint8 [n]. classes: of its bytes, where they are known (words.classify). Returns float64 [signals].
    """
    if classes is None:
        classes = classify(text, characters.classes())
    values = np.zeros(sum(len(FAMILIES[family]) for family in families))
    tokens = split(text, classes) if "words" in families or "repetition" in families else None
    at = 0
    for family in families:
        out = values[at : at + len(FAMILIES[family])]
        at += out.size
        if family == "characters":
            measure_characters(text, classes, _LOREM_IPSUM, out)
        elif family == "lines":
            measure_lines(text, classes, out)
        elif tokens is not None and family == "words":
            measure_words(text, *tokens, stop_english(), out)
        elif tokens is not None:
            measure_duplicates(text, classes, out[:4])
            measure_ngrams(tokens[0], tokens[1], float(np.count_nonzero(classes != INNER)), out[4:])
    return values


@cache
def stop_english() -> NDArray[np.uint64]:
    """Token hashes of the stop words."""
    text = np.frombuffer(" ".join(STOP_ENGLISH).encode(), np.uint8)
    hashes: NDArray[np.uint64] = split(text, classify(text, characters.classes()))[0].copy()
    return hashes


@helper
def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


@helper
def _is(text: NDArray[np.uint8], at: int, first: int, second: int, third: int) -> bool:
    """Whether the three bytes at `at` are these."""
    return at >= 0 and at + 2 < text.size and text[at] == first and text[at + 1] == second and text[at + 2] == third


@kernel(TEXT, CLASSES, TEXT, _OUT)
def measure_characters(
    text: NDArray[np.uint8], classes: NDArray[np.uint16], phrase: NDArray[np.uint8], out: NDArray[np.float64]
) -> None:
    """Family `characters`. phrase: the lower-case ASCII bytes to count in any case."""
    count, alphanumeric, curly, lorem = 0, 0, 0, 0
    for at in range(text.size):
        kind = classes[at]
        count += kind & INNER == 0
        alphanumeric += kind & (LETTER | DIGIT) != 0
        curly += text[at] == 0x7B
        if text[at] | 0x20 == phrase[0] and at + phrase.size <= text.size:
            same = True
            for offset in range(phrase.size):
                byte = text[at + offset]
                same = same and (byte | 0x20 if byte >= 0x40 else byte) == phrase[offset]
            lorem += same
    out[0] = count
    out[1] = _ratio(alphanumeric, count)
    out[2] = curly
    out[3] = lorem


@kernel(TEXT, _HASHES, _LENGTHS, _KINDS, _HASHES, _OUT)
def measure_words(
    text: NDArray[np.uint8],
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int32],
    kinds: NDArray[np.uint16],
    stop: NDArray[np.uint64],
    out: NDArray[np.float64],
) -> None:
    """Family `words`, from the tokens of `words.split` and the hashes of the stop words."""
    words, characters_of_words, with_letter, sentences, ended = 0, 0, 0, 0, False
    met = np.uint64(0)  # a bit per stop word
    for token in range(hashes.size):
        kind = kinds[token]
        if kind & (LETTER | DIGIT) != 0:
            words += 1
            characters_of_words += lengths[token]
            with_letter += kind & LETTER != 0
            if lengths[token] <= 4:
                for index in range(stop.size):
                    if hashes[token] == stop[index]:
                        met |= np.uint64(1) << np.uint64(index)
        if kind & FIRST != 0:
            sentences, ended = sentences + 1, False
        if kind & TERMINAL != 0:
            ended = True
        elif ended and kind & PUNCTUATION == 0:
            sentences, ended = sentences + (kind & FIRST == 0), False
    hash_signs, ellipses, newlines, stops = 0, 0, 0, 0
    for at in range(text.size):
        byte = text[at]
        hash_signs += byte == 0x23
        newlines += byte == 0x0A
        stops = stops + 1 if byte == 0x2E else 0
        ellipses += (stops > 0 and stops % 3 == 0) or (byte == 0xE2 and _is(text, at, 0xE2, 0x80, 0xA6))
    tokens = hashes.size
    out[0] = words
    out[1] = tokens
    out[2] = _ratio(characters_of_words, words)
    out[3] = _ratio(with_letter, tokens)
    out[4] = 0
    while met != 0:
        met &= met - np.uint64(1)
        out[4] += 1
    out[5] = sentences
    out[6] = _ratio(hash_signs, tokens)
    out[7] = _ratio(ellipses, tokens)
    out[8] = _ratio(newlines, tokens)


@helper
def _met(table: NDArray[np.uint64], key: np.uint64) -> bool:
    """Whether the key is in the open-addressing table (a power of two long, 0 = free); it is afterwards."""
    mask = np.int64(table.size - 1)
    key = key | np.uint64(1)
    slot = np.int64(key >> np.uint64(8)) & mask
    while table[slot] != 0:
        if table[slot] == key:
            return True
        slot = (slot + 1) & mask
    table[slot] = key
    return False


@helper
def _table(entries: int) -> NDArray[np.uint64]:
    """An empty table with room for so many entries, at most half full."""
    size = 16
    while size < 2 * entries + 2:
        size *= 2
    return np.zeros(size, np.uint64)


@helper
def _newlines(text: NDArray[np.uint8]) -> int:
    count = 0
    for at in range(text.size):
        count += text[at] == 0x0A
    return count


@kernel(TEXT, CLASSES, _OUT)
def measure_lines(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    """Family `lines`."""
    size = text.size
    lines, nonblank, total, longest = 0, 0, 0, 0
    bullets, ellipses, terminals, short, repeated = 0, 0, 0, 0, 0
    table = _table(_newlines(text) + 1)
    start = 0
    while start < size:
        value, length, first, last, final = _BASIS, 0, -1, -1, -1
        at = start
        while at < size and text[at] != 0x0A:
            value = (value ^ np.uint64(text[at])) * _PRIME
            kind = classes[at]
            if kind & INNER == 0:
                length, final = length + 1, at
                if kind & SPACE == 0:
                    last = at
                    if first < 0:
                        first = at
            at += 1
        lines, total, longest = lines + 1, total + length, max(longest, length)
        if first >= 0:
            nonblank += 1
            bullets += text[first] == 0x2D or _is(text, first, 0xE2, 0x80, 0xA2)
            ellipses += (last - 2 >= start and _is(text, last - 2, 0x2E, 0x2E, 0x2E)) or _is(
                text, last, 0xE2, 0x80, 0xA6
            )
            terminals += classes[final] & TERMINAL != 0
            short += length <= 30
            if _met(table, mix(value)):
                repeated += length
        start = at + 1
    out[0] = lines
    out[1] = _ratio(total, lines)
    out[2] = longest
    out[3] = _ratio(bullets, lines)
    out[4] = _ratio(ellipses, lines)
    out[5] = _ratio(terminals, nonblank)
    out[6] = _ratio(short, nonblank)
    out[7] = _ratio(repeated, total)


@kernel(TEXT, CLASSES, _OUT)
def measure_duplicates(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    """The lines and paragraphs of family `repetition`."""
    total = 0
    begin, end = -1, 0  # of the text without white space at its ends
    for at in range(text.size):
        kind = classes[at]
        total += kind & INNER == 0
        if kind & SPACE == 0:
            if begin < 0 and kind & INNER == 0:
                begin = at
            if kind & INNER == 0 or end == at:
                end = at + 1
    newlines = _newlines(text)
    table = _table(newlines + 1)
    count, repeats, repeated = 0, 0, 0
    value, length = _BASIS, 0
    for at in range(text.size + 1):
        if at == text.size or text[at] == 0x0A:
            if length > 0:
                count += 1
                if _met(table, mix(value)):
                    repeats, repeated = repeats + 1, repeated + length
            value, length = _BASIS, 0
        else:
            value = (value ^ np.uint64(text[at])) * _PRIME
            length += classes[at] & INNER == 0
    out[0] = _ratio(repeats, count)
    out[1] = _ratio(repeated, total)
    if begin < 0:
        out[2] = out[3] = 0
        return
    table = _table(newlines + 1)
    count, repeats, repeated = 0, 0, 0
    value, length, at = _BASIS, 0, begin
    while at <= end:
        if at == end or (text[at] == 0x0A and text[at + 1] == 0x0A):
            count += 1
            if _met(table, mix(value)):
                repeats, repeated = repeats + 1, repeated + length
            value, length = _BASIS, 0
            if at == end:
                break
            while text[at] == 0x0A:  # ends before `end`, where white space was taken away
                at += 1
        else:
            value = (value ^ np.uint64(text[at])) * _PRIME
            length += classes[at] & INNER == 0
            at += 1
    out[2] = _ratio(repeats, count)
    out[3] = _ratio(repeated, total)


@kernel(_HASHES, _LENGTHS, types.float64, _OUT)
def measure_ngrams(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int32], total: float, out: NDArray[np.float64]
) -> None:
    """The n-grams of family `repetition`. total: characters of the text."""
    tokens = hashes.size
    table = _table(tokens)
    counts, firsts = np.empty(table.size, np.int32), np.empty(table.size, np.int32)
    sums = np.zeros(tokens + 1, np.int64)  # characters of the tokens before each
    for token in range(tokens):
        sums[token + 1] = sums[token] + lengths[token]
    mask = np.int64(table.size - 1)
    for n in range(2, 11):
        out[n - 2] = 0
        if tokens < n:
            continue
        for index in range(table.size):
            table[index] = 0
        # The hash of an n-gram slides: H = h0 * B^(n-1) + ... + h(n-1), modulo 2^64.
        power = np.uint64(1)
        for _ in range(n):
            power *= _NGRAM
        rolling = np.uint64(0)
        for token in range(n - 1):
            rolling = rolling * _NGRAM + hashes[token]
        best, best_first = np.int32(0), np.int32(0)
        repeated, free = 0, 0
        for token in range(tokens - n + 1):
            rolling = rolling * _NGRAM + hashes[token + n - 1]
            if token > 0:
                rolling -= hashes[token - 1] * power
            key = mix(rolling)
            if n > 4:
                if token >= free and _met(table, key):
                    repeated += int(sums[token + n] - sums[token])
                    free = token + n
                continue
            key |= np.uint64(1)
            slot = np.int64(key >> np.uint64(8)) & mask
            while table[slot] != 0 and table[slot] != key:
                slot = (slot + 1) & mask
            if table[slot] == 0:
                table[slot], counts[slot], firsts[slot] = key, 0, token
            counts[slot] += 1
            if counts[slot] > best or (counts[slot] == best and firsts[slot] < best_first):
                best, best_first = counts[slot], firsts[slot]
        if n > 4:
            out[n - 2] = _ratio(repeated, total)
        elif best > 1:
            out[n - 2] = _ratio((sums[best_first + n] - sums[best_first] + n - 1) * best, total)
