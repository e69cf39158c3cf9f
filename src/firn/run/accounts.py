"""The stage `accounts`: documents and bytes by stage and rule, language and domain. It reads documents beside ledgers.

Manifests know how many documents each rule took; how much text that was, and of which languages and domains, is what
this stage adds up, a shard at a time. One small table per shard is all that is kept of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest, Store
from firn.data.raw import host_of
from firn.run.funnel import Shards
from firn.serve.cleaning import Amount, Cleaning, Loss, Part, Passage

#: Domains that a shard's table names, those with most documents; the rest is summed up without a name.
MOST_DOMAINS = 1000
#: A rule of thumb for English and a vocabulary of some ten thousand tokens.
TOKENS_PER_WORD = 4 / 3
# Where no spaces stand between words, every character counts as one.
_SCRIPTS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_SCRIPTS}]|[^\s{_SCRIPTS}]+"
_MEASURED = "filter"
_KEYS = ("language", "domain", "verdict", "rule")
_SUMS = ("documents", "rows", "bytes", "left", "words")

#: documents, bytes: that came in. rows, left: documents and bytes that went on. words: of what came in, at the filter.
ACCOUNT = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in _KEYS),
        *(pa.field(name, pa.int64(), nullable=False) for name in _SUMS),
    ],
    metadata={"format": "firn.accounts", "format_version": "1"},
)


def take(engine: LocalEngine, shards: Shards) -> list[Manifest]:
    """Run the stage over all shards of documents that have a ledger."""
    return engine.run(tasks(shards))


def tasks(shards: Shards) -> list[Task]:
    """One task per shard of a stage that documents pass through."""
    made = []
    for source, stages in shards.items():
        signals = stages.get("measure", [])
        known = {Input(m, ("documents",)).identity: m for of in stages.values() for m in of if "documents" in m.files}
        for stage, found in stages.items():
            for number, shard in enumerate(found):
                if stage == "read" or not {"documents", "ledger"} <= shard.files.keys():
                    continue
                before = known.get(shard.inputs[0].get("identity", ""))
                if before is None:
                    continue
                inputs = [Input(before, ("documents",)), Input(shard, ("documents", "ledger"))]
                if stage == _MEASURED:
                    inputs.append(Input(signals[number], ("signals",)))
                extra = {"source": source, "stage": stage}
                made.append(
                    Task(STAGE, None, tuple(inputs), f"{source}/{stage}/{shard.label.partition('/')[2]}", extra)
                )
    return made


def run(work: Work) -> None:
    """Add up one shard. Inputs: the documents before, what came of them, and the filter's signals."""
    measured = work.extra["stage"] == _MEASURED
    ledger = work.table(1, "ledger", ["verdict", "rule", "rows"])
    became = ledger.column("rows").to_numpy()
    columns: dict[str, Any] = {
        "verdict": ledger.column("verdict").cast(pa.string()),
        "rule": ledger.column("rule").cast(pa.string()),
        "documents": np.ones(len(became), np.int64),
        "rows": became,
        "left": _left(work, became),
    }
    language = work.table(2, "signals", ["language"]).column("language").cast(pa.string()) if measured else None
    read: dict[str, list[Any]] = {name: [] for name in ("domain", "bytes", "words", "language")}
    for batch in work.batches(0, columns=["url", "language", "text"]):
        text = batch.column("text")
        read["domain"] += [host_of(url) for url in batch.column("url").to_pylist()]
        read["bytes"].append(pc.binary_length(text).to_numpy())
        read["words"].append(pc.count_substring_regex(text, _WORD).to_numpy() if measured else np.zeros(len(text)))
        read["language"].append(batch.column("language").cast(pa.string()))
    columns["domain"] = pa.array(_named(read["domain"]), pa.string())
    columns["language"] = pa.chunked_array(read["language"], pa.string()) if language is None else language
    for name in ("bytes", "words"):
        columns[name] = np.concatenate([np.empty(0, np.int64), *read[name]]).astype(np.int64)
    table = pa.table([columns[name] for name in ACCOUNT.names], names=ACCOUNT.names)
    summed = table.group_by(list(_KEYS)).aggregate([(name, "sum") for name in _SUMS])
    summed = summed.rename_columns([name.removesuffix("_sum") for name in summed.column_names])
    order = [(name, "ascending") for name in _KEYS]
    work.writer("accounts", ACCOUNT).write(summed.select(ACCOUNT.names).cast(ACCOUNT).sort_by(order))
    work.note("source", work.extra["source"])
    work.note("stage", work.extra["stage"])


def _left(work: Work, became: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per row of the input, the bytes of the documents that it became."""
    sizes = [pc.binary_length(batch.column("text")).to_numpy() for batch in work.batches(1, columns=["text"])]
    sums = np.cumsum(np.concatenate([np.zeros(1, np.int64), *sizes]))
    ends = np.cumsum(became)
    return np.asarray(sums[ends] - sums[ends - became])


def _named(domains: Sequence[str | None]) -> list[str | None]:
    """The domains, without those that are not among the MOST_DOMAINS most frequent."""
    counts = Counter(domain for domain in domains if domain)
    most = sorted(counts, key=lambda domain: (-counts[domain], domain))[:MOST_DOMAINS]
    stays = set(most)
    return [domain if domain in stays else None for domain in domains]


STAGE = Stage("accounts", 1, run)


# What the tables come to.


def cleaning(store: Store, taken: Sequence[Manifest], shards: Shards, *, most_domains: int = 25) -> Cleaning | None:
    """The funnel of a run, from its shards of this stage; None where there are none.

    Tokens: where the run has token shards, by the bytes per token of each source; else TOKENS_PER_WORD.
    """
    tables = list(_tables(store, taken))
    if not tables:
        return None
    rates = {source: _rate(source, tables, shards) for source in dict.fromkeys(source for source, _, _ in tables)}
    counted = all(stages.get("tokens") for stages in shards.values())
    last = {source: stage for source, stage, _ in tables}
    passages: dict[tuple[str, str], list[Amount]] = defaultdict(lambda: [Amount(), Amount()])
    losses: dict[tuple[str, str, str, str], Amount] = defaultdict(Amount)
    edited: dict[str, Amount] = defaultdict(Amount)
    parts: dict[str, _Parts] = {"source": _Parts(), "language": _Parts(), "domain": _Parts()}
    for source, stage, table in tables:
        rate, ends = rates[source], {"first": stage == _MEASURED, "last": stage == last[source]}
        for row in table.to_pylist():
            entered = Amount(row["documents"], row["bytes"], round(row["bytes"] * rate))
            left = Amount(row["rows"], row["left"], round(row["left"] * rate))
            both = passages[source, stage]
            both[0], both[1] = both[0] + entered, both[1] + left
            gone = Amount(row["documents"], row["bytes"] - row["left"], round((row["bytes"] - row["left"]) * rate))
            if stage == _MEASURED and row["verdict"] == "changed":
                edited[source] += gone  # several edits may have changed a document: its row names one of them
            elif row["verdict"] != "kept":
                losses[source, stage, row["verdict"], row["rule"] or row["verdict"]] += gone
            for kind, found in parts.items():
                name = source if kind == "source" else row[kind]
                if name is not None or kind == "language":
                    found.add(name or "unknown", row, entered, left, **ends)
    for source, gone in edited.items():
        for rule, documents, size in _by_edit(shards[source][_MEASURED], gone.bytes):
            losses[source, _MEASURED, "changed", rule] += Amount(documents, size, round(size * rates[source]))
    order = {name: place for place, name in enumerate(shards)}
    return Cleaning(
        passages=[Passage(source, stage, *both) for (source, stage), both in passages.items()],
        losses=sorted(
            (Loss(*key, amount) for key, amount in losses.items()),
            key=lambda loss: (order[loss.source], -loss.amount.documents, loss.stage, loss.rule, loss.verdict),
        ),
        sources=parts["source"].sorted(lambda part: (order[part.name],)),
        languages=parts["language"].sorted(),
        domains=parts["domain"].sorted()[:most_domains],
        counted=counted,
    )


def _by_edit(filtered: Sequence[Manifest], gone: int) -> Iterator[tuple[str, int, int]]:
    """Per edit: its rule, the documents it changed, and by how many bytes they became less.

    gone: bytes less, of all that edits changed. What is not cut, lines lost or won when they were written anew.
    """
    documents, cut = Counter[str](), Counter[str]()
    repairs = {edit["rule"] for m in filtered for edit in (m.settings or {}).get("edits", ()) if edit["repairs"]}
    for manifest in filtered:
        for rule, edit in manifest.notes.get("edits", {}).items():
            documents[rule] += edit["documents"]
            cut[rule] += 0 if rule in repairs else edit["bytes"]
    for rule in documents:
        # There is but one edit that repairs.
        yield rule, documents[rule], gone - cut.total() if rule in repairs else cut[rule]


class _Parts:
    """Parts as they come to be."""

    def __init__(self) -> None:
        self._amounts: dict[str, list[Amount]] = {}
        self._rules: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, name: str, row: Mapping[str, Any], entered: Amount, left: Amount, *, first: bool, last: bool) -> None:
        """One row of a table. first, last: whether it is of the first stage, or the last, that the source has."""
        both = self._amounts.setdefault(name, [Amount(), Amount()])
        if first:
            both[0] += entered
        if last:
            both[1] += left
        if row["verdict"] in ("removed", "merged", "failed"):
            self._rules[name][row["rule"] or row["verdict"]] += row["documents"]

    def sorted(self, key: Callable[[Part], tuple[Any, ...]] | None = None) -> list[Part]:
        """The parts, those with most documents first."""
        found = []
        for name, both in self._amounts.items():
            rules = self._rules[name]
            found.append(Part(name, both[0], both[1], min(rules, key=lambda rule: (-rules[rule], rule), default="")))
        return sorted(found, key=key or (lambda part: (-part.read.documents, part.name)))


def _tables(store: Store, taken: Sequence[Manifest]) -> Iterator[tuple[str, str, pa.Table]]:
    """Source, stage and table, the shards of a stage of a source summed."""
    groups: dict[tuple[str, str], list[pa.Table]] = {}
    for manifest in taken:
        key = (manifest.notes["source"], manifest.notes["stage"])
        groups.setdefault(key, []).append(pq.read_table(store.local(manifest, "accounts")))
    for (source, stage), tables in groups.items():
        table = pa.concat_tables(tables).group_by(list(_KEYS)).aggregate([(name, "sum") for name in _SUMS])
        yield source, stage, table.rename_columns([name.removesuffix("_sum") for name in table.column_names])


def _rate(source: str, tables: Sequence[tuple[str, str, pa.Table]], shards: Shards) -> float:
    """Tokens per byte of a source."""
    notes = [m.notes[split] for m in shards.get(source, {}).get("tokens", ()) for split in ("train", "validation")]
    if size := sum(note["bytes"] for note in notes):
        return float(sum(note["tokens"] for note in notes) / size)
    first = [table for of, stage, table in tables if (of, stage) == (source, _MEASURED)]
    words, size = (sum(pc.sum(table[name]).as_py() or 0 for table in first) for name in ("words", "bytes"))
    return TOKENS_PER_WORD * words / size if size else 0.0
