"""Languages, licences and imports of source files: known answers, and texts that are made to take long."""

from __future__ import annotations

import random

import pytest

from firn.data.code import imports, languages, licenses

MIT = (
    "MIT License\n\nCopyright (c) 2020 Somebody\n\nPermission is hereby granted, free of charge, to any person "
    'obtaining a copy\nof this software and associated documentation files (the "Software"), to deal\nin the Software '
    "without restriction, including without limitation the rights\nto use, copy, modify, merge, publish, distribute, "
    "sublicense, and/or sell\ncopies of the Software, and to permit persons to whom the Software is\nfurnished to do "
    "so, subject to the following conditions:\n\nThe above copyright notice and this permission notice shall be "
    'included in all\ncopies or substantial portions of the Software.\n\nTHE SOFTWARE IS PROVIDED "AS IS".\n'
)
ISC = (
    "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby "
    "granted, provided that the above copyright notice and this permission notice appear in all copies.\n\nTHE "
    'SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES'
)
ZERO = ISC.replace(", provided that the above copyright notice and this permission notice appear in all copies", "")
BSD = (
    "Copyright 2001, X. All rights reserved.\nRedistribution and use in source and binary forms, with or without "
    "modification, are permitted provided that the following conditions are met:\n\n* Redistributions of source code "
    "must retain the above copyright notice, this list of conditions and the following disclaimer.\n\n* "
    "Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the "
    "following disclaimer in the documentation and/or other materials provided with the distribution.\n\n"
)
ENDORSE = (
    "* Neither the name of X nor the names of its contributors may be used to endorse or promote products derived from "
    "this software without specific prior written permission.\n"
)
GPL = (
    "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007\n\nCopyright (C) 2007 FSF\nPreamble\n\nThe GNU General Public "
    "License is a free, copyleft license for software and other kinds of works.\n"
)


def folders_of(texts: dict[str, str]) -> dict[str, str]:
    return licenses.of_folders({name: licenses.told_by(name, text) for name, text in texts.items()})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (MIT, "MIT"), (MIT.replace("\n", " ").upper(), "MIT"), (ISC, "ISC"), (ZERO, "0BSD"), (BSD, "BSD-2-Clause"),
        (BSD + ENDORSE, "BSD-3-Clause"), (GPL, "GPL-3.0-only"), ("All rights reserved.", None), ("", None),
        (MIT[: len(MIT) // 2], None), (MIT + GPL, "GPL-3.0-only AND MIT"), (GPL + BSD, "BSD-2-Clause AND GPL-3.0-only"),
    ],
)  # fmt: skip
def test_licence_texts_are_known_by_their_words(text: str, name: str | None) -> None:
    assert licenses.in_text(text) == name


def test_every_licence_of_the_table_is_itself() -> None:
    for name, text in licenses._TEXTS.items():
        assert licenses.in_text(text) == name


def test_the_licence_of_a_folder() -> None:
    folders = folders_of({"LICENSE": MIT, "sub/COPYING": GPL, "package.json": '{"license": "ISC"}'})
    assert folders == {"": "MIT", "sub": "GPL-3.0-only"}
    assert licenses.of_file("a/b/c.py", folders) == "MIT"
    assert licenses.of_file("sub/deep/c.py", folders) == "GPL-3.0-only"
    assert licenses.of_file("c.py", {}) is None
    own = folders_of({"LICENSE": MIT, "ours/LICENSE": "All rights reserved.", "docs/COPYRIGHT": "2020 Us"})
    assert licenses.of_file("ours/deep/a.py", own) is None
    assert licenses.of_file("docs/a.py", own) == "MIT"
    rust = {"LICENSE-MIT": MIT, "LICENSE-ISC": ISC}
    assert folders_of(rust) == {"": "ISC OR MIT"}
    assert folders_of({**rust, "Cargo.toml": '[package]\nlicense = "MIT OR ISC"'}) == {"": "MIT OR ISC"}
    assert folders_of({"COPYING": GPL, "COPYING.MIT": MIT}) == {"": "GPL-3.0-only AND MIT"}
    later = {"LICENSE": GPL, "pyproject.toml": '[project]\nlicense = "GPL-3.0-or-later"'}
    assert folders_of(later) == {"": "GPL-3.0-or-later"}
    for said, name in (
        ('[project]\nlicense = {text = "MIT License"}', "MIT"),
        ('[project]\nlicense = "see LICENSE.txt"', ""),
        ("not toml [", None),
        ("a = " + "[" * 5_000, None),
    ):
        assert licenses.in_metadata("x/pyproject.toml", said) == name
    assert licenses.in_metadata("setup.cfg", "[metadata]\nlicense = Apache 2.0\n") == "Apache-2.0"
    assert licenses.in_metadata("package.json", '{"license": {"type": "BSD-3-Clause"}}') == "BSD-3-Clause"
    assert licenses.in_metadata("package.json", "[" * 100_000) is None


def test_permissive_is_what_every_part_allows() -> None:
    yes = ("MIT", "Apache-2.0 OR GPL-3.0-only", "MIT AND ISC", "Apache-2.0 WITH LLVM-exception", "(MIT OR ISC)")
    for each in (*yes, "MIT AND (GPL-2.0-only OR ISC)", "(MIT OR GPL-2.0)", "GPL-2.0-only OR MIT AND ISC"):
        assert licenses.is_permissive(each)
    no = (None, "", "GPL-3.0-only", "MIT AND GPL-2.0-only", "proprietary", "MIT AND (GPL-2.0-only OR GPL-3.0-only)")
    for other in (*no, "MIT, ISC", "MIT OR", "(GPL-2.0-only OR MIT) AND GPL-3.0-only"):
        assert not licenses.is_permissive(other)
    assert licenses.spelled(["mit", "Apache-2.0"]) == "Apache-2.0 AND MIT"
    assert licenses.spelled("bsd-3-clause") == "BSD-3-Clause"
    assert licenses.spelled(["(MIT OR GPL-2.0-only)", "isc"]) == "(MIT OR GPL-2.0-only) AND ISC"
    assert licenses.spelled([]) is None


@pytest.mark.parametrize(
    ("name", "text", "language"),
    [
        ("a.h", "int f(void);\n", "C"), ("a.h", "#pragma once\nnamespace x {\nclass A {\n};}\n", "C++"),
        ("a.h", "#import <Foundation/Foundation.h>\n@interface A\n@end\n", "Objective-C"),
        ("a.m", "@implementation A\n@end\n", "Objective-C"),
        ("a.m", "function y = f(x)\n% square\ny = x^2;\nend\n", "MATLAB"),
        ("a.m", "(* Mathematica *)\nf[x_] := x^2\n", "Mathematica"), ("a.pl", "use strict;\nmy $x = 1;\n", "Perl"),
        ("a.pl", ":- use_module(library(lists)).\nlikes(a, b).\n", "Prolog"),
        ("a.v", "module m(input a);\nendmodule\n", "Verilog"),
        ("a.v", "Require Import List.\nTheorem t : True.\n", "Rocq Prover"),
        ("a.cl", "(defun f (x) x)\n", "Common Lisp"),
        ("a.ts", "export const a = 1\n", "TypeScript"), ("a.ts", '<?xml version="1.0"?>\n<TS/>\n', None),
        ("a.d", "main.o: main.c main.h\n", None), ("a.d", "module a;\nvoid main() {}\n", "D"),
        ("run", "#!/usr/bin/env python3\nprint(1)\n", "Python"), ("run", "#! /bin/bash -e\n", "Shell"),
        ("notes", "text\n", None),
        ("run", "#!/opt/unknown\n", None), ("Makefile", "all:\n", "Makefile"), ("a.PY", "x = 1\n", "Python"),
        ("a.png", "", None), ("a.scss", "", "SCSS"), ("a.bzl", "", "Starlark"), ("a.c++", "", "C++"),
        ("a.ino", "", "C++"), ("a.tf", "", "HCL"), ("rules.mk", "", "Makefile"), ("a.svelte", "", "Svelte"),
    ],
)  # fmt: skip
def test_the_language_by_name_and_content(name: str, text: str, language: str | None) -> None:
    assert languages.language_of(name, text) == language


@pytest.mark.parametrize(
    ("language", "path", "line"),
    [
        ("Python", "a\nimport os\r.py", r"# a\nimport os\r.py"), ("C", "a\u2028b\x85.c", r"// a\u2028b\x85.c"),
        ("CSS", "a*/ b {}.css", "/* a* / b {}.css */"), ("HTML", "a--><b>--!>.html", "<!-- a-- ><b>-- !>.html -->"),
        ("OCaml", "(*a*).ml", "(* ( *a* ).ml *)"), ("Vue", "my--page.vue", "<!-- my--page.vue -->"),
        ("SCSS", "a.scss", "// a.scss"), ("HCL", "é b.tf", "# é b.tf"),
    ],
)  # fmt: skip
def test_no_path_leads_out_of_its_comment(language: str, path: str, line: str) -> None:
    assert languages.comment(language, path) == line


def test_languages_and_imports_of_long_lines_and_many_lines_are_found_in_linear_time() -> None:
    """Millions of steps at most, which nobody notices; quadratic ones would take minutes."""
    for piece in ("\n", " ", "a", "|a ", "(", '"', "@", "f(x)", "a.o", ": a ", "from ", "#include", "import a, "):
        text = piece * (60_000 // len(piece))
        for name in ("a.h", "a.m", "a.pl", "a.v", "a.d", "a.fs", "a.sc", "a.r", "a.ts", "run"):
            languages.language_of(name, text)
        for path in ("a.py", "a.ts", "a.go", "a.c"):
            imports.ordered({path: (languages.by_name(path) or "", text)})
        licenses.in_text(text)
        licenses.in_header(text)


def order(files: dict[str, str]) -> list[str]:
    shuffled = list(files)
    random.Random(1).shuffle(shuffled)
    return imports.ordered({path: (languages.by_name(path) or "", files[path]) for path in shuffled})


def test_what_a_file_imports_stands_before_it() -> None:
    assert order(
        {
            "src/pkg/__init__.py": "from .api import run\n",
            "src/pkg/api.py": "import os\nfrom pkg import util\nfrom pkg.deep.core import x\n",
            "src/pkg/util.py": "import json, sys\n",
            "src/pkg/deep/__init__.py": "",
            "src/pkg/deep/core.py": "from .. import util\nfrom . import last\n",
            "src/pkg/deep/last.py": "x = 1\n",
        }
    ) == [
        "src/pkg/deep/__init__.py", "src/pkg/deep/last.py", "src/pkg/util.py", "src/pkg/deep/core.py",
        "src/pkg/api.py", "src/pkg/__init__.py",
    ]  # fmt: skip
    found = order({"a.ts": 'import { b } from "./lib/b.js"\n', "lib/b.ts": "require('../z')\n", "z/index.js": "1\n"})
    assert found == ["z/index.js", "lib/b.ts", "a.ts"]
    found = order(
        {"a/main.go": 'import (\n\t"fmt"\n\tx "example.org/m/z"\n)\n', "z/z.go": "package z\n", "z/y.go": "package z\n"}
    )
    assert found == ["z/y.go", "z/z.go", "a/main.go"]
    found = order({"a.c": '#include <stdio.h>\n#include "x/z.h"\n', "inc/x/z.h": '#include "y.h"\n', "inc/x/y.h": ""})
    assert found == ["inc/x/y.h", "inc/x/z.h", "a.c"]


def test_circles_are_broken_by_path_and_every_file_comes_once() -> None:
    circle = {
        "b.py": "import a\n",
        "a.py": "import c\n",
        "c.py": "import b\n",
        "d.py": "import a\n",
        "0.py": "import d\n",
    }
    assert order(circle) == ["a.py", "b.py", "c.py", "d.py", "0.py"]
    files = {f"m{i}.py": "".join(f"import m{(i * 7 + j) % 60}\n" for j in range(5)) for i in range(60)}
    assert sorted(order(files)) == sorted(files)
    assert order(files) == imports.ordered({path: ("Python", text) for path, text in files.items()})
