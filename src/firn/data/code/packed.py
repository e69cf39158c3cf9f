"""Source files that do not lie in folders: in archives, in git repositories, and in tables as The Stack has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from firn.core.errors import InputError
from firn.data import tables
from firn.data.code import git, licenses
from firn.data.code.items import CodeSettings, Item, given, is_hidden, ruled_out
from firn.data.layouts import plain
from firn.data.markup import archive
from firn.data.sources.listing import Rule

# What tables of source code call their columns, the first that is there: The Stack, its samples, StarCoderData,
# github-code and others.
_COLUMNS = {
    "text": ("content", "code", "text"),
    "path": ("max_stars_repo_path", "path", "file_path", "filename"),
    "repository": ("max_stars_repo_name", "repo_name", "repository_name", "repo"),
    "license": ("max_stars_repo_licenses", "detected_licenses", "licenses", "license"),
    "commit": ("max_stars_repo_head_hexsha", "revision_id", "commit"),
}
_SUFFIX = re.compile(r"\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|zip)$", re.IGNORECASE)


def of_archive(
    stream: Callable[[], BinaryIO], name: str, settings: CodeSettings, passed: Counter[str]
) -> Iterator[Item]:
    """The files of an archive, which is a repository, in its order. It is read twice: licences may lie behind.

    stream: opens it. passed: counts what is passed over. Raises MarkupError where it cannot be read on.
    """
    repository = _SUFFIX.sub("", name.rsplit("/", 1)[-1])
    told: dict[str, str | None] = {}
    tops: set[str] = set()

    def is_notice(member: str) -> bool:
        if len(tops) < 2:
            tops.add(member.split("/", 1)[0] if "/" in member else "")
        return licenses.is_notice(member) and not is_hidden(member)

    with stream() as file:
        for member in archive.members(file, name, licenses.MAX_BYTES, is_notice):
            if isinstance(member, archive.Member):
                told[member.name] = licenses.told_by(member.name, member.data.decode("utf-8", "replace"))
    # What hosts of repositories pack lies in one folder.
    top = f"{tops.pop()}/" if len(tops) == 1 and "" not in tops else ""
    folders = licenses.of_folders({path.removeprefix(top): found for path, found in told.items()})

    def wanted(member: str) -> bool:
        passed["hidden"] += (hidden := is_hidden(member.removeprefix(top)))
        return not hidden

    with stream() as file:
        for member in archive.members(file, name, settings.max_bytes, wanted):
            path = member.name.removeprefix(top)
            called, data = f"{repository}/{path}", b""
            if isinstance(member, archive.Member):
                data, error = member.data, ""
                rule = ruled_out(called, len(data), settings)
            else:
                error = member.error
                rule = (
                    (member.rule,) if member.rule in ("link", "outside") else ruled_out(called, member.bytes, settings)
                )
            license = licenses.of_file(path, folders)
            yield Item(f"{name}#{member.name}", called, repository, path, rule, given(data, error), len(data), license)


def of_git(found: git.Repository, commit: str, settings: CodeSettings) -> Iterator[Item]:
    """The files of a commit, in the order of paths. Raises Unreadable where they cannot be listed."""
    with git.opened(found, commit) as opened, opened.contents() as contents:
        published = opened.date(commit)
        entries = [entry for entry in opened.entries(commit) if not is_hidden(entry.path)]
        # One file may stand at thousands of places: it is read once for each name that it has.
        told: dict[tuple[str, str], str | None] = {}
        notices: dict[str, str | None] = {}
        for entry in entries:
            if licenses.is_notice(entry.path) and entry.mode.startswith("100") and entry.bytes <= licenses.MAX_BYTES:
                key = entry.hash, entry.path.rsplit("/", 1)[-1]
                if key not in told:
                    text = contents.read(entry.hash, licenses.MAX_BYTES).decode("utf-8", "replace")
                    told[key] = licenses.told_by(entry.path, text)
                notices[entry.path] = told[key]
        folders = licenses.of_folders(notices)
        for entry in entries:
            called = f"{found.name}/{entry.path}"
            rule = {"120000": ("link",), "160000": ("submodule",)}.get(entry.mode)
            yield Item(
                f"{found.name}#commit={commit},path={entry.path}",
                called,
                found.name,
                entry.path,
                rule or ruled_out(called, entry.bytes, settings),
                lambda hash=entry.hash: contents.read(hash, settings.max_bytes),  # type: ignore[misc]
                entry.bytes,
                licenses.of_file(entry.path, folders),
                commit,
                published,
            )


def of_table(stream: BinaryIO, name: str, settings: CodeSettings) -> Iterator[Item]:
    """The files of a table, each a row. Raises Damaged where it cannot be read on, InputError for a missing column."""
    columns: dict[str, str] = {}

    def choose(names: Sequence[str]) -> Sequence[str]:
        for role, called in _COLUMNS.items():
            if column := next((column for column in called if column in names), None):
                columns[role] = column
            elif role in ("text", "path"):
                raise InputError(
                    f"has no column for a file's {role} ({', '.join(called)}); there are: {', '.join(names[:30])}",
                    where=name,
                    mend="name its columns so, or read it as `files` with `fields`",
                )
        return list(columns.values())

    form = tables.FORMS[name.rsplit(".", 1)[-1].lower()]
    number = 0
    for row in tables.rows(stream, form, choose, settings.max_bytes, None):
        number += 1
        if isinstance(row, tables.Unread):
            address = f"{name}#row={number}" + (f"-{number + row.count - 1}" if row.count > 1 else "")
            number += row.count - 1
            rule: Rule | None = None if row.error else ("too_large", 0, settings.max_bytes)
            yield Item(address, name, name, name, rule, given(b"", row.error or ""))
            continue
        said = {role: plain(row.get(column)) for role, column in columns.items()}
        path = str(said["path"] or "").lstrip("/")
        repository = str(said.get("repository") or name)
        called = f"{repository}/{path}"
        text = said["text"]
        data = text.encode("utf-8", "replace") if isinstance(text, str) else b""
        error = "" if isinstance(text, str) and path else f"row {number}: no text or no path"
        yield Item(
            f"{name}#row={number}",
            called,
            repository,
            path or name,
            None if error else ruled_out(f"/{path}", len(data), settings),
            given(data, error),
            len(data),
            licenses.spelled(said.get("license")),
            str(said["commit"]) if said.get("commit") else None,
        )
