"""Files that may be source code, wherever they lie, and how each ends: as a document, or with the reason why not."""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field

from firn.core.hashing import document_id
from firn.core.settings import Settings
from firn.data import charset
from firn.data.code import imports, languages, licenses
from firn.data.code.git import Unreadable
from firn.data.raw import Pattern, Rows, grouping
from firn.data.sources.listing import Rule

#: Bytes of a repository's files that are held at once to put them into the order of their imports.
MAX_HELD = 128 << 20

_VENDORED = {
    "node_modules", "vendor", "vendored", "third_party", "third-party", "site-packages", "dist-packages",
    "bower_components", "Pods",
}  # fmt: skip
_TESTS = {"test", "tests", "__tests__", "testdata"}
_TEST_FILE = re.compile(r"^test_|_(?:test|spec)$|\.(?:test|spec)$|^conftest$")
_GENERATED_NAME = re.compile(
    r"\.min\.(?:js|css)$|[.-](?:bundle|generated)\.\w+$|_pb2(?:_grpc)?\.pyi?$|\.pb\.(?:go|cc|h)$|"
    r"\.g\.(?:dart|cs)$|\.designer\.cs$|_generated\.go$",
    re.IGNORECASE,
)
_HEAD = 8192
# What git keeps of a file that git-lfs keeps elsewhere (git-lfs, docs/spec.md).
_POINTER = re.compile(rb"version https://(?:git-lfs|hawser)\.github\.com/spec/v\d+\r?\n(?:ext-|oid )")
_POINTER_BYTES = 1024


class CodeSettings(Settings):
    """What changes the documents of source files."""

    group: Pattern | None = None
    """Regular expression on the file's name, which begins with the repository's: its first group, or the whole match,
    names what must stay together in training or in validation. None, or no match: the repository."""
    tests: bool = False
    """Whether tests are taken too."""
    data: bool = False
    """Whether files of markup and data are taken too: HTML, JSON, YAML, Markdown, reStructuredText, Graphviz, OWL."""
    permissive_only: bool = False
    """Whether files go that are under no permissive licence, or under none that is known."""
    header: Literal["path"] | None = None
    """Whether a document begins with the file's path, as a comment."""
    order: Literal["path", "imports"] = "path"
    """Order of a repository's documents. `imports`: what a file imports stands before it, and a repository in one
    shard."""
    max_bytes: int = Field(default=1 << 20, ge=1)
    """Largest file, in bytes (The Stack: 1 MB)."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file that may be source code.

    name: what ids and groups are made of; it begins with the repository's. path: in the repository. rule: why it is
    not to be read. read: its bytes; raises Unreadable. license: of its folder or its table's row. published: of its
    commit.
    """

    address: str
    name: str
    repository: str
    path: str
    rule: Rule | None
    read: Callable[[], bytes]
    bytes: int = 0
    license: str | None = None
    commit: str | None = None
    published: datetime | None = None


def ruled_out(name: str, bytes: int, settings: CodeSettings) -> Rule | None:
    """The rule by which a file's name or size rules it out, with what it measured and its bound.

    name: begins with the repository's or the folder's own, which does not count.
    """
    path = PurePosixPath(name)
    folders = {part.lower() for part in path.parts[1:-1]}
    if folders & _VENDORED:
        return ("vendored",)
    if not languages.may_be_source(path.name, settings.data):
        return ("not_source",)
    if not settings.tests and (folders & _TESTS or _TEST_FILE.search(path.stem.lower())):
        return ("tests",)
    if _GENERATED_NAME.search(path.name):
        return ("generated_name",)
    if bytes > settings.max_bytes:
        return ("too_large", bytes, settings.max_bytes)
    return None


def is_hidden(path: str) -> bool:
    """Whether a file is passed over: it is hidden, or lies in a hidden folder, or was made by running."""
    return any(part.startswith(".") or part == "__pycache__" for part in path.split("/"))


def end(rows: Rows, items: Iterable[Item], settings: CodeSettings) -> None:
    """A row for each file, ended. By `imports`, the files that are read come after those that are not."""
    held: list[Item] = []
    size = 0
    for item in items:
        if item.rule is not None or settings.order == "path":
            _one(rows, item, settings)
            continue
        if held and (held[-1].repository != item.repository or size + item.bytes > MAX_HELD):
            _in_order(rows, held, settings)
            held, size = [], 0
        held.append(_at_hand(item))
        size += item.bytes
    _in_order(rows, held, settings)


def given(data: bytes, error: str) -> Callable[[], bytes]:
    """A reader of bytes that are at hand; error: of what could not be read."""

    def read() -> bytes:
        if error:
            raise Unreadable(error)
        return data

    return read


def _at_hand(item: Item) -> Item:
    try:
        return replace(item, read=given(item.read(), ""))
    except Unreadable as error:
        return replace(item, read=given(b"", str(error)))


def _in_order(rows: Rows, items: list[Item], settings: CodeSettings) -> None:
    by_path: dict[str, list[Item]] = {}
    texts = {}
    for item in items:
        by_path.setdefault(item.path, []).append(item)  # an archive may hold two files of one name
        try:
            text = item.read().decode("utf-8", "replace")
        except Unreadable:
            text = ""
        texts[item.path] = languages.by_name(item.path) or "", text
    for path in imports.ordered(texts):
        for item in by_path[path]:
            _one(rows, item, settings)


def _one(rows: Rows, item: Item, settings: CodeSettings) -> None:
    if rows.enter(item.address):
        if item.rule is not None:
            rows.remove(*item.rule)  # type: ignore[arg-type]
        else:
            try:
                _read(rows, item, item.read(), settings)
            except Unreadable as error:
                rows.fail(str(error))
    rows.leave()
    rows.work.advance(1, 0 if item.rule else item.bytes)


def _read(rows: Rows, item: Item, data: bytes, settings: CodeSettings) -> None:
    """End the row of a file."""
    id = document_id(item.name if item.commit is None else f"{item.commit}:{item.name}", 0, data)
    if b"\0" in data[:_HEAD] and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        rows.remove("binary", id=id)
        return
    if len(data) <= _POINTER_BYTES and _POINTER.match(data):
        rows.remove("lfs_pointer", id=id)
        return
    text, encoding = _decode(data, PurePosixPath(item.path).suffix)
    language = languages.language_of(item.path, text, settings.data)
    named = licenses.in_header(text)
    license = item.license if named is None else named or None
    if language is None:
        rows.remove("not_source", id=id)
        return
    if settings.permissive_only and not licenses.is_permissive(license):
        rows.remove("license", id=id)
        return
    if settings.header == "path" and text.strip():
        text = f"{languages.comment(language, item.path)}\n{text}"
    rows.keep(
        id,
        text,
        grouping(settings.group, item.name, item.repository),
        {
            "charset": encoding,
            "commit": item.commit,
            "language": language,
            "path": item.path,
            "repository": item.repository,
        },
        license=license,
        published=item.published,
        date_method="commit" if item.published else None,
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
