"""What another bound would keep: the stored signals of a run against other limits, without running anything again."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from firn.core.errors import InputError, RecipeError
from firn.core.hashing import hash64
from firn.core.store import Manifest, Store
from firn.data.filter import Bound, Limit
from firn.data.preset import near
from firn.run.folder import RunFolder
from firn.run.graph import measured
from firn.run.recipe import Recipe
from firn.serve.redact import excerpt

#: Written for a limit: the rule does not hold.
OFF = "off"
KEPT, FAILED, BY_RIGHTS = -1, -2, -3


@dataclass(frozen=True)
class Count:
    """Documents of one source in one language. removed: now kept, then not. returned: the other way."""

    source: str
    language: str
    documents: int
    kept_now: int
    kept_then: int
    returned: int
    removed: int


@dataclass(frozen=True)
class Flip:
    """A document that would change sides. rule: the first that removes it, now or then; value: what it measures.

    excerpt: the beginning of the text that the filter sees, personal data replaced.
    """

    source: str
    language: str
    kept_then: bool
    rule: str
    value: float | None
    limit: float | None
    id: str
    url: str | None
    excerpt: str


@dataclass(frozen=True)
class Trial:
    """What the tries come to, together. rules: documents that each rule removes first, (now, then)."""

    tries: tuple[str, ...]
    counts: tuple[Count, ...]
    rules: Mapping[str, tuple[int, int]]
    flips: tuple[Flip, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def try_bounds(
    recipe: Recipe, tries: Sequence[str], runs: str | Path = "runs", *, samples: int = 5, characters: int = 300
) -> Trial:
    """What other limits would keep, by source and language, with documents that would change sides.

    tries: `gopher.min_words=30`, `language.accepted=[en, de]`, `gopher.min_words={de: 20}` (by language) or
    `fineweb.newlines=off`, before which `source:` names the one source that is meant; all hold at once, in every source
    that has the rule. samples: documents per source and direction, those with the smallest hash of their id.
    Raises RecipeError for a rule that no source has, InputError where the run has not measured its documents yet.
    """
    folder = RunFolder.open(recipe.name, runs)
    store, funnel = folder.store, folder.funnel()
    changed = _changed(recipe, tries)
    counts: list[Count] = []
    flips: list[Flip] = []
    rules: dict[str, Counter[str]] = {"now": Counter(), "then": Counter()}
    for source in recipe.sources:
        now, then = recipe.sources[source].rules.resolve().bounds, changed[source]
        tally, best, rights = _Tally(), _Smallest(samples), recipe.sources[source].rules.rights
        for read, signals in _shards(recipe, source, funnel.get(source, {}).get("read", []), store):
            table = _signals(store, signals, (*now, *then))
            before, after = (_first(table, bounds) for bounds in (now, then))
            documents = pq.read_table(store.local(read, "documents"), columns=["id", "license", "meta"])
            ids = documents["id"]
            # Opt-outs and licences remove a document whatever the bounds are.
            by_rights = np.array([rule is not None for rule in rights.of(documents)], bool)
            before[by_rights] = after[by_rights] = BY_RIGHTS
            tally.add(table, before, after)
            for key, first, bounds in (("now", before, now), ("then", after, then)):
                rules[key].update(bounds[i].rule for i in first[first >= 0].tolist())
            for row in np.flatnonzero((before == KEPT) != (after == KEPT)).tolist():
                best.offer(bool(after[row] == KEPT), hash64(ids[row].as_py()), (read, signals, row))
        counts += tally.counts(source)
        for kept_then, (read, signals, row) in best.found():
            bounds = now if kept_then else then
            flips.append(_flip(store, source, kept_then, bounds, read, signals, row, characters))
    names = dict.fromkeys([*rules["now"], *rules["then"]])
    return Trial(tuple(tries), tuple(counts), {n: (rules["now"][n], rules["then"][n]) for n in names}, tuple(flips))


def _changed(recipe: Recipe, tries: Sequence[str]) -> dict[str, tuple[Bound, ...]]:
    """Rules of each source with the tries made."""
    changed = {name: source.rules.resolve().bounds for name, source in recipe.sources.items()}
    for text in tries:
        target, sign, written = text.partition("=")
        only, colon, rule = target.strip().rpartition(":")
        if not sign:
            raise RecipeError("a try is written rule=limit", key=text, mend="for instance gopher.min_words=30")
        if colon and only not in changed:
            raise RecipeError(f"there is no source {only!r}", key=text, mend=near(only, changed))
        sources = [only] if colon else list(changed)
        having = [s for s in sources if rule in {bound.rule for bound in changed[s]}]
        if not having:
            known = {bound.rule for s in sources for bound in changed[s]}
            edits = {edit.rule for s in sources for edit in recipe.sources[s].rules.measure.edits}
            problem, mend = "no source has a rule of this name", near(rule, known)
            if rule in edits:
                problem, mend = "this is an edit: it changes the text that is measured", "change the recipe and run it"
            raise RecipeError(problem, key=rule, mend=mend)
        for source in having:
            changed[source] = _with(changed[source], rule, written.strip())
    return changed


def _with(bounds: tuple[Bound, ...], rule: str, written: str) -> tuple[Bound, ...]:
    if written == OFF:
        return tuple(bound for bound in bounds if bound.rule != rule)
    mend = f"give a number, a list of languages, numbers by language, or {OFF}"
    try:
        read = yaml.load(written, yaml.BaseLoader)  # texts only: `no` is Norwegian
        limit: Limit
        if isinstance(read, list):
            limit = tuple(map(str, read))
        else:
            limit = {k: float(v) for k, v in read.items()} if isinstance(read, dict) else float(read)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise RecipeError(f"the limit is {written!r}", key=rule, mend=mend) from error
    return tuple(bound.moved(limit) if bound.rule == rule else bound for bound in bounds)


def _shards(
    recipe: Recipe, source: str, reads: Sequence[Manifest], store: Store
) -> Iterator[tuple[Manifest, Manifest]]:
    """The source's shards of documents, each with its signals."""
    mend = "run it first, for instance with firn run"
    if not reads:
        raise InputError("the run has no documents of this source", where=f"{recipe.name}, source {source}", mend=mend)
    for read in reads:
        signals = store.lookup("measure", measured(recipe, source, read).fingerprint, released=True)
        if signals is None:
            problem = "the run has not measured its documents by this recipe"
            raise InputError(problem, where=f"{recipe.name}, source {source}", mend=mend)
        yield read, signals


def _signals(store: Store, signals: Manifest, bounds: Sequence[Bound]) -> pa.Table:
    wanted = dict.fromkeys(["language", "error", *(bound.signal for bound in bounds)])
    return pq.read_table(store.local(signals, "signals"), columns=list(wanted))


def _first(table: pa.Table, bounds: Sequence[Bound]) -> NDArray[np.int64]:
    """Per row: index of the first rule that it breaks, KEPT where it breaks none, FAILED where it was not measured."""
    first = np.full(table.num_rows, KEPT)
    for index in reversed(range(len(bounds))):
        first[bounds[index].fails(table.column(bounds[index].signal), table.column("language"))] = index
    first[table.column("error").is_valid().to_numpy()] = FAILED
    return first


class _Tally:
    """Counts by language."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}

    def add(self, table: pa.Table, before: NDArray[np.int64], after: NDArray[np.int64]) -> None:
        """Count the documents of a shard."""
        languages = table.column("language").cast(pa.string()).to_pylist()
        for language, now, then in zip(languages, (before == KEPT).tolist(), (after == KEPT).tolist(), strict=True):
            found = self._found.setdefault(language or "", [0, 0, 0, 0, 0])
            for index, counts in enumerate((True, now, then, then and not now, now and not then)):
                found[index] += counts

    def counts(self, source: str) -> list[Count]:
        """The counts, the most frequent language first."""
        ordered = sorted(self._found.items(), key=lambda entry: (-entry[1][0], entry[0]))
        return [Count(source, language, *found) for language, found in ordered]


class _Smallest:
    """The few things with the smallest keys, in each direction."""

    def __init__(self, most: int):
        self._most = most
        self._heaps: dict[bool, list[tuple[int, int, tuple[Manifest, Manifest, int]]]] = {True: [], False: []}
        self._offered = 0

    def offer(self, kept_then: bool, key: int, thing: tuple[Manifest, Manifest, int]) -> None:
        """One more thing."""
        self._offered += 1
        heap = self._heaps[kept_then]
        heapq.heappush(heap, (-key, self._offered, thing))
        if len(heap) > self._most:
            heapq.heappop(heap)

    def found(self) -> Iterator[tuple[bool, tuple[Manifest, Manifest, int]]]:
        """Those with the smallest keys, the smallest first."""
        for kept_then, heap in self._heaps.items():
            for _, _, thing in sorted(heap, reverse=True):
                yield kept_then, thing


def _flip(
    store: Store,
    source: str,
    kept_then: bool,
    bounds: Sequence[Bound],
    read: Manifest,
    signals: Manifest,
    row: int,
    characters: int,
) -> Flip:
    """A document that changes sides. bounds: those by which it is removed."""
    document = _row(store, read, "documents", row, ["id", "url", "text"])
    measured_row = _row(store, signals, "signals", row, None)
    bound = bounds[int(_first(measured_row, bounds)[0])]
    values = measured_row.to_pylist()[0]
    about = document.to_pylist()[0]
    return Flip(
        source=source,
        language=values["language"] or "",
        kept_then=kept_then,
        rule=bound.rule,
        value=None if bound.among is not None else values[bound.signal],
        limit=bound.limit_for(values["language"]),
        id=about["id"].hex(),
        url=about["url"],
        excerpt=excerpt(about["text"] if values["edited"] is None else values["edited"], characters),
    )


def _row(store: Store, manifest: Manifest, file: str, row: int, columns: list[str] | None) -> pa.Table:
    """One row of a shard's file, as a table."""
    with pq.ParquetFile(store.local(manifest, file), memory_map=True) as parquet:
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            if row < size:
                return parquet.read_row_group(group, columns=columns).slice(row, 1)
            row -= size
    raise IndexError(f"{manifest.label} has no row {row}")
