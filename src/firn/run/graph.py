"""From recipe to tokens: which stages there are and what each reads. Whoever wants to know firn may begin here.

    raw files ─ read ─ measure ─ filter ─┐                   ┌─ tokenizer
                                         ├─ cluster ─ dedup ─┤     │
    raw files ─ read ─ measure ─ filter ─┘                   └─ tokens

Each stage is made shard by shard; only `cluster` and `tokenizer` look at all shards at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Task
from firn.core.store import Manifest
from firn.data import filter, measure, read
from firn.data.dedup import deduplicate
from firn.run.recipe import Recipe
from firn.tokens import bpe, encode


@dataclass(frozen=True)
class Documents:
    """What the data stages come to. shards: source -> stage -> its shards."""

    shards: dict[str, dict[str, list[Manifest]]]
    tokenizer: Manifest
    tokens: list[Manifest]


def documents(recipe: Recipe, engine: LocalEngine) -> Documents:
    """All stages up to the tokens."""
    tasks = {name: read.tasks(name, recipe.raw_source(name), recipe.extract, engine) for name in recipe.sources}
    sources = [name for name in tasks for _ in tasks[name]]

    found = engine.run([task for name in tasks for task in tasks[name]])
    signals = engine.run([measured(recipe, *row) for row in zip(sources, found, strict=True)])
    kept = engine.run([filtered(recipe, *row) for row in zip(sources, found, signals, strict=True)])

    survivors = deduplicate(engine, kept, recipe.dedup_settings)
    tokenizer = engine.run([bpe.task(recipe.tokenizer_settings, survivors)])[0]
    tokens = engine.run(encode.tasks(recipe.tokens_settings, survivors, tokenizer))

    stages = {"read": found, "measure": signals, "filter": kept}
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
