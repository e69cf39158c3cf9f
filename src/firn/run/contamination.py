"""`firn contamination`: which evaluation items were found in which documents of a run, and what became of these."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core.errors import InputError
from firn.core.store import Manifest
from firn.data import decontaminate
from firn.run.folder import RunFolder
from firn.serve.redact import shown


@dataclass(frozen=True)
class Holder:
    """A document that holds an item. found: of the `grams` n-grams by which the item is known. start, end: UTF-8 bytes
    of the text before it was cut, from the first to the last of them."""

    source: str
    id: str
    url: str | None
    found: int
    grams: int
    start: int
    end: int


@dataclass(frozen=True)
class Item:
    """An evaluation item that was found. file, line, label: which it is of its set."""

    set: str
    file: str
    line: int
    label: str | None
    documents: tuple[Holder, ...]


@dataclass(frozen=True)
class Contamination:
    """What was found. looked: documents that were looked through, by source. cut, removed: of these, cut and taken out
    for it. sets: evaluation items found, by set; sought: items looked for; too_short: those that could not be."""

    name: str
    looked: dict[str, int]
    cut: dict[str, int]
    removed: dict[str, int]
    sets: dict[str, int]
    sought: dict[str, int]
    too_short: dict[str, int]
    items: tuple[Item, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def contamination(run: str | Path, runs: str | Path = "runs") -> Contamination:
    """The report that decontamination left in a run's shards; nothing runs again.

    Raises InputError where the run was not decontaminated.
    """
    folder = RunFolder.open(run, runs)
    recipe, funnel = folder.state["recipe"], folder.funnel()
    shards = {source: stages["decontaminate"] for source, stages in funnel.items() if stages.get("decontaminate")}
    asked = recipe.get("decontaminate")
    if not shards:
        problem = "was not looked through yet" if asked else "its recipe names no evaluation sets"
        mend = "run it, or clean it: firn clean RECIPE" if asked else "name some under `decontaminate.sets`, and run it"
        raise InputError(problem, where=str(run), mend=mend)
    items: dict[tuple[str, str, int, str | None], list[Holder]] = {}
    for source, manifests in shards.items():
        for row in decontaminate.report(folder.store, manifests).to_pylist():
            url = None if row["url"] is None else shown(row["url"])
            holder = Holder(source, row["id"].hex(), url, row["found"], row["grams"], row["start"], row["end"])
            items.setdefault((row["set"], row["file"], row["line"], row["label"]), []).append(holder)
    known = Counter[str](dict.fromkeys(sorted((asked or {}).get("sets", {})), 0))
    known.update(name for name, *_ in items)
    found = sorted(items.items(), key=lambda entry: (*entry[0][:3], entry[0][3] or ""))
    return Contamination(
        name=folder.path.name,
        looked={source: sum(m.counts["in"] for m in manifests) for source, manifests in shards.items()},
        cut={source: sum(m.counts["changed"] for m in manifests) for source, manifests in shards.items()},
        removed={source: sum(m.counts["removed"] for m in manifests) for source, manifests in shards.items()},
        sets=dict(known),
        sought=_noted(shards, "sought"),
        too_short=_noted(shards, "too_short"),
        items=tuple(Item(*key, tuple(holders)) for key, holders in found),
    )


def _noted(shards: dict[str, list[Manifest]], key: str) -> dict[str, int]:
    """What every shard notes of the evaluation sets alike."""
    return next((dict(manifest.notes[key]) for manifests in shards.values() for manifest in manifests), {})
