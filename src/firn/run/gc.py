"""Garbage of all runs: shards that no run keeps, and what killed processes left."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.core.gc import YOUNG_SECONDS, find_garbage, remove
from firn.core.store import Store
from firn.run.folder import RunFolder, every
from firn.run.scratch import left_behind


@dataclass(frozen=True)
class Collected:
    """What may go, or went, from one store, or the folder that a killed `verify-resume` left. stages: stage -> (files,
    bytes). kept: why nothing of it was touched."""

    store: str
    files: int
    bytes: int
    stages: dict[str, tuple[int, int]]
    kept: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def collect(runs: str | Path = "runs", *, dry_run: bool = False, young: float = YOUNG_SECONDS) -> list[Collected]:
    """Take away what killed `verify-resume`s left below `runs` and, store by store, the shards that no run keeps.

    dry_run: only say what would go.

    Files younger than `young` seconds stay, for a run may be writing them. A store outside `runs` may serve the runs of
    another folder: it is left alone. Trainings are never taken away.
    """
    home = Path(runs).resolve()
    left = left_behind(runs)
    collected = [_folder(path, dry_run) for path in left]
    folders = [RunFolder.open(path) for path in every(runs) if path not in left]
    stores = {str(folder.state["store"]): folder.store for folder in folders}
    stores.setdefault(str(Path(runs) / "store"), Store(Path(runs) / "store"))
    for name, store in sorted(stores.items()):
        if not store.files.is_local:
            collected.append(Collected(name, 0, 0, {}, "it is remote"))
        elif home not in Path(store.files.root).resolve().parents:
            collected.append(Collected(name, 0, 0, {}, f"it lies outside {runs}, and other runs may use it"))
        else:
            keep = {
                (stage, print)
                for folder in folders
                if str(folder.state["store"]) == name
                for stage, prints in folder.state.get("shards", {}).items()
                for print in prints
            }
            collected.append(_collect(name, store, keep, dry_run, young))
    return collected


def _folder(path: Path, dry_run: bool) -> Collected:
    sizes = [file.lstat().st_size for file in path.rglob("*") if not file.is_dir()]
    if not dry_run:
        shutil.rmtree(path, ignore_errors=True)
    return Collected(str(path), len(sizes), sum(sizes), {})


def _collect(name: str, store: Store, keep: set[tuple[str, str]], dry_run: bool, young: float) -> Collected:
    garbage = find_garbage(store, keep, young=young)
    stages: dict[str, tuple[int, int]] = {}
    for path in garbage.paths:
        stage = path.split("/")[0]
        files, bytes = stages.get(stage, (0, 0))
        stages[stage] = files + 1, bytes + (Path(store.files.root) / path).stat().st_size
    if not dry_run:
        remove(store, garbage)
    return Collected(name, len(garbage.paths), garbage.bytes, stages)
