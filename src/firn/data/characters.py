"""What kind of character each code point is: the tables that the text kernels look into.

One entry per code point below `SIZE`. Above it lie CJK ideographs (planes 2 and 3), which need no table, and symbols.
The tables come from Python's Unicode database; its version, `UNICODE`, belongs in the fingerprints of what uses them.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

#: Version of the Unicode database behind the tables.
UNICODE = unicodedata.unidata_version
SIZE = 0x20000

SPACE = 1  # white space, as str.isspace has it
LETTER = 2  # general category L
DIGIT = 4  # general category N
MARK = 8  # combining marks (M) and invisible format characters (Cf): they stay with what precedes them
UPPER = 16
LOWER = 32
ALONE = 64  # a letter of a script written without spaces between words: each is a word of its own
PUNCTUATION = 128  # general category P
TERMINAL = 256  # ends a sentence: Unicode's Sentence_Terminal property
CONNECTOR = 512  # the underscore: read_text is one word
APOSTROPHE = 1024  # ' and U+2019
INNER = 2048  # not a character: a byte within one (see words.classify)
WORD = LETTER | DIGIT | MARK | CONNECTOR

# Scripts written without spaces between words (Unicode line breaking classes ID and SA): Han, kana, Yi, Thai, Lao,
# Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Javanese, Tai Viet.
_ALONE = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF), (0x3005, 0x3007),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA48F), (0xA980, 0xA9FF),
    (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0xFF66, 0xFF9D), (0x1B000, 0x1B16F),
)  # fmt: skip

# Sentence_Terminal of Unicode 16 (PropList.txt); Python's own database does not carry the property.
_TERMINAL = (
    (0x21, 0x21), (0x2E, 0x2E), (0x3F, 0x3F), (0x589, 0x589), (0x61D, 0x61F), (0x6D4, 0x6D4), (0x700, 0x702),
    (0x7F9, 0x7F9), (0x837, 0x837), (0x839, 0x839), (0x83D, 0x83E), (0x964, 0x965), (0x104A, 0x104B),
    (0x1362, 0x1362), (0x1367, 0x1368), (0x166E, 0x166E), (0x1735, 0x1736), (0x17D4, 0x17D5), (0x1803, 0x1803),
    (0x1809, 0x1809), (0x1944, 0x1945), (0x1AA8, 0x1AAB), (0x1B4E, 0x1B4F), (0x1B5A, 0x1B5B), (0x1B5E, 0x1B5F),
    (0x1B7D, 0x1B7F), (0x1C3B, 0x1C3C), (0x1C7E, 0x1C7F), (0x2024, 0x2024), (0x203C, 0x203D), (0x2047, 0x2049),
    (0x2CF9, 0x2CFB), (0x2E2E, 0x2E2E), (0x2E3C, 0x2E3C), (0x2E53, 0x2E54), (0x3002, 0x3002), (0xA4FF, 0xA4FF),
    (0xA60E, 0xA60F), (0xA6F3, 0xA6F3), (0xA6F7, 0xA6F7), (0xA876, 0xA877), (0xA8CE, 0xA8CF), (0xA92F, 0xA92F),
    (0xA9C8, 0xA9C9), (0xAA5D, 0xAA5F), (0xAAF0, 0xAAF1), (0xABEB, 0xABEB), (0xFE12, 0xFE12), (0xFE15, 0xFE16),
    (0xFE52, 0xFE52), (0xFE56, 0xFE57), (0xFF01, 0xFF01), (0xFF0E, 0xFF0E), (0xFF1F, 0xFF1F), (0xFF61, 0xFF61),
    (0x10A56, 0x10A57), (0x10F55, 0x10F59), (0x10F86, 0x10F89), (0x11047, 0x11048), (0x110BE, 0x110C1),
    (0x11141, 0x11143), (0x111C5, 0x111C6), (0x111CD, 0x111CD), (0x111DE, 0x111DF), (0x11238, 0x11239),
    (0x1123B, 0x1123C), (0x112A9, 0x112A9), (0x113D4, 0x113D5), (0x1144B, 0x1144C), (0x115C2, 0x115C3),
    (0x115C9, 0x115D7), (0x11641, 0x11642), (0x1173C, 0x1173E), (0x11944, 0x11944), (0x11946, 0x11946),
    (0x11A42, 0x11A43), (0x11A9B, 0x11A9C), (0x11C41, 0x11C42), (0x11EF7, 0x11EF8), (0x11F43, 0x11F44),
    (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B38), (0x16B44, 0x16B44), (0x16D6E, 0x16D6F),
    (0x16E98, 0x16E98), (0x1BC9F, 0x1BC9F), (0x1DA88, 0x1DA88),
)  # fmt: skip

_BY_CATEGORY = {
    "L": LETTER, "Lu": LETTER | UPPER, "Ll": LETTER | LOWER, "N": DIGIT, "M": MARK, "Cf": MARK, "P": PUNCTUATION,
}  # fmt: skip


@cache
def classes() -> NDArray[np.uint16]:
    """Bits of every code point below SIZE: uint16 [SIZE], read-only."""
    table = np.zeros(SIZE, np.uint16)
    for code in range(SIZE):
        category = unicodedata.category(chr(code))
        table[code] = _BY_CATEGORY.get(category, _BY_CATEGORY.get(category[0], 0))
        if chr(code).isspace():
            table[code] |= SPACE
    for first, last in _ALONE:
        block = table[first : last + 1]
        block[(block & LETTER) > 0] |= ALONE
    for first, last in _TERMINAL:
        table[first : last + 1] |= TERMINAL
    table[ord("_")] |= CONNECTOR
    table[[0x27, 0x2019]] |= APOSTROPHE
    table.setflags(write=False)
    return table


DROPPED, BREAK = 0, 1  # in `folded`: the character is passed over; it stands between words
FOLDED_ALONE = 1 << 31  # in `folded`: the character is a word of its own


@cache
def folded() -> NDArray[np.uint32]:
    """What each character is when texts are compared for near-duplicates: uint32 [SIZE], read-only.

    Letters: the code point of their lower case without diacritics (their own where that is more than one character, as
    for Hangul), with FOLDED_ALONE in scripts without spaces. Numbers: the code point of 0. Non-spacing marks and format
    characters: DROPPED. Everything else, the underscore too: BREAK.
    """
    kinds = classes()
    table = np.full(SIZE, BREAK, np.uint32)
    table[kinds & MARK > 0] = DROPPED
    table[kinds & DIGIT > 0] = ord("0")
    for code in np.flatnonzero(kinds & LETTER):
        lower = chr(code).lower()
        base = [c for c in unicodedata.normalize("NFD", lower) if unicodedata.category(c) != "Mn"]
        fold = base if len(base) == 1 else [lower] if len(lower) == 1 else [chr(code)]
        table[code] = ord(fold[0]) | (FOLDED_ALONE if kinds[code] & ALONE else 0)
    table.setflags(write=False)
    return table
