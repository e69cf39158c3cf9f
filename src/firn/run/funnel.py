"""What became of the documents: counts from manifests, and a few documents as examples."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow.parquet as pq

from firn.core.hashing import hash64
from firn.core.store import Manifest, Store
from firn.serve.page import Flow, Sample

#: Stages that keep a ledger, in the order in which a document meets them.
LEDGERS = ("read", "filter", "dedup", "decontaminate", "pii", "tokens")
_VERDICTS = ("kept", "changed", "split", "merged", "removed", "failed")
# Examples are looked for in so many shards of a source at most.
_SHARDS = 8
_CHARACTERS = 20_000

#: source -> stage -> its shards.
Shards = Mapping[str, Mapping[str, Sequence[Manifest]]]


def flows(shards: Shards) -> list[Flow]:
    """What each stage did, source by source. Reads nothing but the manifests."""
    return [
        flow(stage, source, stages[stage])
        for source, stages in shards.items()
        for stage in LEDGERS
        if stages.get(stage)
    ]


def flow(stage: str, source: str, manifests: Sequence[Manifest]) -> Flow:
    """The counts of these shards of one source, summed."""
    rules: Counter[str] = Counter()
    for manifest in manifests:
        rules.update(manifest.counts.get("rules", {}))

    def total(key: str) -> int:
        return sum(int(manifest.counts.get(key, 0)) for manifest in manifests)

    verdicts = {verdict: total(verdict) for verdict in _VERDICTS}
    return Flow(stage, source, total("in"), total("out"), verdicts, dict(rules.most_common()))


def kept_samples(store: Store, shards: Shards, per_source: int = 3) -> list[Sample]:
    """Some documents that reached the end, those with the smallest hash of their id."""
    samples = []
    for source, stages in shards.items():
        best: list[tuple[int, int, int]] = []
        chosen = _some(stages.get("dedup", ()))
        for number, manifest in enumerate(chosen):
            for row, id in enumerate(_column(store, manifest, "documents", "id")):
                best.append((hash64(id), number, row))
            best = heapq.nsmallest(per_source, best)
        for _, number, row in best:
            document = _row(store, chosen[number], "documents", row)
            samples.append(Sample(source, document["url"] or document["address"], document["text"][:_CHARACTERS]))
    return samples


def removed_samples(store: Store, shards: Shards, most: int = 8) -> list[Sample]:
    """Some documents that rules took out: one per rule, the most frequent rules first."""
    counts: Counter[tuple[str, str]] = Counter()
    for source, stages in shards.items():
        for manifest in stages.get("filter", ()):
            counts.update({(source, rule): n for rule, n in manifest.counts.get("rules", {}).items()})
    ranked = sorted(counts, key=lambda pair: (-counts[pair], pair))
    samples = []
    for source, rule in ranked[:most]:
        if (sample := _removed(store, source, rule, shards[source])) is not None:
            samples.append(sample)
    return samples


def _removed(store: Store, source: str, rule: str, stages: Mapping[str, Sequence[Manifest]]) -> Sample | None:
    """The document with the smallest hash of its id among those that `rule` took out."""
    best: tuple[int, Manifest, dict[str, object]] | None = None
    # The filter's shards stand in the order of those that were read; where some are gone, what was whose is not known.
    pairs = list(zip(stages["filter"], stages.get("read", ()), strict=False))
    if len(pairs) < len(stages["filter"]):
        return None
    having = [(decided, read) for decided, read in pairs if decided.counts.get("rules", {}).get(rule)]
    for decided, read in sorted(having, key=lambda pair: pair[0].fingerprint)[:_SHARDS]:
        columns = ["id", "verdict", "rule", "value", "bound"]
        table = pq.read_table(store.local(decided, "ledger"), columns=columns)
        for row, entry in enumerate(table.to_pylist()):
            if entry["verdict"] == "removed" and entry["rule"] == rule:
                order = hash64(entry["id"])
                if best is None or order < best[0]:
                    best = (order, read, {**entry, "row": row})
    if best is None:
        return None
    _, read, found = best
    document = _row(store, read, "documents", int(str(found["row"])))
    where = document["url"] or document["address"]
    value, bound = (None if found[key] is None else float(str(found[key])) for key in ("value", "bound"))
    return Sample(source, where, document["text"][:_CHARACTERS], rule, value, bound)


def _some(manifests: Iterable[Manifest]) -> list[Manifest]:
    return sorted(manifests, key=lambda manifest: manifest.fingerprint)[:_SHARDS]


def _column(store: Store, manifest: Manifest, file: str, column: str) -> Iterator[bytes]:
    with pq.ParquetFile(store.local(manifest, file), memory_map=True) as parquet:
        for batch in parquet.iter_batches(columns=[column]):
            yield from batch.column(0).to_pylist()


def _row(store: Store, manifest: Manifest, file: str, row: int) -> dict[str, str]:
    with pq.ParquetFile(store.local(manifest, file), memory_map=True) as parquet:
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            if row < size:
                found: dict[str, str] = (
                    parquet.read_row_group(group, columns=["text", "url", "address"]).slice(row, 1).to_pylist()[0]
                )
                return found
            row -= size
    raise IndexError(f"{manifest.label} has no row {row}")
