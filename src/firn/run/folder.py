"""The folder of a run, and what it knows of itself.

    runs/store/                shards, shared by all runs
    runs/<name>/run.json       the resolved recipe, status, and which shards belong to the run; replaced atomically
    runs/<name>/recipe.yaml    the resolved recipe
    runs/<name>/train-<hash>/  checkpoints, metrics and the model of one training
    runs/<name>/report.html    the run page
    runs/<name>/samples.json   documents that it shows as examples

run.json is a record for people and for the verbs that look back. What is done is decided by shards and checkpoints, so
that two processes may work on one folder and either may die.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import psutil

from firn.core.engine import LocalEngine
from firn.core.errors import FormatError, InputError
from firn.core.files import atomic_write
from firn.core.progress import Progress
from firn.core.stage import Task
from firn.core.store import Manifest, Store
from firn.run.reading import near, to_yaml

FORMAT = 1
#: collected, cleaned: only the stages so far were asked for.
Status = Literal["running", "collected", "cleaned", "finished", "failed", "interrupted"]


class RunFolder:
    """A run's folder and its run.json."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.state: dict[str, Any] = {}

    @classmethod
    def open(cls, run: str | Path, runs: str | Path = "runs") -> RunFolder:
        """An existing run, by path or by name. Raises InputError where there is none, FormatError for another one."""
        for path in (Path(run), Path(runs) / str(run)):
            if (path / "run.json").is_file():
                folder = cls(path)
                folder.read()
                return folder
        names = [path.name for path in every(runs)]
        mend = near(Path(run).name, names) if names else "run a recipe first: firn run recipes/quickstart.yaml"
        raise InputError("there is no run of this name, and no folder with a run.json", where=str(run), mend=mend)

    def read(self) -> None:
        """Take the state from run.json; empty where there is none yet."""
        file = self.path / "run.json"
        try:
            self.state = json.loads(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            self.state = {}
            return
        except (OSError, ValueError) as error:
            raise FormatError(f"cannot be read: {error}", where=str(file), mend="run the recipe again") from error
        if self.state.get("format") != FORMAT:
            raise FormatError(
                f"is of format {self.state.get('format')}, this firn reads {FORMAT}",
                where=str(file),
                mend="run the recipe again with this version of firn",
            )

    def update(self, **changes: Any) -> None:
        """Change some keys of run.json, and recipe.yaml with the recipe. Raises StoreError."""
        self.state = {**self.state, "format": FORMAT, **changes}
        atomic_write(self.path / "run.json", json.dumps(self.state, indent=1).encode())
        if recipe := changes.get("recipe"):
            atomic_write(self.path / "recipe.yaml", to_yaml(recipe).encode())

    def took(self, shards: Mapping[str, Mapping[str, Sequence[Manifest]]], needed: Mapping[str, Sequence[str]]) -> None:
        """The data stages are done. shards: source -> stage -> shards. needed: stage -> all fingerprints that count."""
        sources = {
            source: {stage: [m.fingerprint for m in found] for stage, found in stages.items()}
            for source, stages in shards.items()
        }
        if self.state.get("sources") != sources or self.state.get("shards") != needed:
            self.update(sources=sources, shards=dict(needed))

    def reached(
        self, shards: Mapping[str, Mapping[str, Sequence[Manifest]]], needed: Mapping[str, Sequence[str]]
    ) -> bool:
        """Some of the data stages are done. Whether they found what the run had come to already; what it made of that
        later then stays known."""
        known: Mapping[str, Mapping[str, Sequence[str]]] = self.state.get("sources", {})
        sources = {
            source: {stage: [m.fingerprint for m in found] for stage, found in stages.items()}
            for source, stages in shards.items()
        }
        if known.keys() == sources.keys() and all(sources[s].items() <= {**known[s]}.items() for s in sources):
            return True
        self.update(sources=sources, shards={**self.state.get("shards", {}), **needed})
        return False

    def began(self, recipe: Mapping[str, Any], store: str) -> None:
        """A process starts to work on the run."""
        self.update(
            recipe=recipe,
            store=store,
            status="running",
            error=None,
            process={
                "id": os.getpid(),
                "born": psutil.Process().create_time(),
                "machine": platform.node(),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
        )

    def ended(self, status: Status, error: str | None = None) -> None:
        """The process's work on the run is over."""
        ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.update(status=status, error=error, ended=ended)

    @property
    def status(self) -> Status:
        """What the run is doing; a run whose process is gone counts as interrupted."""
        status: Status = self.state.get("status", "interrupted")
        process = self.state.get("process", {})
        if status == "running" and process.get("machine") == platform.node() and not _alive(process):
            return "interrupted"
        return status

    @property
    def store(self) -> Store:
        """The store that holds the run's shards."""
        return Store(self.state["store"])

    def funnel(self) -> dict[str, dict[str, list[Manifest]]]:
        """source -> stage -> shards, in the recipe's order. Shards that were taken away are left out."""
        store = self.store
        sources: Mapping[str, Mapping[str, Sequence[str]]] = self.state.get("sources", {})
        return {
            source: {stage: _found(store, stage, prints) for stage, prints in stages.items()}
            for source, stages in sources.items()
        }

    def shards(self, stage: str) -> list[Manifest]:
        """All shards of a stage that the run needs and that were not taken away; they may have let files go."""
        return _found(self.store, stage, self.state.get("shards", {}).get(stage, ()))

    @property
    def training(self) -> Path | None:
        """The folder of the training that belongs to the recipe as it ran last."""
        name = self.state.get("training")
        return self.path / name if name else None


def _found(store: Store, stage: str, prints: Sequence[str]) -> list[Manifest]:
    found = (store.lookup(stage, print, released=True) for print in prints)
    return [manifest for manifest in found if manifest is not None]


def every(runs: str | Path) -> list[Path]:
    """Folders of all runs below `runs`, by name."""
    return sorted(file.parent for file in Path(runs).glob("*/run.json"))


class Tally(Progress):
    """Progress that counts what was made and not merely found."""

    made = 0

    def end(self, stage: str, manifests: Sequence[Manifest], cached: int, seconds: float) -> None:
        self.made += len(manifests) - cached
        super().end(stage, manifests, cached, seconds)


class RecordingEngine(LocalEngine):
    """A local engine that writes down which shards the run needs before it makes them, so that `gc` leaves them."""

    def __init__(self, folder: RunFolder, store: Store, progress: Progress, **options: Any):
        super().__init__(store, progress=progress, **options)
        self._folder = folder
        self.needed: dict[str, list[str]] = {}

    def run(self, tasks: Sequence[Task]) -> list[Manifest]:
        if tasks:
            stage = tasks[0].stage.name
            known: dict[str, list[str]] = self._folder.state.get("shards", {})
            self.needed[stage] = list(dict.fromkeys([*self.needed.get(stage, ()), *(t.fingerprint for t in tasks)]))
            if not set(self.needed[stage]) <= set(known.get(stage, ())):
                self._folder.update(shards={**known, **self.needed}, stage=stage)
        return super().run(tasks)


def _alive(process: Mapping[str, Any]) -> bool:
    try:
        # A process id is given to others in time; its birth is not.
        return abs(psutil.Process(process["id"]).create_time() - process["born"]) < 1.0
    except (psutil.Error, KeyError):
        return False
