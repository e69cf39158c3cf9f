"""The elements of HTML: a number for each, and what a parser and a reader must know of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Node kinds that are no elements.
TEXT, OTHER = 0, 1

_ELEMENTS = """
    html head body title meta link base script style noscript template iframe noembed noframes xmp textarea plaintext
    svg math annotation annotation-xml semantics foreignobject desc img br hr input wbr area col embed param source
    track
    p div span a b i em strong u s small big font tt code kbd samp var sub sup mark abbr cite dfn q time ins del label
    h1 h2 h3 h4 h5 h6 hgroup header footer nav aside main article section address search
    ul ol menu li dl dt dd table caption colgroup thead tbody tfoot tr td th
    pre listing blockquote figure figcaption details summary dialog form fieldset legend
    button select option optgroup datalist output progress meter object applet marquee canvas video audio map picture
    center strike nobr ruby rt rp rb rtc data bdi bdo center dir frameset frame slot
    mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts mtable mtr
    mtd mstyle mpadded mphantom menclose mfenced merror mglyph none mprescripts
""".split()

#: Name -> number. Elements that are not in the list are OTHER.
TAGS = {name: number for number, name in enumerate(dict.fromkeys(_ELEMENTS), start=2)}
NAMES = {number: name for name, number in TAGS.items()}
COUNT = max(TAGS.values()) + 1


def numbers(names: str) -> list[int]:
    """The numbers of these tags."""
    return [TAGS[name] for name in names.split()]


def table_of(names: str) -> NDArray[np.bool_]:
    """bool [COUNT]: which tags are among these."""
    table = np.zeros(COUNT, np.bool_)
    table[numbers(names)] = True
    return table


#: Elements without content (HTML Standard, section 13.1.2).
VOID = table_of("area base br col embed hr img input link meta param source track wbr frame")

#: Elements whose content is text up to their end tag.
RAW = table_of("script style textarea title xmp iframe noembed noframes plaintext")

#: Elements that begin a line of their own.
BLOCK = table_of("""
    html body p div h1 h2 h3 h4 h5 h6 hgroup header footer nav aside main article section address search ul ol menu li
    dl dt dd table caption thead tbody tfoot tr td th pre listing blockquote figure figcaption details summary dialog
    form fieldset legend center dir hr optgroup option select button marquee title
""")

#: Elements whose start ends an open paragraph (section 13.2.6.4.7).
ENDS_P = table_of("""
    address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer form h1 h2 h3 h4
    h5 h6 header hgroup hr li dd dt listing main menu nav ol p pre search section summary table ul
""")

#: Elements that an end tag within them does not reach beyond (section 13.2.4.2, "has an element in scope").
BARRIER = table_of("html table td th caption template object applet marquee foreignobject")

#: Elements of other vocabularies.
FOREIGN = table_of("svg math")

#: Elements that end an open svg or math (section 13.2.6.5).
ENDS_FOREIGN = table_of("""
    b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta nobr
    ol p pre ruby s small span strong strike sub sup table tt u ul var
""")

#: Elements whose end tag does not end a block that began within them (the adoption agency, simplified).
FORMATTING = table_of("a b i em strong u s small big font tt code nobr strike span")

#: Elements whose text nobody reads in the page.
UNSEEN = table_of("""
    head script style template iframe noembed noframes textarea svg canvas video audio object applet select
    datalist progress meter frameset title
""")

HEADING = table_of("h1 h2 h3 h4 h5 h6")
PREFORMATTED = table_of("pre listing xmp textarea plaintext")


def hash_bytes(name: bytes) -> int:
    """FNV-1a of a lower-case name, 32 bits."""
    value = 2166136261
    for byte in name:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def hash_table(values: dict[str, int]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Open addressing: hashes of the names and their values, 0 where a place is empty."""
    size = 1
    while size < 4 * len(values):
        size *= 2
    hashes, found = np.zeros(size, np.uint32), np.zeros(size, np.int64)
    for name, value in values.items():
        key = hash_bytes(name.encode())
        at = key & (size - 1)
        while hashes[at]:
            if hashes[at] == key:
                raise ValueError(f"{name!r} has the hash of another name")
            at = (at + 1) & (size - 1)
        hashes[at], found[at] = key, value
    return hashes, found


TAG_HASHES, TAG_NUMBERS = hash_table(TAGS)
