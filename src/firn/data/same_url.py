"""Documents of one URL, over the whole corpus: one stays, whatever crawl it came from.

1. `urls-map`, `urls-reduce` (core.shuffle): documents whose URLs are the same (urls.canonical) come together; all but
   one of them are written down. Of a record that gave several documents, each part is compared with its like.
2. `urls-verdicts` (one task): which rows go, one file per document shard.
3. `urls` (one task per shard): the documents that stay, and the ledger, where the others are `merged` by `url.same`.

Texts are not compared: deduplication does that. `copies` stays as it is, since another version of a page is no copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firn.core.engine import LocalEngine
from firn.core.hashing import hash64
from firn.core.schema import DOCUMENT
from firn.core.settings import Settings
from firn.core.shuffle import shuffle
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.urls import canonical

RULE = "url.same"

_GOES = pa.schema(
    [pa.field("shard", pa.uint64()), pa.field("row", pa.int32()), pa.field("into", pa.binary(16))],
    metadata={"format": "firn.same_url", "format_version": "1"},
)


class SameUrlSettings(Settings):
    """Which of the documents of one URL stays."""

    keep: Literal["latest", "earliest", "longest"] = "latest"
    """By the time of the crawl, documents without one last; or by the bytes of the text. Ties: the smaller id."""


def resolve(engine: LocalEngine, manifests: Sequence[Manifest], settings: SameUrlSettings) -> list[Manifest]:
    """Run all stages over the `documents` of these shards; the manifests of `urls`, in the order of `manifests`.

    Shards of the same content are one shard.
    """
    shards = list({i.identity: i for i in (Input(manifest, ("documents",)) for manifest in manifests)}.values())
    groups = shuffle(
        engine,
        name="urls",
        version=2,
        settings=settings,
        inputs=[(shard,) for shard in shards],
        map=keys,
        reduce=choose,
    )
    pairs = tuple(Input(manifest, ("goes",)) for manifest in groups if "goes" in manifest.files)
    extra = {"shards": sorted(_number(shard) for shard in shards)}
    verdicts = engine.run([Task(VERDICTS, settings, pairs, "all", extra)])[0]
    return engine.run(
        [
            Task(STAGE, settings, (shard, Input(verdicts, (f"goes-{_number(shard)}",))), shard.manifest.label)
            for shard in shards
        ]
    )


def _number(shard: Input) -> int:
    return int(shard.identity[:16], 16)


def keys(work: Work) -> Iterable[pa.Table]:
    """Map: one row per document with a URL, the best of each URL first."""
    keep, shard, first = work.settings.keep, _number(work.inputs[0]), 0  # type: ignore[arg-type]
    for batch in work.batches(columns=["id", "part", "url", "crawled", "text"]):
        urls, parts = batch.column("url").to_pylist(), batch.column("part").to_pylist()
        rows = [index for index, url in enumerate(urls) if url]
        if keep == "longest":
            worth = -pc.binary_length(batch.column("text")).to_numpy().astype(np.int64)
        else:
            crawled = batch.column("crawled").cast(pa.int64())
            known = pc.fill_null(crawled, 0).to_numpy()
            worth = np.where(crawled.is_valid().to_numpy(False), known if keep == "earliest" else -known, _LAST)
        yield pa.table(
            {
                "key": np.array([_key(urls[i], parts[i]) for i in rows], np.uint64),
                "worth": worth[rows],
                "id": batch.column("id").take(pa.array(rows, pa.int64())),
                "shard": np.full(len(rows), shard, np.uint64),
                "row": np.array(rows, np.int32) + np.int32(first),
            }
        )
        first += batch.num_rows


_LAST = np.iinfo(np.int64).max


def _key(url: str, part: int) -> int:
    return hash64(canonical(url).encode("utf-8", "replace"), seed=part)


def choose(work: Work, table: pa.Table) -> None:
    """Reduce: of rows sorted by URL and worth, all but the first of each URL, and into which document they go."""
    key = table.column("key").to_numpy()
    first = np.ones(len(key), bool)
    first[1:] = key[1:] != key[:-1]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(key)), 0))
    goes = np.flatnonzero(~first)
    into = table.column("id").take(pa.array(starts[goes])).combine_chunks()
    columns = [table.column("shard").take(pa.array(goes)), table.column("row").take(pa.array(goes)), into]
    work.writer("goes", _GOES).write(pa.table(columns, schema=_GOES))


def verdicts(work: Work) -> None:
    """One file per shard: its rows that go."""
    tables = [work.table(index, "goes") for index in range(len(work.inputs))]
    table = pa.concat_tables([_GOES.empty_table(), *tables])
    for shard in work.extra["shards"]:
        found = table.filter(pc.equal(table.column("shard"), pa.scalar(shard, pa.uint64()))).sort_by("row")
        work.writer(f"goes-{shard}", _GOES).write(found)


def run(work: Work) -> None:
    """The documents of one shard that stay. Inputs: its `documents`, and its rows that go."""
    file = work.inputs[1].files[0]  # type: ignore[union-attr]
    gone = work.table(1, file)
    into = dict(zip(gone.column("row").to_pylist(), gone.column("into").to_pylist(), strict=True))
    writer, row = work.writer("documents", DOCUMENT), 0
    for batch in work.batches():
        stays = np.ones(batch.num_rows, bool)
        for index, id_ in enumerate(batch.column("id").to_pylist()):
            if (other := into.get(row)) is None:
                work.ledger.kept(id_)
            else:
                work.ledger.merged(id_, other, RULE)
                stays[index] = False
            row += 1
        writer.write(pa.Table.from_batches([batch]).select(DOCUMENT.names).filter(pa.array(stays)))


VERDICTS = Stage("urls-verdicts", 1, verdicts)
STAGE = Stage("urls", 1, run, ledger=True)
