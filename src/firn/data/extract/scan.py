"""UTF-8 bytes of an HTML page -> its tree, as flat arrays in document order. One pass, linear in the bytes.

A tolerant parser: every byte sequence has a tree. It follows the HTML Standard (sections 13.2.5 and 13.2.6) in what
decides where text belongs: raw text, comments, implied end tags, scopes; not in what moves text around (content that
browsers move out of tables stays where it was written).
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import TEXT as BYTES
from firn.data.compiled import helper, kernel
from firn.data.extract.tags import (
    BARRIER,
    COUNT,
    ENDS_FOREIGN,
    ENDS_P,
    FOREIGN,
    FORMATTING,
    HEADING,
    OTHER,
    RAW,
    TAGS,
    TEXT,
    VOID,
    table_of,
)
from firn.data.extract.tags import TAG_HASHES as _HASHES
from firn.data.extract.tags import TAG_NUMBERS as _NUMBERS

Array = NDArray[np.int32]

#: Columns of the tree: what it is (TEXT, OTHER or a tag's number), the node it is in, one past its last descendant,
#: and a span of bytes: the text itself, or the attributes of a start tag.
KIND, PARENT, LAST, START, END = range(5)

_NAMES_OF_OTHERS = 8  # end tags of unknown elements look at so many open ones
_P, _LI, _DD, _DT = TAGS["p"], TAGS["li"], TAGS["dd"], TAGS["dt"]
_TR, _TD, _TH, _TABLE, _CAPTION = TAGS["tr"], TAGS["td"], TAGS["th"], TAGS["table"], TAGS["caption"]
_TBODY, _THEAD, _TFOOT, _COLGROUP = TAGS["tbody"], TAGS["thead"], TAGS["tfoot"], TAGS["colgroup"]
_OPTION, _OPTGROUP, _SELECT, _BUTTON, _A = (
    TAGS["option"],
    TAGS["optgroup"],
    TAGS["select"],
    TAGS["button"],
    TAGS["a"],
)
_UL, _OL, _MENU, _DL, _DIR = TAGS["ul"], TAGS["ol"], TAGS["menu"], TAGS["dl"], TAGS["dir"]
_HEAD, _BODY, _HTML, _BR, _SVG, _MATH, _TEMPLATE = (
    TAGS["head"],
    TAGS["body"],
    TAGS["html"],
    TAGS["br"],
    TAGS["svg"],
    TAGS["math"],
    TAGS["template"],
)
_FOREIGN_OBJECT, _DESC, _MTEXT, _ANNOTATION = (TAGS[n] for n in "foreignobject desc mtext annotation-xml".split())
_PLAINTEXT, _NOSCRIPT, _H1 = TAGS["plaintext"], TAGS["noscript"], TAGS["h1"]
# Parts of tables, whose end tags reach beyond cells.
_IN_TABLE = table_of("caption colgroup thead tbody tfoot tr td th")
# What may stand in a head: anything else begins the body.
_IN_HEAD = table_of("html head title meta link base script style noscript template")
_TERMS, _CELLS = table_of("dd dt"), table_of("td th")
_ROW_GROUPS, _OPTIONS = table_of("tbody thead tfoot"), table_of("option optgroup")
_ROOTS = table_of("html body")
# Elements that do not stand within another of their kind.
_ALONE = table_of("a button select")


@helper
def is_letter(byte):  # type: ignore[no-untyped-def]
    return 97 <= (byte | 32) <= 122


@helper
def _find(data, at, byte):  # type: ignore[no-untyped-def]
    while at < data.size and data[at] != byte:
        at += 1
    return at


@helper
def number_of(data, start, end):  # type: ignore[no-untyped-def]
    """The number of the tag whose name is data[start:end], and the hash of the name."""
    value = np.uint32(2166136261)
    for at in range(start, end):
        byte = data[at]
        if 65 <= byte <= 90:
            byte |= 32
        value = np.uint32((value ^ np.uint32(byte)) * np.uint32(16777619))
    mask = np.uint32(_HASHES.size - 1)
    place = value & mask
    while _HASHES[place]:
        if _HASHES[place] == value:
            return np.int32(_NUMBERS[place]), value
        place = (place + np.uint32(1)) & mask
    return np.int32(OTHER), value


@helper
def _end_of_tag(data, at):  # type: ignore[no-untyped-def]
    """Where the `>` of the tag is whose attributes begin at `at`: not within a quoted value."""
    after_equals = False
    while at < data.size:
        byte = data[at]
        if byte == 62:
            return at
        if byte == 61:
            after_equals = True
        elif after_equals and (byte == 34 or byte == 39):
            at = _find(data, at + 1, byte)
            after_equals = False
        elif byte > 32:
            after_equals = False
        at += 1
    return data.size


@helper
def _end_of_comment(data, at):  # type: ignore[no-untyped-def]
    """One past the comment whose `<!--` ends at `at`."""
    if at < data.size and data[at] == 62:
        return at + 1
    if at + 1 < data.size and data[at] == 45 and data[at + 1] == 62:
        return at + 2
    while at < data.size:
        at = _find(data, at, 45)
        if at + 2 < data.size and data[at + 1] == 45:
            if data[at + 2] == 62:
                return at + 3
            if data[at + 2] == 33 and at + 3 < data.size and data[at + 3] == 62:
                return at + 4
        at += 1
    return data.size


@helper
def _end_of_raw(data, at, name):  # type: ignore[no-untyped-def]
    """Where the end tag `</name` begins that ends raw text, or the end of the data."""
    length = name.size
    while True:
        at = _find(data, at, 60)
        if at + 2 + length > data.size:
            return data.size
        if data[at + 1] == 47:
            same = True
            for i in range(length):
                if data[at + 2 + i] | 32 != name[i] | 32:
                    same = False
                    break
            after = at + 2 + length
            if same and (after >= data.size or data[after] <= 32 or data[after] == 47 or data[after] == 62):
                return at
        at += 1


@helper
def _put(nodes, at, kind, parent, start, end):  # type: ignore[no-untyped-def]
    nodes[KIND, at] = kind
    nodes[PARENT, at] = parent
    nodes[LAST, at] = at + 1
    nodes[START, at] = start
    nodes[END, at] = end


@helper
def _resized(table, used, room):  # type: ignore[no-untyped-def]
    """A table with room for so many columns, the used ones copied; by loops, which compile faster than slices."""
    found = np.empty((table.shape[0], room), np.int32)
    for row in range(table.shape[0]):
        for at in range(used):
            found[row, at] = table[row, at]
    return found


@helper
def _holds_block(stack, place, depth):  # type: ignore[no-untyped-def]
    """Whether an element that is no formatting began within the open element at `place`. Looks at the innermost."""
    return depth - 1 > place and not FORMATTING[stack[1, depth - 1]] and stack[1, depth - 1] != OTHER


@helper
def _ended(stack, last, tag, hashed, barrier):  # type: ignore[no-untyped-def]
    """Where on the stack the element is that the end tag `tag` ends; below 1 if there is none."""
    if tag == OTHER:
        place = last[OTHER]
        tries = 0
        while place > barrier and stack[4, place] != hashed and tries < _NAMES_OF_OTHERS:
            place = stack[2, place]
            tries += 1
        return place if place >= barrier and stack[4, place] == hashed else np.int32(-1)
    if HEADING[tag]:  # any heading's end tag ends any heading
        place = last[_H1]
        for heading in range(_H1 + 1, _H1 + 6):
            place = max(place, last[heading])
        return place if place >= barrier else np.int32(-1)
    if _IN_TABLE[tag]:  # looks beyond cells, but not beyond its table
        return last[tag] if last[tag] > last[_TABLE] else np.int32(-1)
    if BARRIER[tag] or FOREIGN[tag]:
        return last[tag]
    return last[tag] if last[tag] >= barrier else np.int32(-1)


@helper
def _above(place, floor):  # type: ignore[no-untyped-def]
    return place if place > floor else np.int32(-1)


@helper
def _implied(stack, last, tag, barrier, depth):  # type: ignore[no-untyped-def]
    """Where on the stack the outermost element is that the start tag `tag` ends by implication; below 1 if none."""
    place = np.int32(-1)
    outer = max(last[_SVG], last[_MATH])
    if outer > 0:
        html = max(last[_FOREIGN_OBJECT], last[_DESC], last[_MTEXT], last[_ANNOTATION])
        if outer > html:  # within it and not in an island of HTML
            return outer if ENDS_FOREIGN[tag] else place
    if tag == _LI:
        place = _above(last[_LI], max(barrier, last[_UL], last[_OL], last[_MENU], last[_DIR]))
    elif _TERMS[tag]:
        place = _above(max(last[_DD], last[_DT]), max(barrier, last[_DL]))
    elif HEADING[tag]:
        if HEADING[stack[1, depth - 1]]:
            place = np.int32(depth - 1)
    elif _CELLS[tag]:
        place = _above(max(last[_TD], last[_TH], last[_CAPTION]), max(last[_TABLE], last[_TR]))
    elif tag == _TR:
        floor = max(last[_TABLE], last[_TBODY], last[_THEAD], last[_TFOOT])
        place = _above(last[_TR] if last[_TR] > floor else max(last[_TD], last[_TH], last[_CAPTION]), floor)
    elif _ROW_GROUPS[tag]:
        place = max(last[_TBODY], last[_THEAD], last[_TFOOT])
        if place <= last[_TABLE]:
            place = _above(max(last[_TR], last[_CAPTION], last[_COLGROUP]), last[_TABLE])
    elif _OPTIONS[tag]:
        place = _above(last[_OPTION], last[_SELECT])
    elif _ALONE[tag]:
        place = _above(last[tag], barrier)
        if tag == _A and place > 0 and _holds_block(stack, place, depth):
            place = np.int32(-1)
    if ENDS_P[tag] and last[_P] > barrier and (place < 0 or last[_P] < place):
        place = last[_P]
    return place


@kernel(BYTES, types.int64, types.int64)
def scan(data, max_nodes, max_depth):  # type: ignore[no-untyped-def]
    """The tree of `data`: int32 [5, 1 + nodes] (rows KIND to END), the number of nodes and the greatest depth.

    Node 0 is the document, which is not counted. Where more than max_nodes nodes or a depth over max_depth are met,
    reading stops there and the number returned is over the limit. White space between tags is a text node too.
    """
    room = min(max_nodes + 2, 1024 + data.size // 16)
    nodes = np.empty((5, room), np.int32)
    nodes[0, 0] = OTHER
    nodes[1, 0] = -1
    nodes[2, 0] = nodes[3, 0] = nodes[4, 0] = 0
    count = 1
    depth_room = min(max_depth + 3, 256)
    # Node, tag, innermost below of the same tag, innermost barrier below, hash of the name.
    stack = np.empty((5, depth_room), np.int32)
    stack[0, 0] = stack[3, 0] = stack[4, 0] = 0
    stack[1, 0] = OTHER
    stack[2, 0] = -1
    last = np.full(COUNT, -1, np.int32)
    last[OTHER] = 0
    depth = 1  # entries of the stack
    deepest = 1
    barrier = 0
    foreign = 0  # open svg and math elements
    seen_body = False
    at = 0
    while at < data.size:
        if count - 1 > max_nodes or deepest - 1 > max_depth:
            break
        # -- text up to the next tag
        start = at
        while at < data.size:
            at = _find(data, at, 60)
            if at + 1 >= data.size:
                at = data.size
                break
            byte = data[at + 1]
            if byte == 33 or byte == 47 or byte == 63 or is_letter(byte):
                break
            at += 1
        if at > start:
            if count + 2 >= room:
                room *= 2
                nodes = _resized(nodes, count, room)
            _put(nodes, count, TEXT, stack[0, depth - 1], start, at)
            count += 1
        if at >= data.size:
            break
        byte = data[at + 1]
        # -- comments, declarations, CDATA
        if byte == 33 or byte == 63:
            if at + 3 < data.size and data[at + 2] == 45 and data[at + 3] == 45:
                at = _end_of_comment(data, at + 4)
            elif foreign and at + 8 < data.size and data[at + 2] == 91:
                stop = at + 9
                while stop < data.size and not (data[stop] == 62 and data[stop - 1] == 93 and data[stop - 2] == 93):
                    stop += 1
                at = stop + 1
            else:
                at = _find(data, at + 2, 62) + 1
            continue
        closing = byte == 47
        name = at + 2 if closing else at + 1
        if closing and not (name < data.size and is_letter(data[name])):
            at = _find(data, name, 62) + 1  # a bogus comment
            continue
        stop = name
        while stop < data.size and data[stop] > 32 and data[stop] != 47 and data[stop] != 62:
            stop += 1
        tag, hashed = number_of(data, name, stop)
        end = _end_of_tag(data, stop)
        if end >= data.size:  # a tag that never ends is no tag
            break
        at = end + 1
        # -- end tags
        if closing:
            if _ROOTS[tag]:
                continue
            if tag == _BR:
                closing = False
            else:
                place = _ended(stack, last, tag, np.int32(hashed), barrier)
                if place <= 0 or (FORMATTING[tag] and _holds_block(stack, place, depth)):
                    continue
        if not closing:
            place = _implied(stack, last, tag, barrier, depth)
            if not seen_body and foreign == 0 and not _IN_HEAD[tag]:
                if last[_HEAD] > 0 and last[_TEMPLATE] < 0 and last[_NOSCRIPT] < 0:
                    seen_body = True
                    place = last[_HEAD]
                elif tag == _BODY:
                    seen_body = True
        while place > 0 and depth > place:
            depth -= 1
            ended = stack[1, depth]
            nodes[LAST, stack[0, depth]] = count
            last[ended] = stack[2, depth]
            if barrier == depth:
                barrier = stack[3, depth]
            if FOREIGN[ended]:
                foreign -= 1
        if closing:
            continue
        if (tag == _HTML and last[_HTML] > 0) or (tag == _BODY and last[_BODY] > 0) or (tag == _HEAD and seen_body):
            continue
        if count + 2 >= room:
            room *= 2
            nodes = _resized(nodes, count, room)
        _put(nodes, count, tag, stack[0, depth - 1], stop, end)
        count += 1
        if (tag != OTHER and VOID[tag]) or (foreign and data[end - 1] == 47):
            continue
        if foreign == 0 and tag != OTHER and RAW[tag]:
            finish = data.size if tag == _PLAINTEXT else _end_of_raw(data, at, data[name:stop])
            if finish > at:
                _put(nodes, count, TEXT, count - 1, at, finish)
                count += 1
                nodes[LAST, count - 2] = count
            at = min(_find(data, finish, 62) + 1, data.size)
            continue
        if depth >= depth_room:
            stack = _resized(stack, depth_room, depth_room * 2)
            depth_room *= 2
        stack[0, depth] = count - 1
        stack[1, depth] = tag
        stack[2, depth] = last[tag]
        stack[3, depth] = barrier
        stack[4, depth] = np.int32(hashed)
        last[tag] = depth
        if tag != OTHER and BARRIER[tag]:
            barrier = depth
        if FOREIGN[tag]:
            foreign += 1
        depth += 1
        deepest = max(deepest, depth)
    while depth > 0:
        depth -= 1
        nodes[LAST, stack[0, depth]] = count
    return _resized(nodes, count, count), count - 1, deepest - 1
