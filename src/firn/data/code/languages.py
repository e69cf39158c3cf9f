"""The language of a source file, by its name and, where that leaves a choice, by its content. Names are linguist's."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

#: Suffix -> language, by the names of linguist.
LANGUAGES = {
    "ada": "Ada", "adb": "Ada", "ads": "Ada", "agda": "Agda", "asm": "Assembly", "s": "Assembly", "bash": "Shell",
    "bat": "Batchfile", "bzl": "Starlark", "c": "C", "h": "C", "cc": "C++", "c++": "C++", "cpp": "C++", "cxx": "C++",
    "hh": "C++", "h++": "C++", "hpp": "C++", "cl": "OpenCL", "clj": "Clojure", "cmake": "CMake",
    "coffee": "CoffeeScript", "cr": "Crystal", "cs": "C#", "css": "CSS", "cu": "Cuda", "cuh": "Cuda", "d": "D",
    "dart": "Dart", "el": "Emacs Lisp", "elm": "Elm", "erl": "Erlang", "ex": "Elixir", "exs": "Elixir", "f": "Fortran",
    "f90": "Fortran", "f95": "Fortran", "fs": "F#", "glsl": "GLSL", "go": "Go", "gradle": "Gradle", "groovy": "Groovy",
    "hcl": "HCL", "hs": "Haskell", "idr": "Idris", "ino": "C++", "java": "Java", "jl": "Julia", "js": "JavaScript",
    "jsx": "JavaScript", "kt": "Kotlin", "lean": "Lean", "less": "Less", "lhs": "Haskell", "lisp": "Common Lisp",
    "lua": "Lua", "m": "Objective-C", "mjs": "JavaScript", "mk": "Makefile", "ml": "OCaml", "mli": "OCaml",
    "nim": "Nim", "nix": "Nix", "pas": "Pascal", "php": "PHP", "pl": "Perl", "pm": "Perl", "proto": "Protocol Buffer",
    "ps1": "PowerShell", "py": "Python", "pxd": "Cython", "pyi": "Python", "pyx": "Cython", "r": "R", "rb": "Ruby",
    "rkt": "Racket", "rs": "Rust", "sass": "Sass", "sc": "Scala", "scala": "Scala", "scm": "Scheme", "scss": "SCSS",
    "sh": "Shell", "sol": "Solidity", "sql": "SQL", "sv": "SystemVerilog", "svelte": "Svelte", "swift": "Swift",
    "tcl": "Tcl", "tex": "TeX", "tf": "HCL", "ts": "TypeScript", "tsx": "TypeScript", "v": "Verilog",
    "vb": "Visual Basic", "vhd": "VHDL", "vim": "Vim Script", "vue": "Vue", "wgsl": "WGSL", "zig": "Zig",
}  # fmt: skip

#: Whole names of files that have no suffix, or one that misleads.
NAMES = {
    "BUILD": "Starlark", "BUILD.bazel": "Starlark", "CMakeLists.txt": "CMake", "Dockerfile": "Dockerfile",
    "GNUmakefile": "Makefile", "Gemfile": "Ruby", "Jenkinsfile": "Groovy", "Makefile": "Makefile", "Rakefile": "Ruby",
    "SConstruct": "Python", "Vagrantfile": "Ruby", "makefile": "Makefile", "meson.build": "Meson",
}  # fmt: skip

#: Suffix -> language of markup and data, which are taken where a recipe asks for them.
DATA = {
    "dot": "Graphviz (DOT)", "gv": "Graphviz (DOT)", "htm": "HTML", "html": "HTML", "json": "JSON",
    "markdown": "Markdown", "md": "Markdown", "owl": "Web Ontology Language", "rst": "reStructuredText",
    "yaml": "YAML", "yml": "YAML",
}  # fmt: skip

# Program in a file's first line -> language.
_PROGRAMS = {
    "awk": "Awk", "bash": "Shell", "dash": "Shell", "gawk": "Awk", "groovy": "Groovy", "julia": "Julia", "ksh": "Shell",
    "lua": "Lua", "node": "JavaScript", "perl": "Perl", "php": "PHP", "python": "Python", "rscript": "R",
    "ruby": "Ruby", "runhaskell": "Haskell", "scala": "Scala", "sh": "Shell", "swipl": "Prolog", "tclsh": "Tcl",
    "zsh": "Shell",
}  # fmt: skip
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+)*)?([A-Za-z]+)")

# Suffix -> what to look for at the begin of a line, in this order; then the suffix's own language holds. None: a text
# of this kind is no source file.
_AMBIGUOUS: dict[str, tuple[tuple[str | None, re.Pattern[str]], ...]] = {
    suffix: tuple((language, re.compile(pattern, re.MULTILINE)) for language, pattern in choices)
    for suffix, choices in {
        "h": (
            ("Objective-C", r"^[ \t]*(?:@(?:interface|protocol|class|property|end)\b|#import\b)"),
            (
                "C++",
                r"^[ \t]*(?:class\s+\w|namespace\s+\w|template\s*<|using\s+\w|(?:public|private):)|\bstd::",
            ),
        ),
        "m": (
            (
                "Objective-C",
                r"^[ \t]*(?:@(?:interface|implementation|protocol|import|end)\b|#(?:import|include)\b)",
            ),
            ("Mathematica", r"^[ \t]*\(\*"),
            ("Mercury", r"^:-\s+module\b"),
            ("MATLAB", r"^[ \t]*(?:%|function\b|end[ \t]*;?[ \t]*$|for\s+\w+\s*=)"),
        ),
        "pl": (
            ("Perl", r"^[ \t]*(?:use\s+(?:strict|warnings|[\w:]+)|package\s+\w|sub\s+\w|my\s*[$@%(]|=head1)"),
            ("Prolog", r"^[ \t]*:-|^[a-z]\w*\([^\n]*\)[ \t]*(?::-|\.)[ \t]*$"),
        ),
        "v": (("Rocq Prover", r"^[ \t]*(?:Require|From\s+\w+\s+Require|Theorem|Lemma|Definition|Inductive|Proof)\b"),),
        "cl": (("Common Lisp", r"^[ \t]*\((?:defun|defmacro|in-package|defpackage|defvar|defparameter)\b"),),
        "d": ((None, r"^[^\s:=]+\.o\s*:"), ("DTrace", r"^[ \t]*#pragma\s+D\b|^\w*:\w*:\w*:\w*[ \t]*$")),
        "ts": ((None, r"\A\s*<\?xml|\A\s*<!DOCTYPE TS|\A\s*<TS\b"),),
        "fs": (
            ("GLSL", r"^[ \t]*(?:#version\s+\d|precision\s+\w+p\b|void\s+main\s*\()"),
            ("Forth", r"^: \S+ .*;$"),
        ),
        "sc": (("SuperCollider", r"^[ \t]*(?:SynthDef|\w+\s*:\s*\w+\s*\{[ \t]*$)|\|\s*\w+(?:\s*=\s*[^|]+)?\|"),),
        "r": (("Rebol", r"^[ \t]*REBOL\s*\["),),
    }.items()
}
_HEAD = 32 << 10  # characters that are looked at


def by_name(name: str, data: bool = False) -> str | None:
    """The language that a file's name stands for; None where it stands for none. data: one of markup or data counts."""
    path = PurePosixPath(name)
    suffix = path.suffix[1:].lower()
    return NAMES.get(path.name) or LANGUAGES.get(suffix) or (DATA.get(suffix) if data else None)


def may_be_source(name: str, data: bool = False) -> bool:
    """Whether the file must be opened to know whether it is one: by its name it is, or has no suffix."""
    return by_name(name, data) is not None or not PurePosixPath(name).suffix


def language_of(name: str, text: str, data: bool = False) -> str | None:
    """The language of a source file; None where it is none. data: a file of markup or data is one.

    By a name that stands for one; by the program that its first line names, where it has no suffix; and for suffixes
    that several languages use by what their lines begin with.
    """
    head = text[:_HEAD]
    named = by_name(name, data)
    if named is None:
        found = _SHEBANG.match(head) if not PurePosixPath(name).suffix else None
        return _PROGRAMS.get(found[1].lower()) if found else None
    for language, pattern in _AMBIGUOUS.get(PurePosixPath(name).suffix[1:].lower(), ()):
        if pattern.search(head):
            return language
    return named


# Control characters and what else ends a line somewhere; what ends a comment, or begins one within it.
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARKS = re.compile(r"--(?=!?>)|\*(?=[/)])|\((?=\*)")
#: Language -> what begins a comment, and what ends it.
_TWO_SLASHES, _HASH, _DASHES = ("// ", ""), ("# ", ""), ("-- ", "")
#: Languages in which a comment is // to the end of the line, or stands between /* and */.
SLASHES = frozenset((
    "C", "C++", "C#", "Cuda", "Dart", "GLSL", "Go", "Gradle", "Groovy", "Java", "JavaScript", "Kotlin", "Objective-C",
    "OpenCL", "Protocol Buffer", "Rust", "Scala", "Solidity", "SuperCollider", "Swift", "SystemVerilog", "TypeScript",
    "Verilog",
))  # fmt: skip
_COMMENTS = {
    **dict.fromkeys((*sorted(SLASHES), "D", "F#", "Graphviz (DOT)", "Idris", "JSON", "Less", "PHP", "Pascal", "SCSS",
                     "Sass", "WGSL", "Zig"), _TWO_SLASHES),
    **dict.fromkeys(("HTML", "Markdown", "Svelte", "Vue", "Web Ontology Language"), ("<!-- ", " -->")),
    **dict.fromkeys(("Ada", "Agda", "Elm", "Haskell", "Lean", "Lua", "SQL", "VHDL"), _DASHES),
    **dict.fromkeys(("Assembly", "Clojure", "Common Lisp", "Emacs Lisp", "Racket", "Scheme"), ("; ", "")),
    **dict.fromkeys(("Erlang", "MATLAB", "Mercury", "Prolog", "TeX"), ("% ", "")),
    **dict.fromkeys(("Mathematica", "OCaml", "Rocq Prover"), ("(* ", " *)")),
    "Batchfile": ("REM ", ""), "CSS": ("/* ", " */"), "Fortran": ("! ", ""), "Vim Script": ('" ', ""),
    "Visual Basic": ("' ", ""), "Forth": ("\\ ", ""), "reStructuredText": (".. ", ""),
}  # fmt: skip


def comment(language: str, text: str) -> str:
    """A line of a language's that says `text` and does nothing, whatever characters the text has."""
    begin, end = _COMMENTS.get(language, _HASH)
    text = _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    text = _MARKS.sub(r"\g<0> ", text) if end else text
    return f"{begin}{text}{end}"
