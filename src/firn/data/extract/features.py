"""What the classifier sees of each block: itself, what it stands within, its neighbours, and the page.

Nothing here knows of one site or one language; the counts of words are logarithms, the rest are shares and bits.
"""

from __future__ import annotations

import numpy as np
from numba import types

from firn.data.compiled import helper, kernel
from firn.data.extract.blocks import CONTAINER, COUNTS, FIRST, WITHIN, WORD_HASH
from firn.data.extract.hints import CLASS_HINTS, TEXT_HINTS
from firn.data.extract.scan import KIND, LAST, PARENT
from firn.data.extract.tags import COUNT, TAGS, numbers

#: How a block's own element is told to the classifier.
_KINDS = {
    "p": "p", "item": "li", "h1": "h1", "h2": "h2", "h3": "h3", "h4": "h4 h5 h6", "cell": "td th", "term": "dt",
    "definition": "dd",
    "pre": "pre listing", "div": "div section article main header footer", "caption": "figcaption caption",
    "button": "button summary", "body": "body html", "quote": "blockquote",
}  # fmt: skip
_KIND = np.full(COUNT, len(_KINDS), np.int64)
for _number, _names in enumerate(_KINDS.values()):
    _KIND[numbers(_names)] = _number

#: What a page says it is (schema.org types and og:type).
PAGE_KINDS = ("article", "product", "discussion", "list", "questions", "og_article", "og_product", "og_website")

_LEVELS = 5  # ancestors, counting only those that hold more than the one below
_AROUND = 2  # neighbours on each side
_ABOUT_NEIGHBOUR = 6

#: The names of the features, in their order.
FEATURES = (
    *("words", "bytes", "word_length", "link_share", "links", "digits", "capitals", "stops", "commas", "symbols",
      "wide", "bold", "breaks", "in_title", "title_share", "ends", "rare"),
    *(f"text:{name}" for name in TEXT_HINTS),
    *(f"kind:{name}" for name in _KINDS),
    *(f"within:{name}" for name in WITHIN),
    *(f"near:{name}" for name in CLASS_HINTS),
    *(f"within:.{name}" for name in CLASS_HINTS),
    *("depth", "at_words", "at_blocks", "words_before", "words_after", "after_h1", "from_h1", "after_title", "copies",
      "copied_before", "alike", "alike_words", "alike_links", "alike_mean", "alike_sentences"),
    *(f"up{level}:{what}" for level in range(1, _LEVELS + 1)
      for what in ("words", "link_share", "sentences", "blocks", "of_page", "of_it")),
    *("core_half", "core_most", "core_half_share", "core_most_share"),
    *(f"{side}{step}:{what}" for side in ("before", "after") for step in range(1, _AROUND + 1)
      for what in ("words", "link_share", "ends", "heading", "same_kind", "same_container")),
    *("nearby_sentences", "nearby_words", "nearby_links"),
    *("page_words", "page_blocks", "page_links", "page_sentences", "page_mean", "page_items", "page_headings",
      "page_articles", "page_largest", "page_core", "page_repeated"),
    *(f"page:{name}" for name in PAGE_KINDS),
)  # fmt: skip
NUMBER = len(FEATURES)

_C = {name: i for i, name in enumerate(COUNTS)}
_WORDS, _BYTES, _LINK_WORDS, _LINKS, _DIGITS, _CAPITALS, _STOPS, _COMMAS = (
    _C[n] for n in "words bytes link_words links digits capitals stops commas".split()
)
_SYMBOLS, _WIDE, _BOLD_WORDS, _BREAKS, _LETTERS, _TITLE_WORDS, _ENDS, _RARE = (
    _C[n] for n in "symbols wide bold_words breaks letters title_words ends rare_bytes".split()
)
_FIRST_HINT, _HINTS, _CLASSES, _BITS, _KIND_COUNT = (
    len(COUNTS) - len(TEXT_HINTS),
    len(TEXT_HINTS),
    len(CLASS_HINTS),
    len(WITHIN),
    len(_KINDS),
)
_H1, _LI = TAGS["h1"], TAGS["li"]
_HEADING, _ARTICLE, _LINK = (np.uint64(1 << WITHIN[n]) for n in ("heading", "article", "link"))
_NEAR_NODES = 4  # elements from the text upwards whose classes are near


@helper
def _log(value):  # type: ignore[no-untyped-def]
    return np.log1p(max(value, 0.0))


@helper
def _ratio(a, b):  # type: ignore[no-untyped-def]
    return a / b if b > 0 else 0.0


@helper
def sentence_words(counts):  # type: ignore[no-untyped-def]
    """Words of blocks that read as running text: a sentence's length, an end, few links."""
    words = np.zeros(counts.shape[0])
    for b in range(counts.shape[0]):
        c = counts[b]
        if c[_WORDS] >= 8 and c[_STOPS] > 0 and c[_LINK_WORDS] < 0.33 * c[_WORDS]:
            words[b] = c[_WORDS]
    return words


@helper
def _sums(nodes, blocks, counts, sentences):  # type: ignore[no-untyped-def]
    """Per node: words, link words, sentence words and blocks within it."""
    sums = np.zeros((nodes.shape[1], 4), np.float32)
    for b in range(blocks.shape[1]):
        at = blocks[CONTAINER, b]
        sums[at, 0] += counts[b, _WORDS]
        sums[at, 1] += counts[b, _LINK_WORDS]
        sums[at, 2] += sentences[b]
        sums[at, 3] += 1
    for i in range(nodes.shape[1] - 1, 0, -1):
        if sums[i, 3]:
            for column in range(4):
                sums[nodes[PARENT, i], column] += sums[i, column]
    return sums


@helper
def _core(nodes, sums, share):  # type: ignore[no-untyped-def]
    """The deepest node that holds this share of the page's sentence words (of its words, where there are none)."""
    column = 2 if sums[0, 2] > 0 else 0
    need = share * sums[0, column]
    best = 0
    for i in range(1, nodes.shape[1]):
        if nodes[PARENT, i] == best and sums[i, column] >= need and sums[i, 3]:
            best = i
    return best


@helper
def _group(keys):  # type: ignore[no-untyped-def]
    """For each key the number of its first place: equal keys have equal numbers."""
    size = 1
    while size < 2 * keys.size + 1:
        size *= 2
    table = np.full(size, -1, np.int64)
    group = np.empty(keys.size, np.int64)
    for i in range(keys.size):
        place = (keys[i] * 2654435761) % size
        while table[place] >= 0 and keys[table[place]] != keys[i]:
            place = (place + 1) % size
        if table[place] < 0:
            table[place] = i
        group[i] = table[place]
    return group


@helper
def ancestors(nodes, sums):  # type: ignore[no-untyped-def]
    """Per node: the innermost node above it that holds more blocks than it does."""
    up = np.zeros(nodes.shape[1], np.int32)
    for i in range(1, nodes.shape[1]):
        parent = nodes[PARENT, i]
        up[i] = up[parent] if sums[parent, 3] == sums[i, 3] else parent
    return up


@kernel(
    types.Array(types.int32, 2, "C"),
    types.Array(types.uint64, 1, "C"),
    types.Array(types.int64, 1, "C"),
    types.Array(types.uint32, 1, "C"),
    types.Array(types.int64, 2, "C"),
    types.Array(types.float32, 2, "C"),
    types.Array(types.boolean, 1, "C"),
    types.int64,
    types.int64,
)
def features_of(nodes, within, hints, path, blocks, counts, kinds, low, high):  # type: ignore[no-untyped-def]
    """float32 [high - low, NUMBER]: of the blocks from `low` to `high`, in the order of FEATURES.

    kinds: bool [PAGE_KINDS]; the rest as the scan and `firn.data.extract.blocks` return them, of the whole page.
    """
    number = blocks.shape[1]
    out = np.zeros((high - low, NUMBER), np.float32)
    if number == 0:
        return out
    sentences = sentence_words(counts)
    sums = _sums(nodes, blocks, counts, sentences)
    up = ancestors(nodes, sums)
    every = np.zeros(nodes.shape[1], np.int64)  # hints of the node and all above it
    depth = np.zeros(nodes.shape[1], np.int32)
    articles = 0
    for i in range(1, nodes.shape[1]):
        every[i] = every[nodes[PARENT, i]] | hints[i]
        depth[i] = depth[nodes[PARENT, i]] + 1
    total, linked, running = float(sums[0, 0]), float(sums[0, 1]), float(sums[0, 2])
    half, most = _core(nodes, sums, 0.5), _core(nodes, sums, 0.8)
    text_group = _group(blocks[WORD_HASH])
    paths = np.empty(number, np.int64)
    for b in range(number):
        paths[b] = path[nodes[PARENT, blocks[FIRST, b]]]
    path_group = _group(paths)
    alike = np.zeros((number, 4))
    copies = np.zeros(number)
    first_h1 = -1
    first_title = -1
    items = headings = largest = repeated = 0.0
    for b in range(number):
        group = path_group[b]
        alike[group, 0] += 1
        alike[group, 1] += counts[b, _WORDS]
        alike[group, 2] += counts[b, _LINK_WORDS]
        alike[group, 3] += sentences[b]
        copies[text_group[b]] += 1
        kind = nodes[KIND, blocks[CONTAINER, b]]
        inside = within[blocks[FIRST, b]]
        if first_h1 < 0 and kind == _H1 and counts[b, _WORDS] > 0:
            first_h1 = b
        titled = counts[b, _TITLE_WORDS]
        if first_title < 0 and titled >= 2 and titled >= 0.7 * counts[b, _WORDS] and inside & _HEADING:
            first_title = b
        if kind == _LI:
            items += counts[b, _WORDS]
        if inside & _HEADING:
            headings += 1
        if inside & _ARTICLE:
            articles += 1
        largest = max(largest, counts[b, _WORDS])
    for b in range(number):
        if alike[path_group[b], 0] >= 3:
            repeated += counts[b, _WORDS]
    # Sums of the blocks before, for windows.
    before = np.zeros((number + 1, 3))
    for b in range(number):
        before[b + 1, 0] = before[b, 0] + counts[b, _WORDS]
        before[b + 1, 1] = before[b, 1] + counts[b, _LINK_WORDS]
        before[b + 1, 2] = before[b, 2] + sentences[b]
    for b in range(low, high):
        c = counts[b]
        row = out[b - low]
        words = c[_WORDS]
        container = blocks[CONTAINER, b]
        first = blocks[FIRST, b]
        at = 0
        row[0] = _log(words)
        row[1] = _log(c[_BYTES])
        row[2] = _ratio(c[_BYTES], words)
        row[3] = _ratio(c[_LINK_WORDS], words)
        row[4] = _log(c[_LINKS])
        row[5] = _ratio(c[_DIGITS], c[_BYTES])
        row[6] = _ratio(c[_CAPITALS], c[_LETTERS])
        row[7] = _ratio(c[_STOPS], words)
        row[8] = _ratio(c[_COMMAS], words)
        row[9] = _ratio(c[_SYMBOLS], words)
        row[10] = _ratio(c[_WIDE], words)
        row[11] = _ratio(c[_BOLD_WORDS], words)
        row[12] = _log(c[_BREAKS])
        row[13] = _ratio(c[_TITLE_WORDS], words)
        row[14] = _log(c[_TITLE_WORDS])
        row[15] = c[_ENDS]
        row[16] = _log(c[_RARE])
        at = 17
        for i in range(_HINTS):
            row[at + i] = _ratio(c[_FIRST_HINT + i], words)
        at += _HINTS
        kind = _KIND[nodes[KIND, container]]
        if kind < _KIND_COUNT:
            row[at + kind] = 1
        at += _KIND_COUNT
        bits = within[first]
        for i in range(_BITS):
            row[at + i] = (bits >> np.uint64(i)) & np.uint64(1)
        at += _BITS
        near = np.int64(0)
        node = nodes[PARENT, first]
        for _ in range(_NEAR_NODES):
            near |= hints[node]
            node = nodes[PARENT, node] if node > 0 else node
        all_hints = every[nodes[PARENT, first]]
        for i in range(_CLASSES):
            row[at + i] = (near >> i) & 1
            row[at + _CLASSES + i] = (all_hints >> i) & 1
        at += 2 * _CLASSES
        row[at] = depth[container]
        row[at + 1] = _ratio(before[b, 0], total)
        row[at + 2] = b / number
        row[at + 3] = _log(before[b, 0])
        row[at + 4] = _log(total - before[b + 1, 0])
        row[at + 5] = 0 if first_h1 < 0 else (1 if b >= first_h1 else -1)
        row[at + 6] = 0 if first_h1 < 0 else min(max(b - first_h1, -50), 50)
        row[at + 7] = 0 if first_title < 0 else (1 if b >= first_title else -1)
        row[at + 8] = _log(copies[text_group[b]])
        row[at + 9] = text_group[b] != b
        same = alike[path_group[b]]
        row[at + 10] = _log(same[0])
        row[at + 11] = _ratio(same[1], total)
        row[at + 12] = _ratio(same[2], same[1])
        row[at + 13] = _log(same[1] / same[0])
        row[at + 14] = _ratio(same[3], running)
        at += 15
        node = container
        held = words
        for _level in range(_LEVELS):
            row[at] = _log(sums[node, 0])
            row[at + 1] = _ratio(sums[node, 1], sums[node, 0])
            row[at + 2] = _ratio(sums[node, 2], sums[node, 0])
            row[at + 3] = _log(sums[node, 3])
            row[at + 4] = _ratio(sums[node, 0], total)
            row[at + 5] = _ratio(held, sums[node, 0])
            held = sums[node, 0]
            node = up[node]
            at += 6
        row[at] = half <= container < nodes[LAST, half]
        row[at + 1] = most <= container < nodes[LAST, most]
        row[at + 2] = _ratio(sums[half, 0], total)
        row[at + 3] = _ratio(sums[most, 0], total)
        at += 4
        for side in range(2):
            for step in range(1, _AROUND + 1):
                other = b - step if side == 0 else b + step
                if 0 <= other < number:
                    o = counts[other]
                    row[at] = _log(o[_WORDS])
                    row[at + 1] = _ratio(o[_LINK_WORDS], o[_WORDS])
                    row[at + 2] = o[_ENDS]
                    row[at + 3] = 1 if within[blocks[FIRST, other]] & _HEADING else 0
                    row[at + 4] = path_group[other] == path_group[b]
                    row[at + 5] = nodes[PARENT, blocks[CONTAINER, other]] == nodes[PARENT, container]
                else:
                    row[at] = -1
                at += 6
        start, stop = max(0, b - 5), min(number, b + 6)
        row[at] = _ratio(before[stop, 2] - before[start, 2], before[stop, 0] - before[start, 0])
        row[at + 1] = _log(before[stop, 0] - before[start, 0])
        row[at + 2] = _ratio(before[stop, 1] - before[start, 1], before[stop, 0] - before[start, 0])
        at += 3
        row[at] = _log(total)
        row[at + 1] = _log(number)
        row[at + 2] = _ratio(linked, total)
        row[at + 3] = _ratio(running, total)
        row[at + 4] = _log(total / number)
        row[at + 5] = _ratio(items, total)
        row[at + 6] = headings / number
        row[at + 7] = articles / number
        row[at + 8] = _log(largest)
        row[at + 9] = _ratio(sums[half, 3], number)
        row[at + 10] = _ratio(repeated, total)
        for i in range(kinds.size):
            row[at + 11 + i] = kinds[i]
    return out
