"""The source `code`: git repositories, archives and tables, whole and hostile; licences, headers and order."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core.errors import InputError
from firn.core.store import Store
from firn.data import read
from firn.data.code import git
from firn.data.extract import ExtractSettings
from firn.data.sources import CodeSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table

sys.path.insert(0, str(Path(__file__).parent / "code"))
from test_code_facts import GPL, MIT

Rows = list[dict[str, Any]]
FILES = {
    "LICENSE": MIT,
    "main.py": "from lib import util\nprint(util.x)\n",
    "lib/util.py": "x = 'é'\n",
    "gpl/COPYING": GPL,
    "gpl/a.c": "int a;\n",
    "gpl/b.c": "// SPDX-License-Identifier: ISC\nint b;\n",
    "logo.png": "PNG",
    "tests/test_a.py": "assert True\n",
    "tool": "#!/usr/bin/env python\nprint('tool')\n",
    "NEWS": "nothing\n",
    ".github/x.py": "hidden = 1\n",
}
DATE = "2021-03-04T05:06:07+0000"


def run(store: Path, *paths: str | Path, **settings: Any) -> tuple[Rows, Rows]:
    """Documents and ledger rows."""
    engine = Inline(Store(store))
    source = CodeSource(paths=tuple(map(str, paths)), **settings)
    manifests = engine.run(read.tasks("code", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    documents = [row for m in manifests for row in table(engine.store, m).to_pylist()]
    ledger = [row for m in manifests for row in table(engine.store, m, "ledger").to_pylist()]
    return documents, ledger


def command(folder: Path, *arguments: str, input: bytes | None = None) -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE, "GIT_CONFIG_GLOBAL": "/dev/null",
    }  # fmt: skip
    names = ("-c", "user.name=n", "-c", "user.email=e@x.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *names, *arguments], cwd=folder, env=environment, input=input, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def repository(root: Path, files: dict[str, str] = FILES) -> Path:
    write(root, files)
    (root / "link.py").symlink_to("/etc/hostname")
    command(root, "init", "-q")
    command(root, "add", "-A")
    command(root, "commit", "-q", "-m", "first")
    command(root, "tag", "-a", "v1", "-m", "one")
    (root / "main.py").write_text("changed = 1\n")
    command(root, "commit", "-q", "-a", "-m", "second")
    return root


def meta(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["meta"])
    return found


def test_a_repository_at_a_commit(tmp_path: Path) -> None:
    root = repository(tmp_path / "proj")
    first = command(root, "rev-parse", "v1^{commit}")
    command(tmp_path, "clone", "-q", "--bare", "--no-local", str(root), "bare.git")
    documents, ledger = run(tmp_path / "store", root, revision="v1")
    texts = {meta(row)["path"]: row["text"] for row in documents}
    assert texts == {
        "main.py": FILES["main.py"], "lib/util.py": FILES["lib/util.py"], "gpl/a.c": FILES["gpl/a.c"],
        "gpl/b.c": FILES["gpl/b.c"], "tool": FILES["tool"],
    }  # fmt: skip
    assert {row["address"].split("path=")[1]: (row["verdict"], row["rule"]) for row in ledger if row["rule"]} == {
        "LICENSE": ("removed", "code.not_source"), "NEWS": ("removed", "code.not_source"),
        "gpl/COPYING": ("removed", "code.not_source"), "link.py": ("removed", "code.link"),
        "logo.png": ("removed", "code.not_source"), "tests/test_a.py": ("removed", "code.tests"),
    }  # fmt: skip
    by = {meta(row)["path"]: row for row in documents}
    assert by["main.py"]["address"] == f"proj#commit={first},path=main.py"
    assert (by["main.py"]["published"], by["main.py"]["date_method"]) == (
        datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC),
        "commit",
    )
    assert meta(by["tool"])["language"] == "Python"
    assert meta(by["tool"])["commit"] == first
    assert {path: row["license"] for path, row in by.items()} == {
        "main.py": "MIT", "lib/util.py": "MIT", "tool": "MIT", "gpl/a.c": "GPL-3.0-only", "gpl/b.c": "ISC",
    }  # fmt: skip
    for revision in ("HEAD", None, "main", command(root, "rev-parse", "HEAD")):
        documents, _ = run(tmp_path / "store", tmp_path / "bare.git", revision=revision)
        assert "changed = 1\n" in {row["text"] for row in documents}
    # Without a revision the files are read as they lie there.
    (root / "main.py").write_text("not_committed = 1\n")
    documents, _ = run(tmp_path / "store", root)
    assert {row["text"] for row in documents if row["address"] == "proj/main.py"} == {"not_committed = 1\n"}
    assert all(row["published"] is None for row in documents)
    for revision in ("nothing", "../../../../etc/passwd", "refs/../../config", "--help", "0" * 40):
        with pytest.raises(InputError, match="no branch, tag or commit"):
            run(tmp_path / "store", root, revision=revision)


def test_nothing_of_a_hostile_repository_is_run(tmp_path: Path) -> None:
    root = repository(tmp_path / "proj")
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    for name in ("post-checkout", "post-index-change", "reference-transaction", "pre-auto-gc"):
        (root / ".git" / "hooks" / name).write_text(trap.read_text())
        (root / ".git" / "hooks" / name).chmod(0o755)
    (root / ".git" / "config").write_text(
        "[core]\n\trepositoryformatversion = 1\n"
        f"\tfsmonitor = {trap}\n\tsshCommand = {trap}\n\tpager = {trap}\n\talternateRefsCommand = {trap}\n"
        f'[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ext::{trap}\n\tuploadpack = {trap}\n'
        f'\tpromisor = true\n[filter "x"]\n\tsmudge = {trap}\n\tclean = {trap}\n[alias]\n\tcat-file = !{trap}\n'
        '[protocol "ext"]\n\tallow = always\n'
    )
    (root / ".git" / "info" / "attributes").write_text("* filter=x text eol=crlf working-tree-encoding=UTF-16\n")
    # An object is missing, which a partial clone would fetch.
    hash = command_hash(root, "gpl/a.c")
    (root / ".git" / "objects" / hash[:2] / hash[2:]).unlink()
    documents, ledger = run(tmp_path / "store", root, revision="v1")
    assert "x = 'é'\n" in {row["text"] for row in documents}
    assert [row["address"].split("path=")[1] for row in ledger if row["verdict"] == "failed"] == ["gpl/a.c"]
    assert not (tmp_path / "sprung").exists()
    (root / ".git" / "objects" / "info").mkdir(exist_ok=True)
    (root / ".git" / "objects" / "info" / "alternates").write_text("/somewhere/objects\n")
    with pytest.raises(InputError, match="borrows the objects"):
        run(tmp_path / "store", root, revision="v1")


def command_hash(root: Path, path: str) -> str:
    import hashlib

    data = (root / path).read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_a_tree_that_names_itself_again_and_again_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine levels of ten entries each: a billion files in eleven objects."""
    root = tmp_path / "bomb"
    root.mkdir()
    command(root, "init", "-q")
    hash = command(root, "hash-object", "-w", "--stdin", input=b"x = 1\n")
    tree = command(root, "mktree", input="".join(f"100644 blob {hash}\tf{i}.py\n" for i in range(10)).encode())
    for _ in range(8):
        tree = command(root, "mktree", input="".join(f"040000 tree {tree}\td{i}\n" for i in range(10)).encode())
    commit = command(root, "commit-tree", tree, "-m", "bomb")
    monkeypatch.setattr(git, "MAX_FILES", 1000)
    documents, ledger = run(tmp_path / "store", root, revision=commit)
    assert documents == []
    assert "more than 1000 files" in ledger[-1]["error"]


def test_archives_are_repositories(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "proj-1.0.tar.gz", "w:gz") as target:
        for name, content in reversed(FILES.items()):
            info = tarfile.TarInfo(f"proj-1.0/{name}")
            info.size = len(content.encode())
            target.addfile(info, io.BytesIO(content.encode()))
        for name, kind, link in (("../up.py", tarfile.REGTYPE, ""), ("proj-1.0/l.py", tarfile.SYMTYPE, "/etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            target.addfile(info)
        info = tarfile.TarInfo("proj-1.0/big.py")
        info.size = 2 << 20
        target.addfile(info, io.BytesIO(b"#" * info.size))
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as packed:
        packed.writestr("package.json", '{"license": "MIT"}')
        packed.writestr("a.js", "export const a = 1\n")
        packed.writestr("inner.zip", b"PK\x03\x04")
        packed.writestr("/abs.js", "1\n")
    documents, ledger = run(tmp_path / "store", tmp_path / "*.tar.gz", tmp_path / "flat.zip")
    assert {row["address"]: (row["group"], meta(row)["path"], row["license"]) for row in documents} == {
        "proj-1.0.tar.gz#proj-1.0/main.py": ("proj-1.0", "main.py", "MIT"),
        "proj-1.0.tar.gz#proj-1.0/lib/util.py": ("proj-1.0", "lib/util.py", "MIT"),
        "proj-1.0.tar.gz#proj-1.0/gpl/a.c": ("proj-1.0", "gpl/a.c", "GPL-3.0-only"),
        "proj-1.0.tar.gz#proj-1.0/gpl/b.c": ("proj-1.0", "gpl/b.c", "ISC"),
        "proj-1.0.tar.gz#proj-1.0/tool": ("proj-1.0", "tool", "MIT"),
        "flat.zip#a.js": ("flat", "a.js", "MIT"),
    }
    rules = {row["address"].split("#")[1]: row["rule"] for row in ledger}
    assert (rules["../up.py"], rules["/abs.js"], rules["proj-1.0/l.py"]) == (
        "code.outside",
        "code.outside",
        "code.link",
    )
    assert (rules["proj-1.0/big.py"], rules["inner.zip"]) == ("code.too_large", "code.not_source")
    (tmp_path / "cut.tar.gz").write_bytes((tmp_path / "proj-1.0.tar.gz").read_bytes()[:300])
    documents, ledger = run(tmp_path / "store", tmp_path / "cut.tar.gz")
    assert (documents, [row["verdict"] for row in ledger]) == ([], ["failed"])


def test_tables_of_source_files(tmp_path: Path) -> None:
    stack = {
        "content": ["x = 1\n", "int a;\n", None, "\0\0", "y = 1\n"],
        "max_stars_repo_path": ["a.py", "src/a.c", "b.py", "c.py", "node_modules/d.py"],
        "max_stars_repo_name": ["o/one", "o/two", "o/two", "o/two", "o/two"],
        "max_stars_repo_licenses": [["mit"], ["GPL-3.0-only", "MIT"], [], [], []],
        "max_stars_repo_head_hexsha": ["1" * 40] * 5,
    }
    pq.write_table(pa.table(stack), tmp_path / "stack.parquet", row_group_size=2)
    documents, ledger = run(tmp_path / "store", tmp_path / "stack.parquet")
    assert [(row["group"], row["license"], meta(row)["path"]) for row in documents] == [
        ("o/one", "MIT", "a.py"),
        ("o/two", "GPL-3.0-only AND MIT", "src/a.c"),
    ]
    assert [(row["verdict"], row["rule"]) for row in ledger[2:]] == [
        ("failed", None), ("removed", "code.binary"), ("removed", "code.vendored"),
    ]  # fmt: skip
    documents, ledger = run(tmp_path / "store", tmp_path / "stack.parquet", permissive_only=True)
    assert [row["license"] for row in documents] == ["MIT"]
    assert ledger[1]["rule"] == "code.license"
    pq.write_table(pa.table({"code": ["x"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no column for a file's path"):
        run(tmp_path / "store", tmp_path / "other.parquet")


def test_only_permissive_licences_and_paths_as_headers(tmp_path: Path) -> None:
    root = write(tmp_path / "proj", FILES)
    documents, ledger = run(tmp_path / "store", root, permissive_only=True, header="path")
    assert {row["address"]: row["text"].split("\n")[0] for row in documents} == {
        "proj/main.py": "# main.py",
        "proj/lib/util.py": "# lib/util.py",
        "proj/gpl/b.c": "// gpl/b.c",
        "proj/tool": "# tool",
    }
    assert {row["address"] for row in ledger if row["rule"] == "code.license"} == {"proj/gpl/a.c"}


def test_imports_order_files_wherever_they_lie(tmp_path: Path) -> None:
    files = {"a.py": "import b\n", "b.py": "import c\n", "c.py": "c = 1\n", "d.py": "import a\n"}
    root = repository(tmp_path / "proj", {**files, "main.py": "import d\n"})
    with tarfile.open(tmp_path / "proj.tar", "w") as target:
        for name in (*files, "d.py"):
            target.add(root / name, name)
    for path, revision in ((root, None), (root, "v1"), (tmp_path / "proj.tar", None)):
        documents, ledger = run(tmp_path / "store", path, order="imports", revision=revision)
        assert len([row for row in ledger if row["verdict"] == "kept"]) == len(documents) == 5
        assert [meta(row)["path"] for row in documents][:4] == ["c.py", "b.py", "a.py", "d.py"]
