"""The source `files`: texts that lie in files, plain, Markdown, HTML or JSON lines.

A file is a row of the ledger, but of JSON lines every line is. The kind of a file is told by its suffix, also before a
`.gz`: `.txt` and `.text`, `.md` and `.markdown`, `.html`, `.htm` and `.xhtml`, `.jsonl`, `.ndjson` and `.json` lines.
Rules: `files.unknown` (another suffix), `files.link` (a symbolic link), `files.too_large`, `files.binary`,
`files.refused` (a page over a limit of extraction), `files.no_text`. A line that is no JSON object with the wanted
fields fails, and so does the rest of a file whose compression is broken.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, cast

from pydantic import Field

from firn.core.hashing import document_id
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data import charset, extract
from firn.data.extract import ExtractSettings
from firn.data.raw import Pattern, Rows, extra, grouping, host_of, timestamp
from firn.data.sources.listing import Found, Rule, bundles, find
from firn.data.sources.pages import extraction, is_binary

#: Suffix -> kind of file.
KINDS = {
    "txt": "text", "text": "text", "md": "markdown", "markdown": "markdown", "html": "html", "htm": "html",
    "xhtml": "html", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl",
}  # fmt: skip
_PIECE = 1 << 20


class Fields(Settings):
    """Which keys of a JSON line hold what. `metadata.url` looks into an object. A key that a line lacks is null."""

    text: str = "text"
    """The document; a line without it fails."""
    id: str | None = "id"
    """What names the line within its file; its number where there is none."""
    url: str | None = "url"
    """Where it was found."""
    published: str | None = None
    """When it was written, in ISO 8601."""
    crawled: str | None = None
    """When it was fetched, in ISO 8601."""
    license: str | None = "license"
    """Under which licence it may be used."""
    group: str | None = None
    """What must stay together in training or in validation."""


class FilesSettings(Settings):
    """What changes the documents of files."""

    group: Pattern | None = None
    """Regular expression on the file's name: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the file; for a line of JSON the host of its URL, or the line."""
    fields: Fields = Fields()
    """Keys of JSON lines."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """Largest file, or line of JSON, in bytes."""


class FilesSource(FilesSettings):
    """Texts in files: plain, Markdown, HTML or JSON lines."""

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or patterns, local or fsspec URLs: `notes/`, `books/*.txt`, `corpus/*.jsonl.gz`."""


class FilesReading(Settings):
    """Settings of the stage `read` for files; extract: only of shards of HTML files."""

    files: FilesSettings
    extract: ExtractSettings | None


def tasks(name: str, source: FilesSource, settings: ExtractSettings) -> list[Task]:
    """Shards of files that are put together by the hashes of their names. Raises InputError."""
    own = FilesSettings(**{key: getattr(source, key) for key in FilesSettings.model_fields})
    found = [replace(file, rule=_left_out(file, own)) for file in find(source.paths)]
    pages = [file for file in found if kind_of(file.name) == "html"]
    others = [file for file in found if kind_of(file.name) != "html"]
    return [
        *(_task(name, bits, shard, own, None) for bits, shard in bundles(others)),
        *(_task(name, f"html-{bits}", shard, own, settings) for bits, shard in bundles(pages)),
    ]


def _task(source: str, part: str, found: list[Found], own: FilesSettings, settings: ExtractSettings | None) -> Task:
    pages = {"extraction": extraction(settings)} if settings is not None else {}
    more = extra(source, files=[[file.name, file.rule] for file in found], **pages)
    inputs = tuple(file.external() for file in found if file.rule is None)
    return Task(STAGE, FilesReading(files=own, extract=settings), inputs, f"{source}/{part}", more)


def kind_of(name: str) -> str | None:
    """What a file of this name holds; None where it is not known."""
    path = PurePosixPath(name.lower().removesuffix(".gz"))
    return KINDS.get(path.suffix[1:])


def _left_out(file: Found, settings: FilesSettings) -> Rule | None:
    kind = kind_of(file.name)
    if file.link:
        return ("link",)
    if kind is None:
        return ("unknown",)
    if kind != "jsonl" and file.bytes > settings.max_bytes:
        return ("too_large", file.bytes, settings.max_bytes)
    return None


def run(work: Work) -> None:
    """Read the files of one shard."""
    rows, inputs = Rows(work, "files"), iter(range(len(work.inputs)))
    for name, rule in work.extra["files"]:
        if rule:
            if rows.enter(name):
                rows.remove(*rule)
            continue
        index = next(inputs)
        with work.stream(index) as raw:
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if name.lower().endswith(".gz") else raw
            if kind_of(name) == "jsonl":
                _lines(rows, name, stream, work.settings.files)
            elif rows.enter(name):
                _file(rows, name, stream, work.settings)
        rows.leave()
        work.advance(bytes=work.inputs[index].bytes)
    rows.close()


def _file(rows: Rows, name: str, stream: BinaryIO, settings: FilesReading) -> None:
    """End the row of a file that is one document."""
    limit = settings.files.max_bytes
    try:
        data = stream.read(limit + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        rows.fail(f"cannot be decompressed: {error}")
        return
    if len(data) > limit:
        rows.remove("too_large", bound=limit)
        return
    id, kind = document_id(name, 0, data), kind_of(name)
    decoded = charset.decode(data, html=kind == "html")
    if is_binary(decoded.text):
        rows.remove("binary", id=id)
        return
    found = extract.Extracted(decoded.text)
    if settings.extract is not None:
        try:
            found = extract.extract(decoded.text, settings.extract)
        except extract.Refused as refused:
            rows.fail(str(refused), "refused", id=id)
            return
    rows.keep(
        id,
        found.text,
        grouping(settings.files.group, name, name),
        {
            "author": found.author,
            "canonical": found.canonical,
            "charset": decoded.charset,
            "declared_language": found.language,
            "format": kind,
            "title": found.title,
        },
        published=found.published,
        date_method=found.date_method,
        license=found.license,
    )


def _lines(rows: Rows, name: str, stream: BinaryIO, settings: FilesSettings) -> None:
    """A row for every line that is not blank."""
    number = 0
    try:
        for number, line in enumerate(_bounded(stream, settings.max_bytes), 1):
            if line is not None and not line.strip():
                continue
            if rows.enter(f"{name}#line={number}"):
                if line is None:
                    rows.remove("too_large", bound=settings.max_bytes)
                else:
                    _line(rows, name, number, line, settings)
            rows.leave()
            rows.work.advance(1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if rows.enter(f"{name}#line={number + 1}"):
            rows.fail(f"cannot be decompressed: {error}, at line {number + 1}")


def _bounded(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """The lines of a stream; None for one of more than `limit` bytes, which is passed over."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            yield line
            continue
        yield None
        while (rest := stream.readline(_PIECE)) and not rest.endswith(b"\n"):
            pass


def _line(rows: Rows, name: str, number: int, line: bytes, settings: FilesSettings) -> None:
    """End the row of a line."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        rows.fail(f"line {number}: no JSON: {str(error)[:200]}")
        return
    fields = settings.fields
    text = _value(record, fields.text)
    if not isinstance(text, str):
        rows.fail(f"line {number}: no text under the key {fields.text!r}")
        return
    given = {key: _string(record, path) for key, path in fields.model_dump().items() if key != "text"}
    published = timestamp(given["published"])
    locator = f"{name}#{given['id'] or number}"
    rows.keep(
        document_id(locator, 0, line.strip()),
        text,
        given["group"] or grouping(settings.group, name, host_of(given["url"]) or locator),
        {"format": "jsonl", "id": given["id"]},
        url=given["url"],
        crawled=timestamp(given["crawled"]),
        published=published,
        date_method="field" if published else None,
        license=given["license"],
    )


def _value(record: Any, path: str | None) -> Any:
    """What lies under `a.b` in nested objects; a key that holds dots itself comes first."""
    if path is None or not isinstance(record, dict):
        return None
    if path in record:
        return record[path]
    first, _, rest = path.partition(".")
    return _value(record.get(first), rest) if rest else None


def _string(record: Any, path: str | None) -> str | None:
    value = _value(record, path)
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, str | int | float) else None


STAGE = Stage("read", 1, run, ledger=True)
