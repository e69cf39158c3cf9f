"""What `\\gls{key}` and its kin stand for, of the packages glossaries, acronym and acro."""

from __future__ import annotations

import re
from collections.abc import Sequence

from firn.data.markup.latex_formulas import source
from firn.data.markup.latex_tokens import TokenReader
from firn.data.markup.tex_lexer import lex

_LONGEST = 300  # characters of what a key stands for
_MAX_GIVEN = 1 << 20  # characters that are written for keys in one document; further keys stand for themselves
_DEFINITIONS = ("\\newacronym", "\\acro", "\\acrodef", "\\newglossaryentry", "\\DeclareAcronym")
_SETTING = re.compile(r"(?<![a-z])([a-z]++)\s*=\s*(?:\{((?:[^{}]++|\{[^{}]*+\})*+)\}|([^,{}]*+))")
_KINDS = {
    **dict.fromkeys("gls Gls GLS glspl Glspl ac Ac acp Acp".split(), "first"),
    **dict.fromkeys("acrfull acrfullpl Acrfull acf acfp Acf".split(), "full"),
    **dict.fromkeys("acrshort acrshortpl acs acsp glsentryshort glsxtrshort glsentryname glsname".split(), "short"),
    **dict.fromkeys("acrlong acrlongpl Acrlong acl aclp Acl glsentrylong glsxtrlong".split(), "long"),
}
COMMANDS = frozenset(f"\\{name}" for name in _KINDS)


class Glossary(TokenReader):
    """The keys that one document defines: `\\newacronym{key}{short}{long}`, `\\acro{key}[short]{long}`,
    `\\newglossaryentry{key}{name={...}}`, `\\DeclareAcronym{key}{short={...}, long={...}}`."""

    def __init__(self, tokens: Sequence[str]):
        super().__init__()
        self._entries: dict[str, tuple[list[str], list[str]]] = {}  # key -> short, long
        self._used: set[str] = set()
        self._given = 0
        self._tokens = list(tokens)
        for at, token in enumerate(self._tokens):
            if at >= self._at and token in _DEFINITIONS:
                self._at = at + 1
                self._define(token)

    def _define(self, command: str) -> None:
        self._optional()
        key = self._plain()
        if command == "\\newacronym":
            short, long = self._argument(), self._argument()
        elif command in ("\\acro", "\\acrodef"):
            short = self._optional() or ([key] if key else [])
            long = self._argument() if self._next() == "{" else []
        else:
            said = {found[1]: lex(found[2] or found[3]) for found in _SETTING.finditer(source(self._argument()))}
            short, long = said.get("short") or said.get("name") or [], said.get("long") or []
        if short and all(sum(map(len, part)) <= _LONGEST for part in (short, long)):
            self._entries.setdefault(key, (_without_keys(short), _without_keys(long)))

    def tokens(self, command: str, key: str) -> list[str]:
        """What is printed for a key, as tokens: where it is used first, the long form and the short one in
        parentheses; the key itself where it is not defined."""
        name = command[1:]
        kind = _KINDS[name]
        short, long = self._entries.get(key, ([key] if key else [], []))
        plural = ["s"] if name.endswith(("p", "pl")) else []
        if kind == "first":
            kind = "short" if key in self._used else "full"
            self._used.add(key)
        text = [*(short if kind == "short" or not long else long), *plural]
        if kind == "full" and long:
            text += [" ", "(", *short, *plural, ")"]
        self._given += sum(map(len, text))
        if self._given > _MAX_GIVEN:
            return [key] if key else []
        if name[0].isupper() and text and text[0][:1].isalpha():
            text[0] = text[0][0].upper() + text[0][1:]
        return text


def _without_keys(tokens: Sequence[str]) -> list[str]:
    """Keys within what a key stands for would have no end."""
    return [token for token in tokens if token not in COMMANDS]
