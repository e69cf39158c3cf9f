"""Which n-grams of evaluation items occur in documents, and which of them occur in too many to say anything."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field

from firn.core.settings import Settings
from firn.core.stage import Stage, Work
from firn.data import characters
from firn.data.columns import texts

#: An n-gram of an item in a document. gram: its number in the index; -1: the document is quarantined.
MATCHES = pa.schema(
    [pa.field(name, pa.int32(), nullable=False) for name in ("row", "gram", "start", "end")],
    metadata={"format": "firn.matches", "format_version": "1"},
)
#: How many documents hold an n-gram and no whole item with it.
ELSEWHERE = pa.schema(
    [pa.field("gram", pa.int32(), nullable=False), pa.field("documents", pa.int64(), nullable=False)],
    metadata={"format": "firn.elsewhere", "format_version": "1"},
)


class MatchSettings(Settings):
    """What counts as found."""

    ngram: int = Field(default=13, ge=2, le=64)
    """Words of an n-gram."""
    coverage: float = Field(default=0.7, gt=0, le=1)
    """Share of an item's n-grams that must occur in a document for the item to be found there; of an item that is no
    more than a sentence (fewer than twice `ngram` n-grams) all must."""

    def needed(self, totals: NDArray[np.int64]) -> NDArray[np.float64]:
        """How many n-grams of items must occur. totals: how many they are known by."""
        return np.where(totals < 2 * self.ngram, totals, self.coverage * totals)


class Index(NamedTuple):
    """hashes: uint64, sorted. lengths: of the n-grams that there are. owners: items of n-gram i, between offsets[i] and
    offsets[i + 1]. totals: n-grams of each item. bitmap: of the hashes."""

    hashes: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    offsets: NDArray[np.int32]
    owners: NDArray[np.int32]
    totals: NDArray[np.int64]
    bitmap: NDArray[np.uint64]

    def holders(self, grams: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Places in `grams` and items: a pair for each item that holds the n-gram."""
        first, counts = self.offsets[grams], self.offsets[grams + 1] - self.offsets[grams]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(np.arange(grams.size), counts), self.owners[np.repeat(first, counts) + within]

    def per_item(self, grams: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Items that hold any of these n-grams, and how many of them."""
        return np.unique(self.holders(grams)[1], return_counts=True)


@lru_cache(maxsize=1)
def opened(path: str) -> Index:
    """The file `grams` of an index; the latest stays in memory for the next shard."""
    from firn.data.decontaminate_kernels import filter_of

    table = pq.read_table(path, memory_map=True).combine_chunks()
    hashes = table.column("hash").to_numpy()
    lists = pa.concat_arrays(table.column("items").chunks or [pa.array([], pa.list_(pa.int32()))])
    offsets, owners = lists.offsets.to_numpy(), lists.values.to_numpy()
    bits = max(16, int(hashes.size * 16).bit_length())
    return Index(
        hashes=hashes,
        lengths=np.unique(table.column("length").to_numpy()).astype(np.int64),
        offsets=offsets,
        owners=owners,
        totals=np.bincount(owners, minlength=1),
        bitmap=filter_of(hashes, bits),
    )


def match(work: Work) -> None:
    """N-grams of items in the documents of one shard. Inputs: `documents`, and the index."""
    from firn.data.decontaminate_kernels import occurrences, words

    index = opened(str(work.local(1, "grams")))
    settings: MatchSettings = work.settings
    matches, row = work.writer("matches", MATCHES), 0
    elsewhere = np.zeros(index.hashes.size, np.int64)
    for batch in work.batches(columns=["text"]):
        tables = []
        for text in texts(batch.column("text")):
            if not work.enter(row):
                tables.append(np.array([[row, -1, 0, 0]], np.int32))
            else:
                hashes, starts, ends = words(text, characters.folded())
                found = occurrences(hashes, index.lengths, index.hashes, index.bitmap)
                if found.size:
                    gram, first, length = found.T
                    tables.append(np.stack([np.full_like(gram, row), gram, starts[first], ends[first + length - 1]], 1))
                    elsewhere[_elsewhere(index, np.unique(gram), settings)] += 1
            row += 1
        work.leave()
        if tables:
            matches.write(pa.table([pa.array(column) for column in np.concatenate(tables).T], schema=MATCHES))
    seen = np.flatnonzero(elsewhere)
    columns = [pa.array(seen.astype(np.int32)), pa.array(elsewhere[seen])]
    work.writer("elsewhere", ELSEWHERE).write(pa.table(columns, schema=ELSEWHERE))


def _elsewhere(index: Index, grams: NDArray[np.int32], settings: MatchSettings) -> NDArray[np.int32]:
    """Of a document's n-grams those of no item that the document holds, and that is more than a sentence."""
    items, counts = index.per_item(grams)
    totals = index.totals[items]
    held = items[(totals >= 2 * settings.ngram) & (counts >= settings.needed(totals))]
    places, owners = index.holders(grams)
    return np.delete(grams, places[np.isin(owners, held)])


def common(work: Work) -> None:
    """N-grams that are in too many documents to say anything. Inputs: `elsewhere` of all shards."""
    tables = [work.table(index, "elsewhere") for index in range(len(work.inputs))]
    total = pa.concat_tables([ELSEWHERE.empty_table(), *tables]).group_by("gram").aggregate([("documents", "sum")])
    many = total.filter(pc.greater(total.column("documents_sum"), work.extra["common"])).column("gram")
    schema = ELSEWHERE.remove(1)
    work.writer("common", schema).write(pa.table([pc.take(many, pc.sort_indices(many))], schema=schema))
    work.note("common", len(many))


MATCH = Stage("decontaminate-match", 1, match)
COMMON = Stage("decontaminate-common", 1, common)
