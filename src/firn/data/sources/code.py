"""The source `code`: source files of repositories and folders.

Every file is a row of the ledger, but what is hidden (`.git`) or made by running (`__pycache__`) is passed over. Files
that the name rules out are not opened: `code.link` (a symbolic link), `code.vendored`, `code.tests`, `code.not_source`
(no suffix of a programming language), `code.generated_name`, `code.too_large`. Of those that are read, `code.binary`
and `code.no_text` leave. What a text says, that it is generated for one, is for the rules of a preset to judge.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from firn.core.errors import InputError
from firn.core.hashing import document_id
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data import charset
from firn.data.raw import Pattern, Rows, extra, grouping
from firn.data.sources.listing import Found, Rule, below, bundles, files_of, unique

#: The path that names the standard library of the Python that runs firn, without its tests.
STDLIB = "stdlib:"

#: Suffix -> language, by the names of linguist.
LANGUAGES = {
    "ada": "Ada", "adb": "Ada", "ads": "Ada", "agda": "Agda", "asm": "Assembly", "s": "Assembly", "bash": "Shell",
    "bat": "Batchfile", "c": "C", "h": "C", "cc": "C++", "cpp": "C++", "cxx": "C++", "hh": "C++", "hpp": "C++",
    "cl": "OpenCL", "clj": "Clojure", "cmake": "CMake", "coffee": "CoffeeScript", "cs": "C#", "css": "CSS",
    "cu": "Cuda", "cuh": "Cuda", "d": "D", "dart": "Dart", "el": "Emacs Lisp", "elm": "Elm", "erl": "Erlang",
    "ex": "Elixir", "exs": "Elixir", "f": "Fortran", "f90": "Fortran", "f95": "Fortran", "fs": "F#", "glsl": "GLSL",
    "go": "Go", "gradle": "Gradle", "groovy": "Groovy", "hs": "Haskell", "idr": "Idris", "java": "Java",
    "jl": "Julia", "js": "JavaScript", "jsx": "JavaScript", "kt": "Kotlin", "lean": "Lean", "lhs": "Haskell",
    "lisp": "Common Lisp", "lua": "Lua", "m": "Objective-C", "mjs": "JavaScript", "ml": "OCaml", "mli": "OCaml",
    "nim": "Nim", "nix": "Nix", "pas": "Pascal", "php": "PHP", "pl": "Perl", "pm": "Perl", "proto": "Protocol Buffer",
    "ps1": "PowerShell", "py": "Python", "pyi": "Python", "pyx": "Cython", "r": "R", "rb": "Ruby", "rkt": "Racket",
    "rs": "Rust", "sc": "Scala", "scala": "Scala", "scm": "Scheme", "sh": "Shell", "sol": "Solidity", "sql": "SQL",
    "sv": "SystemVerilog", "swift": "Swift", "tcl": "Tcl", "tex": "TeX", "ts": "TypeScript", "tsx": "TypeScript",
    "v": "Verilog", "vb": "Visual Basic", "vhd": "VHDL", "vim": "Vim Script", "vue": "Vue", "zig": "Zig",
}  # fmt: skip

_VENDORED = {"node_modules", "vendor", "vendored", "third_party", "third-party", "site-packages", "dist-packages"}
_TESTS = {"test", "tests", "__tests__", "testdata"}
_TEST_FILE = re.compile(r"^test_|_(?:test|spec)$|\.(?:test|spec)$|^conftest$")
_GENERATED_NAME = re.compile(
    r"\.min\.(?:js|css)$|_pb2(?:_grpc)?\.pyi?$|\.pb\.(?:go|cc|h)$|\.g\.dart$|\.designer\.cs$", re.I
)
_LICENSE = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]+)*)")
_HEAD = 4096
# What lies in the library's folder and is not the library: other people's packages, tests, files about this build; and
# the tables of character sets, which a program made.
_NOT_STDLIB = re.compile(
    r"^(?:site-packages|dist-packages|idlelib|turtledemo|lib2to3|ensurepip/_bundled)/|(?:^|/)tests?/"
    r"|^(?:_sysconfigdata|sitecustomize|usercustomize|encodings/(?:cp\d|iso8859|mac_|koi8|kz|ptcp|tis|hp_))"
)


class CodeSettings(Settings):
    """What changes the documents of source files."""

    group: Pattern | None = None
    """Regular expression on the file's name, which begins with the repository's: its first group, or the whole match,
    names what must stay together in training or in validation. None, or no match: the repository."""
    tests: bool = False
    """Whether tests are taken too."""
    max_bytes: int = Field(default=1 << 20, ge=1)
    """Largest file, in bytes (The Stack: 1 MB)."""


class CodeSource(CodeSettings):
    """Source files of repositories and folders."""

    kind: Literal["code"] = "code"
    paths: tuple[str, ...] = Field(min_length=1)
    """Folders, each a repository or full of them, files or patterns. `stdlib:` is the standard library of the Python
    that runs firn, without its tests."""


def tasks(name: str, source: CodeSource) -> list[Task]:
    """Shards of files that are put together by the hashes of their names. Raises InputError."""
    own = CodeSettings(**{key: getattr(source, key) for key in CodeSettings.model_fields})
    files = unique(f for path in source.paths for f in _files_of(path) if "/__pycache__/" not in f.name)
    shards = []
    for bits, found in bundles([replace(file, rule=_left_out(file, own)) for file in files]):
        rows = [[file.name, _repository(file), file.rule] for file in found]
        inputs = tuple(file.external() for file in found if file.rule is None)
        shards.append(Task(STAGE, own, inputs, f"{name}/{bits}", extra(name, files=rows)))
    return shards


def _files_of(path: str) -> Iterator[Found]:
    """The files of a path; names begin with the name of the folder that the path names."""
    if path == STDLIB:
        yield from _stdlib()
        return
    for found in files_of(path):
        yield replace(found, name=f"{PurePosixPath(found.root).name or 'root'}/{found.name}")


def _stdlib() -> Iterator[Found]:
    """Files named as in CPython's own repository, wherever they are installed. Raises InputError."""
    base = sysconfig.get_path("stdlib")
    # Tens of thousands of files of other people's packages may lie there.
    packages = [os.path.join(base, name) for name in ("site-packages", "dist-packages")]
    found = [file for file in below(base, base, packages) if file.name.endswith(".py") and not file.link]
    if not found:
        raise InputError("this Python has no source files of its library", where=base, mend="use another Python")
    for file in found:
        if not _NOT_STDLIB.search(file.name):
            yield replace(file, root=STDLIB, name=f"Lib/{file.name}")


def _repository(file: Found) -> str:
    """The innermost folder with a `.git`, as a name, or else the folder that the path names."""
    if file.root == STDLIB:
        return "cpython"
    first, *between = file.name.split("/")[:-1]
    for depth in range(len(between), 0, -1):
        if _is_repository(os.path.join(file.root, *between[:depth])):
            return "/".join([first, *between[:depth]])
    return first


@cache
def _is_repository(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, ".git"))


def _left_out(file: Found, settings: CodeSettings) -> Rule | None:
    """The rule by which a file's name or size rules it out, with what it measured and its bound."""
    path = PurePosixPath(file.name)
    folders = {part.lower() for part in path.parts[1:-1]}
    if file.link:
        return ("link",)
    if folders & _VENDORED:
        return ("vendored",)
    if path.suffix[1:].lower() not in LANGUAGES:
        return ("not_source",)
    if not settings.tests and (folders & _TESTS or _TEST_FILE.search(path.stem.lower())):
        return ("tests",)
    if _GENERATED_NAME.search(path.name):
        return ("generated_name",)
    if file.bytes > settings.max_bytes:
        return ("too_large", file.bytes, settings.max_bytes)
    return None


def run(work: Work) -> None:
    """Read the files of one shard."""
    rows, inputs = Rows(work, "code"), iter(range(len(work.inputs)))
    for name, repository, rule in work.extra["files"]:
        index = None if rule else next(inputs)
        if not rows.enter(name):
            continue
        if index is not None:
            _read(rows, name, repository, work.local(index).read_bytes(), work.settings)
        else:
            rows.remove(*rule)
        rows.leave()
        work.advance(1, 0 if index is None else work.inputs[index].bytes)
    rows.close()


def _read(rows: Rows, name: str, repository: str, data: bytes, settings: CodeSettings) -> None:
    """End the row of a file."""
    path = PurePosixPath(name)
    id = document_id(name, 0, data)
    if b"\0" in data[: _HEAD * 2] and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        rows.remove("binary", id=id)
        return
    text, encoding = _decode(data, path.suffix)
    license = _LICENSE.search(text[:_HEAD])
    rows.keep(
        id,
        text,
        grouping(settings.group, name, repository),
        {
            "charset": encoding,
            "language": LANGUAGES[path.suffix[1:].lower()],
            "path": name.removeprefix(repository).lstrip("/"),
            "repository": repository,
        },
        license=license[1] if license else None,
    )


def _decode(data: bytes, suffix: str) -> tuple[str, str]:
    """Text and encoding: as the file's first lines declare it, where it is Python (PEP 263), or else by its bytes."""
    if suffix in (".py", ".pyi", ".pyx"):
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            if charset.codec(encoding):  # Python knows others, which are no character sets
                return data.decode(encoding), encoding.removesuffix("-sig")
        except (SyntaxError, UnicodeDecodeError):
            pass
    found = charset.decode(data, html=False)
    return found.text, found.charset


STAGE = Stage("read", 1, run, ledger=True)
