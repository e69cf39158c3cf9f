"""Exact and near-duplicates over the whole corpus: band keys are shuffled together, clusters joined, survivors kept.

1. `cluster-map`, `cluster-reduce` (core.shuffle): each document gives a key for its text and one per MinHash band;
   documents with equal keys come together, and those that are alone with theirs are dropped.
2. `cluster` (one task): union-find over what is left; one file of verdicts per document shard. Where a new shard
   brings no copies of an old shard's documents, the old one's verdicts have the same content and it is not run again.
3. `dedup` (one task per shard): survivors, with `copies` summed, and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from firn.core.engine import LocalEngine
from firn.core.hashing import hash64
from firn.core.schema import DOCUMENT
from firn.core.settings import Settings
from firn.core.shuffle import shuffle
from firn.core.split import SplitSettings, is_validation
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.characters import UNICODE
from firn.data.columns import texts

_UNKNOWN_DATE = np.iinfo(np.int64).max

_VERDICTS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("into", pa.binary(16)),
        pa.field("rule", pa.string()),
        pa.field("copies", pa.int32(), nullable=False),
    ],
    metadata={"format": "firn.verdicts", "format_version": "1"},
)


class MinHashSettings(Settings):
    """Near-duplicates by MinHash. Defaults: FineWeb (Penedo et al. 2024, arXiv:2406.17557, section 3.4)."""

    ngram: int = Field(default=5, ge=1, le=64)
    """Words of a shingle. A text of fewer words is one shingle."""
    bands: int = Field(default=14, ge=1, le=256)
    """Bands; two texts that agree on all hashes of one are taken for near-duplicates."""
    rows: int = Field(default=8, ge=1, le=64)
    """Hashes in a band."""
    seed: int = 1
    """Seed of the permutations."""


class DedupSettings(Settings):
    """Settings of the stages `cluster` and `dedup`."""

    exact: bool = True
    """Merge documents whose texts are the same up to white space."""
    minhash: MinHashSettings | None = MinHashSettings()
    """Merge near-duplicates; null: leave them."""
    split: SplitSettings = SplitSettings()
    """How validation is held out: training documents near a validation document leave training."""
    unicode: str = UNICODE
    """Version of the Unicode database, which says what a letter is. It comes with Python."""


def deduplicate(engine: LocalEngine, manifests: Sequence[Manifest], settings: DedupSettings) -> list[Manifest]:
    """Run all stages over the `documents` of these shards; the manifests of `dedup`, in the order of `manifests`.

    Shards of the same content are one shard: a crawl file listed twice gives its documents once.
    """
    shards = list({i.identity: i for i in (Input(manifest, ("documents",)) for manifest in manifests)}.values())
    groups = shuffle(
        engine,
        name="cluster",
        version=1,
        settings=settings,
        inputs=[(shard,) for shard in shards],
        map=keys,
        reduce=keep_groups,
    )
    pairs = tuple(Input(manifest, ("groups",)) for manifest in groups if "groups" in manifest.files)
    extra = {"shards": sorted(shard.identity[:16] for shard in shards)}
    clusters = engine.run([Task(CLUSTER, settings, pairs, "all", extra)])[0]
    return engine.run(
        [
            Task(STAGE, settings, (shard, Input(clusters, (_verdicts_of(shard),))), shard.manifest.label)
            for shard in shards
        ]
    )


def _verdicts_of(shard: Input) -> str:
    return f"verdicts-{shard.identity[:16]}"


def keys(work: Work) -> Iterable[pa.Table]:
    """Map: one row per document and key, with what the choice of a survivor needs."""
    from firn.data.minhash import band_keys  # numba takes long to import, and the driver never needs it

    settings: DedupSettings = work.settings
    shard = int(work.inputs[0].identity[:16], 16)
    first = 0
    for batch in work.batches(columns=["id", "group", "text", "published", "copies"]):
        found: list[NDArray[np.uint64]] = []
        exact: list[NDArray[np.bool_]] = []
        for index, text in enumerate(texts(batch.column("text"))):
            bands = np.empty(0, np.uint64)
            if not work.enter(first + index):
                found.append(bands)
            else:
                if settings.minhash is not None:
                    bands = band_keys(text, settings.minhash)
                same = [hash64(b" ".join(text.tobytes().split()))] if settings.exact else []
                found.append(np.concatenate([np.array(same, np.uint64), bands]))
            exact.append(np.arange(len(found[-1])) < (len(found[-1]) - len(bands)))
        work.leave()
        repeats = np.repeat(np.arange(batch.num_rows), [len(k) for k in found])
        groups = batch.column("group").to_pylist()
        held_out = np.array([is_validation(group, settings.split.validation) for group in groups], bool)
        published = pc.fill_null(batch.column("published").cast(pa.int64()), _UNKNOWN_DATE).to_numpy()
        sizes = pc.binary_length(batch.column("text")).to_numpy().astype(np.int64)
        rows = np.arange(first, first + batch.num_rows, dtype=np.int32)
        yield pa.table(
            {
                "key": np.concatenate(found) if found else np.empty(0, np.uint64),
                "exact": np.concatenate(exact) if exact else np.empty(0, bool),
                "shard": np.full(len(repeats), shard, np.uint64),
                "row": rows[repeats],
                "id": batch.column("id").take(pa.array(repeats)),
                "validation": held_out[repeats],
                "size": sizes[repeats],
                "published": published[repeats],
                "copies": batch.column("copies").to_numpy()[repeats],
            }
        )
        first += batch.num_rows


def keep_groups(work: Work, table: pa.Table) -> None:
    """Reduce: the rows that share their key with another, as they are, so sorted by key."""
    key, exact = table.column("key").to_numpy(), table.column("exact").to_numpy()
    as_before = np.zeros(len(key) + 1, bool)
    as_before[1:-1] = (key[1:] == key[:-1]) & (exact[1:] == exact[:-1])
    work.writer("groups", table.schema).write(table.filter(pa.array(as_before[:-1] | as_before[1:])))


def cluster(work: Work) -> None:
    """Join what shares keys, choose survivors, write each shard's verdicts."""
    from firn.data.clusters import RULES, Nodes, judge

    tables = [work.table(i, "groups") for i in range(len(work.inputs))]
    rows = [table for table in tables if table.num_rows]
    verdicts: dict[int, pa.Table] = {}
    clusters = merged = 0
    if rows:
        table = pa.concat_tables(rows).combine_chunks()
        column = {name: table.column(name).to_numpy() for name in table.schema.names if name != "id"}
        order = np.lexsort((column["row"], column["shard"]))
        shard, row = column["shard"][order], column["row"][order]
        new = np.ones(len(order), bool)
        new[1:] = (shard[1:] != shard[:-1]) | (row[1:] != row[:-1])
        node = np.empty(len(order), np.int64)  # of each table row: its document's number, in the order of shard and row
        node[order] = np.cumsum(new) - 1
        pick = order[new]
        raw = table.column("id").chunk(0)
        ids = np.frombuffer(raw.buffers()[1], ">u8").reshape(-1, 2)[raw.offset : raw.offset + len(raw)]
        nodes = Nodes(
            shard=column["shard"][pick],
            row=column["row"][pick],
            id=ids[pick].astype(np.uint64),
            validation=column["validation"][pick],
            size=column["size"][pick],
            published=column["published"][pick],
            copies=column["copies"][pick],
        )
        linked = (column["key"][1:] == column["key"][:-1]) & (column["exact"][1:] == column["exact"][:-1])
        links = np.stack([node[:-1], node[1:]], axis=1)
        found = judge(nodes, links[linked & column["exact"][1:]], links[linked & ~column["exact"][1:]])
        goes = found.copies == 0
        clusters, merged = len(np.unique(found.survivor)), int(goes.sum())
        into = np.where(goes, found.survivor, 0)
        all_ids = [bytes(one) for one in nodes.id.astype(">u8").view("V16").ravel()]
        for name in np.unique(nodes.shard):
            here = np.flatnonzero(nodes.shard == name)
            verdicts[int(name)] = pa.table(
                [
                    nodes.row[here],
                    pa.array([all_ids[into[i]] if goes[i] else None for i in here], pa.binary(16)),
                    pa.array([RULES[found.rule[i]] if goes[i] else None for i in here], pa.string()),
                    found.copies[here].astype(np.int32),
                ],
                schema=_VERDICTS,
            )
    for name in dict.fromkeys(work.extra["shards"]):
        empty = _VERDICTS.empty_table()
        work.writer(f"verdicts-{name}", _VERDICTS).write(verdicts.get(int(name, 16), empty))
    work.note("clusters", clusters)
    work.note("merged", merged)


def run(work: Work) -> None:
    """Survivors of one shard. Inputs: its `documents`, and its verdicts."""
    file = work.inputs[1].files[0]  # type: ignore[union-attr]
    verdicts = {verdict["row"]: verdict for verdict in work.table(1, file).to_pylist()}
    writer, row = work.writer("documents", DOCUMENT), 0
    for batch in work.batches():
        copies = batch.column("copies").to_numpy().copy()
        for index, id_ in enumerate(batch.column("id").to_pylist()):
            verdict = verdicts.get(row)
            if verdict is not None:
                copies[index] = verdict["copies"]
            if copies[index]:
                work.ledger.kept(id_)
            else:
                assert verdict is not None
                work.ledger.merged(id_, verdict["into"], verdict["rule"])
            row += 1
        columns = {field.name: batch.column(field.name) for field in DOCUMENT}
        columns["copies"] = pa.array(copies)
        table = pa.table([columns[field.name] for field in DOCUMENT], schema=DOCUMENT)
        writer.write(table.filter(pa.array(copies > 0)))


CLUSTER = Stage("cluster", 1, cluster)
STAGE = Stage("dedup", 1, run, ledger=True)
