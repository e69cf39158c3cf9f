"""Kernels of the family `source_files`: what is measured by a file's language (see `signals` for every definition)."""

from __future__ import annotations

import re

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.characters import INNER
from firn.data.code.languages import SLASHES
from firn.data.compiled import CLASSES, TEXT, helper, kernel
from firn.data.kernels import View

_QUOTE, _DOUBLE, _BACKTICK, _BACKSLASH, _NEWLINE = 0x27, 0x22, 0x60, 0x5C, 0x0A
_SLASH, _STAR, _HASH = 0x2F, 0x2A, 0x23


# What of an HTML file nobody sees. Each part ends at the file's end at the latest, so that all of it is read once.
_UNSEEN = re.compile(
    rb"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1[^>]*>?|\Z)"
    rb"|<[a-z/!?](?:[^>\"']|\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z))*+(?:>|\Z)",
    re.IGNORECASE | re.DOTALL,
)


@helper
def _triple(text: NDArray[np.uint8], at: int) -> bool:
    return bool(at + 2 < text.size and text[at + 1] == text[at] and text[at + 2] == text[at])


@helper
def _string_end(text: NDArray[np.uint8], at: int, lines: bool) -> int:
    """The byte behind the string that byte `at` opens; without `lines` it ends with its line at the latest."""
    quote = text[at]
    size = 3 if lines and quote != _BACKTICK else 1
    at += size
    while at < text.size:
        if text[at] == _BACKSLASH:
            at += 2
        elif text[at] == quote and (size == 1 or _triple(text, at)):
            return at + size
        elif text[at] == _NEWLINE and not lines:
            return at
        else:
            at += 1
    return int(text.size)


@kernel(TEXT, CLASSES, types.boolean)
def _comments(text: NDArray[np.uint8], classes: NDArray[np.uint16], python: bool) -> int:
    """Characters of comments: from # or // to the line's end, between /* and */; in Python, of docstrings too."""
    count, at, blank = 0, 0, True  # blank: nothing but white space stands before in the line
    while at < text.size:
        byte, start, end = text[at], at, at
        following = text[at + 1] if at + 1 < text.size else 0
        if byte == _HASH if python else byte == _SLASH and following == _SLASH:
            while end < text.size and text[end] != _NEWLINE:
                end += 1
        elif not python and byte == _SLASH and following == _STAR:
            end = at + 2
            while end + 1 < text.size and not (text[end] == _STAR and text[end + 1] == _SLASH):
                end += 1
            end = min(end + 2, text.size)
        elif byte in (_QUOTE, _DOUBLE) or (byte == _BACKTICK and not python):
            triple = python and _triple(text, at)
            at = min(_string_end(text, at, triple or byte == _BACKTICK), text.size)
            if triple and blank:
                end = at
            blank = False
        if end > start:
            for inside in range(start, end):
                count += classes[inside] & INNER == 0
            at, blank = end, False
        elif at == start:
            prefix = byte | 0x20 in (0x72, 0x75)  # r and u, which may stand before a docstring
            blank = byte == _NEWLINE or (blank and (byte == 0x20 or byte == 0x09 or (python and prefix)))
            at += 1
    return count


def measure(view: View, out: NDArray[np.float64]) -> None:
    """Family `source_files`."""
    language, characters = view.context.language, max(view.characters, 1)
    if language == "HTML":
        out[1] = len(_UNSEEN.sub(b"", view.text.tobytes()).decode("utf-8", "replace"))
        out[0] = out[1] / characters
    elif language == "Python" or language in SLASHES:
        out[2] = _comments(view.text, view.classes, language == "Python") / characters
