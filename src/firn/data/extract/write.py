"""The blocks that are kept -> text: paragraphs stand apart, table rows and list items have lines, code keeps its own.

What is written is still HTML text (entities) with a mark in the place of each formula; `page` finishes it.
"""

from __future__ import annotations

import numpy as np
from numba import types

from firn.data.compiled import TEXT as BYTES
from firn.data.compiled import helper, kernel
from firn.data.extract.blocks import CONTAINER, FINAL, FIRST, FORMULA, LINE, LISTING, WITHIN
from firn.data.extract.scan import END, KIND, LAST, PARENT, START
from firn.data.extract.tags import COUNT, TAGS, TEXT, numbers, table_of

#: Around the number of the node that a formula stands in. No text has this byte: control characters are not written.
MARK = "\x00"

#: Cells of more blocks than this lay a page out; those of less are cells of a table.
_ROW_BLOCKS = 1

_A, _BR, _TR, _LI, _PRE, _DT, _DD, _OL, _TABLE, _P = (TAGS[n] for n in "a br tr li pre dt dd ol table p".split())
_LINES = np.zeros(COUNT, np.bool_)
_LINES[numbers("tr li pre dt dd")] = True
# Between these elements of a listing no white space is code.
_AROUND_CELLS = table_of("table thead tbody tfoot tr ol ul")
_UNSEEN, _MATH, _PREFORMATTED, _CELL = (
    np.uint64(1 << WITHIN[name]) for name in ("unseen", "math", "preformatted", "cell")
)


@helper
def _lines_of(nodes, within):  # type: ignore[no-untyped-def]
    """Per node: the innermost table row, list item, code block, listing or definition that it stands in; else 0."""
    lines = np.zeros(nodes.shape[1], np.int32)
    for i in range(1, nodes.shape[1]):
        begins = i + 1 < nodes.shape[1] and within[i + 1] & LISTING and not within[i] & LISTING
        lines[i] = i if begins or _LINES[nodes[KIND, i]] else lines[nodes[PARENT, i]]
    return lines


@helper
def _separator(nodes, lines, rows, before, after):  # type: ignore[no-untyped-def]
    """Between a block in element `before` and the next kept one in `after`: 0 empty line, 1 new line, 2 next cell."""
    a = lines[before]
    b = lines[after]
    if a == 0 or b == 0:
        return 0
    kind = nodes[KIND, b]
    if nodes[KIND, a] == _TR and kind == _TR:
        if a == b:
            return 2 if rows[a] else 0
        return 1 if rows[a] and rows[b] and nodes[PARENT, a] == nodes[PARENT, b] else 0
    if kind == _PRE:
        return 1 if a == b else 0
    if kind == _LI:
        if a == b:
            return 0
        return 1 if nodes[KIND, a] == _LI and (b < nodes[LAST, a] or _near(nodes, a, b)) else 0
    if kind == _DD:
        return 1 if a != b and nodes[PARENT, a] == nodes[PARENT, b] else 0
    return 0


@helper
def _near(nodes, a, b):  # type: ignore[no-untyped-def]
    """Whether list item b follows item a in the same list or in one a few levels further out."""
    for _ in range(8):
        if nodes[PARENT, a] == nodes[PARENT, b]:
            return True
        a = nodes[PARENT, a]
        if a <= 0:
            return False
    return False


@helper
def _put(out, size, byte):  # type: ignore[no-untyped-def]
    out[size] = byte
    return size + 1


@helper
def _write(data, nodes, within, first, final, out, size):  # type: ignore[no-untyped-def]
    """Write the text nodes from `first` to `final`, with white space as a browser shows it."""
    begin = size
    space = False
    i = first
    while i <= final:
        kind = nodes[KIND, i]
        if within[i] & LINE:
            if size > begin:
                size = _put(out, size, 10)
            space = False
        elif kind == _BR:
            while size > begin and out[size - 1] == 32:
                size -= 1
            if size > begin:
                size = _put(out, size, 10)
            space = False
        elif kind == _A and i > first and nodes[KIND, i - 1] == TEXT and nodes[KIND, nodes[PARENT, i - 1]] == _A:
            space = size > begin  # links side by side
        if kind != TEXT and not within[i] & FORMULA:
            i += 1
            continue
        if within[i] & _MATH:
            formula = i
            while within[nodes[PARENT, formula]] & _MATH:
                formula = nodes[PARENT, formula]
            if space and size > begin:
                size = _put(out, size, 32)
            space = False
            size = _put(out, size, 0)
            digit = 10**9
            while digit:
                if formula >= digit:
                    size = _put(out, size, 48 + formula // digit % 10)
                digit //= 10
            size = _put(out, size, 0)
            i = nodes[LAST, formula]
            continue
        if within[i] & _UNSEEN:
            i += 1
            continue
        verbatim = within[i] & _PREFORMATTED
        # Where lines are elements, white space from an end of line on is none of the code.
        listing = within[i] & LISTING
        outside = listing and _AROUND_CELLS[nodes[KIND, nodes[PARENT, i]]]
        for at in range(nodes[START, i], nodes[END, i]):
            byte = data[at]
            if byte > 32:
                outside = False
                if space and size > begin and out[size - 1] != 10:
                    size = _put(out, size, 32)
                space = False
                if byte != 127:
                    size = _put(out, size, byte)
            elif outside or (listing and (byte == 10 or byte == 13)):
                outside = True
            elif verbatim and (byte == 32 or byte == 9 or (byte == 10 and size > begin)):
                size = _put(out, size, byte)
            elif byte == 32 or 9 <= byte <= 13:
                space = True
        i += 1
    while size > begin and out[size - 1] <= 32 and out[size - 1] > 0:
        size -= 1
    return size


@helper
def _is_blank(out, begin, end):  # type: ignore[no-untyped-def]
    """Whether there is nothing but white space and no-break spaces, which pages put into empty cells."""
    i = begin
    while i < end:
        if out[i] == 38 and end - i >= 6 and out[i + 5] == 59:  # &nbsp; or &#160;
            named = out[i + 1] == 110 and out[i + 2] == 98 and out[i + 3] == 115 and out[i + 4] == 112
            numbered = out[i + 1] == 35 and out[i + 2] == 49 and out[i + 3] == 54 and out[i + 4] == 48
            if not (named or numbered):
                return False
            i += 6
        elif out[i] == 0xC2 and end - i >= 2 and out[i + 1] == 0xA0:
            i += 2
        elif out[i] == 32 or out[i] == 9 or out[i] == 10:
            i += 1
        else:
            return False
    return True


@kernel(
    BYTES,
    types.Array(types.int32, 2, "C"),
    types.Array(types.uint64, 1, "C"),
    types.Array(types.int64, 2, "C"),
    types.Array(types.boolean, 1, "C"),
)
def write_blocks(data, nodes, within, blocks, kept):  # type: ignore[no-untyped-def]
    """Bytes of the kept blocks with what separates them, and where each block ends in them (int64 [blocks])."""
    lines = _lines_of(nodes, within)
    # Rows of data: each cell is one block and stands in the row itself.
    rows = np.ones(nodes.shape[1], np.bool_)
    cell = -1
    for b in range(blocks.shape[1]):
        line = lines[blocks[CONTAINER, b]]
        if nodes[KIND, line] == _TR:
            owner = blocks[CONTAINER, b]
            while owner > line and nodes[PARENT, owner] != line:
                owner = nodes[PARENT, owner]
            if owner == cell:
                rows[line] = False
            cell = owner
    room = 64
    for b in range(blocks.shape[1]):
        if kept[b]:
            room += (
                nodes[END, blocks[FINAL, b]]
                - nodes[START, blocks[FIRST, b]]
                + 32
                + 12 * (blocks[FINAL, b] - blocks[FIRST, b])
            )
    out = np.empty(room, np.uint8)
    ends = np.zeros(blocks.shape[1], np.int64)
    size = 0
    before = -1
    item = -1
    for b in range(blocks.shape[1]):
        if kept[b]:
            container = blocks[CONTAINER, b]
            begin, item_before = size, item
            if before >= 0:
                kind = _separator(nodes, lines, rows, before, container)
                if kind == 2:
                    size = _put(out, size, 32)
                    size = _put(out, size, 124)
                    size = _put(out, size, 32)
                else:
                    size = _put(out, size, 10)
                    if kind == 0:
                        size = _put(out, size, 10)
            line = lines[container]
            if nodes[KIND, line] == _LI and line != item:
                item = line
                size = _put(out, size, 45)
                size = _put(out, size, 32)
            start = size
            size = _write(data, nodes, within, blocks[FIRST, b], blocks[FINAL, b], out, size)
            if _is_blank(out, start, size):
                size, item = begin, item_before  # an empty cell needs no bar before it
            else:
                before = container
        ends[b] = size
    return out[:size].copy(), ends
