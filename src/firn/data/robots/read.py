"""The stage `robots-read`: files that hold robots.txt become a table of them, one row a time that one was fetched.

Files are, by their names:

- WARC, ARC and WACZ files: records whose URL is a robots.txt, with status and time. Common Crawl publishes those of a
  crawl as files of their own, which its list `robotstxt.paths.gz` names;
- JSON lines, plain or compressed: `{"url": "https://example.com/robots.txt", "text": "User-agent: ..."}`, and, where
  known, `status` (200) and `fetched` (ISO 8601);
- any other file is a robots.txt, of the host that it or its folder is named for: `example.com.txt`, or
  `example.com/robots.txt` as wget leaves it; it holds for http and https, and its time is not known.

A record that is damaged or too large, and a line that is no such JSON, is counted in the shard's notes.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import urljoin

import pyarrow as pa
import zstandard

from firn.core.errors import InputError, RecipeError
from firn.core.hashing import hash64
from firn.core.inputs import External
from firn.core.stage import Stage, Task, Work
from firn.data import http, wacz
from firn.data.compressed import Damaged, opened, plain_name
from firn.data.raw import timestamp
from firn.data.robots.rules import LIMIT, is_robots_txt, place, reduced
from firn.data.robots.settings import RobotsRules
from firn.data.sources import CommonCrawlSource, Source, WarcSource
from firn.data.sources.crawls import Archive
from firn.data.sources.listing import find
from firn.data.warc import Record, records

#: authority: as `rules.place` has it. redirect: the authority that it points to, where its path is /robots.txt there.
#: rules: the file (rules.reduced), compressed each by itself, so that what a table takes in memory is what it shows.
ROBOTS = pa.schema(
    [
        pa.field("authority", pa.string(), nullable=False),
        pa.field("fetched", pa.timestamp("us", "UTC")),
        pa.field("status", pa.int16(), nullable=False),
        pa.field("redirect", pa.string()),
        pa.field("rules", pa.binary()),
    ],
    metadata={"format": "firn.robots", "format_version": "1"},
)

_WARC = (".warc", ".arc", ".wacz")
_JSON = (".jsonl", ".ndjson", ".json")
#: Bytes of the longest record, or line of JSON, that is looked at.
LONGEST = 16 << 20
_LIST = "/robotstxt.paths.gz"
_ROWS = 256


@dataclass(frozen=True)
class Copy:
    """A robots.txt as it was fetched, or what was found in its place."""

    url: str
    body: bytes
    status: int = 200
    fetched: datetime | None = None
    location: str | None = None

    def row(self) -> dict[str, Any] | None:
        """The row of ROBOTS; None where the URL is none of http or https."""
        if (found := place(self.url)) is None:
            return None
        row = {"authority": found[0], "fetched": self.fetched, "status": self.status}
        if 200 <= self.status < 300:
            return {**row, "rules": pack(reduced(self.body))}
        if 300 <= self.status < 400 and self.location and is_robots_txt(to := _joined(self.url, self.location)):
            return {**row, "redirect": (place(to) or ("",))[0]}
        return row


def pack(rules: bytes) -> bytes:
    """As the column `rules` has them."""
    return zstandard.ZstdCompressor(level=3).compress(rules)


def site(authority: str) -> int:
    """One number for all authorities of a host: with or without `www.`, of any scheme and port."""
    return hash64(authority.partition("://")[2].partition(":")[0].removeprefix("www.").encode("utf-8", "replace"))


def unpack(rules: bytes) -> bytes:
    """What was packed."""
    return zstandard.ZstdDecompressor().decompress(rules, max_output_size=2 * LIMIT)


def files(robots: RobotsRules, source: Source) -> list[External]:
    """The files that hold a source's robots.txt. Raises RecipeError where it knows of none, InputError."""
    paths = paths_of(robots, source)
    lists = [path for path in paths if path.endswith(_LIST)]
    found = [file.external() for file in find([path for path in paths if path not in lists])]
    for path in lists:
        base, _, crawl = path.removesuffix(_LIST).rpartition("/crawl-data/")
        found += Archive(base).files(Archive(base).paths(crawl, "robotstxt"))
    return found


def paths_of(robots: RobotsRules, source: Source, key: str = "rules.robots") -> Sequence[str]:
    """Where a source's robots.txt lie; empty where its index tells (robots.crawl). RecipeError where none is known."""
    if robots.paths is not None or isinstance(source, CommonCrawlSource):
        return robots.paths or ()
    if not isinstance(source, WarcSource):
        problem = f"sources of the kind {source.kind} hold no robots.txt"
        raise RecipeError(problem, key=key, mend="say where they lie: robots: {paths: [...]}")
    return source.paths


def task(file: External, crawl: bool) -> Task:
    """The task that reads one file. crawl: it is of a source of the kind `warc`, whatever its name."""
    return Task(STAGE, None, (file,), f"robots/{file.name}", {"crawl": crawl})


def run(work: Work) -> None:
    """Read one file."""
    file = work.inputs[0]
    assert isinstance(file, External)
    write(work, _copies(work, file))


def write(work: Work, copies: Iterable[Copy | None]) -> None:
    """The output `robots`, and a note of how many there were that cannot be read: None among the copies."""
    writer = work.writer("robots", ROBOTS)
    rows: list[dict[str, Any]] = []
    unreadable = 0
    for copy in copies:
        if copy is None:
            unreadable += 1
        elif (row := copy.row()) is not None:
            rows.append(row)
        if len(rows) == _ROWS:
            writer.write(rows)
            rows = []
    writer.write(rows)
    work.note("unreadable", unreadable)


def _copies(work: Work, file: External) -> Iterator[Copy | None]:
    """Every robots.txt in a file, None for what cannot be read."""
    name = plain_name(file.name.lower())
    if work.extra["crawl"] or name.endswith(_WARC):
        with work.stream() as stream:
            yield from _in_warc(stream)
    elif name.endswith(_JSON):
        with work.stream() as stream:
            yield from _in_lines(opened(stream, file.name))
    else:
        with work.stream() as stream:
            body = stream.read(LIMIT + 1)
        host = _host(file)
        yield from (Copy(f"{scheme}://{host}/robots.txt", body) for scheme in ("http", "https"))


def _host(file: External) -> str:
    folder, _, name = file.name.rpartition("/")
    host = posixpath.basename(folder) if name == "robots.txt" else name.removesuffix(".txt")
    if place(f"http://{host}/") is None:
        mend = "name it or its folder for its host: example.com.txt, or example.com/robots.txt below the folder given"
        raise InputError("is a robots.txt of nobody knows which host", where=file.path, mend=mend)
    return host


def _in_warc(stream: BinaryIO) -> Iterator[Copy | None]:
    head = stream.read(4)
    stream.seek(0)
    if not wacz.is_wacz(head):
        yield from map(of_record, filter(_matters, records(stream, LONGEST, ("response", "resource"))))
        return
    for _, archive in wacz.archives(stream):
        try:
            if isinstance(archive, wacz.Refused):
                raise archive
            with archive:
                yield from map(of_record, filter(_matters, records(archive, LONGEST, ("response", "resource"))))
        except wacz.Refused:
            yield None


def _matters(record: Record) -> bool:
    return record.error is not None or (record.type in ("response", "resource") and is_robots_txt(_url(record)))


def _url(record: Record) -> str:
    return record.headers.get("warc-target-uri", "").strip("<> ")


def of_record(record: Record) -> Copy | None:
    """The copy in a record of a web archive; None where it cannot be read."""
    if record.error is not None or record.block is None:
        return None
    found = http.Response(200, {}, record.block)
    if record.headers.get("content-type", "").lower().startswith("application/http") or record.type == "response":
        try:
            found = http.parse(record.block, LONGEST)
        except (http.TooLarge, http.Undecodable):
            return None
    fetched = timestamp(record.headers.get("warc-date"))
    return Copy(_url(record), found.body, found.status, fetched, found.headers.get("location"))


def _in_lines(stream: BinaryIO) -> Iterator[Copy | None]:
    try:
        while line := stream.readline(LONGEST + 1):
            if len(line) > LONGEST:
                yield None
                while line and not line.endswith(b"\n"):
                    line = stream.readline(LONGEST)
            elif line.strip():
                yield _of_line(line)
    except Damaged:
        yield None


def _of_line(line: bytes) -> Copy | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, Mapping) or not isinstance(row.get("url"), str) or not is_robots_txt(row["url"]):
        return None
    text, status, fetched = row.get("text", ""), row.get("status", 200), row.get("fetched")
    if not isinstance(text, str) or not isinstance(status, int) or not 0 <= status < 1000:
        return None
    when = timestamp(fetched) if isinstance(fetched, str) else None
    return Copy(row["url"], text.encode("utf-8", "replace"), status, when, row.get("location"))


def _joined(url: str, location: Any) -> str:
    try:
        return urljoin(url, str(location))
    except ValueError:
        return ""


STAGE = Stage("robots-read", 2, run, libraries=("fastwarc", "isal", "zstandard"))
