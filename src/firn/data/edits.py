"""Edits: cuts made in a text between measurements. Nothing is added, so that a list of spans says it all.

`strip_lines`                        white space at both ends of every line
`strip_text`                         white space at both ends of the text
`cut.newlines`                       newlines beyond `limit` in a row
`cut.citations`                      [12], [], [edit], [citation needed]
`cut.phrase`, `cut.phrase_at_start`, `cut.phrase_at_end`
                                     `phrases` in lines of at most `limit` words, anywhere or at that end, with one
                                     white space before; a line of which nothing is left is dropped
`drop_lines.long_word`               lines with a word of more than `limit` characters
`drop_lines.few_words`               lines of fewer than `limit` words
`drop_lines.few_words_not_blank`     the same, but blank lines stay
`drop_lines.no_terminal_punctuation` lines that do not end with . ? ! " or ', and those that end with ...
`drop_lines.phrase`                  lines that hold one of `phrases`
`drop_lines.short_with_phrase`       lines of at most `limit` words that hold one of `phrases`
`drop_lines.uppercase`               lines of which more than `limit` percent of the characters are upper-case letters
`drop_lines.numeric`                 lines of nothing but numbers and white space
`drop_lines.counter`                 lines that are a number, with or without k, m or b, and one of `phrases` (3 likes),
                                     apart from symbols around
`drop_lines.repeated`                lines of at least `limit` characters that occurred before
`drop_paragraphs.few_words`          paragraphs of fewer than `limit` words
`drop_paragraphs.phrase`             paragraphs that hold one of `phrases`
`drop_lines.language`                lines told, with a score of at least `limit` percent, to be in another language
                                     than the document (`paragraphs` says which lines can be told)
`repair.encoding`                    lines that read like UTF-8 taken for Windows-1252, decoded anew (`repair`). The one
                                     edit that writes: its spans are the lines that it wrote anew. A line
                                     of which later edits leave nothing is a span of the last of them

Phrases are in lower case and are found in any ASCII case. Words are divided by white space here, as C4 has it (Raffel
et al. 2020, section 2.2). A line is dropped with the newline that ends it, a paragraph with all that follow it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from firn.data import characters
from firn.data.edit_kernels import CODES, cut, mark
from firn.data.kernels import Context, View
from firn.data.words import classify

_WITH_PHRASES = frozenset(name for name in CODES if "phrase" in name or name == "drop_lines.counter")

_PLACES = np.arange(1 << 16, dtype=np.int32)
_CITATION_WORDS = (b"edit]", b"citation needed]")


class Draft:
    """A text on its way through edits.

    text: what is left of it, UTF-8, uint8 [n]. classes: of its bytes, uint16 [n] (words.classify). context: what is
    known of the document.
    """

    def __init__(self, text: NDArray[np.uint8], context: Context | None = None):
        self.text, self.classes = text, classify(text, characters.classes())
        self.context = context or Context()
        self._size = text.size
        self._view: View | None = None  # of the text as it stands, once asked for
        self._lower: bytes | None = None  # likewise, in lower case
        # Of each byte left: its place in the original text, below 0 where an edit wrote it; None while nothing is cut.
        self._origin: NDArray[np.int32] | None = None
        # Of lines that were written anew and are left: what stands for their bytes in `_origin`, and their old places.
        self._written: dict[int, NDArray[np.int32]] = {}
        # Of each original byte: 0, or 1 + the number of the edit that cut it; between two bytes 0.
        self._labels = np.empty(0, np.int8)

    @property
    def changed(self) -> bool:
        """Whether an edit has cut anything."""
        return self._origin is not None

    def view(self) -> View:
        """The text as it stands, to be measured."""
        if self._view is None:
            self._view = View(self.text, self.classes, self.context)
        return self._view

    def edit(self, number: int, name: str, limit: int = 0, phrases: tuple[bytes, ...] = ()) -> None:
        """Make one edit. number: what its spans are labelled with, 0 to 126. phrases: lower-case UTF-8."""
        if name == "repair.encoding":
            self._repair(number)
            return
        if name == "cut.citations":
            phrases = _CITATION_WORDS
            if b"[" not in self.text.tobytes():
                return
        elif name in _WITH_PHRASES:  # mostly there is none in all the text, which C's search finds out sooner
            lower = self._lower = self._lower or self.text.tobytes().lower()
            phrases = tuple(phrase for phrase in phrases if phrase in lower)
            if not phrases:
                return
        marks = np.zeros(self.text.size, np.uint8)
        if name == "drop_lines.language":
            from firn.data.paragraphs import mark_foreign

            count = mark_foreign(self.view(), limit / 100, marks)
        else:
            count = mark(self.text, self.classes, CODES[name], limit, *_joined(phrases), marks)
        if count:
            origin = self._begin()
            left = cut(self.text, self.classes, origin, self._labels[1:-1], marks, number + 1)
            self.text, self.classes, self._origin = self.text[:left], self.classes[:left], origin[:left]
            if self._written:
                for line in self._written.keys() - set(self._origin[self._origin < 0].tolist()):
                    self._labels[1 + self._written.pop(line)] = number + 1

    def _begin(self) -> NDArray[np.int32]:
        """The origin of each byte, made where there is none yet; the text may be written to from here on."""
        self._view = self._lower = None
        if self._origin is None:
            self.text, self._labels = self.text.copy(), np.zeros(self._size + 2, np.int8)
            few = self._size <= _PLACES.size  # and quicker copied than counted
            self._origin = _PLACES[: self._size].copy() if few else np.arange(self._size, dtype=np.int32)
        return self._origin

    def _repair(self, number: int) -> None:
        """Decode lines anew."""
        from firn.data.repair import lines

        found = lines(self.text)
        if not found:
            return
        origin, texts, origins, done = self._begin(), [], [], 0
        for start, end, right in found:
            of = origin[start:end]
            again = [self._written.pop(line) for line in set(of[of < 0].tolist())]
            places = np.concatenate([of[of >= 0], *again])
            line = -1 - int(places.min())
            self._labels[1 + places] = number + 1
            self._written[line] = places
            texts += [self.text[done:start], np.frombuffer(right, np.uint8)]
            origins += [origin[done:start], np.full(len(right), line, np.int32)]
            done = end
        self.text = np.concatenate([*texts, self.text[done:]])
        self._origin = np.concatenate([*origins, origin[done:]])
        self.classes = classify(self.text, characters.classes())

    def cuts(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Starts and ends (bytes of the original text) and edit numbers of the spans that were cut, in order."""
        labels = self._labels
        borders = np.flatnonzero(labels[1:] != labels[:-1])  # where a span begins or ends, or one follows on another
        label = labels[borders + 1]
        inside = np.flatnonzero(label)  # the last border leads out of a span
        starts, ends = borders[inside], borders[inside + 1]
        return starts.astype(np.int32), ends.astype(np.int32), label[inside] - np.int8(1)


@cache
def _joined(phrases: tuple[bytes, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Phrases after one another, and where each begins and ends."""
    ends = np.cumsum([0, *map(len, phrases)], dtype=np.int64)
    return np.frombuffer(b"".join(phrases), np.uint8), ends
