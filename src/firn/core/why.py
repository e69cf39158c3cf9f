"""The whole story of a document: an index over ledgers, by id, by URL and by the address of its raw record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firn.core.engine import LocalEngine
from firn.core.errors import FormatError, InputError
from firn.core.hashing import hash64
from firn.core.parquet import open_parquet
from firn.core.shuffle import shuffle
from firn.core.stage import Input, Work
from firn.core.store import Manifest, Store

#: name: a document's 16-byte id, or its URL or address in UTF-8. The row is that of the shard's ledger, and so of its
#: input.
_ENTRY = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("name", pa.binary(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Chapter:
    """What one stage did with a document. entry: its ledger row, as a dict of the ledger's columns."""

    stage: str
    shard: str
    label: str
    row: int
    entry: dict[str, Any]


def build(engine: LocalEngine, manifests: Sequence[Manifest]) -> list[Manifest]:
    """The index over the ledgers of these shards, in partitions by hash of id, of URL and of address.

    Of a record that was split, the documents' ids stand with the documents: where those were let go, stories begin at
    the next stage.
    """
    ledgers = [m for m in manifests if "ledger" in m.files]
    with_parts = {m.fingerprint for m in ledgers if m.counts["split"] and engine.store.holds(m, "documents")}
    return shuffle(
        engine,
        name="why",
        version=2,
        settings=None,
        inputs=[(Input(m, ("ledger", "documents")[: 1 + (m.fingerprint in with_parts)]),) for m in ledgers],
        # Two shards may have one content, and the index must name the right one.
        extras=[{"stage": m.stage, "shard": m.fingerprint} for m in ledgers],
        map=_entries,
        reduce=_write,
        bytes_per_partition=64 << 20,
    )


def _entries(work: Work) -> Iterator[pa.Table]:
    ledger = work.table(0, "ledger", columns=["id", "url", "address", "verdict", "rows"])
    rows = np.arange(ledger.num_rows)
    for name in ("id", "url", "address"):
        given = pc.is_valid(ledger.column(name))
        yield _table(work, ledger.column(name).filter(given).cast(pa.binary()), rows[given.to_numpy()])
    if "documents" in work.inputs[0].files:  # type: ignore[union-attr]
        # A record that was split has as many ids as documents came of it, which follow each other.
        became = ledger.column("rows").to_numpy()
        split = np.repeat(pc.equal(ledger.column("verdict").cast(pa.string()), "split").to_numpy(), became)
        ids = work.table(0, columns=["id"]).column("id")
        yield _table(work, ids.filter(pa.array(split)).cast(pa.binary()), np.repeat(rows, became)[split])


def _table(work: Work, names: pa.ChunkedArray, rows: NDArray[np.int64]) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([hash64(name.as_py()) for name in names], pa.uint64()),
            "name": names,
            "stage": pa.repeat(work.extra["stage"], len(names)),
            "shard": pa.repeat(work.extra["shard"], len(names)),
            "row": pa.array(rows),
        },
        schema=_ENTRY,
    )


def _write(work: Work, entries: pa.Table) -> None:
    work.writer("index", _ENTRY).write(entries)


def find(
    store: Store, index: Sequence[Manifest], query: str, stages: Sequence[str], others: Sequence[str] = ()
) -> list[Chapter]:
    """Every ledger row of a document, in the order of `stages`; a merged document's story goes on with its survivor.

    query: an id (32 hexadecimal digits), a URL or an address. others: what else it may be called; the first that is
    known counts. Raises InputError where no ledger knows any of them.
    """
    if found := next(filter(None, (_story(store, index, _name(name), stages) for name in (query, *others))), None):
        return found
    raise InputError(
        "no ledger of this run knows it",
        where=query,
        mend="give a URL exactly as the crawl holds it, an id (32 hexadecimal digits), a file, or an address: a file "
        "with the place in it, as in texts.jsonl#line=3",
    )


def _story(store: Store, index: Sequence[Manifest], name: bytes, stages: Sequence[str]) -> list[Chapter]:
    chapters: dict[tuple[str, str, int], Chapter] = {}
    names, met = [name], set()
    while names:
        name = names.pop()
        if name in met:
            continue
        met.add(name)
        for entry in _lookup(store, index, name):
            place = (entry["stage"], entry["shard"], entry["row"])
            if entry["stage"] not in stages or place in chapters:
                continue
            if (manifest := store.lookup(entry["stage"], entry["shard"], released=True)) is None:
                continue
            row = _ledger_row(store, manifest, entry["row"])
            chapters[place] = Chapter(manifest.stage, manifest.fingerprint, manifest.label, entry["row"], row)
            names += [other for other in (row["id"], row["into"]) if other]
            if row["verdict"] == "split" and store.holds(manifest, "documents"):
                names += _parts(store, manifest, entry["row"])
    return sorted(chapters.values(), key=lambda c: (stages.index(c.stage), c.shard, c.row))


def _name(query: str) -> bytes:
    if len(query) == 32:
        try:
            return bytes.fromhex(query)
        except ValueError:
            pass
    return query.encode()


def _lookup(store: Store, index: Sequence[Manifest], name: bytes) -> list[dict[str, Any]]:
    if not index:
        return []
    key = hash64(name)
    partition = index[key >> (64 - (len(index).bit_length() - 1))] if len(index) > 1 else index[0]
    if "index" not in partition.files:
        return []
    # The rows are sorted by key, so Parquet's statistics leave one row group or two to read.
    table = pq.read_table(store.local(partition, "index"), filters=pc.field("key") == pa.scalar(key, pa.uint64()))
    return [row for row in table.to_pylist() if row["name"] == name]


def _ledger_row(store: Store, manifest: Manifest, row: int) -> dict[str, Any]:
    with open_parquet(store.local(manifest, "ledger")) as ledger:
        for group in range(ledger.num_row_groups):
            rows = ledger.metadata.row_group(group).num_rows
            if row < rows:
                found: dict[str, Any] = ledger.read_row_group(group).slice(row, 1).to_pylist()[0]
                return found
            row -= rows
    raise FormatError(f"the ledger has no row {row}", where=manifest.label, mend="run the stage again")


def _parts(store: Store, manifest: Manifest, row: int) -> list[bytes]:
    """Ids of the documents that came of a record that was split."""
    with (
        open_parquet(store.local(manifest, "ledger")) as ledger,
        open_parquet(store.local(manifest, "documents")) as out,
    ):
        became = ledger.read(columns=["rows"]).column("rows").to_numpy()
        ids: list[bytes] = out.read(columns=["id"]).column("id").slice(became[:row].sum(), became[row]).to_pylist()
    return ids
