"""Common Crawl's columnar index: which records of a crawl a recipe asks for, and where each of them lies.

The index is some 300 Parquet files a crawl, of 1 GB each, sorted by SURT key (`org,example)/page`). Of a file only the
columns are read that decide, only of row groups whose keys can hold what is sought, and the others only where
something was found; all by range requests.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AfterValidator, Field, model_validator

from firn.core.errors import InputError
from firn.core.hashing import hash64
from firn.core.inputs import External
from firn.core.settings import Settings
from firn.core.stage import Stage, Task, Work

#: Columns of the selection: where a record lies, and the URL of its page.
COLUMNS = ("warc_filename", "warc_record_offset", "warc_record_length", "url")
SELECTION = pa.schema(list(zip(COLUMNS, (pa.string(), pa.int64(), pa.int64(), pa.string()), strict=True)))
_KEY, _HOST, _LANGUAGES, _MIME = "url_surtkey", "url_host_name", "content_languages", "content_mime_detected"
# Bytes of the index fetched at a time.
_BLOCK = 1 << 18


def _domain(name: str) -> str:
    try:
        plain = name.strip().strip(".").lower().encode("idna").decode()
    except UnicodeError:
        plain = ""
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", plain):
        raise ValueError(f"{name!r} is no domain: write example.org")
    return plain


def _language(code: str) -> str:
    if not re.fullmatch(r"[a-z]{3}", code):
        raise ValueError(f"{code!r} is no ISO 639-3 code, as the index has them: eng, deu, isl")
    return code


class Where(Settings):
    """Which records of a crawl are read: those for which all that is said holds."""

    domains: tuple[Annotated[str, AfterValidator(_domain)], ...] = ()
    """The page's host is one of these, or below one: `example.org` has `www.example.org` in it."""
    languages: tuple[Annotated[str, AfterValidator(_language)], ...] = ()
    """The page's main language is one of these, in three letters (ISO 639-3), as Common Crawl found it (CLD2)."""
    mime: tuple[str, ...] = ()
    """The content is of one of these types, as Common Crawl found it: `text/html`, `application/xhtml+xml`."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Which share of these records, chosen by the hash of the seed and the URL."""

    @model_validator(mode="after")
    def _something(self) -> Where:
        if not (self.domains or self.languages or self.mime):
            raise ValueError("says nothing: name `domains`, `languages` or `mime`; for any pages say `files`")
        return self


class Search(Settings):
    """Settings of the stage `crawl-index`."""

    where: Where
    seed: int


def task(source: str, part: External, where: Where, seed: int) -> Task:
    """Search one part of the index: one output, `selection`, sorted by file and offset."""
    return Task(STAGE, Search(where=where, seed=seed), (part,), f"{source}/{part.name.rsplit('/', 1)[-1]}")


def run(work: Work) -> None:
    """Search one part of the index."""
    part = work.inputs[0]
    assert isinstance(part, External)
    settings: Search = work.settings
    with part.stream(_BLOCK) as stream:
        try:
            index = pq.ParquetFile(stream, pre_buffer=False)
            found = list(_found(index, settings.where, settings.seed))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"is no Parquet file, or damaged: {error}", where=part.path, mend="run the same command again"
            ) from error
        work.note("row_groups", index.num_row_groups)
    named = _placed(pa.concat_tables([SELECTION.empty_table(), *found]))
    table = named.group_by(list(COLUMNS), use_threads=False).aggregate([]).select(COLUMNS)
    work.note("named_again", len(named) - len(table))
    work.writer("selection", SELECTION).write(table.sort_by([(name, "ascending") for name in COLUMNS]))


def _found(index: pq.ParquetFile, where: Where, seed: int) -> Iterator[pa.Table]:
    """What is sought of each row group."""
    schema = index.schema_arrow
    asked = {_HOST: where.domains, _LANGUAGES: where.languages, _MIME: where.mime}
    needed = [name for name, values in asked.items() if values]
    if missing := sorted({*needed, *COLUMNS} - set(schema.names)):
        # Crawls before 2018 say nothing of languages.
        raise InputError(
            f"the index of this crawl has no column {missing[0]}",
            key="where",
            mend="ask for other things, or `files`",
        )
    for group in range(index.num_row_groups):
        if where.domains and not _may_hold(index.metadata.row_group(group), where.domains):
            continue
        mask = _matches(index.read_row_group(group, columns=needed, use_threads=False), where)
        if pc.any(mask).as_py():
            rows = index.read_row_group(group, columns=list(COLUMNS), use_threads=False).filter(mask)
            rows = rows.select(COLUMNS).cast(SELECTION)
            if where.share < 1:
                limit = where.share * 2**64
                urls = rows["url"].fill_null("").to_pylist()
                rows = rows.filter(pa.array([hash64(url.encode(), seed) < limit for url in urls]))
            yield rows


def _placed(rows: pa.Table) -> pa.Table:
    """The rows; one that does not say where its record lies names no byte of any file, so that reading it fails."""
    file, offset, length = (pc.is_null(rows[name]) for name in COLUMNS[:3])
    nowhere = pc.or_(file, pc.or_(offset, length))
    for number, nothing in enumerate(("", 0, 0)):
        place = pc.if_else(nowhere, pa.scalar(nothing, SELECTION.types[number]), rows[COLUMNS[number]])
        rows = rows.set_column(number, SELECTION.field(number), place)
    return rows


def _may_hold(group: Any, domains: tuple[str, ...]) -> bool:
    """Whether the keys of a row group can be of one of the domains."""
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema == _KEY:
            known = column.statistics
            if known is None or not known.has_min_max:
                return True
            return any(low <= str(known.max) and str(known.min) < high for low, high in map(_keys, domains))
    return True


def _keys(domain: str) -> tuple[str, str]:
    """The keys of a domain's pages lie between these: `org,example` and one of `)`, `,`, `:`."""
    try:
        ipaddress.ip_address(domain)
        return "", "\U0010ffff"
    except ValueError:
        key = ",".join(reversed(re.sub(r"^www\d*\.(?=.)", "", domain).split(".")))
        return f"{key})", f"{key};"


def _matches(rows: pa.Table, where: Where) -> pa.ChunkedArray | pa.Array:
    """Which rows are of the domains, languages and types."""
    masks = []
    if where.domains:
        hosts = rows[_HOST].unique().to_pylist()
        masks.append(_is_in(rows[_HOST], [host for host in hosts if host and _below(host, set(where.domains))]))
    if where.languages:
        masks.append(_is_in(pc.utf8_slice_codeunits(rows[_LANGUAGES], 0, 3), where.languages))
    if where.mime:
        masks.append(_is_in(rows[_MIME], where.mime))
    mask = masks[0]
    for other in masks[1:]:
        mask = pc.and_(mask, other)
    return mask


def _is_in(column: pa.ChunkedArray, values: Any) -> pa.ChunkedArray:
    return pc.is_in(column, value_set=pa.array(values, column.type))


def _below(host: str, domains: set[str]) -> bool:
    labels = host.lower().split(".")
    return any(".".join(labels[at:]) in domains for at in range(len(labels)))


STAGE = Stage("crawl-index", 2, run, libraries=("pyarrow",))
