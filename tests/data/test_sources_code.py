"""The source `code`: which files are source files, what is known of them, and that no file leads out of its folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from firn.core.errors import InputError
from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.sources import CodeSource, code, listing

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table

sys.path.insert(0, str(Path(__file__).parent / "code"))
from test_code_facts import MIT

Rows = list[dict[str, Any]]


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def run(store: Path, *paths: str | Path, **settings: Any) -> tuple[Rows, dict[str, tuple[str, str | None]]]:
    """Documents, and verdict and rule of each file by its address."""
    engine = Inline(Store(store))
    source = CodeSource(paths=tuple(map(str, paths)), **settings)
    manifests = engine.run(read.tasks("code", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, {row["address"]: (row["verdict"], row["rule"]) for row in ledger}


def test_every_file_has_a_verdict(tmp_path: Path) -> None:
    write(
        tmp_path / "proj",
        {
            "main.py": "print('hi')\n",
            "web/app.ts": "export const a = 1\n",
            "README.md": "# proj",
            "logo.png": b"\x89PNG",
            "tests/test_a.py": "assert True\n",
            "pkg/conftest.py": "import pytest\n",
            "pkg/widget_test.go": "package pkg\n",
            "node_modules/x/index.js": "x()\n",
            "pkg/thing_pb2.py": "x = 1\n",
            "pkg/blob.c": b"int x;\0\0\0",
            "pkg/__init__.py": "",
            "pkg/long.py": "x = 1\n" * 200_000,
            "pkg/__pycache__/main.pyc": b"\0",
            ".git/config": "[core]",
            ".env.py": "SECRET = 1\n",
        },
    )
    (tmp_path / "outside.py").write_text("SECRET = 'outside'\n")
    os.symlink(tmp_path / "outside.py", tmp_path / "proj" / "link.py")
    os.symlink(tmp_path, tmp_path / "proj" / "up")
    os.mkfifo(tmp_path / "proj" / "pipe.py")
    documents, verdicts = run(tmp_path / "store", tmp_path / "proj")
    assert verdicts == {
        "proj/main.py": ("kept", None),
        "proj/web/app.ts": ("kept", None),
        "proj/README.md": ("removed", "code.not_source"),
        "proj/logo.png": ("removed", "code.not_source"),
        "proj/tests/test_a.py": ("removed", "code.tests"),
        "proj/pkg/conftest.py": ("removed", "code.tests"),
        "proj/pkg/widget_test.go": ("removed", "code.tests"),
        "proj/node_modules/x/index.js": ("removed", "code.vendored"),
        "proj/pkg/thing_pb2.py": ("removed", "code.generated_name"),
        "proj/pkg/blob.c": ("removed", "code.binary"),
        "proj/pkg/__init__.py": ("removed", "code.no_text"),
        "proj/pkg/long.py": ("removed", "code.too_large"),
        "proj/link.py": ("removed", "code.link"),
        "proj/up": ("removed", "code.link"),
    }
    assert {row["address"]: json.loads(row["meta"])["language"] for row in documents} == {
        "proj/main.py": "Python",
        "proj/web/app.ts": "TypeScript",
    }
    assert "outside" not in "".join(row["text"] for row in documents)
    assert run(tmp_path / "store", tmp_path / "proj", tests=True)[1]["proj/pkg/conftest.py"] == ("kept", None)


def test_repositories_are_found_and_named(tmp_path: Path) -> None:
    write(tmp_path / "src", {"one/.git/HEAD": "x", "one/a/b.py": "b = 1", "two/.git/HEAD": "x", "two/c.py": "c = 1"})
    documents, _ = run(tmp_path / "store", tmp_path / "src")
    assert {row["address"]: row["group"] for row in documents} == {
        "src/one/a/b.py": "src/one",
        "src/two/c.py": "src/two",
    }
    meta = [json.loads(row["meta"]) for row in documents if row["address"] == "src/one/a/b.py"]
    assert (meta[0]["repository"], meta[0]["path"]) == ("src/one", "a/b.py")
    documents, _ = run(tmp_path / "store", tmp_path / "src", group=r"^src/[^/]+/(.+)\.py$")
    assert {row["group"] for row in documents} == {"a/b", "c"}


def test_encodings_are_as_the_source_declares_them(tmp_path: Path) -> None:
    write(
        tmp_path / "p",
        {
            "latin.py": "# -*- coding: latin-1 -*-\ns = 'é'\n".encode("latin-1"),
            "bom.py": b"\xef\xbb\xbfs = '\xc3\xa9'\r\n",
            "liar.py": b"# coding: ascii\ns = '\xc3\xa9'\n",
            "odd.py": b"# coding: no-such-codec\ns = '\xc3\xa9'\n",
            "wide.c": "// é\n".encode("utf-16"),
        },
    )
    documents, _ = run(tmp_path / "store", tmp_path / "p")
    assert {row["address"]: row["text"].splitlines()[-1] for row in documents} == {
        "p/latin.py": "s = 'é'",
        "p/bom.py": "s = 'é'",
        "p/liar.py": "s = 'é'",
        "p/odd.py": "s = 'é'",
        "p/wide.c": "// é",
    }


def test_the_licence_is_read_where_a_file_names_it(tmp_path: Path) -> None:
    write(
        tmp_path / "p", {"a.rs": "// SPDX-License-Identifier: MIT OR Apache-2.0\nfn main() {}\n", "b.rs": "fn b() {}\n"}
    )
    documents, _ = run(tmp_path / "store", tmp_path / "p")
    assert {row["address"]: row["license"] for row in documents} == {"p/a.rs": "MIT OR Apache-2.0", "p/b.rs": None}


def test_only_what_is_permissive_in_all_it_says_stays(tmp_path: Path) -> None:
    tag = "SPDX-" + "License-Identifier:"
    gpl = "you can redistribute it under the terms of the GNU General Public License version 2"
    write(
        tmp_path / "p",
        {
            "LICENSE": MIT,
            "plain.c": "int a;\n",
            "nested.c": f"// {tag} (GPL-2.0-only OR BSD-3-Clause)\n",
            "gpl.c": f"// {tag} (GPL-2.0-only)\n",
            "both.c": f"/* {tag} MIT AND (GPL-3.0-only OR GPL-2.0-only) */\n",
            "lower.c": f"// {tag} MIT and GPL-2.0-only\n",
            "odd.c": f"// {tag} MIT, GPL-2.0-only\n",
            "old.c": f"/* This is free software:\n * {gpl} */\n",
            "side.c": "int side;\n",
            "side.c.license": f"{tag} GPL-3.0-only\n",
            "paid/LICENSE": f"Commons Clause\n\n{MIT}",
            "paid/a.c": "int paid;\n",
        },
    )
    documents, verdicts = run(tmp_path / "store", tmp_path / "p", permissive_only=True)
    assert {row["address"]: row["license"] for row in documents} == {
        "p/plain.c": "MIT",
        "p/nested.c": "GPL-2.0-only OR BSD-3-Clause",
    }
    gone = {name for name, ended in verdicts.items() if ended == ("removed", "code.license")}
    assert gone == {f"p/{name}.c" for name in ("gpl", "both", "lower", "odd", "old", "side", "paid/a")}
    documents, _ = run(tmp_path / "store", tmp_path / "p")
    of = {row["address"]: row["license"] for row in documents}
    assert (of["p/odd.c"], of["p/paid/a.c"]) == (None, None)
    assert (of["p/old.c"], of["p/side.c"]) == ("GPL-2.0-only", "GPL-3.0-only")


def test_pointers_of_git_lfs_are_no_documents(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a2146" * 8 + "\nsize 12345\n"
    write(tmp_path / "p", {"a.py": pointer, "b.sql": pointer.replace("\n", "\r\n"), "c.py": f"# {pointer}"})
    documents, verdicts = run(tmp_path / "store", tmp_path / "p")
    assert [row["address"] for row in documents] == ["p/c.py"]
    assert verdicts["p/a.py"] == verdicts["p/b.sql"] == ("removed", "code.lfs_pointer")


def test_a_path_as_header_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "p", {"new\nimport os.py": "x = 1\n"})
    ((document,), _) = run(tmp_path / "store", tmp_path / "p", header="path")
    assert document["text"] == "# new\\nimport os.py\nx = 1\n"


def test_the_standard_library_is_the_same_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = {
        "asyncio/__init__.py": "from .events import *\n",
        "asyncio/events.py": "loop = None\n",
        "site-packages/x.py": "x = 1\n",
        "test/test_x.py": "x = 1\n",
        "unittest/test/t.py": "x = 1\n",
        "idlelib/run.py": "x = 1\n",
        "_sysconfigdata__linux.py": "build = 'here'\n",
        "__pycache__/a.cpython-311.py": "x = 1\n",
    }
    found = []
    for place in ("usr/lib/python3.11", "opt/elsewhere/python"):
        write(tmp_path / place, library)
        monkeypatch.setattr(code.sysconfig, "get_path", lambda name, place=place: str(tmp_path / place))
        found.append(run(tmp_path / place / "store", "stdlib:", group=r"^Lib/(.+?)(?:/__init__)?\.py$"))
    assert found[0] == found[1]
    assert {row["address"]: row["group"] for row in found[0][0]} == {
        "Lib/asyncio/__init__.py": "asyncio",
        "Lib/asyncio/events.py": "asyncio/events",
    }


def test_other_peoples_packages_are_not_even_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"os.py": "x = 1\n", "site-packages/huge/x.py": "x = 1\n", "dist-packages/y.py": "y = 1\n"})
    listed, listdir = [], os.listdir
    monkeypatch.setattr(listing.os, "listdir", lambda path: listed.append(path) or listdir(path))
    monkeypatch.setattr(code.sysconfig, "get_path", lambda name: str(tmp_path))
    tasks = code.tasks("code", CodeSource(paths=("stdlib:",)))
    assert [name for task in tasks for name, *_ in task.extra["files"]] == ["Lib/os.py"]
    assert set(listed) == {str(tmp_path)}


def test_a_folder_without_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent", tmp_path / "*.py"):
        with pytest.raises(InputError, match="holds no file"):
            run(tmp_path / "store", path)
    write(tmp_path, {"a/p/x.py": "x = 1", "b/p/x.py": "x = 2"})
    with pytest.raises(InputError, match="same name"):
        run(tmp_path / "store", tmp_path / "a" / "p", tmp_path / "b" / "p")
