"""Records for other people's dashboards: Weights & Biases and trackio, where a recipe asks for them.

Both are imported only then. What goes wrong in them later never stops training: it is said once, and they get no more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firn.core.errors import RecipeError
from firn.train.settings import WatchSettings


class Logger:
    """One of them. begin: takes the package and starts a run there, which has `log` and `finish`."""

    def __init__(self, package: str, begin: Callable[[Any], Any], warn: Callable[[str], None]):
        try:
            module = import_module(package)
        except ImportError as error:
            raise _missing(package, f" ({error})") from error
        self._package, self._warn = package, warn
        self._run: Any = None
        self._run = self._try(lambda: begin(module))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send a step's values."""
        if values and self._run is not None:
            self._try(lambda: self._run.log(dict(values), step=step))

    def close(self) -> None:
        """End the run there."""
        if self._run is not None:
            self._try(lambda: self._run.finish())

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # of any kind: it is not ours, and training goes on
            self._run = None
            self._warn(f"{self._package} gets no more records ({type(error).__name__}: {error}); training goes on")
            return None


def check_packages(watch: WatchSettings) -> None:
    """Raises RecipeError where one that the settings ask for is not installed. Nothing is imported."""
    for package in ("wandb", "trackio"):
        if getattr(watch, package) is not None and package not in sys.modules:
            spec = find_spec(package)
            if spec is None or spec.loader is None:  # a folder of this name is no package: wandb writes one
                raise _missing(package)


def _missing(package: str, why: str = "") -> RecipeError:
    return RecipeError(
        f"the package {package} is not installed{why}",
        key=f"watch.{package}",
        mend=f"pip install {package}, or leave the key out",
    )


def loggers(folder: Path, watch: WatchSettings, warn: Callable[[str], None]) -> list[Logger]:
    """Those that the settings ask for. Raises RecipeError where one is not installed."""
    found = []
    if (wandb := watch.wandb) is not None:
        about = {"project": wandb.project, "entity": wandb.entity, "name": wandb.name, "mode": wandb.mode}
        found.append(Logger("wandb", lambda module: module.init(**about, dir=str(folder)), warn))
    if (trackio := watch.trackio) is not None:
        place = {"project": trackio.project, "name": trackio.name, "space_id": trackio.space}
        found.append(Logger("trackio", lambda module: module.init(**place), warn))
    return found
