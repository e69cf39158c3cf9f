"""Sets of documents out of files, to train and evaluate by: JSON lines, Parquet, plain text and Markdown."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from firn.core.errors import InputError
from firn.core.hashing import hash64
from firn.core.inputs import External
from firn.data import tables
from firn.data.compressed import Damaged, opened
from firn.data.raw import host_of
from firn.data.sources.files import kind_of, too_dense
from firn.data.sources.listing import Found, files_of

# Longest line, and longest file that is one document; of a document only its first bytes are looked at.
_MAX_BYTES = 32 << 20
# A set of fewer groups is divided by documents: all of an encyclopedia is one host.
_FEWEST_GROUPS = 20


class Document(NamedTuple):
    """text: UTF-8. group: what must not be on both sides of a division: the document's own, or its URL's host; None
    where neither is known. label: what stands in the field of labels."""

    text: bytes
    group: str | None
    label: str | None = None


def documents(paths: Sequence[str], *, text: str = "text", label: str | None = None) -> Iterator[Document]:
    """The documents of files, folders or patterns, local or fsspec URLs.

    JSON lines (.jsonl, .ndjson, .json) and Parquet (firn's own shards too) have a document in each row, in the field
    `text`; a file of text or Markdown is one. All but Parquet may be compressed: .gz, .bz2, .xz, .zst. What else lies
    in folders or matches a pattern (README, LICENSE, symbolic links) is passed over. label: field that says what a row
    is.
    Raises InputError for a path without such files, one that cannot be read, and a row without those fields.
    """
    for found, kind in _files(paths):
        try:
            with External(found.path, found.name, "", found.bytes).stream() as raw:
                yield from _rows(raw, kind, found, text, label)
        except (OSError, Damaged, ValueError, RecursionError) as error:
            problem = f"cannot be read: {str(error)[:400]}"
            raise InputError(problem, where=found.path, mend="check the file") from error


def _files(paths: Sequence[str]) -> list[tuple[Found, str]]:
    """The files of documents under the paths, each once, with what they hold."""
    chosen: dict[str, tuple[Found, str]] = {}
    for path in paths:
        files = [(file, kind) for file in files_of(path) if not file.link and (kind := _kind(file.name))]
        if not files:
            mend = "give .jsonl, .jsonl.zst, .parquet, .txt or .md, or a folder that holds some; links are not followed"
            raise InputError("holds no file of documents", where=path, mend=mend)
        chosen.update((file.path, (file, kind)) for file, kind in files)
    return list(chosen.values())


def _kind(name: str) -> str | None:
    kind = "parquet" if name.lower().endswith(".parquet") else kind_of(name)
    return kind if kind in ("parquet", "jsonl", "text", "markdown") else None


def _rows(raw: BinaryIO, kind: str, found: Found, text: str, label: str | None) -> Iterator[Document]:
    stream = opened(raw, found.name)
    if kind in ("text", "markdown"):
        yield Document(stream.read(_MAX_BYTES).decode("utf-8", "replace").encode(), None)
        return
    for number, row in enumerate(_parquet(stream, text, label) if kind == "parquet" else _lines(stream), 1):
        value, given = _value(row, text), _value(row, label) if label else None
        for field, missing in ((text, not isinstance(value, str)), (label, label and given is None)):
            if missing:
                fields = ", ".join(sorted(row)[:20]) if isinstance(row, dict) else "no fields"
                problem = f"row {number} has no {'text' if field == text else 'value'} in the field {field!r}"
                raise InputError(problem, where=found.path, mend=f"name another field; it has: {fields}")
        group, url = row.get("group"), row.get("url")
        name = group if isinstance(group, str) else host_of(url) if isinstance(url, str) else None
        yield Document(value.encode("utf-8", "replace"), name, None if given is None else str(given))


def _lines(stream: BinaryIO) -> Iterator[Any]:
    while line := stream.readline(_MAX_BYTES):
        if len(line) == _MAX_BYTES:
            raise ValueError(f"a line is longer than {_MAX_BYTES >> 20} MiB")
        if problem := too_dense(line):
            raise ValueError(problem)
        if line.strip():
            yield json.loads(line)


def _parquet(stream: BinaryIO, text: str, label: str | None) -> Iterator[Any]:
    def choose(columns: Sequence[str]) -> list[str]:
        return [name for name in columns if name in (text, label, "group", "url")]

    for row in tables.rows(stream, "parquet", choose, _MAX_BYTES, None):
        if isinstance(row, tables.Unread):
            raise ValueError(row.error or f"a row is larger than {_MAX_BYTES >> 20} MiB")
        yield row


def _value(row: Any, field: str | None) -> Any:
    """What lies under `a.b` in nested objects; a key that holds dots itself comes first."""
    if field is None or not isinstance(row, dict):
        return None
    if field in row:
        return row[field]
    first, _, rest = field.partition(".")
    return _value(row.get(first), rest) if rest else None


def sample(documents: Iterator[Document], most: int, bytes: int) -> dict[int, Document]:
    """Key -> document, by rising key: the hash of the text's first `bytes`, which are all that is kept of it.

    Of equal texts one is taken; of more than `most` documents those with the smallest hashes, so that neither the order
    nor the names of files matter.
    """
    largest: list[int] = []  # the keys, negative: a heap has its least on top
    found: dict[int, Document] = {}
    for document in documents:
        text = document.text[: bytes + 4]  # beyond the last character that is looked at
        key = hash64(text)
        if key in found or (len(found) == most and key > -largest[0]):
            continue
        if len(found) == most:
            del found[-heapq.heappop(largest)]
        heapq.heappush(largest, -key)
        found[key] = document._replace(text=text)
    return {key: found[key] for key in sorted(found)}


def group_keys(sampled: dict[int, Document]) -> list[int]:
    """A hash of each document's group, or of the document where it has none, or the set has too few of them."""
    groups = {document.group for document in sampled.values() if document.group is not None}
    whole = len(groups) < _FEWEST_GROUPS
    return [
        key if whole or document.group is None else hash64(document.group.encode("utf-8", "surrogatepass"))
        for key, document in sampled.items()
    ]
