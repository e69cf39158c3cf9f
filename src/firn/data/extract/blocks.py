"""The tree of a page -> its blocks: runs of text that stand in one line or paragraph, and what can be counted in each.

One pass over nodes and text, linear in the bytes.
"""

from __future__ import annotations

import numpy as np
from numba import types

from firn.data.compiled import TEXT as BYTES
from firn.data.compiled import helper, kernel
from firn.data.extract.hints import CLASS_HASHES, CLASS_MASKS, LOOK_CLOSER, TEXT_HASHES, TEXT_HINTS, TEXT_MASKS
from firn.data.extract.scan import END, KIND, PARENT, START, is_letter
from firn.data.extract.tags import BLOCK, COUNT, OTHER, TAGS, TEXT, UNSEEN, hash_table, numbers, table_of

#: What a node stands within, one bit each, itself included.
WITHIN = {
    name: bit
    for bit, name in enumerate(
        """unseen math hidden link bold heading preformatted code nav header footer aside main article section form
        table cell list item definition figure quote details dialog label button paragraph small caption
        noscript""".split()
    )
}
#: Bits beyond those, which the classifier does not see: a formula that is an image; what a listing holds whose lines
#: are elements; such a line, itself alone.
FORMULA, LISTING, LINE = (np.uint64(1 << bit) for bit in (61, 62, 63))
_TAGS_WITHIN = {
    "link": "a", "bold": "b strong", "heading": "h1 h2 h3 h4 h5 h6", "preformatted": "pre listing",
    "code": "code samp kbd tt",
    "nav": "nav menu", "header": "header", "footer": "footer", "aside": "aside", "main": "main", "article": "article",
    "section": "section", "form": "form", "table": "table", "cell": "td th", "list": "ul ol", "item": "li",
    "definition": "dl dt dd", "figure": "figure", "quote": "blockquote", "details": "details", "dialog": "dialog",
    "label": "label legend", "button": "button summary", "paragraph": "p", "small": "small sub sup time address",
    "caption": "figcaption caption", "math": "math", "noscript": "noscript",
}  # fmt: skip
_WITHIN_OF_TAG = np.zeros(COUNT, np.uint64)
for _name, _tags in _TAGS_WITHIN.items():
    _WITHIN_OF_TAG[numbers(_tags)] |= np.uint64(1 << WITHIN[_name])
_WITHIN_OF_TAG[UNSEEN] |= np.uint64(1 << WITHIN["unseen"])
_UNSEEN, _HIDDEN, _MATH, _LINK, _BOLD, _PREFORMATTED = (
    np.uint64(1 << WITHIN[name]) for name in ("unseen", "hidden", "math", "link", "bold", "preformatted")
)

#: What is counted in a block.
COUNTS = (
    "words", "bytes", "link_words", "links", "digits", "capitals", "stops", "commas", "symbols", "wide", "bold_words",
    "breaks", "letters", "title_words", "ends", "rare_bytes", *TEXT_HINTS,
)  # fmt: skip
(WORDS, _BYTES, _LINK_WORDS, _LINKS, DIGITS, _CAPITALS, _STOPS, _COMMAS, _SYMBOLS, _WIDE, _BOLD_WORDS, _BREAKS,
 _LETTERS, _TITLE_WORDS, _ENDS, _RARE, _FIRST_HINT) = range(17)  # fmt: skip
_HINTS = len(TEXT_HINTS)

#: Columns of a block: its first and last text node, the element it stands in, the hash of its words.
FIRST, FINAL, CONTAINER, WORD_HASH = range(4)

# What an attribute is read for.
_NAMES, _CLASS, _STYLE, _HIDES, _ARIA_HIDDEN, _TYPE, _SHADOW, _ADDRESS, _ALT = range(1, 10)
_ATTRIBUTES = {
    "class": _CLASS, "id": _NAMES, "role": _NAMES, "itemprop": _NAMES, "aria-label": _NAMES, "data-testid": _NAMES,
    "style": _STYLE, "hidden": _HIDES, "aria-hidden": _ARIA_HIDDEN, "type": _TYPE, "shadowrootmode": _SHADOW,
    "src": _ADDRESS, "data-src": _ADDRESS, "alt": _ALT,
}  # fmt: skip
_ATTRIBUTE_HASHES, _ATTRIBUTE_USES = hash_table(_ATTRIBUTES)
# Classes of what KaTeX and MathJax draw with letters; the formula itself stands beside it. And of spans that no screen
# shows: Bootstrap's and Stack Exchange's, who write `$\\begingroup$` there.
_DRAWN_HASHES, _DRAWN = hash_table(
    dict.fromkeys(("katexhtml", "mathjax", "mathjaxpreview", "mathjaxsvg", "mathjaxchtml"), 1) | {"dnone": 2}
)
_BR, _A, _SCRIPT, _TEMPLATE, _TITLE, _IMG, _SPAN = (TAGS[n] for n in "br a script template title img span".split())
# So much of an image's address tells what wrote it.
_ADDRESS_BYTES = 160
_ROOT = table_of("html body")
_MOST_TITLE_WORDS = 64
_DISPLAY_NONE = np.frombuffer(b"none", np.uint8)
_MATH_TEX = np.frombuffer(b"math/tex", np.uint8)


@helper
def lookup(hashes, values, key):  # type: ignore[no-untyped-def]
    mask = np.uint32(hashes.size - 1)
    place = key & mask
    while hashes[place]:
        if hashes[place] == key:
            return values[place]
        place = (place + np.uint32(1)) & mask
    return np.int64(0)


@helper
def next_attribute(data, at, end):  # type: ignore[no-untyped-def]
    """The attribute that begins at or after `at`: hash of its name, span of its value,
    and where to go on (-1: none)."""
    while at < end and (data[at] <= 32 or data[at] == 47):
        at += 1
    if at >= end:
        return np.uint32(0), at, at, -1
    name = np.uint32(2166136261)
    start = at
    while at < end and data[at] > 32 and data[at] != 47 and (data[at] != 61 or at == start):
        byte = data[at]
        if 65 <= byte <= 90:
            byte |= 32
        name = np.uint32((name ^ np.uint32(byte)) * np.uint32(16777619))
        at += 1
    after = at
    while after < end and data[after] <= 32:
        after += 1
    if after >= end or data[after] != 61:
        return name, at, at, at
    at = after + 1
    while at < end and data[at] <= 32:
        at += 1
    if at < end and (data[at] == 34 or data[at] == 39):
        quote = data[at]
        start = at + 1
        at = start
        while at < end and data[at] != quote:
            at += 1
        return name, start, at, min(at + 1, end)
    start = at
    while at < end and data[at] > 32:
        at += 1
    return name, start, at, at


@helper
def _holds(data, start, end, word):  # type: ignore[no-untyped-def]
    for at in range(start, end - word.size + 1):
        same = True
        for i in range(word.size):
            if data[at + i] != word[i]:
                same = False
                break
        if same:
            return True
    return False


@helper
def _hints_of(data, start, end):  # type: ignore[no-untyped-def]
    """Mask of the hints among the words of a class name or id, and a hash of its letters."""
    mask = np.int64(0)
    letters = np.uint32(2166136261)
    word = np.uint32(2166136261)
    length = 0
    lower = False
    for at in range(start, end):
        byte = data[at]
        capital = 65 <= byte <= 90
        if (capital and lower) or not is_letter(byte):
            if length:
                mask |= lookup(CLASS_HASHES, CLASS_MASKS, word)
            word = np.uint32(2166136261)
            length = 0
        lower = 97 <= byte <= 122
        if capital or lower:
            byte |= 32
            word = np.uint32((word ^ np.uint32(byte)) * np.uint32(16777619))
            letters = np.uint32((letters ^ np.uint32(byte)) * np.uint32(16777619))
            length += 1
    if length:
        mask |= lookup(CLASS_HASHES, CLASS_MASKS, word)
    return mask, letters


@kernel(BYTES, types.Array(types.int32, 2, "C"))
def read_elements(data, nodes):  # type: ignore[no-untyped-def]
    """Per node: the block it stands in (int32), WITHIN bits (uint64), class hints (int64), and a hash of the path of
    tags and classes that leads to it (uint32)."""
    count = nodes.shape[1]
    container = np.zeros(count, np.int32)
    within = np.zeros(count, np.uint64)
    hints = np.zeros(count, np.int64)
    path = np.zeros(count, np.uint32)
    for i in range(1, count):
        kind = nodes[KIND, i]
        parent = nodes[PARENT, i]
        if kind == TEXT:
            container[i] = container[parent]
            within[i] = within[parent]
            continue
        bits = within[parent]
        own = np.int64(0)
        tag = np.uint32(kind)
        tex = False
        shadow = False
        at = np.int64(nodes[START, i])
        end = np.int64(nodes[END, i])
        while True:
            name, start, stop, at = next_attribute(data, at, end)
            if at < 0:
                break
            use = lookup(_ATTRIBUTE_HASHES, _ATTRIBUTE_USES, name)
            if use == 0:
                continue
            if use <= _CLASS:
                found, letters = _hints_of(data, start, stop)
                own |= found
                if use == _CLASS:
                    tag = np.uint32((tag ^ letters) * np.uint32(16777619))
                    drawn = lookup(_DRAWN_HASHES, _DRAWN, letters)
                    if drawn == 1 or (drawn == 2 and kind == _SPAN):
                        bits |= _UNSEEN
            elif use == _HIDES:
                bits |= _HIDDEN
            elif use == _ARIA_HIDDEN:
                if stop - start == 4:
                    bits |= _HIDDEN
            elif use == _STYLE:
                if _holds(data, start, stop, _DISPLAY_NONE):
                    bits |= _HIDDEN
            elif use == _TYPE and kind == _SCRIPT:
                tex = _holds(data, start, stop, _MATH_TEX)
            elif use == _SHADOW:
                shadow = True
            elif kind == _IMG:  # formulas: by the address, or TeX as LaTeX2HTML writes it into the alt text
                if use == _ADDRESS:
                    found, letters = _hints_of(data, start, min(stop, start + _ADDRESS_BYTES))
                    own |= found & LOOK_CLOSER
                elif start < stop and (data[start] == 36 or data[start] == 92):
                    own |= LOOK_CLOSER
        if kind != OTHER:
            if not tex and not (kind == _TEMPLATE and shadow):
                bits |= _WITHIN_OF_TAG[kind]
            if _ROOT[kind]:
                own = np.int64(0)
                bits &= ~_HIDDEN
        if tex:
            bits |= _MATH
        container[i] = i if kind != OTHER and BLOCK[kind] else container[parent]
        within[i] = bits
        hints[i] = own
        path[i] = np.uint32((path[parent] ^ tag) * np.uint32(2654435761))
    return container, within, hints, path


@helper
def _count_text(data, start, end, linked, bold, titles, known, counts, last):  # type: ignore[no-untyped-def]
    """Add the text data[start:end] to `counts`. last: hash of the words so far. Collects into `titles` if known < 0."""
    word = np.uint32(2166136261)
    length = 0
    wide = 0
    at = start
    while at <= end:
        byte = data[at] if at < end else np.uint8(32)
        step = 1
        inside = False
        if byte < 128:
            if is_letter(byte):
                inside = True
                if byte <= 90:
                    counts[_CAPITALS] += 1
                counts[_LETTERS] += 1
            elif 48 <= byte <= 57:
                inside = True
                counts[DIGITS] += 1
            elif byte == 38:  # an entity: at most ten bytes up to its semicolon
                stop = at + 1
                while stop < min(end, at + 10) and data[stop] != 59 and data[stop] > 32:
                    stop += 1
                if stop < end and data[stop] == 59:
                    step = stop + 1 - at
            elif byte == 46 or byte == 33 or byte == 63:
                counts[_STOPS] += 1
            elif byte == 44 or byte == 59:
                counts[_COMMAS] += 1
            elif byte == 124 or byte == 62 or byte == 47 or byte == 36 or byte == 42 or byte == 43:
                counts[_SYMBOLS] += 1
        elif byte == 0xC2:
            step = 2
        elif byte == 0xE2:
            step = 3
        elif byte >= 0xF0:
            step = 4
            counts[_RARE] += 1
        elif byte == 0xE3 and at + 2 < end and data[at + 1] == 0x80:
            step = 3
            if data[at + 2] == 0x82:
                counts[_STOPS] += 1
            elif data[at + 2] == 0x81:
                counts[_COMMAS] += 1
        elif byte == 0xEF and at + 2 < end and data[at + 1] == 0xBC:
            step = 3
            if data[at + 2] == 0x81 or data[at + 2] == 0x9F:
                counts[_STOPS] += 1
            elif data[at + 2] == 0x8C:
                counts[_COMMAS] += 1
        else:
            inside = True
            if 0xE3 <= byte <= 0xE9:  # scripts without spaces: two characters count as a word, of Thai and Khmer five
                wide += 5
            elif (byte == 0xE0 and at + 1 < end and 0xB8 <= data[at + 1] <= 0xBB) or (
                byte == 0xE1 and at + 1 < end and data[at + 1] == 0x9E
            ):
                wide += 2
        if inside:
            if 65 <= byte <= 90:
                byte |= 32
            word = np.uint32((word ^ np.uint32(byte)) * np.uint32(16777619))
            length += 1
        elif length:
            if known < 0:
                if known > -_MOST_TITLE_WORDS:
                    titles[-known - 1] = word
                    known -= 1
            else:
                amount = max(1.0, wide / 10)
                counts[WORDS] += amount
                counts[_BYTES] += length
                counts[_WIDE] += wide / 10
                if linked:
                    counts[_LINK_WORDS] += amount
                if bold:
                    counts[_BOLD_WORDS] += amount
                mask = lookup(TEXT_HASHES, TEXT_MASKS, word)
                if mask:
                    for hint in range(_HINTS):
                        if mask >> hint & 1:
                            counts[_FIRST_HINT + hint] += 1
                for i in range(known):
                    if titles[i] == word:
                        counts[_TITLE_WORDS] += 1
                        break
                last = np.uint32((last ^ word) * np.uint32(2654435761))
            word = np.uint32(2166136261)
            length = 0
            wide = 0
        at += step
    return last, known


@helper
def _ends_sentence(data, start, end):  # type: ignore[no-untyped-def]
    """1 where the text ends as a sentence does, perhaps within quotes or brackets; 0.5 for a colon, else 0."""
    at = end - 1
    while at > start:
        if data[at] == 34 or data[at] == 39 or data[at] == 41 or data[at] == 93:
            at -= 1
        elif at - 2 > start and data[at - 2] == 0xE2 and data[at - 1] == 0x80 and 0x98 <= data[at] <= 0x9F:
            at -= 3
        else:
            break
    byte = data[at]
    if byte == 46 or byte == 33 or byte == 63:
        return 1.0
    if at - 2 >= start:
        if data[at - 2] == 0xE3 and data[at - 1] == 0x80 and byte == 0x82:
            return 1.0
        if data[at - 2] == 0xE2 and data[at - 1] == 0x80 and byte == 0xA6:
            return 1.0
        if data[at - 2] == 0xEF and data[at - 1] == 0xBC and (byte == 0x81 or byte == 0x9F):
            return 1.0
    return 0.5 if byte == 58 else 0.0


@helper
def _formula_text(data, at, end):  # type: ignore[no-untyped-def]
    """Where the words of an image are that is a formula: its alt text, else its address."""
    first, last = at, at
    while True:
        name, start, stop, at = next_attribute(data, at, end)
        if at < 0:
            return first, last
        use = lookup(_ATTRIBUTE_HASHES, _ATTRIBUTE_USES, name)
        if stop > start and (use == _ALT or (use == _ADDRESS and last == first)):
            first, last = start, stop


@kernel(
    BYTES,
    types.Array(types.int32, 2, "C"),
    types.Array(types.int32, 1, "C"),
    types.Array(types.uint64, 1, "C"),
)
def read_blocks(data, nodes, container, within):  # type: ignore[no-untyped-def]
    """The blocks of a page: int64 [4, room] (FIRST to WORD_HASH), their COUNTS, float32 [room, counts], and how many
    blocks there are."""
    count = nodes.shape[1]
    room = 1  # a block has a text or a formula of its own
    for i in range(count):
        if nodes[KIND, i] == TEXT or within[i] & FORMULA:
            room += 1
    blocks = np.zeros((4, room), np.int64)
    counts = np.zeros((room, _FIRST_HINT + _HINTS), np.float32)
    titles = np.zeros(_MOST_TITLE_WORDS, np.uint32)
    known = 0
    found = -1
    fresh = True  # whether the next text begins a block
    breaks = 0
    links = 0
    for i in range(1, count):
        kind = nodes[KIND, i]
        if kind != TEXT and not within[i] & FORMULA:
            if kind == _TITLE and known == 0 and i + 1 < count and nodes[KIND, i + 1] == TEXT:
                start = np.int64(nodes[START, i + 1])
                end = np.int64(nodes[END, i + 1])
                _none, known = _count_text(data, start, end, False, False, titles, -1, counts[0], np.uint32(0))
                known = -known - 1
            if within[i] & _UNSEEN and not within[i] & _MATH:
                continue
            if kind == _BR:
                breaks += 1
                if breaks == 2 and not within[i] & _PREFORMATTED:
                    fresh = True
            elif kind != OTHER and BLOCK[kind] and not within[i] & LISTING:
                fresh = True
            elif kind == _A:
                links += 1
            continue
        if within[i] & _UNSEEN and not within[i] & _MATH:
            continue
        start = np.int64(nodes[START, i])
        end = np.int64(nodes[END, i])
        if kind != TEXT:
            start, end = _formula_text(data, start, end)
        while start < end and data[start] <= 32:
            start += 1
        while end > start and data[end - 1] <= 32:
            end -= 1
        if start >= end:
            continue
        if fresh or container[i] != blocks[CONTAINER, max(found, 0)] or found < 0:
            found += 1
            blocks[FIRST, found] = i
            blocks[CONTAINER, found] = container[i]
            blocks[WORD_HASH, found] = 0
            links = 1 if within[i] & _LINK else 0
            breaks = 0
        fresh = False
        blocks[FINAL, found] = i
        counts[found, _BREAKS] += breaks
        breaks = 0
        counts[found, _LINKS] = links
        last, known = _count_text(
            data,
            start,
            end,
            within[i] & _LINK != 0,
            within[i] & _BOLD != 0,
            titles,
            known,
            counts[found],
            np.uint32(blocks[WORD_HASH, found]),
        )
        blocks[WORD_HASH, found] = last
        counts[found, _ENDS] = _ends_sentence(data, start, end)
    return blocks, counts, found + 1
