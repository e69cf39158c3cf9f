"""From recipe to tokens: which stages there are and what each reads. Whoever wants to know firn may begin here.

    raw files ─ read ─ measure ─ filter ─┐                                         ┌─ tokenizer
                                         ├─ cluster ─ dedup ─ decontaminate ─ pii ─┤     │
    raw files ─ read ─ measure ─ filter ─┘                                         └─ tokens

Each stage is made shard by shard; only `cluster`, `decontaminate` and `tokenizer` look at all shards at once.
`decontaminate` and `pii` are there where the recipe asks for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from firn.core.engine import LocalEngine
from firn.core.stage import Input, Task
from firn.core.store import Manifest
from firn.data import filter, measure, read
from firn.data.decontaminate import decontaminate
from firn.data.dedup import deduplicate
from firn.data.pii import stage as pii
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

    clean = deduplicate(engine, kept, recipe.dedup_settings)
    after = {"dedup": clean}
    if recipe.decontaminate is not None:
        after["decontaminate"] = clean = decontaminate(engine, clean, recipe.decontaminate)
    if recipe.pii is not None:
        after["pii"] = clean = engine.run([pii.task(recipe.pii, shard) for shard in clean])
    tokenizer = engine.run([bpe.task(recipe.tokenizer_settings, clean)])[0]
    tokens = after["tokens"] = engine.run(encode.tasks(recipe.tokens_settings, clean, tokenizer))

    stages = {"read": found, "measure": signals, "filter": kept}
    shards = {
        name: {
            stage: [m for s, m in zip(sources, column, strict=True) if s == name] for stage, column in stages.items()
        }
        for name in recipe.sources
    }
    # By content: a shard found in the store may have been made from another one of the same documents.
    owner = {Input(m, ("documents",)).identity: name for name in shards for m in shards[name]["filter"]}
    for row in zip(*after.values(), strict=True):
        name = owner[row[0].inputs[0]["identity"]]
        for stage, shard in zip(after, row, strict=True):
            shards[name].setdefault(stage, []).append(shard)
    return Documents(shards, tokenizer, tokens)


def measured(recipe: Recipe, source: str, shard: Manifest) -> Task:
    """Measure the documents of a shard."""
    rules = recipe.sources[source].rules
    return measure.task(rules.measure, shard, rules.files)


def filtered(recipe: Recipe, source: str, shard: Manifest, signals: Manifest) -> Task:
    """Decide about the documents of a shard."""
    settings = recipe.sources[source].rules.filter
    return Task(filter.STAGE, settings, (Input(shard, ("documents",)), Input(signals, ("signals",))), shard.label)
