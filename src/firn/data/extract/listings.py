"""Code listings with line numbers: the numbers are no text, and lines that are elements are lines of one block.

Known by the class names of Pygments, Rouge, Chroma, highlight.js, Prism, SyntaxHighlighter, Crayon, CodeRay, Hexo,
Octopress, Doxygen, GitHub and cgit. A name alone decides nothing: what holds anything else than successive numbers is
text.
"""

from __future__ import annotations

import numpy as np
from numba import types

from firn.data.compiled import TEXT as BYTES
from firn.data.compiled import helper, kernel
from firn.data.extract.blocks import LINE, LISTING, WITHIN, lookup, next_attribute
from firn.data.extract.hints import LOOK_CLOSER
from firn.data.extract.scan import END, KIND, LAST, PARENT, START
from firn.data.extract.tags import TAGS, TEXT, hash_bytes, hash_table, table_of

# What an element of a class is. _NUMBERS: line numbers. _PERHAPS: these too, but only within or beside code. _CODE: the
# cell beside them. _LISTING: holds one element for each line. _LINE: such an element.
_NUMBERS, _PERHAPS, _CODE, _LISTING, _LINE = (1 << bit for bit in range(5))
_ROLES = {
    _NUMBERS: """blob-num linenodiv rouge-gutter hljs-ln-numbers line-numbers-rows crayon-nums react-line-number
        react-line-numbers""",
    _PERHAPS: """gutter lineno linenos linenumber linenumbers linenr line-number line-numbers line-num line_numbers
        lines-num ln lnt""",
    _CODE: "code blob-code rouge-code hljs-ln-code crayon-code line-code lines-code lines",
    _LISTING: "fragment crayon-pre react-code-lines",
    _LINE: "line crayon-line react-file-line",
}
_ROLE_HASHES, _ROLES_OF = hash_table(
    {name: role for role, names in _ROLES.items() for name in names.split()} | {"lntd": _PERHAPS | _CODE}
)
_CLASS = np.uint32(hash_bytes(b"class"))

_HAS_ROLE = table_of("td th div span a pre")
_CELL, _ROW, _ROWS = table_of("td th"), table_of("tr li"), table_of("table ol ul")
_ROW_GROUP = table_of("tbody thead tfoot")
_DIV, _PRE, _CODE_TAG = TAGS["div"], TAGS["pre"], TAGS["code"]
_UNSEEN, _VERBATIM = (np.uint64(1 << WITHIN[name]) for name in ("unseen", "preformatted"))
_IN_CODE = np.uint64(1 << WITHIN["preformatted"] | 1 << WITHIN["code"])
_IN_CELLS = np.uint64(sum(1 << WITHIN[name] for name in ("table", "cell", "list", "item")))

# So many nodes from an element its cell, its first line or the text after it are looked for.
_NEAR = 8
_MOST_LINES = 10**9


@helper
def _roles(data, nodes, i):  # type: ignore[no-untyped-def]
    """What the class of an element says it is."""
    at = np.int64(nodes[START, i])
    end = np.int64(nodes[END, i])
    while at >= 0:
        name, start, stop, at = next_attribute(data, at, end)
        if at >= 0 and name == _CLASS:
            roles = np.int64(0)
            word = np.uint32(2166136261)
            for place in range(start, stop + 1):
                byte = data[place] if place < stop else np.uint8(32)
                if byte <= 32:
                    roles |= lookup(_ROLE_HASHES, _ROLES_OF, word)
                    word = np.uint32(2166136261)
                else:
                    if 65 <= byte <= 90:
                        byte |= 32
                    word = np.uint32((word ^ np.uint32(byte)) * np.uint32(16777619))
            return roles
    return np.int64(0)


@helper
def _space_at(data, at, end):  # type: ignore[no-untyped-def]
    """How many bytes the white space or no-break space at `at` has; 0 where there is none."""
    byte = data[at]
    if byte <= 32:
        return 1
    if byte == 38 and at + 5 < end and data[at + 5] == 59:  # &#160; or &nbsp;
        if data[at + 1] == 35 and data[at + 2] == 49 and data[at + 3] == 54 and data[at + 4] == 48:
            return 6
        if data[at + 1] == 110 and data[at + 2] == 98 and data[at + 3] == 115 and data[at + 4] == 112:
            return 6
    return 2 if byte == 0xC2 and at + 1 < end and data[at + 1] == 0xA0 else 0


@helper
def _numbers_in(data, nodes, element):  # type: ignore[no-untyped-def]
    """How many numbers an element holds, each one more than the one before; -1 where it holds anything else. And how
    many bytes were looked at."""
    count = 0
    before = np.int64(-1)
    value = np.int64(-1)
    looked = np.int64(0)
    for i in range(element + 1, nodes[LAST, element]):
        if nodes[KIND, i] != TEXT:
            continue
        at = np.int64(nodes[START, i])
        end = np.int64(nodes[END, i])
        looked += end - at
        while at <= end:
            byte = data[at] if at < end else np.uint8(32)
            if 48 <= byte <= 57:
                value = max(value, np.int64(0)) * 10 + byte - 48
                if value > _MOST_LINES:
                    return -1, looked
                at += 1
                continue
            if value >= 0:
                if count and value != before + 1:
                    return -1, looked
                count += 1
                before = value
                value = np.int64(-1)
            space = 1 if at == end or byte == 46 or byte == 58 else _space_at(data, at, end)
            if not space:
                return -1, looked
            at += space
    return count, looked


@helper
def _next_cell(nodes, element):  # type: ignore[no-untyped-def]
    """The cell that follows the one that the element is or is in; 0 if there is none."""
    cell = element
    for _ in range(_NEAR):
        if cell <= 0 or _CELL[nodes[KIND, cell]]:
            break
        cell = nodes[PARENT, cell]
    if cell <= 0 or not _CELL[nodes[KIND, cell]]:
        return 0
    after = nodes[LAST, cell]
    if after < nodes.shape[1] and nodes[KIND, after] == TEXT:
        after += 1
    if after >= nodes.shape[1] or nodes[PARENT, after] != nodes[PARENT, cell] or not _CELL[nodes[KIND, after]]:
        return 0
    return after


@helper
def _holds_code(nodes, cell):  # type: ignore[no-untyped-def]
    """Whether what a cell begins with is code."""
    for i in range(cell + 1, min(cell + _NEAR, nodes[LAST, cell])):
        if nodes[KIND, i] == _PRE or nodes[KIND, i] == _CODE_TAG:
            return True
        if nodes[KIND, i] == TEXT and nodes[END, i] - nodes[START, i] > _NEAR:
            return False
    return False


@helper
def _holds_lines(nodes, roles, element):  # type: ignore[no-untyped-def]
    for i in range(element + 1, min(element + _NEAR, nodes[LAST, element])):
        if nodes[KIND, i] == _DIV and roles[i] & _LINE:
            return True
    return False


@helper
def _join(nodes, roles, container, within, listing):  # type: ignore[no-untyped-def]
    """Make one block of the listing: its own element holds all of its text, line by line. The bytes it has."""
    if within[listing] & LISTING:
        return 0
    outside = within[nodes[PARENT, listing]] & _IN_CELLS
    for i in range(listing + 1, nodes[LAST, listing]):
        container[i] = listing
        within[i] = within[i] & ~_IN_CELLS | outside | _IN_CODE | LISTING
        kind = nodes[KIND, i]
        if _ROW[kind] or (kind == _DIV and roles[i] & _LINE):
            within[i] |= LINE
    return nodes[END, nodes[LAST, listing] - 1] - nodes[START, listing]


@helper
def _take_spaces(data, nodes, texts, number):  # type: ignore[no-untyped-def]
    """Older Pygments and Doxygen write a space between each number and its line: it goes where all lines have it."""
    least = False
    for line in range(number):
        at, end = np.int64(nodes[START, texts[line]]), np.int64(nodes[END, texts[line]])
        if at < end and data[at] != 10:
            space = _space_at(data, at, end)
            if not space:
                return
            least |= at + space >= end or not _space_at(data, at + space, end)
    for line in range(number):
        at, end = np.int64(nodes[START, texts[line]]), np.int64(nodes[END, texts[line]])
        if least and at < end and data[at] != 10:
            nodes[START, texts[line]] = at + _space_at(data, at, end)


@kernel(
    BYTES,
    types.Array(types.int32, 2, "C"),
    types.Array(types.int32, 1, "C"),
    types.Array(types.uint64, 1, "C"),
    types.Array(types.int64, 1, "C"),
)
def mark_listings(data, nodes, container, within, hints):  # type: ignore[no-untyped-def]
    """Make line numbers unseen and each listing whose lines are elements one block, in the tree and what
    `read_elements` says of it. Linear in the bytes: numbers are looked for in at most four times as many."""
    texts = np.empty(nodes.shape[1], np.int32)  # those after numbers within the lines of one listing
    number = 0
    roles = np.zeros(nodes.shape[1], np.int64)
    for i in range(nodes.shape[1]):
        if hints[i] & LOOK_CLOSER and _HAS_ROLE[nodes[KIND, i]]:
            roles[i] = _roles(data, nodes, i)
    owner = row = 0
    left = 4 * data.size
    i = 0
    while i + 1 < nodes.shape[1] and left > 0:
        i += 1
        role = roles[i]
        if not role & (_LISTING | _NUMBERS | _PERHAPS) or within[i] & _UNSEEN:
            continue
        kind = nodes[KIND, i]
        if not role & (_NUMBERS | _PERHAPS):
            if kind == _DIV and _holds_lines(nodes, roles, i):
                left -= _join(nodes, roles, container, within, i)
            continue
        beside = _next_cell(nodes, i)
        code = within[nodes[PARENT, i] if kind == _PRE else i] & _IN_CODE or (
            beside > 0 and (roles[beside] & _CODE or _holds_code(nodes, beside))
        )
        if not (role & _NUMBERS or code):
            continue
        count, looked = _numbers_in(data, nodes, i)
        left -= looked
        if count < 0:
            continue
        last = nodes[LAST, i]
        for inside in range(i, last):
            within[inside] |= _UNSEEN
        if beside > 0 and _holds_lines(nodes, roles, beside):
            left -= _join(nodes, roles, container, within, beside)
        line = nodes[PARENT, i]
        if count <= 1 and _ROW[nodes[KIND, line]]:  # a number in each row: two of them make a listing
            above = nodes[PARENT, line]
            if _ROW_GROUP[nodes[KIND, above]]:
                above = nodes[PARENT, above]
            if above == owner and line != row and _ROWS[nodes[KIND, above]]:
                left -= _join(nodes, roles, container, within, above)
            owner, row = above, line
        elif count == 1 and not _CELL[kind]:
            after = last
            while after < min(last + _NEAR, nodes.shape[1] - 1) and nodes[KIND, after] != TEXT:
                after += 1
            if after < nodes.shape[1] and nodes[KIND, after] == TEXT and within[after] & _VERBATIM:
                if number and container[after] != container[texts[0]]:
                    _take_spaces(data, nodes, texts, number)
                    number = 0
                texts[number] = after
                number += 1
        i = last - 1
    _take_spaces(data, nodes, texts, number)
