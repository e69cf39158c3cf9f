"""robots.txt out of Common Crawl for the sites of these documents: found in a crawl's index, fetched by their places.

1. `robots-sites` (one task per shard of documents, and one that puts them together): which sites there are.
2. `robots-index` (one task per part of the index of robots.txt, `subset=robotstxt`): where records of theirs lie.
3. `robots-fetch` (one task per some thousand records): the table of firn.data.robots.read.

For a share of a crawl that is a small part of what all its robots.txt would be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.inputs import External
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.robots.read import LONGEST, Copy, of_record, site, write
from firn.data.robots.rules import place
from firn.data.sources.commoncrawl import CommonCrawlSource, fetched
from firn.data.sources.crawl_index import COLUMNS, SELECTION
from firn.data.sources.crawls import Archive
from firn.data.warc import Record

_SITES = pa.schema([pa.field("site", pa.uint64(), nullable=False)])
_HOST = "url_host_name"
# Bytes of the index fetched at a time, and records of one shard.
_BLOCK, _SLICE = 1 << 18, 5_000


def tables(engine: LocalEngine, shards: Sequence[Input], source: CommonCrawlSource) -> list[Manifest]:
    """Shards with the output `robots`, of the sites of these documents. Raises InputError."""
    archive = Archive(source.base, source.connections)
    index = [path for path in archive.paths(source.crawl, "cc-index-table") if "/subset=robotstxt/" in path]
    if not index:
        mend = f"read them all: robots: {{paths: [{source.base}/crawl-data/{source.crawl}/robotstxt.paths.gz]}}"
        raise InputError("its index has no robots.txt", where=source.crawl, key="rules.robots", mend=mend)
    by_shard = engine.run([Task(SITES, None, (shard,), shard.manifest.label) for shard in shards])
    parts = sorted((Input(manifest, ("sites",)) for manifest in by_shard), key=lambda part: part.identity)
    sites = Input(engine.run([Task(SITES, None, tuple(parts), "all")])[0], ("sites",))
    found = engine.run(
        [Task(INDEX, None, (file, sites), f"robots/{file.name.rsplit('/', 1)[-1]}") for file in archive.files(index)]
    )
    # Where the archive lies changes no byte: the records are known by the selection.
    where = External(source.base, "archive", "commoncrawl", 0, source.connections)
    return engine.run(
        [
            Task(FETCH, None, (Input(part, ("selection",)), where), f"{part.label}:{number}", {"slice": number})
            for part in found
            for number in range(math.ceil((part.files["selection"].rows or 0) / _SLICE))
        ]
    )


def find_sites(work: Work) -> None:
    """The sites of a shard of documents, or of several shards of sites, each once."""
    found = [np.array([], np.uint64)]
    for number, shard in enumerate(work.inputs):
        assert isinstance(shard, Input)
        if shard.files == ("sites",):
            found.append(work.table(number, "sites").column("site").to_numpy())
        else:
            for batch in work.batches(columns=["url"]):
                places = (place(url) for url in batch.column("url").to_pylist() if url)
                found.append(np.array([site(each[0]) for each in places if each], np.uint64))
    work.writer("sites", _SITES).write(pa.table([pa.array(np.unique(np.concatenate(found)))], schema=_SITES))


def search(work: Work) -> None:
    """Search one part of the index for the sites: one output, `selection`, sorted by file and offset."""
    part, sites = work.inputs[0], work.table(1, "sites").column("site")
    assert isinstance(part, External)
    with part.stream(_BLOCK) as stream:
        try:
            found = list(_found(pq.ParquetFile(stream, pre_buffer=False), sites))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
            raise InputError(
                f"is no index of robots.txt, or damaged: {error}", where=part.path, mend="run the same command again"
            ) from error
    table = pa.concat_tables([SELECTION.empty_table(), *found])
    work.writer("selection", SELECTION).write(table.sort_by([(name, "ascending") for name in COLUMNS]))


def _found(index: pq.ParquetFile, sites: pa.ChunkedArray) -> Iterator[pa.Table]:
    """What is sought of each row group."""
    for group in range(index.num_row_groups):
        hosts = index.read_row_group(group, columns=[_HOST], use_threads=False).column(_HOST)
        names = hosts.unique().drop_null()
        known = pa.array([site(f"https://{name.lower()}") for name in names.to_pylist()], pa.uint64())
        mask = pc.is_in(hosts, value_set=names.filter(pc.is_in(known, value_set=sites)))
        if pc.any(mask).as_py():
            rows = index.read_row_group(group, columns=list(COLUMNS), use_threads=False).filter(mask)
            yield rows.select(COLUMNS).cast(SELECTION).drop_null()


def fetch(work: Work) -> None:
    """Fetch the records of a slice."""
    base = work.inputs[1]
    assert isinstance(base, External)
    table = work.table(file="selection").slice(work.extra["slice"] * _SLICE, _SLICE)
    selection = list(zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True))

    def copies() -> Iterator[Copy | None]:
        for _, _, length, _, record in fetched(Archive(base.path, base.connections), selection, LONGEST):
            yield of_record(record) if isinstance(record, Record) else None
            work.advance(1, length)

    write(work, copies())


SITES = Stage("robots-sites", 1, find_sites)
INDEX = Stage("robots-index", 1, search, libraries=("pyarrow",))
FETCH = Stage("robots-fetch", 1, fetch, libraries=("fastwarc", "isal", "zstandard"))
