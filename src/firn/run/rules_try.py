"""What another bound would keep: the stored signals of a run against other limits, without running anything again."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from firn.data.rights import Licenses, Rights
from firn.run.folder import RunFolder
from firn.run.graph import measured
from firn.run.recipe import Recipe
from firn.serve.redact import excerpt

#: Written for a limit: the rule does not hold.
OFF = "off"
KEPT, FAILED = -1, -2
# As models name them: en, fra_Latn.
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([_-]\w+)*")
#: Rules on opt-outs and licences, which come before bounds.
RIGHTS = ("rights.opt_out", "rights.license", "rights.no_license")
# How the names of other stages' rules begin, and the keys of a recipe that these rules follow.
_ELSEWHERE = {
    "quality.": "`quality.at_least` or `quality.keep` (documents are not scored again)",
    "contaminated.": "`decontaminate`",
    "pii.": "`pii`",
    "url.same": "`same_url`",
    "rights.robots": "`robots` of the source's rules",
    "exact": "`dedup`",
    "minhash": "`dedup`",
    "near_validation": "`dedup`",
}


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
    """A document that would change sides. rule: the first that removes it, now or then; value: what it measures, None
    where that is no number.

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

    tries: `gopher.min_words=30`, `language.accepted=en,de`, `gopher.min_words={de: 20}` (by language) or
    `fineweb.newlines=off`, before which `source:` names the one source that is meant; all hold at once, in every source
    that has the rule. Opt-outs and licences (`rights.*`) can be tried `off`. samples: documents per source and
    direction, those with the smallest hash of their id. Raises RecipeError for a rule that no source has, InputError
    where the run has not measured its documents yet.
    """
    folder = RunFolder.open(recipe.name, runs)
    store, funnel = folder.store, folder.funnel()
    changed = _changed(recipe, tries)
    counts: list[Count] = []
    flips: list[Flip] = []
    rules: dict[str, Counter[str]] = {"now": Counter(), "then": Counter()}
    for source in recipe.sources:
        now, then = _Rules.of(recipe, source), changed[source]
        tally, best = _Tally(), _Smallest(samples)
        for read, signals in _shards(recipe, source, funnel.get(source, {}).get("read", []), store):
            table = _signals(store, signals, (*now.bounds, *then.bounds))
            documents = pq.read_table(store.local(read, "documents"), columns=["id", "license", "meta"])
            ids = documents["id"]
            before, after = (each.first(table, documents) for each in (now, then))
            tally.add(table, before, after)
            for key, first, each in (("now", before, now), ("then", after, then)):
                rules[key].update(each.names[i] for i in first[first >= 0].tolist())
            for row in np.flatnonzero((before == KEPT) != (after == KEPT)).tolist():
                best.offer(bool(after[row] == KEPT), hash64(ids[row].as_py()), (read, signals, row))
        counts += tally.counts(source)
        for kept_then, (read, signals, row) in best.found():
            by = now if kept_then else then
            flips.append(_flip(store, source, kept_then, by, read, signals, row, characters))
    names = dict.fromkeys([*rules["now"], *rules["then"]])
    return Trial(tuple(tries), tuple(counts), {n: (rules["now"][n], rules["then"][n]) for n in names}, tuple(flips))


@dataclass(frozen=True)
class _Rules:
    """What decides about the documents of a source."""

    bounds: tuple[Bound, ...]
    rights: Rights

    @classmethod
    def of(cls, recipe: Recipe, source: str) -> _Rules:
        """As the recipe has them."""
        rules = recipe.sources[source].rules
        return cls(rules.resolve().bounds, rules.rights)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that may remove a document, in the order in which they are asked."""
        return (*RIGHTS, *(bound.rule for bound in self.bounds))

    def first(self, signals: pa.Table, documents: pa.Table) -> NDArray[np.int64]:
        """Per row: index among `names` of the first rule that it breaks; KEPT: none; FAILED: it was not measured."""
        first = np.full(signals.num_rows, KEPT)
        for index in reversed(range(len(self.bounds))):
            bound = self.bounds[index]
            first[bound.fails(signals.column(bound.signal), signals.column("language"))] = len(RIGHTS) + index
        for row, rule in enumerate(self.rights.of(documents)):
            if rule is not None:
                first[row] = RIGHTS.index(rule)
        first[signals.column("error").is_valid().to_numpy()] = FAILED
        return first

    def has(self, rule: str) -> bool:
        """Whether the rule is in force."""
        return self.without(rule) != self if rule in RIGHTS else rule in self.names

    def without(self, rule: str) -> _Rules:
        """All but one of the rules."""
        if rule == "rights.opt_out":
            return replace(self, rights=self.rights.model_copy(update={"opt_out": "keep"}))
        if rule in RIGHTS and self.rights.licenses is not None:
            licenses = self.rights.licenses
            changed = (
                Licenses(allow=("*",), unknown=licenses.unknown)
                if rule == "rights.license"
                else licenses.model_copy(update={"unknown": "keep"})
            )
            return replace(self, rights=self.rights.model_copy(update={"licenses": changed}))
        return replace(self, bounds=tuple(bound for bound in self.bounds if bound.rule != rule))

    def tried(self, rule: str, written: str) -> _Rules:
        """The rules with another limit for one of them. Raises RecipeError where it is none."""
        if written == OFF:
            return self.without(rule)
        if rule in RIGHTS:
            mend = f"write {rule}={OFF}, or change the recipe and run it"
            raise RecipeError(f"an opt-out or a licence has no limit, it can only be tried {OFF}", key=rule, mend=mend)
        return replace(self, bounds=tuple(_moved(b, written) if b.rule == rule else b for b in self.bounds))


def _changed(recipe: Recipe, tries: Sequence[str]) -> dict[str, _Rules]:
    """Rules of each source with the tries made."""
    changed = {name: _Rules.of(recipe, name) for name in recipe.sources}
    for text in tries:
        target, sign, written = text.partition("=")
        only, colon, rule = target.strip().rpartition(":")
        if not sign:
            raise RecipeError("a try is written rule=limit", key=text, mend="for instance gopher.min_words=30")
        if colon and only not in changed:
            raise RecipeError(f"there is no source {only!r}", key=text, mend=near(only, changed))
        sources = [only] if colon else list(changed)
        having = [source for source in sources if changed[source].has(rule)]
        if not having:
            raise _unknown(rule, recipe, sources)
        for source in having:
            changed[source] = changed[source].tried(rule, written.strip())
    return changed


def _unknown(rule: str, recipe: Recipe, sources: Sequence[str]) -> RecipeError:
    """Why a rule cannot be tried that none of the sources has among its bounds."""
    rules = [recipe.sources[source].rules for source in sources]
    problem, mend = (
        "no source has a rule of this name",
        near(rule, {b.rule for each in rules for b in each.filter.bounds}),
    )
    if rule in {edit.rule for each in rules for edit in each.measure.edits}:
        problem, mend = "this is an edit: it changes the text that is measured", "change the recipe and run it"
    elif rule in RIGHTS:
        key = "opt_out: remove" if rule == "rights.opt_out" else "licenses"
        problem, mend = "no source has this rule in force", f"say `{key}` in the rules of a source, and run it"
    elif keys := next((keys for name, keys in _ELSEWHERE.items() if rule.startswith(name)), None):
        problem = "this is no bound on a signal but the rule of another stage"
        mend = f"change {keys} in the recipe and run it: only what depends on it is made again"
    return RecipeError(problem, key=rule, mend=mend)


def _moved(bound: Bound, written: str) -> Bound:
    """The bound with the limit that is written."""
    limit: Limit
    try:
        read = yaml.load(written, yaml.BaseLoader)  # texts only: `no` is Norwegian
        if bound.among is not None and isinstance(read, str):
            read = [language.strip() for language in read.split(",")]
            if not all(map(_LANGUAGE.fullmatch, read)):
                raise ValueError(written)
        if isinstance(read, list):
            limit = tuple(map(str, read))
        else:
            limit = {k: float(v) for k, v in read.items()} if isinstance(read, dict) else float(read)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        numbers = f"a number, or numbers by language as {{de: 20, fr: 30}}, or {OFF}"
        mend = f"give {numbers if bound.among is None else f'languages, as en,fr or [en, fr], or {OFF}'}"
        raise RecipeError(f"the limit is {written!r}", key=bound.rule, mend=mend) from error
    return bound.moved(limit)


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
    rules: _Rules,
    read: Manifest,
    signals: Manifest,
    row: int,
    characters: int,
) -> Flip:
    """A document that changes sides. rules: those by which it is removed."""
    document = _row(store, read, "documents", row, ["id", "url", "text", "license", "meta"])
    measured_row = _row(store, signals, "signals", row, None)
    first = int(rules.first(measured_row, document)[0])
    bound = rules.bounds[first - len(RIGHTS)] if first >= len(RIGHTS) else None
    values = measured_row.to_pylist()[0]
    about = document.to_pylist()[0]
    return Flip(
        source=source,
        language=values["language"] or "",
        kept_then=kept_then,
        rule=rules.names[first],
        value=values[bound.signal] if bound and bound.among is None else None,
        limit=bound.limit_for(values["language"]) if bound else None,
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
