"""An engine that looks ahead: which shards a run would make, foretold where they are not there. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from firn.core.engine import LocalEngine
from firn.core.progress import Progress
from firn.core.stage import Task
from firn.core.store import Manifest, Store
from firn.plan.rates import predict, rate
from firn.run.recipe import Recipe
from firn.run.retain import ACCOUNTS, stays

# Shards of a stage that are looked at to tell how fast it goes.
_KNOWN = 64


@dataclass
class StageForecast:
    """What a run would do in one stage.

    there: shards that the store holds. todo: shards to be made; shards that depend on others to be made count, though
    they may turn out to be there, and so do those that let files go which a shard to be made reads. documents: that
    leave it; None where it makes none. bytes: to be written; stays: of these, when the run is finished (`retain`).
    seconds: of all workers together. known: whether documents is exact.
    """

    stage: str
    there: int = 0
    todo: int | None = 0
    documents: int | None = None
    bytes: int = 0
    stays: int = 0
    seconds: float = 0.0
    known: bool = True


class Lookahead(LocalEngine):
    """An engine that makes nothing: it finds the shards that are there and foretells the others."""

    def __init__(self, store: Store, workers: int | None, retain: str):
        super().__init__(store, workers, Progress("quiet"), whole=partial(stays, retain))
        self.retain = retain
        self.stages: dict[str, StageForecast] = {}
        self._known: dict[str, list[Manifest]] = {}

    def ready(self, step: Callable[[int, Callable[[str], None]], None]) -> None:
        """Nothing is made, so that nothing needs to be made ready."""

    def run(self, tasks: Sequence[Task]) -> list[Manifest]:
        """A manifest for every task."""
        found = self.find(tasks)
        missing = {task.fingerprint: task for task in tasks if task.fingerprint not in found}
        for before in self._before(self.to_make_again(missing.values())).values():
            self._released.discard(before.fingerprint)
            self._stage(before).there -= 1
            self._cost([before])
        # What let its files go will be what it was.
        again, there = self._before(missing.values()), list(found.values())
        foretold = {
            print: predict(task, rate(task, self._like(task, there)))
            for print, task in missing.items()
            if print not in again
        }
        made = found | again | foretold
        self._cost([*again.values(), *foretold.values()])
        if made:
            stage = self._stage(next(iter(made.values())))
            stage.there += len(there)
            stage.known = stage.known and not foretold
            counts = [_documents(manifest) for manifest in made.values()]
            if all(count is not None for count in counts):
                stage.documents = (stage.documents or 0) + sum(count or 0 for count in counts)
        return [made[task.fingerprint] for task in tasks]

    def _before(self, tasks: Iterable[Task]) -> dict[str, Manifest]:
        """Fingerprint -> shard, of those whose shards let their files go."""
        found = {t.fingerprint: self.store.lookup(t.stage.name, t.fingerprint, released=True) for t in tasks}
        return {print: manifest for print, manifest in found.items() if manifest is not None}

    def _like(self, task: Task, there: list[Manifest]) -> list[Manifest]:
        stage = task.stage.name
        if stage not in self._known:
            self._known[stage] = self.store.some(stage, _KNOWN)
        return [*there, *self._known[stage]]

    def _stage(self, manifest: Manifest) -> StageForecast:
        name = manifest.stage.partition("-")[0]
        return self.stages.setdefault(name, StageForecast(name))

    def _cost(self, todo: list[Manifest]) -> None:
        """Add what it takes to make these shards, all of one stage."""
        if not todo:
            return
        stage = self._stage(todo[0])
        stage.todo = (stage.todo or 0) + len(todo)
        for manifest in todo:
            whole = stays(self.retain, manifest.stage)
            stage.bytes += sum(entry.bytes for entry in manifest.files.values())
            stage.stays += sum(entry.bytes for name, entry in manifest.files.items() if whole or name in ACCOUNTS)
        # No faster than the longest shard.
        seconds = [manifest.observed["seconds"] for manifest in todo]
        stage.seconds += max(sum(seconds) / self.workers, max(seconds, default=0.0))


def _documents(manifest: Manifest) -> int | None:
    """Documents that a shard holds or speaks of; None where it does neither."""
    parts = {"measure": ("signals",), "tokens": ("train_index", "validation_index")}.get(manifest.stage, ("documents",))
    found = [manifest.files[part].rows or 0 for part in parts if part in manifest.files]
    return sum(found) if found else None


def bytes_written(recipe: Recipe, store: Store, stages: Callable[[Recipe, LocalEngine], object]) -> int:
    """Bytes that these stages of `firn.run.graph` will write, as far as can be told."""
    engine = Lookahead(store, recipe.engine.workers, recipe.retain)
    stages(recipe, engine)
    return sum(stage.bytes for stage in engine.stages.values())
