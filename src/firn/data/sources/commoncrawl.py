"""The source `commoncrawl`: a share of a crawl of Common Crawl's, as WARC or WET files, or single records of it.

Files are chosen by the hash of seed and name, the smallest first: of two shares the larger holds the smaller, so that
more files later leave the shards there are as they are. Each is read as the source `warc` reads it, in a stream.
Single records are found in the columnar index (firn.data.sources.crawl_index) and fetched by their places in the WARC
files; a row of the ledger is a record that the index names, whose page must be the one it names it for. Rules are those
of `warc`.
"""

from __future__ import annotations

import io
import math
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import Field, model_validator

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.files import Files
from firn.core.inputs import External, Input
from firn.core.remote import CONNECTIONS, PastEnd, Remote, WithoutRanges
from firn.core.stage import Stage, Task, Work
from firn.core.store import Manifest
from firn.data.extract import ExtractSettings
from firn.data.raw import Rows, extra
from firn.data.sources import crawl_index, warc
from firn.data.sources.crawl_index import Where
from firn.data.sources.crawls import BASE, Archive
from firn.data.sources.listing import chosen
from firn.data.sources.pages import extraction
from firn.data.urls import canonical
from firn.data.warc import Record, records

# Records of one shard.
_SLICE = 5_000
# Ranges of one file are fetched at once where no more than so many bytes lie between, and so many are fetched in all.
_GAP, _MERGED = 1 << 14, 4 << 20
# Ranges that are fetched ahead of the one being read.
_AHEAD = 4


class CommonCrawlSource(warc.WarcSettings):
    """Web pages, or texts of web pages, out of Common Crawl."""

    kind: Literal["commoncrawl"] = "commoncrawl"
    crawl: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the crawl: `CC-MAIN-2024-22`. `firn sources commoncrawl list` shows them all."""
    files: Annotated[int, Field(ge=1, strict=True)] | Annotated[float, Field(gt=0, le=1, strict=True)] | None = None
    """How many of its files are read, or which share of them: `10`, or `0.001`. Or say `where`."""
    format: Literal["warc", "wet"] = "warc"
    """warc: pages, from which the text is extracted here. wet: texts as Common Crawl extracts them."""
    where: Where | None = None
    """Which records are read, of the whole crawl: by domain, language, MIME type. Or say `files`."""
    seed: int = 0
    """Chooses the files, and the share of the records."""
    base: str = BASE
    """Where Common Crawl lies: its own server, `s3://commoncrawl`, or a copy's URL or folder."""
    connections: int = Field(default=CONNECTIONS, ge=1, le=64)
    """Connections to that server at once, of all workers on a machine together."""
    cache: str | None = None
    """A folder that keeps the files that were read, whole; None: they are streamed."""

    @model_validator(mode="after")
    def _a_share(self) -> CommonCrawlSource:
        if (self.files is None) == (self.where is None):
            raise ValueError("say either `files`, how many of the crawl's files are read, or `where`, which records")
        if self.where is not None and self.format != "warc":
            raise ValueError("`where` finds records of WARC files: leave `format` out")
        return self


def tasks(name: str, source: CommonCrawlSource, settings: ExtractSettings, engine: LocalEngine) -> list[Task]:
    """One shard per file, or per some thousand records of a part of the index, which is searched first. InputError."""
    archive = Archive(source.base, source.connections)
    if source.where is None:
        listed = archive.paths(source.crawl, source.format)
        if isinstance(source.files, int) and source.files > len(listed):
            files = f"{len(listed):,} {'file' if len(listed) == 1 else 'files'}"
            engine.progress.note(
                f"sources.{name}.files: {source.files:,} are asked for, and {source.crawl} has {files}"
            )
        paths = chosen(listed, source.files or 1, source.seed)
        return [warc.task(name, file.name, file, source, settings) for file in archive.files(paths, source.cache)]
    index = [path for path in archive.paths(source.crawl, "cc-index-table") if "/subset=warc/" in path]
    searches = [crawl_index.task(name, file, source.where, source.seed) for file in archive.files(index)]
    return [
        task
        for search, manifest in zip(searches, engine.run(searches), strict=True)
        for task in _shards(name, search.inputs[0], manifest, source, settings)
    ]


def _shards(
    name: str, part: Input | External, found: Manifest, source: CommonCrawlSource, settings: ExtractSettings
) -> list[Task]:
    """The shards that read the records which were found in one part of the index."""
    assert isinstance(part, External)
    shards = max(math.ceil((found.files["selection"].rows or 0) / _SLICE), 1)
    # Where the archive lies changes no byte: the records are known by the selection.
    archive = External(source.base, "archive", "commoncrawl", 0, source.connections)
    return [
        Task(
            STAGE,
            warc.reading(source, settings),
            (Input(found, ("selection",)), archive),
            f"{name}/{part.name.rsplit('/', 1)[-1]}:{number}",
            extra(name, slice=number, extraction=extraction(settings)),
        )
        for number in range(shards)
    ]


@dataclass(frozen=True)
class Range:
    """Records of one file that are fetched together: (offset, length, url) of each, in order."""

    file: str
    start: int
    end: int
    records: tuple[tuple[int, int, str | None], ...]


#: (file, offset, length, url) of a record, as the index has them.
Named = tuple[str, int, int, str | None]


def merged(selection: Sequence[Named]) -> Iterator[Range]:
    """Ranges of a selection, which is sorted: neighbours become one, within bounds."""
    at: Range | None = None
    for file, offset, length, url in selection:
        end, record = offset + length, (offset, length, url)
        if at and at.file == file and at.start <= offset <= at.end + _GAP and end - at.start <= _MERGED:
            at = Range(file, at.start, max(at.end, end), (*at.records, record))
            continue
        if at:
            yield at
        at = Range(file, offset, end, (record,))
    if at:
        yield at


def run(work: Work) -> None:
    """Fetch and read the records of a slice."""
    settings: warc.WarcReading = work.settings
    base = work.inputs[1]
    assert isinstance(base, External)
    archive = Archive(base.path, base.connections)
    table = work.table(file="selection").slice(work.extra["slice"] * _SLICE, _SLICE)
    selection = list(zip(*(table.column(name).to_pylist() for name in crawl_index.COLUMNS), strict=True))
    rows, others = Rows(work, "warc"), Counter[str]()
    for file, offset, length, url, record in fetched(archive, selection, settings.warc.max_bytes):
        if isinstance(record, Record):
            warc.read_record(rows, record, f"{file}#", settings, others)
            continue
        if rows.enter(f"{file}#bytes={offset}-{offset + length - 1}" if length else file, url):
            if length > settings.warc.max_bytes:
                rows.remove("too_large", length, settings.warc.max_bytes)
            else:
                rows.fail(record)
        work.advance(1, length)
        rows.leave()
    rows.close()
    work.note("records_of_other_types", dict(sorted(others.items())))


def fetched(
    archive: Archive, selection: Sequence[Named], limit: int
) -> Iterator[tuple[str, int, int, str | None, Record | str]]:
    """Every record of a selection, which is sorted, placed within its file, or why there is none. limit: bytes of the
    longest."""
    for part, data in _fetched(archive, list(merged(selection)), limit):
        for offset, length, url in part.records:
            piece = data[offset - part.start : offset - part.start + length] if isinstance(data, bytes) else data
            yield part.file, offset, length, url, _only(piece, offset, length, url, limit)


def _only(piece: bytes | str, offset: int, length: int, url: str | None, limit: int) -> Record | str:
    """The record that the piece is, placed within its file; or why it is none."""
    if isinstance(piece, str):
        return piece
    found = list(records(io.BytesIO(piece), limit, warc.DOCUMENTS))
    if len(found) != 1 or found[0].error:
        return f"what the index names is not one record: {found[0].error or f'{len(found)} records'}"
    if found[0].type not in warc.DOCUMENTS:
        return f"what the index names is no page, but a record of the type {found[0].type[:40] or 'unknown'}"
    of = found[0].headers.get("warc-target-uri", "").strip("<> ")
    if url is not None and not _same_page(of, url):
        return f"what the index names is the record of another page (page {of})"
    return replace(found[0], offset=offset, end=offset + length)


def _same_page(one: str, other: str) -> bool:
    """Whether two URLs name one page, however each of them is escaped."""
    return one == other or canonical(unquote(one)) == canonical(unquote(other))


def _fetched(archive: Archive, ranges: Sequence[Range], limit: int) -> Iterator[tuple[Range, bytes | str]]:
    """Every range with its bytes, or why there are none, in order; some are fetched ahead."""
    waiting: deque[tuple[Range, object]] = deque()
    with ThreadPoolExecutor(_AHEAD) as threads:
        todo = iter(ranges)
        while True:
            while len(waiting) < _AHEAD and (part := next(todo, None)) is not None:
                waiting.append((part, threads.submit(_fetch, archive, part, limit)))
            if not waiting:
                return
            part, coming = waiting.popleft()
            data = coming.result()  # type: ignore[attr-defined]
            if isinstance(data, bytes) or len(part.records) == 1:
                yield part, data
                continue
            # One of them may be to blame: each by itself.
            for each in part.records:
                alone = Range(part.file, each[0], each[0] + each[1], (each,))
                yield alone, _fetch(archive, alone, limit)


def _fetch(archive: Archive, part: Range, limit: int) -> bytes | str:
    if len(part.records) == 1 and part.records[0][1] > limit:
        return "too large"
    if part.start < 0 or part.end <= part.start:
        return "what the index names is no place in a file"
    try:
        url = archive.url(part.file)
    except InputError as error:
        return error.problem
    files = Files(url)
    try:
        if files.is_local:
            with open(files.root, "rb") as stream:
                stream.seek(part.start)
                data = stream.read(part.end - part.start)
            return data if len(data) == part.end - part.start else "the file ends before the record does"
        return Remote(files, connections=archive.connections, known=False).read(part.start, part.end)
    except FileNotFoundError:
        return "there is no such file"
    except PastEnd:
        return "the file ends before the record does"
    except WithoutRanges:
        raise OSError(f"{url}: the server gives whole files only, so that no record can be fetched") from None


STAGE = Stage("read", 5, run, libraries=("fastwarc", "isal"), ledger=True)
