"""The source `files`: texts that lie in files, plain, Markdown or HTML, and records, in JSON lines or tables.

A file is a row of the ledger, but of JSON lines every line is, and of a table every row. The kind of a file is told by
its suffix, also before `.gz`, `.bz2`, `.xz` or `.zst`: `.txt` and `.text`, `.md` and `.markdown`, `.html`, `.htm` and
`.xhtml`, `.jsonl`, `.ndjson` and `.json` lines; tables are `.csv` and `.tsv`, `.parquet`, `.arrow`, `.feather`, `.ipc`.
Rules: `files.unknown` (another suffix), `files.description` (what describes a folder of tables), `files.link` (a
symbolic link), `files.too_large`, `files.binary`, `files.refused` (a page over a limit of extraction), `files.no_text`.
A record without the wanted fields fails, and so does the rest of a file that is damaged.
"""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Literal, cast

from pydantic import Field
from pydantic_core import from_json

from firn.core.files import Files
from firn.core.hashing import document_id
from firn.core.inputs import External
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data import charset, extract, layouts, tables
from firn.data.compressed import Damaged, opened, plain_name
from firn.data.extract import ExtractSettings
from firn.data.layouts import Fields, Layout
from firn.data.raw import Pattern, Rows, extra, grouping, host_of
from firn.data.sources.listing import Found, Rule, bundles, find
from firn.data.sources.pages import extraction, is_binary

#: Suffix -> kind of file.
KINDS = {
    "txt": "text", "text": "text", "md": "markdown", "markdown": "markdown", "html": "html", "htm": "html",
    "xhtml": "html", "jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", **dict.fromkeys(tables.FORMS, "table"),
}  # fmt: skip
# What lies beside the tables of a Hugging Face dataset, or of one that `datasets` saved.
_DESCRIPTIONS = {"readme.md", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
#: A Parquet file of more bytes is several shards.
PART_BYTES = 256 << 20
# A line of more bytes is looked at before it is parsed: how many values may be in it.
_LARGE, _VALUES = 4 << 20, 1_000_000
_PIECE = 1 << 20


class FilesSettings(Settings):
    """What changes the documents of files."""

    group: Pattern | None = None
    """Regular expression on the file's name: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the file; for a record the host of its URL, or the record."""
    layout: Layout | None = None
    """A published corpus whose records these are, which says what their fields are."""
    fields: Fields = Fields()
    """Keys of JSON lines, or columns of tables; over those of `layout`."""
    delimiter: str | None = Field(default=None, pattern=r'^[^"\r\n]$')
    """What stands between the cells of CSV: one character, no quote or line break. None: a comma, in `.tsv` a tab."""
    license: str | None = None
    """Licence, as SPDX identifier or URL, of what does not say its own."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """Largest file that is one document, unpacked, or record, in bytes; of CSV in characters."""


class FilesSource(FilesSettings):
    """Texts in files: plain, Markdown, HTML, JSON lines, CSV, Parquet or Arrow."""

    kind: Literal["files"] = "files"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or patterns, local or fsspec URLs: `notes/`, `books/*.txt`, `corpus/*.jsonl.zst`,
    `hf://datasets/owner/name/data/*.parquet`."""


class FilesReading(Settings):
    """Settings of the stage `read` for files; extract: only of shards of HTML files."""

    files: FilesSettings
    extract: ExtractSettings | None


def tasks(name: str, source: FilesSource, settings: ExtractSettings) -> list[Task]:
    """Shards of files that are put together by the hashes of their names. Raises InputError."""
    own = FilesSettings(**{key: getattr(source, key) for key in FilesSettings.model_fields})
    return shards(name, find(source.paths), own, settings)


def shards(name: str, files: Sequence[Found], own: FilesSettings, settings: ExtractSettings) -> list[Task]:
    """The shards of these files."""
    described = _described(files)
    found = [replace(file, rule=_left_out(file, own, described)) for file in files]
    pages = [file for file in found if kind_of(file.name) == "html"]
    others = [file for file in found if kind_of(file.name) != "html"]
    return [
        *(task for bits, shard in bundles(others) for task in _parts(_task(name, bits, shard, own, None))),
        *(_task(name, f"html-{bits}", shard, own, settings) for bits, shard in bundles(pages)),
    ]


def _described(files: Sequence[Found]) -> set[tuple[str, str]]:
    """The folders of data sets, root and path within it: in or below which there is Parquet or Arrow, or else there are
    CSV and JSON, and no text or page but what describes them."""
    records, tabular, texts = set[tuple[str, str]](), set[tuple[str, str]](), set[tuple[str, str]]()
    for file in files:
        kind, path = kind_of(file.name), PurePosixPath(file.name)
        if kind is not None and path.name.lower() not in _DESCRIPTIONS:
            is_text = kind not in ("jsonl", "table")
            is_table = kind == "table" and _form(file.name) in ("parquet", "arrow")
            folders = texts if is_text else tabular if is_table else records
            folders.update((file.root, str(folder)) for folder in path.parents)
    return tabular | (records - texts)


def _task(source: str, part: str, found: list[Found], own: FilesSettings, settings: ExtractSettings | None) -> Task:
    pages = {"extraction": extraction(settings)} if settings is not None else {}
    more = extra(source, files=[[file.name, file.rule] for file in found], **pages)
    inputs = tuple(file.external() for file in found if file.rule is None)
    return Task(STAGE, FilesReading(files=own, extract=settings), inputs, f"{source}/{part}", more)


def _parts(task: Task) -> list[Task]:
    """The task itself, or several where it reads one large Parquet file, each the row groups that begin in its part."""
    if len(task.inputs) != 1 or len(task.extra["files"]) != 1 or task.inputs[0].bytes <= PART_BYTES:
        return [task]
    (file,) = task.inputs
    if not isinstance(file, External) or kind_of(file.name) != "table" or _form(file.name) != "parquet":
        return [task]
    count = -(-file.bytes // PART_BYTES)
    bounds = [file.bytes * number // count for number in range(count + 1)]
    return [
        replace(
            task,
            inputs=(replace(file, bytes=end - start),),  # what it works through
            label=f"{task.label}-{number}",
            extra={**task.extra, "part": [start, end]},
        )
        for number, (start, end) in enumerate(pairwise(bounds), 1)
    ]


def records_told(task: Task) -> tuple[int, int]:
    """How many records a shard will read, as far as its files say so for nothing, and the bytes of those files.

    A text is one, and of a Parquet file its footer has the number, where it lies on this machine and is whole.
    """
    records = size = 0
    for file in task.inputs:
        assert isinstance(file, External)
        kind, count = kind_of(file.name), None
        if kind in ("text", "markdown", "html"):
            count = 1
        elif kind == "table" and _form(file.name) == "parquet" and Files(file.path).is_local:
            with suppress(OSError, Damaged), file.stream() as stream:
                count = tables.parquet_rows(stream, task.extra.get("part"))
        if count is not None:
            records, size = records + count, size + file.bytes
    return records, size


def kind_of(name: str) -> str | None:
    """What a file of this name holds; None where it is not known."""
    kind = KINDS.get(PurePosixPath(plain_name(name).lower()).suffix[1:])
    # Parquet is read from its end.
    return None if kind == "table" and plain_name(name) != name and _form(name) == "parquet" else kind


def _form(name: str) -> str:
    return tables.FORMS[PurePosixPath(plain_name(name).lower()).suffix[1:]]


def _left_out(file: Found, settings: FilesSettings, described: set[tuple[str, str]]) -> Rule | None:
    kind, path = kind_of(file.name), PurePosixPath(file.name)
    if file.link:
        return ("link",)
    if kind is None:
        return ("unknown",)
    if path.name.lower() in _DESCRIPTIONS and (file.root, str(path.parent)) in described:
        return ("description",)
    if kind not in ("jsonl", "table") and file.bytes > settings.max_bytes:
        return ("too_large", file.bytes, settings.max_bytes)
    return None


def run(work: Work) -> None:
    """Read the files of one shard."""
    rows, inputs = Rows(work, "files"), iter(range(len(work.inputs)))
    if work.settings.extract is not None:
        extract.prepare(work.settings.extract)
    for name, rule in work.extra["files"]:
        if rule:
            if rows.enter(name):
                rows.remove(*rule)
            continue
        index = next(inputs)
        with work.stream(index) as raw:
            stream, kind = opened(raw, name), kind_of(name)
            if kind == "jsonl":
                # Unpacked bytes have such a buffer already, and what precedes damage would be lost in a second one.
                stream = io.BufferedReader(cast(io.RawIOBase, raw), _PIECE) if stream is raw else stream
                _lines(rows, name, stream, work.settings.files)
            elif kind == "table":
                _table(rows, name, stream, work.settings.files, work.extra.get("part"))
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
    except Damaged as error:
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
            "opt_out": found.opt_out or None,
            "title": found.title,
        },
        published=found.published,
        date_method=found.date_method,
        license=found.license or settings.files.license,
    )


def _lines(rows: Rows, name: str, stream: BinaryIO, settings: FilesSettings) -> None:
    """A row for every line that is not blank."""
    number, fields = 0, layouts.chosen(settings.fields, settings.layout)
    try:
        for lines in _bounded(stream, settings.max_bytes):
            first = number + 1
            for number, line in enumerate(lines, first):
                if line is not None and not line.strip():
                    continue
                if rows.enter(f"{name}#line={number}"):
                    if line is None:
                        rows.remove("too_large", bound=settings.max_bytes)
                    elif number == 1 and line.lstrip().startswith(b"["):
                        rows.fail(f"a JSON list; one object on each line is read: {_relined(name, '.[]')}")
                        return
                    elif number == 1 and line.strip() == b"{":
                        rows.fail(f"an object over several lines; one on each line is read: {_relined(name, '.')}")
                        return
                    else:
                        _line(rows, name, number, line, fields, settings)
            rows.leave()
            rows.work.advance(len(lines))
    except Damaged as error:
        if rows.enter(f"{name}#line={number + 1}"):
            rows.fail(f"cannot be decompressed: {error}, at line {number + 1}")


def _relined(name: str, filter: str) -> str:
    """The command that writes a file's objects one to a line."""
    plain = plain_name(name)
    unpack = {"": "cat", ".gz": "zcat", ".bz2": "bzcat", ".xz": "xzcat", ".zst": "zstdcat"}[name[len(plain) :].lower()]
    to = f"{plain}l" if plain.endswith(".json") else f"{plain}.jsonl"
    return f"{unpack} {shlex.quote(name)} | jq -c {shlex.quote(filter)} > {shlex.quote(to)}"


def _bounded(stream: BinaryIO, limit: int) -> Iterator[list[bytes | None]]:
    """The lines of a stream, about _PIECE bytes at a time; None for one of more than `limit`, which is passed over."""
    lines: list[bytes | None] = []
    size = 0
    try:
        while line := stream.readline(limit + 1):
            whole = len(line) <= limit or line.endswith(b"\n")
            lines.append(line if whole else None)
            size += len(line)
            while not whole and (rest := stream.readline(_PIECE)):
                whole = rest.endswith(b"\n")
            if size >= _PIECE:
                yield lines
                lines, size = [], 0
    except Damaged:
        yield lines
        raise
    yield lines


def too_dense(line: bytes) -> str | None:
    """What is wrong with a line that is not to be parsed, since it holds too many values; None where nothing is."""
    if len(line) > _LARGE and (inner := line.count(b"{") + line.count(b"[")) > _VALUES:
        # Each is some 300 bytes of Python's: more than all text of a line may take.
        return f"{inner:,} objects and lists in one record, over the limit of {_VALUES:,}"
    return None


def _line(rows: Rows, name: str, number: int, line: bytes, fields: Fields, settings: FilesSettings) -> None:
    """End the row of a line."""
    if problem := too_dense(line):
        rows.fail(f"line {number}: {problem}")
        return
    try:
        record = _parsed(line)
    except (ValueError, RecursionError) as error:
        rows.fail(f"line {number}: no JSON: {str(error)[:200]}")
        return
    found = layouts.found(record, fields)
    if found.text is None:
        rows.fail(f"line {number}: no text under the key {fields.text!r}")
    else:
        _record(rows, name, "jsonl", number, found, line.strip(), settings)


def _parsed(line: bytes) -> Any:
    """A line's value. Raises ValueError, RecursionError."""
    try:
        return from_json(line, cache_strings="keys")  # reads as `json` does, faster, but less: no UTF-16, no surrogates
    except ValueError:
        return json.loads(line)


def _table(
    rows: Rows, name: str, stream: BinaryIO, settings: FilesSettings, part: tuple[int, int] | None = None
) -> None:
    """A row for every row of a table, or of a part of it."""
    fields, form, number = layouts.chosen(settings.fields, settings.layout), _form(name), 0
    explicit = tuple(settings.fields.model_fields_set)

    def choose(columns: Sequence[str]) -> Sequence[str]:
        return layouts.columns_of(fields, explicit, columns, name)

    try:
        for piece in tables.pieces(stream, form, choose, settings.max_bytes, settings.delimiter, part):
            for row in piece:
                first = number + 1
                number += row.count if isinstance(row, tables.Unread) else 1
                if isinstance(row, tables.Unread) and row.elsewhere:
                    continue
                if rows.enter(f"{name}#row={first}" + (f"-{number}" if number > first else "")):
                    _row(rows, name, form, first, row, fields, settings)
            rows.leave()
            rows.work.advance(len(piece))
    except Damaged as error:
        if rows.enter(f"{name}#row={number + 1}"):
            rows.fail(f"cannot be read on: {error}, at row {number + 1}")


def _row(
    rows: Rows,
    name: str,
    form: str,
    number: int,
    row: tables.Row | tables.Unread,
    fields: Fields,
    settings: FilesSettings,
) -> None:
    """End the row of a table's row."""
    if isinstance(row, tables.Unread):
        if row.error is None:
            rows.remove("too_large", bound=settings.max_bytes)
        else:
            rows.fail(f"row {number}: {row.error}")
        return
    found = layouts.found(row, fields)
    if found.text is None:
        rows.fail(f"row {number}: no text in the column {fields.text!r}")
        return
    payload = found.text.encode("utf-8", "replace")
    if len(payload) > settings.max_bytes:
        rows.remove("too_large", len(payload), settings.max_bytes)
        return
    _record(rows, name, form, number, found, payload, settings)


def _record(
    rows: Rows, name: str, form: str, number: int, found: layouts.Found, payload: bytes, settings: FilesSettings
) -> None:
    """End the row of a record that has a text."""
    for field in found.unread:
        counts = rows.work.notes.setdefault("unread", {})
        counts[field] = counts.get(field, 0) + 1
    locator = f"{name}#{found.id or number}"
    rows.keep(
        document_id(locator, 0, payload),
        found.text or "",
        found.group or grouping(settings.group, name, host_of(found.url) or locator),
        {**found.meta, "format": form, "id": found.id},
        url=found.url,
        license=found.license or settings.license,
        **found.columns,
    )


STAGE = Stage("read", 4, run, ledger=True)
