"""Tokens of TeX read one after the other, arguments and environments taken out of them, and lines and blocks written.

What control sequences mean stands in firn.data.markup.latex.
"""

from __future__ import annotations

import re
import unicodedata

from firn.data.markup.render import BREAK
from firn.data.markup.tex_lexer import VERBATIM
from firn.data.markup.work import Block, MarkupError, one_line

MAX_DEPTH = 40  # environments and arguments within one another
MAX_OPTION = 300  # tokens between square brackets

_QUOTES = (("---", "—"), ("--", "–"), ("``", "“"), ("''", "”"), ("`", "‘"), ("'", "’"))
_EDGES = re.compile(f"(?:{BREAK}| )+$|^(?:{BREAK}| )+")


class TokenReader:
    """Reads tokens and writes blocks. Subclasses say what control sequences, verbatim text and formulas become."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._tokens: list[str] = []
        self._at = 0
        self._unclosed: set[str] = set()  # brackets that nothing closes from here on
        self._depth = 0
        self._line: list[str] = []
        self._notes: list[Block] = []
        self._hidden = False  # within a section that is left out

    def control(self, token: str) -> None:
        """A control sequence was read; its arguments are the tokens that come next."""
        raise NotImplementedError

    def verbatim(self, token: str) -> None:
        """Verbatim text was read."""
        raise NotImplementedError

    def dollars(self, token: str) -> None:
        """A formula begins."""
        raise NotImplementedError

    def read(self, tokens: list[str]) -> None:
        """Write what the tokens say."""
        if self._depth >= MAX_DEPTH:
            raise MarkupError(f"LaTeX nested more than {MAX_DEPTH} deep")
        before = self._tokens, self._at, self._unclosed
        self._tokens, self._at, self._unclosed = tokens, 0, set()
        self._depth += 1
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            first = token[0]
            if first == "\\":
                self.control(token)
            elif first == VERBATIM:
                self.verbatim(token)
            elif token in ("$", "$$"):
                self.dollars(token)
            elif first == "~":
                self._say(" ")
            elif token not in ("{", "}", "&", "#"):
                self._say(token if first.isalnum() and token.isalnum() else _quoted(token))
        self._depth -= 1
        self._tokens, self._at, self._unclosed = before

    # Writing.

    def _say(self, text: str) -> None:
        if not self._hidden:
            self._line.append(text)

    def _end_line(self) -> None:
        text = one_line("".join(self._line))
        self._line.clear()
        text = _EDGES.sub("", text)
        if text:
            self.blocks.append(Block(unicodedata.normalize("NFC", text)))
            self.blocks.extend(self._notes)
            self._notes.clear()

    def _add(self, text: str, level: int = 0) -> None:
        self._end_line()
        if text.strip() and not self._hidden:
            self.blocks.append(Block(text, level))

    def captured(self, tokens: list[str]) -> list[Block]:
        """The blocks of some tokens, apart from the document's own."""
        before = self.blocks, self._line, self._notes
        self.blocks, self._line, self._notes = [], [], []
        try:
            self.read(tokens)
            self._end_line()
            return self.blocks + self._notes
        finally:
            self.blocks, self._line, self._notes = before

    def inline(self, tokens: list[str]) -> str:
        """Some tokens on one line."""
        return one_line(" ".join(block.text for block in self.captured(tokens)).replace(BREAK, " "))

    # Reading.

    def _skip_space(self) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at] == " ":
            self._at += 1

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _argument(self) -> list[str]:
        """The next group without braces, or the next token."""
        start = self._at
        self._skip_space()
        token = self._next()
        if token in ("", "}", "\\par", "\\end", "\\begin"):
            self._at = start
            return []
        self._at += 1
        if token != "{":
            if token[0] not in "\\\x00$" and len(token) > 1:
                self._tokens[self._at - 1] = token[1:]
                self._at -= 1
                return [token[0]]
            return [token]
        return self._group("{", "}")

    def _group(self, opening: str, closing: str) -> list[str]:
        """The tokens up to the one that closes the group that has begun."""
        start, depth = self._at, 1
        tokens, at, end = self._tokens, self._at, len(self._tokens)
        if closing == "]":
            end = min(end, at + MAX_OPTION)
        braces = 0
        while at < end:
            token = tokens[at]
            at += 1
            if token == opening:
                depth += 1
            elif token == closing and not (closing == "]" and braces):
                depth -= 1
                if not depth:
                    break
            elif closing == "]":
                braces += (token == "{") - (token == "}")
                if braces < 0 or token == "\\par":  # no bracket that belongs to the command
                    self._at = start
                    return []
        if depth and closing == "]":
            return []
        self._at = at
        return tokens[start : at - 1] if not depth else tokens[start:at]

    def _optional(self) -> list[str] | None:
        start = self._at
        self._skip_space()
        if self._next() != "[":
            self._at = start
            return None
        self._at += 1
        return self._group("[", "]")

    def _plain(self) -> str:
        return "".join(self._argument()).strip()

    def _environment(self, name: str) -> list[str]:
        """The tokens up to the end of the environment that has begun; its end is passed."""
        tokens, start, depth = self._tokens, self._at, 1
        begin = end = start - 1
        while True:
            end = _index(tokens, "\\end", end + 1)
            if tokens[end + 1 : end + 4] == ["{", name, "}"] or end == len(tokens):
                while (begin := _index(tokens, "\\begin", begin + 1)) < end:
                    depth += tokens[begin + 1 : begin + 4] == ["{", name, "}"]
                begin = end
                depth -= 1
                if not depth or end == len(tokens):
                    self._at = min(end + 4, len(tokens))
                    return tokens[start:end]


def _index(tokens: list[str], token: str, start: int) -> int:
    """Where a token comes next; the end where it does not."""
    try:
        return tokens.index(token, start)
    except ValueError:
        return len(tokens)


def _quoted(text: str) -> str:
    """Dashes and quotation marks as characters."""
    for source, character in _QUOTES:
        if source[0] in text:
            text = text.replace(source, character)
    return text
