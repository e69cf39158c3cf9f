"""TeX source as tokens, with files included and the author's own macros expanded.

This is no TeX: categories of characters never change, and only what authors define for themselves is expanded
(`\\newcommand`, `\\def`, `\\let`, `\\newenvironment`, `\\DeclareMathOperator`, `\\newif`). The commands of LaTeX and
its packages stay as they are, and so do formulas but for the author's macros in them. Work is bounded by the
characters that expansion gives. What tokens are stands in firn.data.markup.tex_lexer.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from firn.data.markup.tex_lexer import lex
from firn.data.markup.work import MarkupError

MAX_EXPANDED = 16 << 20  # characters of all tokens that are read or put back for reading
MAX_INCLUDES = 2_000


@dataclass(frozen=True, slots=True)
class Macro:
    """body: tokens with `#`, `1` for parameters. default: of the first argument, where it is optional. delimiters: what
    stands after each parameter in its definition by `\\def`, and before the first."""

    body: list[str]
    parameters: int = 0
    default: list[str] | None = None
    delimiters: tuple[tuple[str, ...], ...] = ()


_DEFINITIONS = {
    "\\newcommand", "\\newcommand*", "\\renewcommand", "\\renewcommand*", "\\providecommand", "\\providecommand*",
    "\\DeclareRobustCommand", "\\DeclareRobustCommand*",
}  # fmt: skip
_DOCUMENT_DEFINITIONS = {"\\NewDocumentCommand", "\\RenewDocumentCommand", "\\DeclareDocumentCommand"}
_ENVIRONMENTS = {"\\newenvironment", "\\renewenvironment", "\\newenvironment*", "\\renewenvironment*"}
_BOOLEANS = {
    "\\newboolean", "\\provideboolean", "\\setboolean", "\\newtoggle", "\\providetoggle", "\\settoggle",
    "\\toggletrue", "\\togglefalse", "\\newbool", "\\providebool", "\\setbool", "\\booltrue", "\\boolfalse",
}  # fmt: skip
_EQUAL = re.compile(r"\{([^{}\\]*+)\}\{([^{}\\]*+)\}")
_INCLUDES = {"\\input", "\\include", "\\subfile", "\\subfileinclude", "\\InputIfFileExists", "\\@input"}
_CONDITIONS = re.compile(
    r"\\if(?:x|num|dim|cat|odd|vmode|hmode|mmode|inner|void|hbox|vbox|eof|case|defined|csname|pdf|true|false|@\w+"
    r"|pdftex|xetex|luatex|CLASSOPTION\w+|twocolumn)?"
)


class Expander:
    """Reads the main file of a set and gives its tokens, everything of the author's own expanded.

    files: name -> text, '/' between parts of a name. What the main file includes is looked for in its own folder, then
    from the top. known: control sequences that the reader of the tokens understands; definitions of these by the author
    are not followed.
    """

    def __init__(self, files: Mapping[str, str], known: Callable[[str], bool]):
        self._files, self._known, self._folder = files, known, ""
        self.macros: dict[str, Macro] = {}
        self.theorems: dict[str, str] = {}  # environment -> what it is called
        self.packages: list[str] = []
        self.missing: list[str] = []  # files that are included and not there, or within themselves
        self._environments: dict[str, tuple[Macro, list[str]]] = {}
        self._switches = {"\\iftrue": True, "\\iffalse": False, "\\iffirn": False}
        self._booleans: dict[str, bool] = {}
        self._waiting: list[str] = []  # tokens still to be read, the next one last
        self._out: list[str] = []
        self._spent = 0
        self._included = 0
        self._reading: list[tuple[str, int]] = []  # files that are open, and how many tokens wait behind each

    def expand(self, main: str) -> list[str]:
        """The tokens of the file of that name, to its end. Raises MarkupError where expansion goes beyond a limit."""
        self._folder = posixpath.dirname(main)
        self._reading.append((main, 0))
        self._put_back(lex(self._files[main]))
        while self._waiting:
            while len(self._waiting) <= self._reading[-1][1]:
                self._reading.pop()
            token = self._waiting.pop()
            if token[0] == "\\":
                self._control(token)
            else:
                self._out.append(token)
        return self._out

    def _put_back(self, tokens: list[str]) -> None:
        self._spent += sum(map(len, tokens)) + 8
        if self._spent > MAX_EXPANDED:
            raise MarkupError(f"macros and included files expand to more than {MAX_EXPANDED} characters")
        self._waiting.extend(reversed(tokens))

    def _control(self, token: str) -> None:
        if token in self.macros:
            self._call(self.macros[token])
        elif token == "\\begin":
            self._begin()
        elif token == "\\end":
            self._end()
        elif token in _DEFINITIONS:
            self._new_command(token)
        elif token in ("\\def", "\\gdef", "\\edef", "\\xdef", "\\define", "\\redefine"):
            self._def()
        elif token == "\\let":
            self._let()
        elif token in _DOCUMENT_DEFINITIONS:
            self._new_document_command()
        elif token in _ENVIRONMENTS:
            self._new_environment()
        elif token in ("\\DeclareMathOperator", "\\DeclareMathOperator*"):
            name, body = self._name(), self._argument()
            self._define(name, Macro(["\\operatorname", "{", *body, "}"]))
        elif token in ("\\newtheorem", "\\newtheorem*", "\\declaretheorem"):
            self._new_theorem(token)
        elif token == "\\newif":
            name = self._name()
            self._switches[name] = False
        elif token in _INCLUDES:
            self._include()
        elif token in ("\\import", "\\subimport"):
            folder, name = self._plain(), self._plain()
            self._read(f"{folder.rstrip('/')}/{name}" if folder.strip("./") else name)
        elif token in ("\\usepackage", "\\RequirePackage"):
            self._packages()
        elif token in self._switches or (_CONDITIONS.fullmatch(token) and token not in ("\\iff", "\\if@")):
            self._condition(token)
        elif token in _BOOLEANS:
            self._boolean(token)
        elif token in ("\\ifthenelse", "\\iftoggle", "\\ifbool"):
            holds, then, otherwise = self._holds(self._argument()), self._argument(), self._argument()
            self._put_back(then if holds else otherwise)
        elif token in ("\\else", "\\fi"):
            if token == "\\else":
                self._skip_branch(else_too=False)
        elif token[-4:] == "true" and f"\\if{token[1:-4]}" in self._switches:
            self._switches[f"\\if{token[1:-4]}"] = True
        elif token[-5:] == "false" and f"\\if{token[1:-5]}" in self._switches:
            self._switches[f"\\if{token[1:-5]}"] = False
        elif token == "\\endinput":
            pass
        elif token == "\\csname":
            self._csname()
        elif token in ("\\expandafter", "\\noexpand", "\\protect", "\\global", "\\long", "\\xspace", "\\relax"):
            if token == "\\xspace":
                self._space_before_a_word()
        elif token[-1] == "*" and token[:-1] in self.macros:
            self._waiting.append("*")
            self._call(self.macros[token[:-1]])
        else:
            self._out.append(token)

    # Reading arguments.

    def _peek(self) -> str:
        """The next token that is no space; empty at the end. Spaces before it are taken."""
        while self._waiting and self._waiting[-1] == " ":
            self._waiting.pop()
        return self._waiting[-1] if self._waiting else ""

    def _argument(self) -> list[str]:
        """The next group without its braces, or the next token."""
        if not self._peek():
            return []
        token = self._waiting.pop()
        if token == "{":
            return self._until_brace()
        if token == "\\par" or token == "}":
            self._waiting.append(token)
            return []
        if token[0] not in "\\\x00" and len(token) > 1 and token != "$$":
            self._waiting.append(token[1:])
            return [token[0]]
        return [token]

    def _until_brace(self) -> list[str]:
        found: list[str] = []
        depth = 1
        while self._waiting:
            token = self._waiting.pop()
            depth += (token == "{") - (token == "}")
            if not depth:
                break
            found.append(token)
        return found

    def _optional(self) -> list[str] | None:
        """The next argument in square brackets, or None."""
        if self._peek() != "[":
            return None
        self._waiting.pop()
        found: list[str] = []
        depth = 0
        while self._waiting:
            token = self._waiting.pop()
            depth += (token in "{[") - (token in "}]")
            if depth < 0:
                break
            found.append(token)
        return found

    def _plain(self) -> str:
        return "".join(self._argument()).strip()

    def _name(self) -> str:
        """The control sequence that is being defined, with or without braces around it."""
        return next((token for token in self._argument() if token[0] == "\\"), "")

    # Definitions.

    def _define(self, name: str, macro: Macro) -> None:
        if name and not self._known(name) and name not in _OURS:
            self.macros[name] = macro

    def _new_command(self, token: str) -> None:
        name = self._name()
        count, default = self._optional(), self._optional()
        body = self._argument()
        if not (token.startswith("\\providecommand") and name in self.macros):
            self._define(name, Macro(body, _number(count), default))

    def _new_document_command(self) -> None:
        name, kinds, body = self._name(), self._plain(), self._argument()
        self._define(name, Macro(body, kinds.count("m"))) if set(kinds) <= {"m", " "} else None

    def _def(self) -> None:
        if not self._waiting:
            return
        name = self._waiting.pop()
        pieces: list[list[str]] = [[]]
        while self._waiting and self._waiting[-1] != "{":
            token = self._waiting.pop()
            if token == "#":
                number = self._waiting.pop() if self._waiting else ""
                if len(number) > 1 and number[0].isdigit():
                    self._waiting.append(number[1:])
                pieces.append([])
            else:
                pieces[-1].append(token)
            if len(pieces) > 10 or len(pieces[-1]) > 50:
                return
        body = self._argument()
        if name[:1] == "\\":
            plain = not any(pieces)
            self._define(name, Macro(body, len(pieces) - 1, None, () if plain else tuple(map(tuple, pieces))))

    def _let(self) -> None:
        name = self._waiting.pop() if self._waiting else ""
        if self._peek() == "=":
            self._waiting.pop()
        if self._peek() and self._waiting[-1] != name:
            other = self._waiting.pop()
            self._define(name, self.macros.get(other) or Macro([other]))

    def _new_environment(self) -> None:
        name = self._plain()
        count, default = self._optional(), self._optional()
        begin, end = self._argument(), self._argument()
        if not self._known(f"\\begin{{{name}}}"):
            self._environments[name] = Macro(begin, _number(count), default), end

    def _new_theorem(self, token: str) -> None:
        if token == "\\declaretheorem":
            self._optional()
            name = self._plain()
            self.theorems[name] = name.capitalize()
            return
        name = self._plain()
        self._optional()
        title = "".join(piece for piece in self._argument() if piece[0] not in "\\{}")
        self._optional()
        self.theorems[name] = title

    # Use.

    def _call(self, macro: Macro) -> None:
        arguments: list[list[str]] = []
        if macro.delimiters:
            arguments = self._delimited(macro.delimiters)
        else:
            for number in range(macro.parameters):
                given = self._optional() if number == 0 and macro.default is not None else None
                if number == 0 and macro.default is not None:
                    arguments.append(macro.default if given is None else given)
                else:
                    arguments.append(self._argument())
        longest = max(map(len, arguments), default=0)
        if longest * macro.body.count("#") > MAX_EXPANDED:
            raise MarkupError(f"a macro expands to more than {MAX_EXPANDED} tokens")
        self._put_back(_filled(macro.body, arguments))

    def _delimited(self, delimiters: tuple[tuple[str, ...], ...]) -> list[list[str]]:
        for token in delimiters[0]:
            if self._waiting and self._waiting[-1] == token:
                self._waiting.pop()
        arguments = []
        for end in delimiters[1:]:
            if not end:
                arguments.append(self._argument())
                continue
            found: list[str] = []
            depth = 0
            while self._waiting and not (depth == 0 and self._follows(end)):
                token = self._waiting.pop()
                if not depth and token[0] not in "\\{}" and end[0] in token[1:]:  # within a run of characters
                    before, _, after = token.partition(end[0])
                    self._waiting += [after, end[0]] if after else [end[0]]
                    token = before
                depth += (token == "{") - (token == "}")
                found.append(token)
            if self._waiting:
                del self._waiting[-len(end) :]
                arguments.append(found)
            else:  # what should follow the argument is not there
                self._put_back(found)
                arguments.append([])
        return arguments

    def _follows(self, end: tuple[str, ...]) -> bool:
        """Whether the tokens that come next are these; a longer run of characters is divided for it."""
        token = self._waiting[-1]
        if token != end[0] and token[0] == end[0][0] and token.startswith(end[0]) and token[0] not in "\\$":
            self._waiting[-1:] = [token[len(end[0]) :], end[0]]
        return tuple(reversed(self._waiting[-len(end) :])) == end

    def _begin(self) -> None:
        name = self._plain()
        if name in self._environments:
            begin, _ = self._environments[name]
            self._call(begin)
        else:
            self._out += ["\\begin", "{", *([name] if name else []), "}"]

    def _end(self) -> None:
        if self._peek() != "{":  # plain TeX: of the document
            self._out.append("\\bye")
            return
        name = self._plain()
        if name in self._environments:
            self._put_back(self._environments[name][1])
        else:
            self._out += ["\\end", "{", *([name] if name else []), "}"]

    def _csname(self) -> None:
        name = ""
        while self._waiting and self._waiting[-1] != "\\endcsname" and len(name) < 200:
            name += self._waiting.pop()
        if self._waiting and self._waiting[-1] == "\\endcsname":
            self._waiting.pop()
        self._waiting.append(f"\\{name}" if name.isalpha() else "\\relax")

    def _space_before_a_word(self) -> None:
        if self._waiting and (self._waiting[-1][0].isalnum() or self._waiting[-1][0] == "("):
            self._out.append(" ")

    def _condition(self, token: str) -> None:
        """Take one branch. Conditions that only TeX can judge count as false."""
        if not self._switches.get(token, False):
            self._skip_branch(else_too=True)

    def _boolean(self, token: str) -> None:
        """A condition of ifthen or etoolbox is named, or set."""
        name = self._plain()
        if token.endswith(("true", "false")):
            self._booleans[name] = token.endswith("true")
        elif token.startswith("\\set"):
            self._booleans[name] = self._plain() == "true"
        else:
            self._booleans.setdefault(name, False)

    def _holds(self, condition: list[str]) -> bool:
        """Whether a condition holds: a name, `\\boolean{name}`, `\\equal{text}{text}`. All others count as false."""
        words = [token for token in condition if token != " "]
        negated = words[:1] in (["\\NOT"], ["\\not"])
        words = words[negated:]
        if words[:1] == ["\\equal"]:
            values = (self.macros.get(word, Macro([word])) for word in words[1:])
            said = "".join("".join(value.body if not value.parameters else ["\\"]) for value in values)
            found = _EQUAL.fullmatch(said)
            return found is not None and (found[1] == found[2]) != negated
        name = "".join(word for word in words if word not in ("{", "}", "\\boolean"))
        known = self._booleans.get(name, self._switches.get(f"\\if{name}"))
        return known is not None and known != negated

    def _skip_branch(self, else_too: bool) -> None:
        """Pass over tokens to the `\\fi` of this condition, or to its `\\else` where that is the branch to take."""
        depth = 0
        while self._waiting:
            token = self._waiting.pop()
            if token in self._switches or (_CONDITIONS.fullmatch(token) and token != "\\iff"):
                depth += 1
            elif token == "\\fi":
                if not depth:
                    return
                depth -= 1
            elif token == "\\else" and not depth and else_too:
                return

    # Files.

    def _include(self) -> None:
        token = self._peek()
        if token == "{":
            name = self._plain()
        else:  # plain TeX: the name ends with a space
            name = ""
            while self._waiting and self._waiting[-1] not in (" ", "\\par") and self._waiting[-1][0] != "\\":
                name += self._waiting.pop()
        self._read(name.strip('" '))

    def _read(self, name: str) -> None:
        found = self._found(name, f"{name}.tex")
        if found is None or any(found == file for file, _ in self._reading):  # not there, or within itself
            if name and len(self.missing) < 100:
                self.missing.append(name.removeprefix("./"))
            return
        self._included += 1
        if self._included > MAX_INCLUDES:
            raise MarkupError(f"files are included more than {MAX_INCLUDES} times")
        self._reading.append((found, len(self._waiting)))
        self._put_back(lex(self._files[found]))

    def _found(self, *names: str) -> str | None:
        """The first of these that is there, in the main file's folder or from the top."""
        places = (posixpath.normpath(posixpath.join(folder, name)) for folder in (self._folder, "") for name in names)
        return next((place for place in places if place in self._files), None)

    def _packages(self) -> None:
        self._optional()
        for name in self._plain().split(","):
            self.packages.append(name.strip())
            found = self._found(f"{name.strip()}.sty")
            if found is not None and len(self._files[found]) < 1 << 20:
                self._definitions_of(lex(self._files[found], at_is_letter=True))

    def _definitions_of(self, tokens: list[str]) -> None:
        """Take short, plain definitions out of an author's package, and nothing else of it."""
        inner = Expander({}, self._known)
        inner._put_back(tokens)
        while inner._waiting:
            token = inner._waiting.pop()
            if token in _DEFINITIONS or token == "\\def" or token.startswith("\\DeclareMathOperator"):
                inner._control(token)
        for name, macro in inner.macros.items():
            if "@" not in name and len(macro.body) < 200 and not any("@" in token for token in macro.body):
                self.macros.setdefault(name, macro)


# Names that the expander itself reads; no author redefines them.
_OURS = frozenset(
    {"\\begin", "\\end", "\\def", "\\let", "\\newcommand", "\\input", "\\include", "\\par", "\\ ", "\\else", "\\fi"}
)


def _number(tokens: list[str] | None) -> int:
    text = "".join(tokens or ()).strip()
    return int(text) if text.isdecimal() and len(text) == 1 else 0


def _filled(body: list[str], arguments: list[list[str]]) -> list[str]:
    """The body of a macro with its parameters replaced."""
    if not arguments and "#" not in body:
        return body
    out: list[str] = []
    tokens = iter(body)
    for token in tokens:
        if token != "#":
            out.append(token)
            continue
        number = next(tokens, "")
        if number[:1].isdigit():
            place = int(number[0]) - 1
            if 0 <= place < len(arguments):
                out.extend(arguments[place])
            if len(number) > 1:
                out.append(number[1:])
        else:
            out.append(number or "#")
    return out
