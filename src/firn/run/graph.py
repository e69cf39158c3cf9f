"""From recipe to tokens: which stages there are and what each reads. Whoever wants to know firn may begin here.

  raw files ─ read ─ measure ─ filter ─┐                                                                   ┌─ tokenizer
                                       ├─ robots ─ urls ─ cluster ─ dedup ─ quality ─ decontaminate ─ pii ─┤     │
  raw files ─ read ─ measure ─ filter ─┘                                                                   └─ tokens

  └ collect ┘
  └───────────────────────────────────── clean ───────────────────────────────────────────────────────────┘
  └───────────────────────────────────── documents ────────────────────────────────────────────────────────────────┘

Each stage is made shard by shard; only `urls`, `cluster`, `quality`, `decontaminate` and `tokenizer` look at all shards
at once, and `robots` at all of a source. `robots` is there for sources whose rules say `robots`, `urls` for those that
say `same_url`, `quality`, `decontaminate` and `pii` where the recipe asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Task
from firn.core.store import Manifest
from firn.data import ahead, filter, measure, read
from firn.data.decontaminate import decontaminate, index_task
from firn.data.dedup import deduplicate
from firn.data.pii import stage as pii
from firn.data.quality.stage import judge
from firn.data.robots.stage import obey
from firn.data.same_url import resolve
from firn.run.recipe import Recipe
from firn.tokens import bpe, encode

#: source -> stage -> its shards; stages in the order in which documents meet them.
Shards = dict[str, dict[str, list[Manifest]]]
#: A shard of documents and the source that it is of.
Row = tuple[str, Manifest]


@dataclass(frozen=True)
class Documents:
    """What the data stages come to. shards: source -> stage -> its shards."""

    shards: Shards
    tokenizer: Manifest
    tokens: list[Manifest]


def collect(recipe: Recipe, engine: LocalEngine, kernels: Collection[ahead.Work] = ()) -> Shards:
    """Raw files become documents. kernels: what later stages need compiled, done together with what is needed here."""
    tasks = {name: read.tasks(name, recipe.raw_source(name), recipe.extract, engine) for name in recipe.sources}
    together = [task for name in tasks for task in tasks[name]]
    here: list[ahead.Work] = ["html"] if any(getattr(task.settings, "extract", None) for task in together) else []
    here += ["warc"] if any(recipe.raw_source(name).kind in ("warc", "commoncrawl") for name in recipe.sources) else []
    engine.ready(partial(ahead.compile_ahead, [*here, *kernels]))
    found = iter(engine.run(together))
    return {name: {"read": list(islice(found, len(tasks[name])))} for name in tasks}


def clean(recipe: Recipe, engine: LocalEngine) -> Shards:
    """All stages up to the documents that tokens are made of."""
    if recipe.decontaminate is not None:  # a mistake in an evaluation set is told before anything is read
        engine.run([index_task(recipe.decontaminate)])
    shards = collect(recipe, engine, kernels(recipe))
    rows = [(name, shard) for name in shards for shard in shards[name]["read"]]
    signals = engine.run([measured(recipe, *row) for row in rows])
    _went(shards, "measure", rows, signals)
    decisions = [filtered(recipe, *row, signal) for row, signal in zip(rows, signals, strict=True)]
    rows = _once(_went(shards, "filter", rows, engine.run(decisions)))

    for name, source in recipe.sources.items():
        if (robots := source.rules.robots) is not None:
            make = partial(obey, engine, rules=robots, source=recipe.raw_source(name))
            rows = _some(shards, "robots", rows, {name}, make)
    rows = _once(rows)
    crawls = {name for name in shards if recipe.sources[name].same_url}
    rows = _once(_some(shards, "urls", rows, crawls, partial(resolve, engine, settings=recipe.same_url)))
    rows = _went(shards, "dedup", rows, deduplicate(engine, _shards(rows), recipe.dedup_settings))
    if recipe.quality is not None:
        judged = {name for name in shards if recipe.sources[name].quality}
        rows = _some(shards, "quality", rows, judged, partial(judge, engine, settings=recipe.quality))
    if recipe.decontaminate is not None:
        rows = _went(shards, "decontaminate", rows, decontaminate(engine, _shards(rows), recipe.decontaminate))
    if recipe.pii is not None:
        rows = _went(shards, "pii", rows, engine.run([pii.task(recipe.pii, shard) for _, shard in rows]))
    return shards


def kernels(recipe: Recipe) -> list[ahead.Work]:
    """What the stages that clean need compiled."""
    asked: dict[ahead.Work, bool] = {
        "text": True,
        "near": recipe.dedup_settings.minhash is not None,
        "quality": recipe.quality is not None,
        "evaluation": recipe.decontaminate is not None,
        "pii": recipe.pii is not None,
    }
    return [work for work in asked if asked[work]]


def documents(recipe: Recipe, engine: LocalEngine) -> Documents:
    """All stages up to the tokens."""
    shards = clean(recipe, engine)
    rows = [(name, shard) for name in shards for shard in last(shards[name])]
    tokenizer = engine.run([bpe.task(recipe.tokenizer_settings, _shards(rows))])[0]
    tokens = engine.run(encode.tasks(recipe.tokens_settings, _shards(rows), tokenizer))
    _went(shards, "tokens", rows, tokens)
    return Documents(shards, tokenizer, tokens)


def last(stages: dict[str, list[Manifest]]) -> list[Manifest]:
    """Of one source, the shards of the last stage that documents came out of."""
    return next(shards for stage, shards in reversed(stages.items()) if stage not in ("measure", "tokens"))


def measured(recipe: Recipe, source: str, shard: Manifest) -> Task:
    """Measure the documents of a shard."""
    rules = recipe.sources[source].rules
    return measure.task(rules.measure, shard, rules.files)


def filtered(recipe: Recipe, source: str, shard: Manifest, signals: Manifest) -> Task:
    """Decide about the documents of a shard."""
    settings = recipe.sources[source].rules.filter
    return Task(filter.STAGE, settings, (Input(shard, ("documents",)), Input(signals, ("signals",))), shard.label)


def _shards(rows: Sequence[Row]) -> list[Manifest]:
    return [shard for _, shard in rows]


def _once(rows: Sequence[Row]) -> list[Row]:
    """Of shards with the same documents the first alone, as stages that look at all shards take them for one."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(Input(row[1], ("documents",)).identity, row)
    return list(first.values())


def _some(
    shards: Shards,
    stage: str,
    rows: Sequence[Row],
    names: Collection[str],
    make: Callable[[list[Manifest]], list[Manifest]],
) -> list[Row]:
    """The rows after a stage through which only these sources go; the others pass it by."""
    chosen = [row for row in rows if row[0] in names]
    if not chosen:
        return list(rows)
    own = {name: shards[name] for name in shards if name in names}
    made = iter(_went(own, stage, chosen, make(_shards(chosen))))
    return [next(made) if row[0] in names else row for row in rows]


def _went(shards: Shards, stage: str, rows: Sequence[Row], made: Sequence[Manifest]) -> list[Row]:
    """Each source is given what was made of its rows, which stand in the same order."""
    went = [(source, shard) for (source, _), shard in zip(rows, made, strict=True)]
    for name in shards:
        shards[name][stage] = [shard for source, shard in went if source == name]
    return went
