"""Text to words: one pass over UTF-8 bytes gives a hash, a length and a kind per token.

A token is a word or a symbol:

- a **word** is a run of letters, digits, combining marks and underscores that holds a letter or a digit. A full stop
  inside a run stays (`example.com`, `U.S`, `3.14`) unless it stands between a lower-case and an upper-case letter;
  `,` `:` `/` stay between digits (`1,000`, `10:30`, `24/12/2020`); an apostrophe between letters begins a new word
  (`don't` = `don` `'t`, `John's` = `John` `'s`);
- in scripts written without spaces (Han, kana, Thai, Khmer, ...) every letter with its marks is a word;
- a **symbol** is anything else that is not white space; a run of one symbol (`...`, `----`) is one token.

datatrove uses spaCy's English tokenizer. The same: contractions are two tokens, hyphens and slashes split words,
numbers and abbreviations stay whole, punctuation counts as tokens. Different: a URL or an e-mail address is several
tokens here, one there; `U.S.` is `U.S` and `.` here; `5km` is one token here, two there; `!!!` is one token here, three
there; emoji and signs such as `©` are symbols here, words there; scripts without spaces need a dictionary there.
Measured on 3,928 English documents (C4, Common Crawl, pages, news) against datatrove 0.10 with spaCy 3: FineWeb's
verdict is the same on 3,879, and the 2,862 texts that both keep are equal to the byte (docs/rules.md, bench/rules.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firn.data.characters import (
    ALONE,
    APOSTROPHE,
    DIGIT,
    INNER,
    LETTER,
    LOWER,
    MARK,
    PUNCTUATION,
    SIZE,
    SPACE,
    TERMINAL,
    UPPER,
    WORD,
)
from firn.data.compiled import CLASSES, TEXT, helper, kernel

#: Kind bit of the first token of a line. The other bits of a kind are those of `characters`.
FIRST = SPACE

_BASIS = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bits
_PRIME = np.uint64(0x100000001B3)
_MIX1 = np.uint64(0xFF51AFD7ED558CCD)  # the finaliser of MurmurHash3
_MIX2 = np.uint64(0xC4CEB9FE1A85EC53)
_33 = np.uint64(33)


@helper
def mix(value: np.uint64) -> np.uint64:
    """A 64-bit hash spread over all its bits."""
    value = (value ^ (value >> _33)) * _MIX1
    value = (value ^ (value >> _33)) * _MIX2
    return value ^ (value >> _33)


@helper
def code_point(text: NDArray[np.uint8], at: int) -> np.int64:
    """The code point of the character of several bytes at byte `at`; U+FFFD where the bytes are not UTF-8."""
    lead, left = np.int64(text[at]), text.size - at
    if 0xC0 <= lead < 0xE0 and left > 1:
        return (lead & 0x1F) << 6 | np.int64(text[at + 1]) & 0x3F
    if 0xE0 <= lead < 0xF0 and left > 2:
        return (lead & 0x0F) << 12 | (np.int64(text[at + 1]) & 0x3F) << 6 | np.int64(text[at + 2]) & 0x3F
    if 0xF0 <= lead < 0xF8 and left > 3:
        high = (lead & 0x07) << 18 | (np.int64(text[at + 1]) & 0x3F) << 12
        return high | (np.int64(text[at + 2]) & 0x3F) << 6 | np.int64(text[at + 3]) & 0x3F
    return np.int64(0xFFFD)


@helper
def width(text: NDArray[np.uint8], at: int) -> int:
    """Bytes of the character at byte `at`."""
    lead = text[at]
    return 1 if lead < 0xC0 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4


@kernel(TEXT, CLASSES)
def classify(text: NDArray[np.uint8], classes: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The class bits of each byte's character: uint16 [bytes]; a character's first byte has them, the others INNER.

    Byte by byte, since a loop whose step depends on what it reads is ten times slower.
    """
    found = np.empty(text.size, np.uint16)
    for at in range(text.size):
        byte = text[at]
        if byte < 0x80:
            found[at] = classes[byte]
        elif byte < 0xC0:
            found[at] = INNER
        else:
            code = code_point(text, at)
            if code < SIZE:
                found[at] = classes[code]
            else:
                found[at] = LETTER | ALONE if code < 0x40000 else 0
    return found


@helper
def _joins(byte: np.uint8, before: np.int64, after: np.int64) -> bool:
    """Whether punctuation between two characters of these classes stays inside the word."""
    if after & WORD == 0 or after & ALONE != 0:
        return False
    if byte == 0x2E:  # .
        return not (before & LOWER != 0 and after & UPPER != 0)
    inside_number = byte == 0x2C or byte == 0x3A or byte == 0x2F  # , : /
    return bool(inside_number and before & DIGIT != 0 and after & DIGIT != 0)


@helper
def _symbol_end(text: NDArray[np.uint8], classes: NDArray[np.uint16], at: int) -> int:
    """Where the run of one symbol that begins at byte `at` ends, with the marks upon it."""
    step = width(text, at)
    end = at + step
    while end < text.size:
        same = end + step <= text.size
        for offset in range(step):
            same = same and text[end + offset] == text[at + offset]
        if same:
            end += step
        elif classes[end] & (MARK | INNER) != 0:
            end += 1
        else:
            break
    return min(end, text.size)


@helper
def _word_end(text: NDArray[np.uint8], classes: NDArray[np.uint16], at: int) -> tuple[int, np.int64, bool]:
    """The word whose first character is at byte `at`: its end, LETTER | DIGIT bits, whether an apostrophe follows on.

    The first character may be an apostrophe that belongs to the word.
    """
    last = np.int64(classes[at])
    alone, bits, end = last & ALONE != 0, last & (LETTER | DIGIT), at + 1
    while end < text.size:
        kind = np.int64(classes[end])
        if kind & (MARK | INNER) != 0:
            end += 1
        elif alone or kind & ALONE != 0:
            break
        elif kind & WORD != 0:
            last, bits, end = kind, bits | kind & (LETTER | DIGIT), end + 1
        else:
            beyond = end + width(text, end)
            if beyond >= text.size:
                break
            after = np.int64(classes[beyond])
            if kind & APOSTROPHE != 0 and last & LETTER != 0 and after & LETTER != 0 and after & ALONE == 0:
                return end, bits, True
            if not _joins(text[end], last, after):
                break
            end = beyond
    return end, bits, False


@kernel(TEXT, CLASSES)
def split(
    text: NDArray[np.uint8], classes: NDArray[np.uint16]
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.uint16]]:
    """The tokens of a text whose bytes have these classes (see classify).

    Returns hash uint64 [n], length in characters int32 [n] and kind uint16 [n]. A kind is LETTER | DIGIT where the
    token holds such characters (neither: a symbol), PUNCTUATION and TERMINAL of a symbol's character (TERMINAL not for
    a run of full stops, which is an ellipsis), and FIRST for the first token of a line.
    """
    size = text.size  # at most a token per byte; memory that is not touched costs nothing
    hashes, lengths, kinds = np.empty(size, np.uint64), np.empty(size, np.int32), np.empty(size, np.uint16)
    count, at, first, glued = 0, 0, FIRST, False
    while at < size:
        kind = np.int64(classes[at])
        if kind & (SPACE | INNER) != 0:
            if text[at] == 0x0A:
                first = FIRST
            at += 1
            continue
        if glued or kind & WORD != 0:
            end, kind, glued = _word_end(text, classes, at)
        else:
            end = _symbol_end(text, classes, at)
            kind &= PUNCTUATION | TERMINAL
            if text[at] == 0x2E and end > at + 1:
                kind &= ~TERMINAL
        value, characters = _BASIS, 0
        for byte in range(at, end):
            value = (value ^ np.uint64(text[byte])) * _PRIME
            if classes[byte] & INNER == 0:
                characters += 1
        hashes[count] = mix(value)
        lengths[count] = characters
        kinds[count] = kind | first
        count, at, first = count + 1, end, 0
    return hashes[:count], lengths[:count], kinds[:count]
