"""The source `code`: source files of folders, git repositories, archives, and tables as The Stack has them.

Every file is a row of the ledger, but what is hidden (`.git`) or made by running (`__pycache__`) is passed over. Files
that the name rules out are not opened: `code.link` (a symbolic link), `code.submodule`, `code.outside` (a name that
leads out of its archive), `code.vendored`, `code.tests`, `code.not_source` (no name of a programming language's),
`code.generated_name`, `code.too_large`. Of those that are read, `code.binary`, `code.lfs_pointer` (git-lfs keeps its
content elsewhere), `code.not_source` (by its content), `code.license` (where only permissive licences are wanted) and
`code.no_text` leave. What a text says, that it is generated for one, is for the rules of a preset to judge.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from pydantic import Field

from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import External
from firn.core.stage import Stage, Task, Work
from firn.data.code import git, items, licenses, packed
from firn.data.code.items import CodeSettings, Item
from firn.data.compressed import Damaged
from firn.data.markup import archive
from firn.data.markup.work import MarkupError
from firn.data.raw import Rows, extra
from firn.data.sources.listing import Found, Rule, below, bundles, files_of, unique

#: The path that names the standard library of the Python that runs firn, without its tests.
STDLIB = "stdlib:"
_TABLES = (".parquet", ".arrow")
# What lies in the library's folder and is not the library: other people's packages, tests, files about this build; and
# the tables of character sets, which a program made.
_NOT_STDLIB = re.compile(
    r"^(?:site-packages|dist-packages|idlelib|turtledemo|lib2to3|ensurepip/_bundled)/|(?:^|/)tests?/"
    r"|^(?:_sysconfigdata|sitecustomize|usercustomize|encodings/(?:cp\d|iso8859|mac_|koi8|kz|ptcp|tis|hp_))"
)


class CodeSource(CodeSettings):
    """Source files of folders, git repositories, archives, and tables of files."""

    kind: Literal["code"] = "code"
    paths: tuple[str, ...] = Field(min_length=1)
    """Folders, each a repository, worktree or submodule, or full of them, files or patterns; bare git repositories or a
    pattern for them (`mirrors/*.git`); archives (`*.tar.gz`, `*.zip`), each a repository; tables of source files
    (`the-stack/*.parquet`). `stdlib:` is the standard library of the Python that runs firn, without its tests."""
    revision: str | None = None
    """Branch, tag or commit that git repositories are read at. None: bare ones at HEAD, others as their files lie. What
    a path names and is no repository is an error then; archives and tables are not."""


def tasks(name: str, source: CodeSource) -> list[Task]:
    """Shards: of files that are put together by the hashes of their names, and of what is packed. Raises InputError."""
    own = CodeSettings(**{key: getattr(source, key) for key in CodeSettings.model_fields})
    shards, loose, seen = [], list[Found](), dict[str, str]()
    for path in source.paths:
        repositories = _repositories(path, source.revision)
        for folder, found in repositories.items():
            commit = git.commit(found, source.revision or "HEAD")
            input = External(str(found.folder), found.name, commit, _packed_bytes(found.folder))
            shards.append(Task(STAGE, own, (input,), f"{name}/{found.name}", extra(name, commit=commit)))
            _once(seen, found.name, folder)
        if archive.is_archive(path) or path.lower().endswith(_TABLES):
            for file in files_of(path):
                _once(seen, file.name, file.path)
                form = "archive" if archive.is_archive(file.name) else "table"
                more = extra(name, **{form: file.name})
                shards.append(Task(STAGE, own, (file.external(),), f"{name}/{file.name}", more))
        else:
            loose += _beside(path, repositories, source.revision)
    return [*_loose(name, unique(loose), own), *shards]


def _once(seen: dict[str, str], name: str, path: str) -> None:
    if seen.setdefault(name, path) != path:
        raise InputError(f"has the same name as {seen[name]}: {name}", where=path, mend="make two sources of them")


def _repositories(path: str, revision: str | None) -> dict[str, git.Repository]:
    """The git repositories that a path names, if their objects are to be read and not the files beside them, by their
    folders. Raises InputError."""
    if path == STDLIB or not Files(path).is_local:
        return {}
    repositories = {folder: git.repository(folder) for folder in git.named(path)}
    for folder, found in repositories.items():
        if found is None and revision is not None and os.path.lexists(os.path.join(folder, ".git")):
            mend = "name the repository that it belongs to, or take the files as they lie, without `revision`"
            raise InputError("its `.git` names no repository", where=folder, key="revision", mend=mend)
    return {folder: found for folder, found in repositories.items() if found and (revision is not None or found.bare)}


def _beside(path: str, repositories: Collection[str], revision: str | None) -> list[Found]:
    """The files of a path that lie in none of these folders. Raises InputError where they cannot be what is meant."""
    folders = set(map(os.path.abspath, repositories))
    if os.path.abspath(os.path.expanduser(path)) in folders:
        return []
    try:
        found = [file for file in _files_of(path) if folders.isdisjoint(_above(file))]
    except InputError:
        if not repositories:
            raise
        return []  # no files lie beside what is in the repositories
    loose = next((file.path for file in found if not file.link), None)
    if revision is not None and loose and path != STDLIB:
        mend = (
            "name repositories themselves (`src/*` for those in `src`), and what is none in a source without `revision`"
        )
        raise InputError("lies in no git repository that a path names", where=loose, key="revision", mend=mend)
    if found and all(any(map(_is_bare, _above(file))) for file in found):
        mend = "name the repositories themselves, by a pattern as `mirrors/*.git`"
        raise InputError("holds bare git repositories and nothing else", where=path, mend=mend)
    return [file for file in found if "/__pycache__/" not in file.name]


def _above(file: Found) -> Iterator[str]:
    """The folders from the one that the path names, or its pattern begins with, down to the file."""
    if Files(file.path).is_local:
        parts = os.path.relpath(file.path, file.root).split(os.sep)
        yield from (os.path.abspath(os.path.join(file.root, *parts[:depth])) for depth in range(len(parts)))


@cache
def _is_bare(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, "HEAD")) and os.path.isdir(os.path.join(folder, "objects"))


def _packed_bytes(folder: Path) -> int:
    return sum(pack.stat().st_size for pack in (folder / "objects" / "pack").glob("*.pack"))


def _loose(name: str, files: Sequence[Found], own: CodeSettings) -> Iterator[Task]:
    """Shards of files in folders; with imports in order, of whole repositories."""
    repositories = {file.name: _repository(file) for file in files}
    notices: dict[str, dict[str, str | None]] = {}
    for file in files:
        if licenses.is_notice(file.name) and not file.link and file.bytes <= licenses.MAX_BYTES:
            repository = repositories[file.name]
            text = (Files(file.path).read("") or b"").decode("utf-8", "replace")
            within = _within(file.name, repository)
            notices.setdefault(repository, {})[within] = licenses.told_by(within, text)
    folders = {repository: licenses.of_folders(told) for repository, told in notices.items()}
    judged = []
    for file in files:
        rule = ("link",) if file.link else items.ruled_out(file.name, file.bytes, own)
        judged.append(replace(file, rule=rule))
    for bits, found in _whole(judged, repositories) if own.order == "imports" else bundles(judged):
        rows = [[file.name, repositories[file.name], file.rule] for file in found]
        known = {key: folders[key] for key in sorted({repositories[file.name] for file in found}) if folders.get(key)}
        known |= {"cpython": {"": "PSF-2.0"}} if any(file.root == STDLIB for file in found) else {}
        inputs = tuple(file.external() for file in found if file.rule is None)
        yield Task(STAGE, own, inputs, f"{name}/{bits}", extra(name, files=rows, licenses=known))


def _whole(files: Sequence[Found], repositories: Mapping[str, str]) -> Iterator[tuple[str, list[Found]]]:
    """Shards as `bundles` makes them, of whole repositories."""
    together: dict[str, list[Found]] = {}
    for file in files:
        together.setdefault(repositories[file.name], []).append(file)
    sizes = {key: sum(file.bytes for file in found if file.rule is None) for key, found in together.items()}
    for bits, units in bundles([Found("", "", key, size) for key, size in sizes.items()]):
        yield bits, [file for unit in units for file in together[unit.name]]


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


def _within(name: str, repository: str) -> str:
    return name.removeprefix(repository).lstrip("/")


def run(work: Work) -> None:
    """Read the files of one shard."""
    rows, own = Rows(work, "code"), work.settings
    name = work.inputs[0].name if work.inputs and isinstance(work.inputs[0], External) else ""
    passed: Counter[str] = Counter()
    try:
        if "commit" in work.extra:
            found = git.Repository(work.local(), name)
            items.end(rows, packed.of_git(found, work.extra["commit"], own), own)
        elif "archive" in work.extra:

            def stream() -> BinaryIO:
                return open(work.local(), "rb") if name.lower().endswith(".zip") else work.stream()

            items.end(rows, packed.of_archive(stream, name, own, passed), own)
        elif "table" in work.extra:
            with work.stream() as table:
                items.end(rows, packed.of_table(table, name, own), own)
        else:
            items.end(rows, _in_folders(work), own)
    except (git.Unreadable, MarkupError, Damaged) as error:
        rows.leave()
        if rows.enter(name):
            rows.fail(f"cannot be read on: {error}")
    if passed:
        work.note("passed_over", dict(sorted(passed.items())))
    rows.close()


def _in_folders(work: Work) -> Iterator[Item]:
    inputs = iter(range(len(work.inputs)))
    known = work.extra["licenses"]
    for name, repository, given in work.extra["files"]:
        rule: Rule | None = tuple(given) if given else None
        index = None if rule else next(inputs)
        path = _within(name, repository)
        license = licenses.of_file(path, known.get(repository, {}))
        size = 0 if index is None else work.inputs[index].bytes

        def read(index: int | None = index) -> bytes:
            return work.local(index or 0).read_bytes()

        yield Item(name, name, repository, path, rule, read, size, license)


STAGE = Stage("read", 3, run, ledger=True)
