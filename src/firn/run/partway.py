"""Part of a run: its first stages alone, in the run's own folder and store, so that `firn run` goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from firn.core.errors import FirnError
from firn.core.progress import Progress
from firn.core.store import Store
from firn.run.folder import RecordingEngine, RunFolder
from firn.run.graph import Shards
from firn.run.recipe import Recipe
from firn.run.retain import stays

# What run.json says of the last process, which stays as it was where nothing changed.
_PROCESS = ("recipe", "status", "error", "process", "ended", "stage")


@dataclass
class Partway:
    """A run under way. shards: what its stages came to, set by whoever runs them."""

    folder: RunFolder
    engine: RecordingEngine
    shards: Shards


def engine_of(
    recipe: Recipe, folder: RunFolder, store: Store, progress: Progress, workers: int | None
) -> RecordingEngine:
    """The engine of a recipe's stages, within its limits. workers: processes, in place of the recipe's number."""
    limits = recipe.engine
    return RecordingEngine(
        folder,
        store,
        progress,
        workers=workers or limits.workers,
        document_seconds=limits.document_seconds,
        document_bytes=limits.document_bytes,
        whole=partial(stays, recipe.retain),
    )


@contextmanager
def partway(
    recipe: Recipe,
    runs: str | Path,
    status: Literal["collected", "cleaned"],
    progress: Progress,
    workers: int | None = None,
) -> Iterator[Partway]:
    """The folder of the recipe's run and an engine for its stages; `status` is what the run is afterwards.

    A finished run that has these very shards stays a finished run.
    """
    folder = RunFolder(Path(runs) / recipe.name)
    folder.read()
    before, stood = dict(folder.state), folder.status
    store = Store(recipe.store or Path(runs) / "store")
    folder.began(recipe.resolved(), store.root)
    try:
        with engine_of(recipe, folder, store, progress, workers) as engine:
            part = Partway(folder, engine, {})
            yield part
            same = folder.reached(part.shards, engine.needed)
    except KeyboardInterrupt:
        folder.ended("interrupted")
        raise
    except FirnError as error:
        folder.ended("failed", str(error))
        raise
    if same and stood in ("finished", "running", "cleaned"):
        folder.update(**{key: before.get(key) for key in _PROCESS})
    else:
        folder.ended(status)
