"""From recipe to tokens: which stages there are and what each reads. Whoever wants to know firn may begin here.

    raw files ─ read ─ measure ─ filter ─┐                   ┌─ tokenizer
                                         ├─ cluster ─ dedup ─┤     │
    raw files ─ read ─ measure ─ filter ─┘                   └─ tokens

Each stage is made shard by shard; only `cluster` and `tokenizer` look at all shards at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Task
from firn.core.store import Manifest
from firn.data import filter, measure, read
from firn.data.dedup import deduplicate
from firn.run.recipe import Recipe
from firn.tokens import bpe, encode

#: Makes tasks; None stands for a shard that is not there (only when the run is planned, not run).
Make = Callable[[Sequence[Task]], Sequence[Manifest | None]]


class Missing(Exception):
    """A shard that the next stage needs is not there: a plan can look no further. `stage` is the one that cannot go."""

    def __init__(self, stage: str):
        super().__init__(stage)
        self.stage = stage


@dataclass(frozen=True)
class Documents:
    """What the data stages come to. shards: source -> stage -> its shards."""

    shards: dict[str, dict[str, list[Manifest]]]
    tokenizer: Manifest
    tokens: list[Manifest]


def documents(recipe: Recipe, engine: LocalEngine, make: Make | None = None) -> Documents:
    """All stages up to the tokens. make: how the stages that go shard by shard are made; the engine's `run` by default.

    Raises Missing where `make` left out a shard that a later stage needs.
    """
    make = make or engine.run
    tasks = {name: read.tasks(name, recipe.raw_source(name), recipe.extract, engine) for name in recipe.sources}
    sources = [name for name in tasks for _ in tasks[name]]

    found = make([task for name in tasks for task in tasks[name]])
    signals = each(make, lambda name, shard: measured(recipe, name, shard), sources, found)
    kept = each(make, lambda name, shard, signal: filtered(recipe, name, shard, signal), sources, found, signals)

    survivors = deduplicate(engine, complete(kept, "dedup"), recipe.dedup_settings)
    tokenizer = engine.run([bpe.task(recipe.tokenizer_settings, survivors)])[0]
    tokens = engine.run(encode.tasks(recipe.tokens_settings, survivors, tokenizer))

    stages = {
        "read": complete(found, "measure"),
        "measure": complete(signals, "filter"),
        "filter": complete(kept, "dedup"),
    }
    shards = {
        name: {
            stage: [m for s, m in zip(sources, column, strict=True) if s == name] for stage, column in stages.items()
        }
        for name in recipe.sources
    }
    # By content: a shard found in the store may have been made from another one of the same documents.
    owner = {Input(m, ("documents",)).identity: name for name in shards for m in shards[name]["filter"]}
    for survivor, token in zip(survivors, tokens, strict=True):
        name = owner[survivor.inputs[0]["identity"]]
        shards[name].setdefault("dedup", []).append(survivor)
        shards[name].setdefault("tokens", []).append(token)
    return Documents(shards, tokenizer, tokens)


def measured(recipe: Recipe, source: str, shard: Manifest) -> Task:
    """Measure the documents of a shard."""
    rules = recipe.sources[source].rules
    return measure.task(rules.measure, shard, rules.files)


def filtered(recipe: Recipe, source: str, shard: Manifest, signals: Manifest) -> Task:
    """Decide about the documents of a shard."""
    settings = recipe.sources[source].rules.filter
    return Task(filter.STAGE, settings, (Input(shard, ("documents",)), Input(signals, ("signals",))), shard.label)


def each(make: Make, task: Callable[..., Task], *columns: Sequence[object]) -> list[Manifest | None]:
    """One task per row of the columns, made; None in the rows where an input is not there."""
    rows = list(zip(*columns, strict=True))
    made = iter(make([task(*row) for row in rows if None not in row]))
    return [next(made) if None not in row else None for row in rows]


def complete(shards: Sequence[Manifest | None], stage: str) -> list[Manifest]:
    """The shards, all of which are there. Raises Missing."""
    there = [shard for shard in shards if shard is not None]
    if len(there) < len(shards):
        raise Missing(stage)
    return there
