"""Files of a git repository at a commit, read out of its objects; nothing is checked out, and nothing of it is run.

The repository is hostile. Git is never run in it: it works in an empty repository of our own, which has the other one's
objects and neither its configuration, hooks, attributes, replacements nor remotes. Branches and tags are read here.

Nothing is read outside of the folder that was named, but for a worktree and a submodule: there `.git` is a file
(`gitdir: ...`) that leads out of it, and is followed where what lies there names that folder for its own. A `.git` that
leads elsewhere, or is a link, is an error. So what someone else put into a folder cannot make documents of a repository
that lies elsewhere on the machine.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from firn.core.errors import InputError
from firn.data.code import reftable

#: Most files of a commit; a tree may name itself again and again.
MAX_FILES = 500_000
#: Address space of a git process, in bytes.
_MEMORY = 4 << 30
_MAX_REFS = 16 << 20
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# What each worktree has for itself (https://git-scm.com/docs/git-worktree#_refs).
_OWN = re.compile(r"HEAD$|refs/(?:bisect|worktree|rewritten)/")
_WORKTREE = re.compile(r"worktree\s*=(.*)", re.IGNORECASE)
_REF = re.compile(r"refs/[A-Za-z0-9][\w.+@/-]*")
_MAX_PATH = 4096
_SETTINGS = tuple(
    part
    for setting in (
        "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.attributesFile=/dev/null", "protocol.allow=never",
        "core.deltaBaseCacheLimit=32m", "core.packedGitLimit=256m", "core.packedGitWindowSize=16m", "gc.auto=0",
    )
    for part in ("-c", setting)
)  # fmt: skip


class Unreadable(Exception):
    """A file, or the rest of a repository, cannot be read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit. mode: as git writes it; `120000` is a symbolic link, `160000` a submodule."""

    path: str
    mode: str
    hash: str
    bytes: int


@dataclass(frozen=True)
class Repository:
    """A repository's own folder, `.git` or a bare one. name: of the repository. bare: no files lie beside it. outside:
    where it leads to beyond the folder that was named; it cannot be read then. worktree: where in `folder` the `HEAD`
    is of the worktree that was named."""

    folder: Path
    name: str
    bare: bool = True
    outside: Path | None = None
    worktree: Path | None = None


def named(path: str) -> list[str]:
    """The folders and files that a local path names: itself, or what it matches as a pattern, if behind no link."""
    path = os.path.expanduser(path)
    if os.path.isdir(path) or not glob.has_magic(path):
        return [path]
    base = Path(*itertools.takewhile(lambda part: not glob.has_magic(part), Path(path).parts))
    found = sorted(glob.glob(path, recursive=True))
    return [each for each in found if Path(each).resolve() == base.resolve() / Path(each).relative_to(base)]


def repository(path: str | Path) -> Repository | None:
    """The repository that a folder is, or has in `.git`; None where it is none."""
    path = Path(path)
    if _is_repository(path):
        return _inside(path, Repository(path, path.name.removesuffix(".git") or "root", path.name != ".git"))
    own = path / ".git"
    if own.is_file():
        said = _line(own, _MAX_PATH)
        if not said.startswith("gitdir: "):
            return None
        own = path / said.removeprefix("gitdir: ")
        if (linked := _linked(path, own)) is not None:
            return linked
    elif not _is_repository(own):
        return None
    return _inside(path, Repository(own, path.name or "root", False))


def _linked(path: Path, own: Path) -> Repository | None:
    """The repository of the worktree or submodule in `path`, whose `.git` leads to `own`; None where `own` does not say
    that `path` belongs to it (https://git-scm.com/docs/gitrepository-layout)."""
    name = path.name or "root"
    try:
        own, root = own.resolve(), path.resolve()
        if (own / "commondir").is_file() and (own / "gitdir").is_file():
            folder, back = (own / _line(own / "commondir", _MAX_PATH)).resolve(), own / _line(own / "gitdir", _MAX_PATH)
            # Git keeps these folders in the repository; one that lies elsewhere is not of the repository's making.
            if own.parent == folder / "worktrees" and (back.parent.resolve(), back.name) == (root, ".git"):
                return _inside(folder, Repository(folder, name, False, worktree=own))
        elif _is_repository(own) and any((own / tree).resolve() == root for tree in _worktrees(own)):
            return _inside(own, Repository(own, name, False))
    except (OSError, ValueError, RuntimeError):
        pass
    return None


def _worktrees(folder: Path) -> Iterator[str]:
    """Where a repository's files are as its configuration says, which it does of submodules; it may be in two files."""
    for name in ("config", "config.worktree"):
        section = ""
        for line in map(str.strip, _text(folder / name).split("\n") if (folder / name).is_file() else ()):
            if line.startswith("["):
                section = line.lower()
            elif section == "[core]" and (found := _WORKTREE.fullmatch(line)):
                yield re.sub(r"\\(.)", r"\1", found[1].strip().strip('"'))


def _is_repository(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _inside(path: Path, found: Repository) -> Repository | None:
    """The repository, if it and its objects lie in `path`; or else where they lie. None where it is none."""
    try:
        root = path.resolve()
        folders = [found.folder, found.folder / "objects"]
        for folder in folders:
            if not (real := folder.resolve()).is_relative_to(root):
                return replace(found, outside=real)
        if not _is_repository(found.folder):
            return None
        links = [entry.path for folder in (folders[1], folders[1] / "pack") for entry in _links(folder)]
        for link in links:
            if not (real := Path(link).resolve()).is_relative_to(root):
                return replace(found, outside=real)
    except (OSError, ValueError, RuntimeError):  # links that go round; no path at all
        return None
    return found


def _links(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_symlink()]


def commit(found: Repository, revision: str) -> str:
    """The hash of the commit that a hash, branch, tag or `HEAD` stands for. Raises InputError."""
    where, mend = str(found.folder), "name a branch, a tag or a commit's whole hash"
    if found.outside is not None:
        raise InputError(
            f"leads to {found.outside}, outside of the folder that is named, and nothing there names that folder",
            where=where,
            mend="name the repository that lies there in `paths`; of a worktree that was moved: `git worktree repair`",
        )
    if (found.folder / "objects" / "info" / "alternates").exists():
        raise InputError(
            "borrows the objects of another repository, which are not read",
            where=where,
            mend="make a whole copy of it: `git clone --bare --no-local`",
        )
    hash = _resolved(found, revision)
    try:
        if hash is not None:
            with opened(found, hash) as git:
                # A tag may stand for a commit; what stands for a tree or a file is no commit.
                return git.ask("rev-parse", "--verify", "--quiet", f"{hash}^{{commit}}").strip()
    except Unreadable:
        pass
    mend = f"{mend}; leave an empty repository out" if revision == "HEAD" else mend
    raise InputError(f"has no branch, tag or commit {revision!r}", where=where, key="revision", mend=mend)


def _resolved(found: Repository, revision: str) -> str | None:
    if _HASH.fullmatch(revision):
        return revision
    packed = _packed(found.folder)
    names = (
        [revision]
        if revision == "HEAD"
        else [revision, f"refs/tags/{revision}", f"refs/heads/{revision}", f"refs/remotes/{revision}"]
    )
    for name in names:
        for _ in range(5):  # a name may stand for another name
            if name != "HEAD" and (not _REF.fullmatch(name) or ".." in name):
                break
            folder = found.worktree if found.worktree and _OWN.match(name) else found.folder
            tables = reftable.is_used(folder)
            said = reftable.lookup(folder, name) if tables else _line(folder / name) or packed.get(name, "")
            if _HASH.fullmatch(said):
                return said
            if not said.startswith("ref: "):
                break
            name = said.removeprefix("ref: ").strip()
    return None


def _line(path: Path, most: int = 1024) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(most).split(b"\n")[0].decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _packed(folder: Path) -> dict[str, str]:
    """The branches and tags of the file `packed-refs`."""
    lines = _text(folder / "packed-refs").splitlines()
    pairs = (line.split(" ", 1) for line in lines if line and line[0] not in "#^" and " " in line)
    return {name: hash for hash, name in pairs}


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_REFS).decode("utf-8", "replace")
    except OSError:
        return ""


class Git:
    """A repository opened for reading."""

    def __init__(self, folder: str, objects: Path):
        self._command = ["git", "--no-pager", f"--git-dir={folder}", *_SETTINGS]
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": folder,
            "GIT_OBJECT_DIRECTORY": str(objects), "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_REPLACE_OBJECTS": "1",
        }  # fmt: skip

    @contextmanager
    def run(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A git process, ended when the block ends."""
        try:
            process = subprocess.Popen(
                [*self._command, *arguments], env=self._environment, cwd="/",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise InputError("git is not installed", mend="install git, or name a folder or an archive") from None
        if hasattr(resource, "prlimit"):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def ask(self, *arguments: str) -> str:
        """What a command prints. Raises Unreadable where it fails."""
        with self.run(*arguments) as process:
            assert process.stdout is not None
            out = process.stdout.read(1 << 20)
            if process.wait() != 0:
                raise Unreadable(f"git {arguments[0]} failed")
        return out.decode("utf-8", "replace")

    def date(self, commit: str) -> datetime | None:
        """When a commit was made, by its committer."""
        found = re.search(r"^committer .*> (\d{1,12}) [+-]\d{4}$", self.ask("cat-file", "commit", commit), re.MULTILINE)
        try:
            return datetime.fromtimestamp(int(found[1]), UTC) if found and int(found[1]) else None
        except (ValueError, OverflowError, OSError):
            return None

    def entries(self, commit: str) -> Iterator[Entry]:
        """All files of a commit, in git's order. Raises Unreadable."""
        with self.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit) as process:
            assert process.stdout is not None
            for count, line in enumerate(_split(process.stdout), 1):
                about, _, path = line.partition(b"\t")
                mode, _, hash, size = about.decode().split()
                if count > MAX_FILES:
                    raise Unreadable(f"more than {MAX_FILES} files in one commit")
                yield Entry(path.decode("utf-8", "backslashreplace"), mode, hash, int(size) if size.isdigit() else 0)
            if process.wait() != 0:
                raise Unreadable("its list of files breaks off")

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """A reader of files."""
        with self.run("cat-file", "--batch") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Contents(process.stdin, process.stdout)


class Contents:
    """Files by their hashes."""

    def __init__(self, asks: IO[bytes], answers: IO[bytes]):
        self._asks, self._answers = asks, answers

    def read(self, hash: str, limit: int) -> bytes:
        """A file of at most `limit` bytes. Raises Unreadable where it is missing, damaged, or longer."""
        try:
            self._asks.write(hash.encode() + b"\n")
            self._asks.flush()
        except BrokenPipeError:
            raise Unreadable("git ended: an object is damaged, or takes too much memory") from None
        about = self._answers.readline(1024).split()
        if len(about) != 3:
            raise Unreadable("the object is missing" if about[1:] == [b"missing"] else "the object cannot be read")
        size = int(about[2])
        if about[1] != b"blob" or size > limit:
            while size >= 0 and (block := self._answers.read(min(size + 1, 1 << 20))):
                size -= len(block)
            raise Unreadable("the object is no file, or larger than it should be")
        data = self._answers.read(size + 1)
        if len(data) != size + 1:
            raise Unreadable("the object breaks off")
        return data[:size]


def _split(stream: IO[bytes]) -> Iterator[bytes]:
    """What stands before each NUL."""
    rest = b""
    while block := stream.read(1 << 16):
        *lines, rest = (rest + block).split(b"\0")
        if len(rest) > 16 * _MAX_PATH:
            raise Unreadable("the name of a file is too long")
        yield from lines


@contextmanager
def opened(found: Repository, hash: str) -> Iterator[Git]:
    """The repository's objects, seen from an empty repository of our own. hash: of a commit, in the form they have."""
    with tempfile.TemporaryDirectory(prefix="firn-git-") as folder:
        for name in ("refs", "objects"):
            (Path(folder) / name).mkdir()
        (Path(folder) / "HEAD").write_text("ref: refs/heads/none\n")
        wide = len(hash) == 64
        config = f"[core]\n\trepositoryformatversion = {int(wide)}\n\tbare = true\n"
        (Path(folder) / "config").write_text(config + ("[extensions]\n\tobjectformat = sha256\n" if wide else ""))
        yield Git(folder, (found.folder / "objects").absolute())
