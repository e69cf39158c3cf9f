"""TeX source as tokens.

Tokens are strings: `\\name` and `\\c` (control sequences), `{ } $ $$ & # ^ _ ~ [ ]`, ` ` (any white space), `\\par`,
runs of other characters, and verbatim text, which begins with VERBATIM.
"""

from __future__ import annotations

import re

VERBATIM = "\x00"

#: Environments whose content is taken letter by letter; of `comment`, nothing is kept.
VERBATIMS = ("verbatim", "lstlisting", "minted", "Verbatim", "alltt", "spverbatim", "filecontents", "comment", "code")

_LEXEME = re.compile(
    r"\\begin\s*\{(?P<environment>" + "|".join(VERBATIMS) + r")(?P<star>\*?)\}"
    r"|\\(?:(?:verb|lstinline)(?![a-zA-Z])\*?(?:\[[^\]\n]*\])?|mintinline(?:\[[^\]\n]*\])?\{[^{}\n]*\})"
    r"(?:(?<!\\verb)\{(?P<code>(?:[^{}\n]++|\{(?:[^{}\n]++|\{[^{}\n]*+\})*+\})*+)\}"
    r"|(?P<bar>[^\sa-zA-Z*])(?P<verb>[^\n]*?)(?P=bar))"
    r"|(?P<space>[ \t\n]*\n[ \t]*\n\s*)|%[^\n]*(?:\n[ \t]*(?!\s*\n))?"
    r"|(?P<control>\\(?:[a-zA-Z]+\*?|[^a-zA-Z]))"
    r"|(?P<white>[ \t\n]+)|(?P<other>\$\$?|[{}&#^_~\[\]])|(?P<run>[^\\{}$&#^_~%\s\[\]]+)"
)
# Spaces, and one end of line that does not end the paragraph.
_AFTER_WORD = re.compile(r"[ \t]*(?:\n[ \t]*(?![ \t]*\n))?")
_AT_CONTROL = re.compile(r"\\[a-zA-Z@]+\*?")


def lex(text: str, at_is_letter: bool = False) -> list[str]:
    """The tokens of a file. Comments are gone; control words have no space after them."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace(VERBATIM, "").replace("\f", "\n\n")
    tokens: list[str] = []
    at, end = 0, len(text)
    while at < end:
        found = _LEXEME.match(text, at)
        if found is None:  # a white character of another kind, or a lone backslash at the end
            at += 1
            tokens.append(" ")
            continue
        at = found.end()
        kind = found.lastgroup
        if found["environment"]:
            close = f"\\end{{{found['environment']}{found['star']}}}"
            stop = text.find(close, at)
            stop = end if stop < 0 else stop
            if found["environment"] != "comment":
                tokens.append(f"{VERBATIM}{found['environment']}{VERBATIM}{text[at:stop]}")
            at = min(stop + len(close), end)
        elif kind in ("code", "verb"):
            tokens.append(f"{VERBATIM}{VERBATIM}{found[kind]}")
        elif kind == "space":
            tokens.append("\\par")
        elif kind == "control":
            name = found["control"]
            if at_is_letter and (longer := _AT_CONTROL.match(text, found.start())):
                name, at = longer[0], longer.end()
            if name[-1].isalpha() or name[-1] in "*@":
                at = _AFTER_WORD.match(text, at).end()  # type: ignore[union-attr]
            if name == "\\makeatletter":
                at_is_letter = True
            elif name == "\\makeatother":
                at_is_letter = False
            else:
                tokens.append("\\ " if name in ("\\\n", "\\\t") else name)
        elif kind == "white":
            tokens.append(" ")
        elif kind in ("other", "run"):
            tokens.append(found[0])
    return tokens
