"""A few documents as examples: some that stayed, and one for each of the rules that took out most.

They are chosen once and kept in the run's folder, as the excerpts that the page shows, personal data replaced: the
documents themselves may be let go (`retain`).
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import pyarrow.parquet as pq

from firn.core.files import atomic_write
from firn.core.hashing import fingerprint, hash64
from firn.core.stage import Input
from firn.core.store import Manifest, Store
from firn.run.folder import RunFolder
from firn.run.funnel import Shards
from firn.serve.page import Cut, Sample
from firn.serve.redact import excerpt, redact, shown, visible

_FILE = "samples.json"
# Stages after the filter that documents leave, the last one first.
_LAST = ("pii", "decontaminate", "quality", "dedup")
# Stages that judge documents one by one, and the stage whose documents each judges, shard by shard.
_JUDGED = {"filter": "read", "robots": "filter", "quality": "dedup"}
# Looked for in so many shards of a source at most.
_SHARDS = 8
# Stages that cut text out, other than personal data, which is nothing to be shown.
_CUTTING = ("filter", "decontaminate")
# Bytes shown beside a cut.
_NEAR = 300
# Of a document: so much is looked at, and so much is kept, which is no less than the page shows.
_CHARACTERS, _EXCERPT = 20_000, 1_000


@dataclass(frozen=True)
class Examples:
    """kept, removed: documents. cuts: what was cut out of some that stayed. notes: what is missing and why."""

    kept: list[Sample] = field(default_factory=list)
    removed: list[Sample] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def examples(folder: RunFolder, shards: Shards, *, per_source: int = 3, most_rules: int = 8) -> Examples:
    """Examples of a run's documents: known ones where the shards are the same, else chosen now."""
    store, known = folder.store, _known(folder)
    before, found = dict(known), Examples()

    def once(key: Sequence[Any], choose: Callable[[], list[Sample]]) -> list[Sample]:
        name = fingerprint(key)
        if name not in known and (chosen := choose()):
            known[name] = [asdict(_safe(sample)) for sample in chosen]
        return [Sample(**sample) for sample in known.get(name, ())]

    for source, stages in shards.items():
        survivors = next((stages[stage] for stage in _LAST if stages.get(stage)), ())
        prints = [manifest.fingerprint for manifest in survivors]
        samples = once(["kept", source, prints], partial(_kept, store, source, survivors, per_source))
        if not samples and not all(store.holds(m) for m in survivors if m.counts["out"]):
            found.notes.append(f"No examples of {source}: its documents were let go when a run had finished.")
        found.kept.extend(samples)
    for source, stage, rule in _rules(shards)[:most_rules]:
        before_it, after_it = shards[source].get(_JUDGED[stage], ()), shards[source][stage]
        prints = [manifest.fingerprint for manifest in [*before_it, *after_it]]
        choose = partial(_removed, store, source, rule, before_it, after_it)
        found.removed.extend(once(["removed", source, rule, prints], choose))
    for source, stages in shards.items():
        for stage in _CUTTING:
            prints = [manifest.fingerprint for manifest in stages.get(stage, ())]
            name = fingerprint(["cuts", source, stage, prints])
            if name not in known and (cuts := _cuts(store, source, stage, stages)):
                known[name] = [asdict(cut) for cut in cuts]
            found.cuts.extend(Cut(**cut) for cut in known.get(name, ()))
    if known != before:
        atomic_write(folder.path / _FILE, json.dumps(known, indent=1).encode())
    return found


def _known(folder: RunFolder) -> dict[str, list[dict[str, Any]]]:
    try:
        found: dict[str, list[dict[str, Any]]] = json.loads((folder.path / _FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _safe(sample: Sample) -> Sample:
    """As it is kept."""
    return replace(sample, where=shown(sample.where), text=excerpt(visible(sample.text), _EXCERPT))


def _kept(store: Store, source: str, survivors: Iterable[Manifest], most: int) -> list[Sample]:
    """Documents that reached the end, those with the smallest hash of their id."""
    best: list[tuple[int, int, int]] = []
    there = [manifest for manifest in survivors if store.holds(manifest, "documents")]
    chosen = sorted(there, key=lambda manifest: manifest.fingerprint)[:_SHARDS]
    for number, manifest in enumerate(chosen):
        best += [(hash64(id), number, row) for row, id in enumerate(ids_of(store, manifest))]
        best = heapq.nsmallest(most, best)
    documents = [row_of(store, chosen[number], row) for _, number, row in best]
    return [Sample(source, d["url"] or d["address"], d["text"][:_CHARACTERS]) for d in documents]


def _rules(shards: Shards) -> list[tuple[str, str, str]]:
    """Source, stage and rule, those that took out most first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for source, stages in shards.items():
        for stage in _JUDGED:
            for manifest in stages.get(stage, ()):
                counts.update({(source, stage, rule): n for rule, n in manifest.counts.get("rules", {}).items()})
    return sorted(counts, key=lambda which: (-counts[which], which))


def _removed(
    store: Store, source: str, rule: str, before: Sequence[Manifest], after: Sequence[Manifest]
) -> list[Sample]:
    """The document with the smallest hash of its id among those that `rule` took out.

    before, after: the shards of documents, and what judged them.
    """
    best: tuple[int, Manifest, dict[str, object]] | None = None
    of = {Input(manifest, ("documents",)).identity: manifest for manifest in before}
    having = [
        (decided, read)
        for decided in after
        if decided.counts.get("rules", {}).get(rule)
        and (read := of.get(decided.inputs[0].get("identity", ""))) is not None
        and store.holds(read, "documents")
    ]
    for decided, read in sorted(having, key=lambda pair: pair[0].fingerprint)[:_SHARDS]:
        columns = ["id", "verdict", "rule", "value", "bound"]
        table = pq.read_table(store.local(decided, "ledger"), columns=columns)
        for row, entry in enumerate(table.to_pylist()):
            if entry["verdict"] == "removed" and entry["rule"] == rule:
                order = hash64(entry["id"])
                if best is None or order < best[0]:
                    best = (order, read, {**entry, "row": row})
    if best is None:
        return []
    _, read, found = best
    document = row_of(store, read, int(str(found["row"])))
    where = document["url"] or document["address"]
    value, bound = (None if found[key] is None else float(str(found[key])) for key in ("value", "bound"))
    return [Sample(source, where, document["text"][:_CHARACTERS], rule, value, bound)]


def _cuts(store: Store, source: str, stage: str, stages: Mapping[str, Sequence[Manifest]], most: int = 2) -> list[Cut]:
    """Of documents that a stage cut, those with the smallest hashes of their ids, the longest cut of each."""
    before = {Input(m, ("documents",)).identity: m for of in stages.values() for m in of if "documents" in m.files}
    best: list[tuple[int, str, int, tuple[int, int, str]]] = []
    having = [manifest for manifest in stages.get(stage, ()) if manifest.counts.get("changed")]
    for manifest in sorted(having, key=lambda manifest: manifest.fingerprint)[:_SHARDS]:
        read = before.get(manifest.inputs[0].get("identity", ""))
        if read is None or not store.holds(read, "documents"):
            continue
        spans = _spans(store, manifest)
        ledger = pq.read_table(store.local(manifest, "ledger"), columns=["id", "verdict"])
        for row, entry in enumerate(ledger.to_pylist()):
            if entry["verdict"] == "changed" and row in spans:
                best.append((hash64(entry["id"]), manifest.inputs[0]["identity"], row, spans[row]))
        best = heapq.nsmallest(4 * most, best, key=lambda one: one[:3])
    found: list[Cut] = []
    for _, identity, row, (start, end, rule) in best:
        document = row_of(store, before[identity], row)
        pieces = _around(document["text"].encode(), start, end)
        if pieces is not None and len(found) < most:
            where = shown(document["url"] or document["address"])
            found.append(Cut(source, where, stage, rule, *pieces))
    return found


def _spans(store: Store, manifest: Manifest) -> dict[int, tuple[int, int, str]]:
    """Of each row that a shard cut: start, end and rule of the longest cut."""
    if "cuts" in manifest.files:
        repairs = [edit["rule"] for edit in (manifest.settings or {})["edits"] if edit["repairs"]]
        table = pq.read_table(store.local(manifest, "cuts"))
        spans = [tuple(span.values()) for span in table.to_pylist() if span["rule"] not in repairs]
    else:
        ledger = pq.read_table(store.local(manifest, "ledger"), columns=["rule", "spans"]).to_pylist()
        spans = [
            (row, span["start"], span["end"], entry["rule"])
            for row, entry in enumerate(ledger)
            for span in entry["spans"] or ()
        ]
    longest: dict[int, tuple[int, int, str]] = {}
    for row, start, end, rule in spans:
        if row not in longest or end - start > longest[row][1] - longest[row][0]:
            longest[row] = (start, end, rule)
    return longest


def _around(text: bytes, start: int, end: int) -> tuple[str, str, str] | None:
    """What was cut between its neighbours, personal data replaced; None where that stands astride an edge."""
    # From the beginning of a line: its middle may be the middle of a number.
    line = 0 if start <= _NEAR else text.find(b"\n", start - _NEAR, start) + 1 or start
    before = text[line:start]
    whole = [
        visible(part.decode("utf-8", "replace")) for part in (before, text[start:end], text[end : end + 4 * _NEAR])
    ]
    apart = [redact(part) for part in whole]
    if redact("".join(whole)) != "".join(apart) or not apart[1].strip():
        return None
    return apart[0], excerpt(whole[1], 2 * _NEAR), excerpt(whole[2], _NEAR)


def ids_of(store: Store, manifest: Manifest) -> Iterator[bytes]:
    """Ids of a shard's documents, in their order."""
    with pq.ParquetFile(store.local(manifest, "documents"), memory_map=True) as parquet:
        for batch in parquet.iter_batches(columns=["id"]):
            yield from batch.column(0).to_pylist()


def row_of(
    store: Store, manifest: Manifest, row: int, columns: Sequence[str] | None = ("text", "url", "address")
) -> dict[str, Any]:
    """One of a shard's documents; columns: all where none is named."""
    with pq.ParquetFile(store.local(manifest, "documents"), memory_map=True) as parquet:
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            if row < size:
                names = None if columns is None else list(columns)
                found: dict[str, Any] = parquet.read_row_group(group, columns=names).slice(row, 1).to_pylist()[0]
                return found
            row -= size
    raise IndexError(f"{manifest.label} has no row {row}")
