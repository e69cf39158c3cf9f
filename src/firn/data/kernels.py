"""Measuring a text: which kernel measures which family; and the kernels of characters, words and lines.

Every definition is in `signals`. Families that few presets need are compiled when one of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data import characters
from firn.data.characters import DIGIT, INNER, LETTER, PUNCTUATION, SPACE, TERMINAL
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels_repeats import measure_duplicates, measure_ngrams, met, newlines, ratio, table
from firn.data.signals import FAMILIES, STOP_ENGLISH
from firn.data.words import FIRST, classify, mix, split

_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_LOREM_IPSUM = np.frombuffer(b"lorem ipsum", np.uint8)
_OUT = types.float64[::1]
_HASHES, _LENGTHS, _KINDS = types.uint64[::1], types.int32[::1], types.uint16[::1]

Tokens = tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint16]]


@dataclass(frozen=True)
class Context:
    """What is known of a document beyond the text at hand.

    language: the document's. stop_words: of that language. original: the text before any edit. detect: what tells the
    language of a text, with its probability. words: counts what the language's list names (word_lists).
    """

    language: str | None = None
    stop_words: tuple[str, ...] = ()
    original: NDArray[np.uint8] | None = None
    detect: Callable[[str], tuple[str, float]] | None = None
    words: Callable[[NDArray[np.uint8]], int] | None = None


class View:
    """A text and what several families see in it, found once.

    text: UTF-8, uint8 [n]. classes: of its bytes (words.classify).
    """

    def __init__(
        self, text: NDArray[np.uint8], classes: NDArray[np.uint16] | None = None, context: Context | None = None
    ):
        self.text = text
        self.classes = classify(text, characters.classes()) if classes is None else classes
        self.context = context or Context()
        self.measured: dict[str, NDArray[np.float64]] = {}  # family -> its signals

    @cached_property
    def tokens(self) -> Tokens:
        """Hash, length and kind of every token (words.split)."""
        return split(self.text, self.classes)

    @cached_property
    def grouped(self) -> Tokens:
        """The same, letters of scripts without spaces in groups (grouping.group)."""
        from firn.data.grouping import group

        return group(self.text, self.classes, *self.tokens)

    @cached_property
    def characters(self) -> float:
        """Characters of the text."""
        return float(np.count_nonzero(self.classes != INNER))


def measure(view: View, families: tuple[str, ...]) -> NDArray[np.float64]:
    """The signals of these families, in the order of `signals.FAMILIES`: float64 [signals]."""
    found = view.measured
    for family in families:
        if family not in found:  # points between which nothing was cut see the same
            found[family] = np.zeros(len(FAMILIES[family]))
            _measures(family)(view, found[family])
    return np.concatenate([found[family] for family in families])


@cache
def _measures(family: str) -> Callable[[View, NDArray[np.float64]], None]:
    """What measures a family."""
    if family == "characters":
        return lambda view, out: measure_characters(view.text, view.classes, _LOREM_IPSUM, out)
    if family == "words":
        return lambda view, out: measure_words(view.text, *view.tokens, first_tokens(STOP_ENGLISH), out)
    if family == "lines":
        return lambda view, out: measure_lines(view.text, view.classes, out)
    if family in ("duplicates_all", "ngrams_all"):
        from firn.data import kernels_copies as copies

        if family == "duplicates_all":
            return lambda view, out: copies.measure_duplicates_all(view.text, view.classes, out)
        return lambda view, out: copies.measure_ngrams_all(*view.tokens, out)
    if family == "duplicates":
        return lambda view, out: measure_duplicates(view.text, view.classes, out)
    if family == "ngrams":
        return lambda view, out: measure_ngrams(*view.tokens[:2], view.characters, out)
    if family == "grouped_ngrams":
        return lambda view, out: measure_ngrams(*view.grouped[:2], view.characters, out)
    if family == "grouped_words":
        from firn.data import grouping

        return grouping.measure
    if family in ("spaced_words", "cuts"):
        from firn.data import kernels_spaced as spaced

        return spaced.measure if family == "spaced_words" else spaced.measure_cuts
    if family in ("character_kinds", "line_kinds"):
        from firn.data import kernels_kinds as kinds

        return kinds.measure_characters if family == "character_kinds" else kinds.measure_lines
    if family == "code":
        from firn.data import kernels_code

        return kernels_code.measure
    if family == "source_files":
        from firn.data import kernels_source

        return kernels_source.measure
    if family == "languages":
        from firn.data import paragraphs

        return paragraphs.measure
    if family == "stop_words":
        from firn.data import stop_words

        return stop_words.measure
    if family == "listed_words":
        from firn.data import word_lists

        return word_lists.measure
    if family == "encoding":
        from firn.data import repair

        return repair.measure
    raise KeyError(family)


@cache
def first_tokens(words: tuple[str, ...]) -> NDArray[np.uint64]:
    """Hash of the first token of each of these words."""
    views = [View(np.frombuffer(word.encode(), np.uint8)) for word in words]
    return np.array([view.tokens[0][0] for view in views], np.uint64)


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
    for at in range(text.size - phrase.size + 1):
        if text[at] | 0x20 == phrase[0] and text[at + 1] | 0x20 == phrase[1]:
            same = True
            for offset in range(2, phrase.size):
                byte = text[at + offset]
                same = same and (byte | 0x20 if byte >= 0x40 else byte) == phrase[offset]
            lorem += same
    out[0] = count
    out[1] = ratio(alphanumeric, count)
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
    hash_signs, ellipses, breaks, stops = 0, 0, 0, 0
    for at in range(text.size):
        byte = text[at]
        hash_signs += byte == 0x23
        breaks += byte == 0x0A
        stops = stops + 1 if byte == 0x2E else 0
        ellipses += (stops > 0 and stops % 3 == 0) or (byte == 0xE2 and _is(text, at, 0xE2, 0x80, 0xA6))
    tokens = hashes.size
    out[0] = words
    out[1] = tokens
    out[2] = ratio(characters_of_words, words)
    out[3] = ratio(with_letter, tokens)
    out[4] = 0
    while met != 0:
        met &= met - np.uint64(1)
        out[4] += 1
    out[5] = sentences
    out[6] = ratio(hash_signs, tokens)
    out[7] = ratio(ellipses, tokens)
    out[8] = ratio(breaks, tokens)


@kernel(TEXT, CLASSES, _OUT)
def measure_lines(text: NDArray[np.uint8], classes: NDArray[np.uint16], out: NDArray[np.float64]) -> None:
    """Family `lines`."""
    size = text.size
    lines, nonblank, total, longest = 0, 0, 0, 0
    bullets, ellipses, terminals, short, repeated = 0, 0, 0, 0, 0
    keys = table(newlines(text) + 1)
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
            if met(keys, mix(value)):
                repeated += length
        start = at + 1
    out[0] = lines
    out[1] = ratio(total, lines)
    out[2] = longest
    out[3] = ratio(bullets, lines)
    out[4] = ratio(ellipses, lines)
    out[5] = ratio(terminals, nonblank)
    out[6] = ratio(short, nonblank)
    out[7] = ratio(repeated, total)
