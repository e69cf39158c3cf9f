"""Where a git repository's objects and branches are: tables of branches, and `.git` that leads elsewhere."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.core.errors import InputError
from firn.data.code import git, reftable
from firn.data.fetch import raw
from firn.data.sources import CodeSource

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_sources_code_packed import command, repository, run

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
Value = str | tuple[str, str] | None


def number(value: int) -> bytes:
    out = [value & 127]
    while value := value >> 7:
        value -= 1
        out.append(value & 127 | 128)
    return bytes(reversed(out))


def table(blocks: list[dict[str, Value]], size: int = 0, wide: bool = False) -> bytes:
    """A table as https://git-scm.com/docs/reftable describes it. A value is a hash, a tag's hash and that of its
    commit, `ref: ` and a name, or None where the name was deleted."""
    head = b"REFT" + bytes([1 + wide]) + size.to_bytes(3, "big") + bytes(16) + (b"s256" if wide else b"")
    out = b""
    for names in blocks:
        first = head if not out else b""
        records, before, offset = b"", b"", len(first) + 4
        for name, value in sorted(names.items()):
            key = name.encode()
            common = next(
                (at for at, pair in enumerate(zip(before, key, strict=False)) if pair[0] != pair[1]),
                min(len(before), len(key)),
            )
            kind = 0 if value is None else 2 if isinstance(value, tuple) else 3 if value.startswith("ref: ") else 1
            records += number(common) + number(len(key) - common << 3 | kind) + key[common:] + number(7)
            if isinstance(value, tuple):
                records += bytes.fromhex("".join(value))
            elif value is not None and kind == 3:
                target = value.removeprefix("ref: ").encode()
                records += number(len(target)) + target
            elif value is not None:
                records += bytes.fromhex(value)
            before = key
        records += offset.to_bytes(3, "big") + (1).to_bytes(2, "big")
        block = first + b"r" + (offset + len(records)).to_bytes(3, "big") + records
        out += block + bytes(-len(block) % size if size else 0)
    return out + b"g" + bytes(3) + head + bytes(44)  # a block of the log, and the footer


def stack(folder: Path, *tables: bytes) -> Path:
    place = folder / "reftable"
    place.mkdir(parents=True, exist_ok=True)
    names = [f"0x{number:012x}-0x{number:012x}-{number:08x}.ref" for number in range(len(tables))]
    for name, data in zip(names, tables, strict=True):
        (place / name).write_bytes(data)
    (place / "tables.list").write_text("".join(f"{name}\n" for name in names))
    return folder


def hash_of(number: int, wide: bool = False) -> str:
    return random.Random(number).randbytes(32 if wide else 20).hex()


@pytest.mark.parametrize("size", [0, 4096])
@pytest.mark.parametrize("wide", [False, True])
def test_tables_lie_upon_each_other(tmp_path: Path, size: int, wide: bool) -> None:
    names: dict[str, Value] = {f"refs/heads/topic/{i:03}": hash_of(i, wide) for i in range(120)}
    names |= {"HEAD": "ref: refs/heads/topic/007", "refs/tags/v1": (hash_of(900, wide), hash_of(901, wide))}
    kept = sorted(names.items())
    blocks = [dict(kept[at : at + 30]) for at in range(0, len(kept), 30)]
    newer: dict[str, Value] = {"refs/heads/topic/003": None, "refs/heads/topic/004": hash_of(77, wide)}
    stack(tmp_path, table(blocks, size, wide), table([newer], size, wide))
    for name, value in {**names, **newer}.items():
        assert reftable.lookup(tmp_path, name) == (value[0] if isinstance(value, tuple) else value or ""), name
    for name in ("refs/heads/topic/9", "refs/heads/topic", "A", "z"):
        assert reftable.lookup(tmp_path, name) == ""


@given(st.integers(0, 1 << 32).map(random.Random), st.booleans())
def test_a_damaged_table_is_an_error_or_another_value_and_takes_no_time(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, cut: bool
) -> None:
    data = bytearray(table([{f"refs/heads/{i:03}": hash_of(i) for i in range(40)}], chance.choice([0, 4096])))
    at = chance.randrange(len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << chance.randrange(8)
    folder = stack(tmp_path_factory.mktemp("t"), bytes(data))
    with suppress(InputError):
        assert isinstance(reftable.lookup(folder, "refs/heads/020"), str)


def test_a_table_is_sought_nowhere_else(tmp_path: Path) -> None:
    stack(tmp_path, table([{"HEAD": hash_of(1)}]))
    for name in ("../secret.ref", "/etc/passwd.ref", "..", "a b.ref"):
        (tmp_path / "reftable" / "tables.list").write_text(name)
        with pytest.raises(InputError, match=r"no name of a table|cannot be read"):
            reftable.lookup(tmp_path, "HEAD")


def test_a_repository_with_its_branches_in_tables(tmp_path: Path) -> None:
    """Its files as git writes them (2.45 and newer); here the tables are of our own making."""
    root = repository(tmp_path / "proj")
    heads = {"HEAD": "ref: refs/heads/main", "refs/heads/main": command(root, "rev-parse", "HEAD")}
    tag = (command(root, "rev-parse", "v1"), command(root, "rev-parse", "v1^{commit}"))
    own = root / ".git"
    stack(own, table([{**heads, "refs/tags/v1": tag}], 4096))
    for path in (own / "refs" / "heads" / "main", own / "refs" / "tags" / "v1"):
        path.unlink()
    (own / "HEAD").write_text("ref: refs/heads/.invalid\n")
    for revision, text in (("HEAD", "changed = 1\n"), ("main", "changed = 1\n"), ("v1", "from lib import util\n")):
        documents, _ = run(tmp_path / "store", root, revision=revision)
        assert any(row["text"].startswith(text) for row in documents), revision
    with pytest.raises(InputError, match="no branch, tag or commit"):
        run(tmp_path / "store", root, revision="other")


def test_a_repository_that_git_gave_tables(tmp_path: Path) -> None:
    root = tmp_path / "proj"
    root.mkdir()
    try:
        command(root, "init", "-q", "--ref-format=reftable")
    except subprocess.CalledProcessError:
        pytest.skip("this git writes no tables; 2.45 and newer do")
    repository(root)
    for revision, text in (("HEAD", "changed = 1\n"), ("main", "changed = 1\n"), ("v1", "from lib import util\n")):
        documents, _ = run(tmp_path / "store", root, revision=revision)
        assert any(row["text"].startswith(text) for row in documents), revision


def test_a_git_file_is_followed_within_the_folder(tmp_path: Path) -> None:
    """`git init --separate-git-dir`, and bare clones with their worktrees beside them."""
    origin = repository(tmp_path / "origin")
    root = tmp_path / "proj"
    root.mkdir()
    command(root, "clone", "-q", "--bare", "--no-local", str(origin), ".bare")
    for said in ("gitdir: ./.bare\n", "gitdir: .bare", f"gitdir: {root / '.bare'}\n"):
        (root / ".git").write_text(said)
        documents, _ = run(tmp_path / "store", root, revision="main")
        main = next(row for row in documents if json.loads(row["meta"])["path"] == "main.py")
        assert main["text"] == "changed = 1\n"
        source = CodeSource(paths=(str(root),), revision="main")
        assert raw(main["address"], source).data == b"changed = 1\n"
    # Without a revision the files are read as they lie there.
    (root / "loose.py").write_text("loose = 1\n")
    documents, _ = run(tmp_path / "store", root)
    assert [row["text"] for row in documents] == ["loose = 1\n"]


def test_a_pattern_names_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin, mirrors = repository(tmp_path / "origin"), tmp_path / "mirrors"
    mirrors.mkdir()
    for name in ("one.git", "two.git"):
        command(tmp_path, "clone", "-q", "--bare", "--no-local", str(origin), str(mirrors / name))
    hidden = repository(tmp_path / "hidden")
    (mirrors / "link.git").symlink_to(hidden)
    (tmp_path / "behind").symlink_to(tmp_path / "mirrors")
    monkeypatch.chdir(tmp_path)
    (mirrors / "bare").mkdir()
    command(tmp_path, "clone", "-q", "--no-checkout", str(origin), str(mirrors / "bare" / "one"))
    both = {"one", "two"}
    for pattern, names in (
        (str(mirrors / "*.git"), both), ("mirrors/*.git", both), ("mir*/t*.git", {"two"}), ("**/o*e.git", {"one"}),
    ):  # fmt: skip
        for revision in (None, "HEAD"):
            documents, ledger = run(tmp_path / "store", pattern, revision=revision)
            assert {row["group"] for row in documents} == names
            assert all(row["published"] for row in documents)
            links = {row["address"] for row in ledger if row["rule"] == "code.link" and "#" not in row["address"]}
            assert links == ({"mirrors/link.git"} if "/*.git" in pattern else set())
    assert run(tmp_path / "store", "mirrors/bare/*", revision="HEAD")[0]
    documents, _ = run(tmp_path / "store", "mirrors/*.git")
    source = CodeSource(paths=("mirrors/*.git",))
    assert raw(documents[0]["address"], source).data.decode() == documents[0]["text"]
    # Without a revision, what is no bare repository is read as it lies there.
    (mirrors / "loose").mkdir()
    (mirrors / "loose" / "a.py").write_text("a = 1\n")
    documents, _ = run(tmp_path / "store", "mirrors/*")
    assert {row["group"] for row in documents} == {"one", "two", "mirrors"}
    assert {row["address"] for row in documents if not row["published"]} == {"mirrors/loose/a.py"}
    assert run(tmp_path / "store", "origin*", revision="main")[0]


def test_a_revision_is_never_passed_over(tmp_path: Path) -> None:
    """What lies in no repository that is named has no commit, and a folder of bare ones has no files."""
    root = repository(tmp_path / "src" / "one")
    repository(tmp_path / "src" / "two")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a.py").write_text("a = 1\n")
    for path in (tmp_path / "src", root / "lib", root / "main.py", tmp_path / "plain", root / "*.py", tmp_path / "*"):
        with pytest.raises(InputError, match="lies in no git repository"):
            run(tmp_path / "store", path, revision="main")
        if path != tmp_path / "*":
            assert run(tmp_path / "store", path)[0]
    documents, _ = run(tmp_path / "store", tmp_path / "src" / "*", revision="main")
    assert {row["group"] for row in documents} == {"one", "two"}
    assert run(tmp_path / "store", root, "stdlib:", revision="main")[0]
    (tmp_path / "mirrors").mkdir()
    command(tmp_path, "clone", "-q", "--bare", "--no-local", str(root), "mirrors/one.git")
    for revision, said in ((None, "bare git repositories and nothing else"), ("main", "in no git repository")):
        with pytest.raises(InputError, match=said):
            run(tmp_path / "store", tmp_path / "mirrors", revision=revision)
    (tmp_path / "mirrors" / "tool.py").write_text("tool = 1\n")
    documents, _ = run(tmp_path / "store", tmp_path / "mirrors")
    assert [row["text"] for row in documents] == ["tool = 1\n"]


def read_at(store: Path, root: Path, revision: str) -> str:
    """What `main.py` says at a revision, as a document and as it is fetched again."""
    documents, _ = run(store, root, revision=revision)
    main = next(row for row in documents if json.loads(row["meta"])["path"] == "main.py")
    assert raw(main["address"], CodeSource(paths=(str(root),), revision=revision)).data.decode() == main["text"]
    assert main["address"].startswith(f"{root.name}#commit={command(root, 'rev-parse', f'{revision}^{{commit}}')},")
    return str(main["text"])


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    """A worktree on a branch of its own, whose repository went on in the meantime."""
    origin, root = repository(tmp_path / "origin"), tmp_path / "work tree"
    command(origin, "worktree", "add", "-q", str(root), "-b", "topic")
    (root / "main.py").write_text("topic = 1\n")
    command(root, "commit", "-q", "-a", "-m", "third")
    return root


def test_a_worktree_is_read_at_its_own_head_and_at_the_branches_of_its_repository(
    tmp_path: Path, worktree: Path
) -> None:
    for pack in ((), ("pack-refs", "--all"), ("repack", "-adq")):
        if pack:
            command(worktree, *pack)
        told = {
            revision: read_at(tmp_path / "store", worktree, revision) for revision in ("HEAD", "topic", "main", "v1")
        }
        assert (told["HEAD"], told["topic"], told["main"]) == ("topic = 1\n", "topic = 1\n", "changed = 1\n")
        assert told["v1"].startswith("from lib import util\n")
    command(worktree, "checkout", "-q", "--detach", "v1")
    command(worktree, "update-ref", "refs/worktree/mine", "main")
    assert read_at(tmp_path / "store", worktree, "HEAD") == told["v1"]
    assert read_at(tmp_path / "store", worktree, "refs/worktree/mine") == "changed = 1\n"
    assert read_at(tmp_path / "store", tmp_path / "origin", "HEAD") == "changed = 1\n"
    # Without a revision the files are read as they lie there.
    (worktree / "main.py").write_text("not_committed = 1\n")
    documents, _ = run(tmp_path / "store", worktree)
    assert "not_committed = 1\n" in {row["text"] for row in documents}
    # By another name, and with relative paths, as git 2.48 and newer can write them.
    (tmp_path / "name").symlink_to(worktree)
    assert run(tmp_path / "store", tmp_path / "name", revision="HEAD")[0]
    (worktree / ".git").write_text("gitdir: ../origin/.git/worktrees/work-tree\n")
    (tmp_path / "origin" / ".git" / "worktrees" / "work-tree" / "gitdir").write_text("../../../../work tree/.git\n")
    assert read_at(tmp_path / "store", worktree, "HEAD") == told["v1"]


def test_a_worktree_of_a_bare_repository_within_the_folder(tmp_path: Path) -> None:
    origin = repository(tmp_path / "origin")
    (tmp_path / "proj").mkdir()
    command(tmp_path / "proj", "clone", "-q", "--bare", "--no-local", str(origin), ".bare")
    root = tmp_path / "proj" / "topic"
    command(tmp_path / "proj" / ".bare", "worktree", "add", "-q", str(root), "-b", "topic")
    assert read_at(tmp_path / "store", root, "HEAD") == "changed = 1\n"


def test_a_worktree_whose_branches_are_in_tables(tmp_path: Path, worktree: Path) -> None:
    """Its own `HEAD` is in a table of its own."""
    common, ours = tmp_path / "origin" / ".git", tmp_path / "origin" / ".git" / "worktrees" / "work-tree"
    names: dict[str, Value] = {f"refs/heads/{name}": command(worktree, "rev-parse", name) for name in ("main", "topic")}
    stack(common, table([{"HEAD": "ref: refs/heads/main", **names}], 4096))
    stack(ours, table([{"HEAD": "ref: refs/heads/topic"}], 4096))
    for folder in (common, ours):
        (folder / "HEAD").write_text("ref: refs/heads/.invalid\n")
    for revision, text in (("HEAD", "topic = 1\n"), ("main", "changed = 1\n")):
        documents, _ = run(tmp_path / "store", worktree, revision=revision)
        assert text in {row["text"] for row in documents}


def test_a_worktree_that_was_moved_is_an_error_until_it_is_repaired(tmp_path: Path, worktree: Path) -> None:
    moved = worktree.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="git worktree repair"):
        run(tmp_path / "store", moved, revision="HEAD")
    command(tmp_path / "origin", "worktree", "repair", str(moved))
    assert read_at(tmp_path / "store", moved, "HEAD") == "topic = 1\n"


@pytest.mark.parametrize("name", ["sub", "libs/a #;b"])
def test_a_submodule_is_read_at_its_own_head(tmp_path: Path, name: str) -> None:
    origin, super_ = repository(tmp_path / "origin"), repository(tmp_path / "super", {"main.py": "above = 1\n"})
    command(super_, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(origin), name)
    root = super_ / name
    assert read_at(tmp_path / "store", root, "HEAD") == "changed = 1\n"
    command(root, "checkout", "-q", "--detach", "v1")
    assert read_at(tmp_path / "store", root, "HEAD").startswith("from lib import util\n")
    # A worktree of it, and its configuration where a sparse checkout keeps it.
    command(root, "worktree", "add", "-q", str(tmp_path / "of-sub"), "main")
    assert read_at(tmp_path / "store", tmp_path / "of-sub", "HEAD") == "changed = 1\n"
    command(root, "sparse-checkout", "set", "lib")
    assert run(tmp_path / "store", root, revision="HEAD")[0]
    (super_ / ".git" / "modules" / name / "objects" / "info" / "alternates").write_text(
        str(origin / ".git" / "objects")
    )
    with pytest.raises(InputError, match="borrows the objects"):
        run(tmp_path / "store", root, revision="HEAD")


def test_a_worktree_is_followed_only_where_the_recipe_names_it(tmp_path: Path, worktree: Path) -> None:
    """Below a folder that is named, files are read as they lie there, whatever `.git` says; and so they are here."""
    above = tmp_path / "above"
    (above / "inner").mkdir(parents=True)
    (above / "inner" / ".git").write_text((worktree / ".git").read_text())
    (above / "inner" / "a.py").write_text("a = 1\n")
    documents, _ = run(tmp_path / "store", above)
    assert [row["text"] for row in documents] == ["a = 1\n"]


def test_nothing_is_read_outside_of_the_folder(tmp_path: Path) -> None:
    private = repository(tmp_path / "private")
    command(private, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "topic")
    super_ = repository(tmp_path / "super")
    command(super_, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(private), "sub")
    module, own = super_ / ".git" / "modules" / "sub", private / ".git" / "worktrees" / "tree"

    def pretend(root: Path) -> None:
        """A folder that looks like a worktree's, but that no repository has."""
        (root / "own").mkdir()
        (root / "own" / "HEAD").write_text("ref: refs/heads/main\n")
        (root / "own" / "commondir").write_text(str(private / ".git"))
        (root / "own" / "gitdir").write_text(str(root / ".git"))
        (root / ".git").write_text("gitdir: own\n")

    def deeper(root: Path) -> None:
        pretend(root)
        (root / "worktrees").mkdir()
        (root / "own").rename(root / "worktrees" / "own")
        (root / ".git").write_text("gitdir: worktrees/own\n")

    def borrow(root: Path) -> None:
        """A worktree of a whole repository beside it, which has the objects of another one."""
        (root / "repository" / "worktrees").mkdir(parents=True)
        (root / "repository" / "HEAD").write_text("ref: refs/heads/main\n")
        (root / "repository" / "objects").symlink_to(private / ".git" / "objects")
        pretend(root)
        (root / "own").rename(root / "repository" / "worktrees" / "own")
        (root / ".git").write_text("gitdir: repository/worktrees/own\n")
        (root / "repository" / "worktrees" / "own" / "commondir").write_text("../..")

    for name, make in {
        "file": lambda root: (root / ".git").write_text(f"gitdir: {private / '.git'}\n"),
        "relative": lambda root: (root / ".git").write_text("gitdir: ../private/.git\n"),
        "link": lambda root: (root / ".git").symlink_to(private / ".git"),
        "worktree": lambda root: (root / ".git").write_text(f"gitdir: {own}\n"),
        "module": lambda root: (root / ".git").write_text(f"gitdir: {module}\n"),
        "linked": lambda root: (root / ".git").symlink_to(tmp_path / "tree" / ".git"),
        "linked-module": lambda root: (root / ".git").symlink_to(super_ / "sub" / ".git"),
        "pretend": pretend,
        "deeper": deeper,
        "borrow": borrow,
    }.items():
        root = tmp_path / name
        root.mkdir()
        (root / "own.py").write_text("own = 1\n")
        make(root)
        with pytest.raises(InputError, match=r"outside of the folder|names no repository"):
            run(tmp_path / "store", root, revision="HEAD")
        source = CodeSource(paths=(str(root),), revision="HEAD")
        with pytest.raises(InputError, match=r"no repository|no file"):
            raw(f"{name}#commit={command(private, 'rev-parse', 'HEAD')},path=main.py", source)
        documents, _ = run(tmp_path / "store", root)
        assert [row["text"] for row in documents] == ["own = 1\n"]
    # What the error says to do works.
    assert run(tmp_path / "store", private, revision="topic")[0]
    assert run(tmp_path / "store", module, revision="HEAD")[0]
    # Objects that are borrowed by links are as far away.
    for part in ("objects", "objects/pack"):
        root = tmp_path / part.replace("/", "-")
        command(tmp_path, "clone", "-q", "--bare", "--no-local", str(private), str(root))
        (root / part).rename(tmp_path / f"moved-{root.name}")
        (root / part).symlink_to(tmp_path / f"moved-{root.name}")
        with pytest.raises(InputError, match="outside of the folder"):
            run(tmp_path / "store", root, revision="HEAD")


@pytest.mark.parametrize("said", ["", "gitdir: ", "gitdir: \0", "gitdir: .git", "gitdir: nothing", "nothing"])
def test_a_git_file_that_names_no_repository(tmp_path: Path, said: str) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / ".git").write_text(said)
    assert git.repository(tmp_path) is None
    with pytest.raises(InputError, match="names no repository"):
        run(tmp_path / "store", tmp_path, revision="HEAD")
    (tmp_path / ".git").unlink()
    (tmp_path / ".git").symlink_to(tmp_path / ".git")
    assert git.repository(tmp_path) is None
