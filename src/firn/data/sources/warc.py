"""The source `warc`: web pages out of WARC, ARC and WACZ files, and texts out of WET files.

Every `response`, `resource`, `revisit` and `conversion` record is a row of the ledger, and so is every place in a file
where no record can be read. Records of other types (warcinfo, request, metadata), responses of name servers, robots.txt
and the crawler's own logs are no documents: the shard's notes count them by type, and they enter neither ledger nor
`Work.rows_in`.

Rules: `warc.status` (not a 200), `warc.not_html` (neither HTML nor plain text), `warc.binary` (says that it is text,
and is not), `warc.revisit` (no content of its own), `warc.too_large`, `warc.refused` (over a limit of extraction),
`warc.no_text`, and of what is no file of records `warc.link` (a symbolic link in a folder, never followed).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import BinaryIO, Literal

from pydantic import Field

from firn.core.hashing import document_id
from firn.core.inputs import External, Input
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work
from firn.data import charset, extract, http, wacz
from firn.data.extract import ExtractSettings
from firn.data.raw import Pattern, Rows, extra, grouping, host_of, path_of, timestamp
from firn.data.rights import header_opt_outs
from firn.data.robots.rules import is_robots_txt
from firn.data.sources.listing import find
from firn.data.sources.pages import extraction, is_binary
from firn.data.warc import Record, records

#: Types of records that could be documents.
DOCUMENTS = {"response", "resource", "conversion", "revisit"}
_HTML = {"text/html", "application/xhtml+xml"}
_TEXT = {"text/plain"}
# What names of web archives have in them.
_ARCHIVE = re.compile(r"\.(w?arc|wet|wat|wacz)\b", re.IGNORECASE)
_BEGINS_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)


class WarcSettings(Settings):
    """What changes the documents of a WARC file."""

    group: Pattern | None = None
    """Regular expression on the URL's path: its first group, or the whole match, names what must stay together in
    training or in validation. None, or no match: the host, without `www.`."""
    max_bytes: int = Field(default=32 << 20, ge=1)
    """Longest record, and longest body once decoded."""


class WarcSource(WarcSettings):
    """Web pages out of WARC, ARC and WACZ files, and texts out of WET files."""

    kind: Literal["warc"] = "warc"
    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or patterns, local or fsspec URLs: `crawl/*.warc.gz`."""


class WarcReading(Settings):
    """Settings of the stage `read` for a WARC file."""

    warc: WarcSettings
    extract: ExtractSettings


def tasks(name: str, source: WarcSource, settings: ExtractSettings) -> list[Task]:
    """One shard per file, and one for symbolic links, where there are some. Raises InputError."""
    found = find(source.paths)
    shards = [task(name, file.name, file.external(), source, settings) for file in found if not file.link]
    if links := [file.name for file in found if file.link]:
        shards.append(Task(STAGE, reading(source, settings), (), f"{name}/links", extra(name, links=links)))
    return shards


def task(source: str, part: str, file: External | Input, warc: WarcSettings, settings: ExtractSettings) -> Task:
    """One WARC file, which may also be the output of an earlier stage, called `part` in addresses."""
    more = extra(source, file=part, extraction=extraction(settings))
    return Task(STAGE, reading(warc, settings), (file,), f"{source}/{part}", more)


def reading(warc: WarcSettings, settings: ExtractSettings) -> WarcReading:
    """Settings of the stage, without what a source has beyond WarcSettings."""
    own = WarcSettings(**{key: getattr(warc, key) for key in WarcSettings.model_fields})
    return WarcReading(warc=own, extract=settings)


def run(work: Work) -> None:
    """Read one WARC file."""
    settings: WarcReading = work.settings
    rows, others = Rows(work, "warc"), Counter[str]()
    for link in work.extra.get("links", ()):
        if rows.enter(link):
            rows.remove("link")
    if not work.inputs:
        rows.close()
        return
    with work.stream() as stream:
        if _is_wacz(stream):
            _read_wacz(rows, work, settings, others)
        else:
            for record in records(stream, settings.warc.max_bytes, DOCUMENTS):
                if record.error and record.number == 0 and not _ARCHIVE.search(work.extra["file"]):
                    record.error += "; where this is no web archive, name those that are by a pattern: crawl/*.warc.gz"
                read_record(rows, record, f"{work.extra['file']}#", settings, others)
    rows.close()
    work.note("records_of_other_types", dict(sorted(others.items())))


def _read_wacz(rows: Rows, work: Work, settings: WarcReading, others: Counter[str]) -> None:
    """The records of all WARC files in a WACZ file."""
    file = work.extra["file"]
    with open(work.local(), "rb") as stream:  # zip files are read from their end
        for name, archive in wacz.archives(stream):
            try:
                if isinstance(archive, wacz.Refused):
                    raise archive
                with archive:
                    for record in records(archive, settings.warc.max_bytes, DOCUMENTS):
                        read_record(rows, record, f"{file}#{name},", settings, others)
            except wacz.Refused as error:
                if rows.enter(f"{file}#{name}"):
                    rows.fail(f"{error}; the rest of it is given up")
                rows.leave()


def _is_wacz(stream: BinaryIO) -> bool:
    head = stream.read(4)
    stream.seek(0)
    return wacz.is_wacz(head)


def read_record(rows: Rows, record: Record, file: str, settings: WarcReading, others: Counter[str]) -> None:
    """A row for the record, or one more in `others` where it is nothing that could be a document.

    file: what stands before the record's place in addresses.
    """
    url = record.headers.get("warc-target-uri", "").strip("<> ") or None
    if record.error is None and (other := _other(record, url or "")):
        others[other] += 1
        return
    address = f"{file}{record.place}"
    if record.type == "response":
        extract.prepare(settings.extract)
    if rows.enter(address, url):
        _read(rows, record, address, url, settings)
    rows.work.advance(1, (record.end or 0) - (record.offset or 0))
    rows.leave()


def _other(record: Record, url: str) -> str | None:
    """What the record is, if it is nothing that could be a document."""
    if record.type not in DOCUMENTS:
        return record.type or "unknown"
    if record.headers.get("content-type", "").startswith("text/dns"):
        return "dns"
    if is_robots_txt(url):
        return "robots.txt"
    # Crawlers keep their own logs so: metadata://gnu.org/software/wget/..., urn:X-wpull:log.
    return "log" if url.startswith(("metadata:", "urn:")) else None


def _read(rows: Rows, record: Record, address: str, url: str | None, settings: WarcReading) -> None:
    """End the row of a record."""
    if record.error is not None:
        rows.fail(record.error)
        return
    if record.block is None:
        rows.remove("too_large", record.size, settings.warc.max_bytes)
        return
    locator = record.headers.get("warc-record-id") or address
    id = document_id(locator, 0, record.block)
    if record.type == "revisit":
        rows.remove("revisit", id=id)
        return
    try:
        response = _response(record, settings.warc.max_bytes)
    except http.TooLarge:
        rows.remove("too_large", bound=settings.warc.max_bytes, id=id)
        return
    except http.Undecodable as error:
        rows.fail(str(error), id=id)
        return
    if response.status != 200:
        rows.remove("status", response.status, 200, id=id)
        return
    mime = response.mime or record.headers.get("warc-identified-payload-type", "").lower()
    if not mime and _BEGINS_HTML.match(response.body):
        mime = "text/html"
    if mime not in _HTML | _TEXT:
        rows.remove("not_html", id=id)
        return
    page = charset.decode(response.body, response.charset, html=mime in _HTML)
    if is_binary(page.text):
        rows.remove("binary", id=id)
        return
    try:
        if mime in _HTML:
            # Most pages are UTF-8 as they came, and are read as such: to encode them again takes time.
            html = response.body if page.told_by == "utf-8" else page.text
            found = extract.extract(html, settings.extract, url)
        else:
            found = extract.Extracted(page.text)
    except extract.Refused as refused:
        rows.fail(str(refused), "refused", id=id)
        return
    rows.keep(
        id,
        found.text,
        grouping(settings.warc.group, path_of(url), host_of(url) or locator),
        {
            "author": found.author,
            "canonical": found.canonical,
            "charset": page.charset,
            "declared_language": found.language or record.headers.get("warc-identified-content-language"),
            "last_modified": response.headers.get("last-modified"),
            "mime": mime,
            "opt_out": (*header_opt_outs(response.headers), *found.opt_out) or None,
            "title": found.title,
            "truncated": record.headers.get("warc-truncated") or (None if response.whole else "body"),
        },
        crawled=timestamp(record.headers.get("warc-date")),
        published=found.published,
        date_method=found.date_method,
        license=found.license,
    )


def _response(record: Record, limit: int) -> http.Response:
    """The record's content as a response; that of resource and conversion records has no HTTP header."""
    block = record.block or b""
    kind = record.headers.get("content-type", "")
    if kind.lower().startswith("application/http") or (record.type == "response" and block.startswith(b"HTTP/")):
        return http.parse(block, limit)
    return http.Response(200, {"content-type": kind}, block)


STAGE = Stage("read", 7, run, libraries=("fastwarc", "isal"), ledger=True)
