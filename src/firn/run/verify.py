"""`firn verify-resume`: proof, for a recipe and this machine, that a killed run ends in the same bits.

The recipe's training is taken some steps twice, each time in processes of its own: in one go, and killed by SIGKILL
half-way, before its latest checkpoint is whole, and started again from the one before. Then the two checkpoints and the
records of all steps are compared, bit for bit.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from firn.core.errors import RecipeError
from firn.core.hashing import fingerprint
from firn.core.progress import Progress
from firn.core.store import Manifest
from firn.run import graph, training
from firn.run.folder import RunFolder
from firn.run.partway import partway
from firn.run.recipe import Recipe
from firn.run.scratch import held, left_behind, scratch
from firn.train.metrics import read_metrics
from firn.train.runtime import Runtime
from firn.train.stop import Stopped

#: Of a step, what must be the same.
_FIGURES = ("loss", "gradient_norm", "sources")


@dataclass(frozen=True)
class Verdict:
    """What was found. steps: taken. killed: the step after which one run was killed. runtime: how they computed.

    first_step: the first whose loss or gradient norm differs; None: none does. tensors: names of weights and state
    that differ after the last step. hashes: of weights and of optimizer state, of the run in one go and of the other.
    """

    steps: int
    killed: int
    runtime: dict[str, Any]
    first_step: int | None
    tensors: list[str]
    hashes: dict[str, tuple[str, str]]

    @property
    def same(self) -> bool:
        """Whether all of it is."""
        return self.first_step is None and not self.tensors and all(a == b for a, b in self.hashes.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "same": self.same}


def verify_resume(
    recipe: Recipe, runs: str | Path = "runs", *, steps: int = 20, workers: int | None = None, quiet: bool = False
) -> Verdict:
    """Take `steps` steps of the recipe's training in two ways and compare them.

    All of it in a run folder of its own beside the recipe's, which is not touched, and taken away at the end; so are
    those of earlier ones that were killed. The stages before training are run where the store has not what they make,
    which stays there. Raises RecipeError where the recipe has too few steps, and what training raises.
    """
    steps = min(steps, recipe.train.steps)
    if steps < 2:
        raise RecipeError("two steps are the least that can be cut", key="train.steps", mend="take more steps")
    progress = Progress("quiet" if quiet else "auto")
    watch = recipe.watch.model_copy(
        update={"wandb": None, "trackio": None, "time_limit": None, "checkpoint_every": max(1, steps // 4), "keep": 2}
    )
    Path(runs).mkdir(parents=True, exist_ok=True)
    for folder in left_behind(runs):
        progress.note(f"{'verify':<10}  takes away {folder}, which was killed")
        shutil.rmtree(folder, ignore_errors=True)
    with scratch(runs) as run:
        half = steps // 2
        recipe = recipe.model_copy(update={"name": run.name, "watch": watch})
        with partway(recipe, runs, "cleaned", progress, workers) as part:
            documents = graph.documents(recipe, part.engine)
            part.shards = documents.shards
        training.prepare(recipe, part.folder, documents.tokens, documents.tokenizer)
        whole, cut = run / "whole", run / "cut"
        progress.note(f"{'verify':<10}  {steps} steps in one go")
        _apart(recipe, run, whole, steps)
        # What is measured at the start of a run is taken from the first: the same run would have recorded it.
        runtime = Runtime(**_checkpoint(whole, steps).notes["runtime"])
        progress.note(f"{'verify':<10}  {half} steps, then SIGKILL, then the rest")
        _apart(recipe, run, cut, half, runtime, kill=True)
        _apart(recipe, run, cut, steps, runtime)
        return _compared(whole, cut, steps, half)


def _apart(
    recipe: Recipe, run: Path, into: Path, until: int, runtime: Runtime | None = None, kill: bool = False
) -> None:
    """Train in a process of its own, up to a step; at its end it is killed, or ends by itself."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            pool.submit(_train, recipe, run, into, until, runtime, kill).result()
        except BrokenProcessPool:
            if not kill:
                raise


def _train(recipe: Recipe, run: Path, into: Path, until: int, runtime: Runtime | None, kill: bool) -> None:
    with held(run):
        folder = RunFolder.open(run)
        corpus, _, _ = training.opened(folder)
        with suppress(Stopped):
            training.train(recipe, folder, corpus, Progress("quiet"), into=into, runtime=runtime, until=until)
        if kill:
            _manifest(into, until).unlink()  # a kill while it is written leaves the checkpoint so
            os.kill(os.getpid(), signal.SIGKILL)


def _checkpoint(folder: Path, step: int) -> Manifest:
    manifest = Manifest.from_json(_manifest(folder, step).read_bytes())
    assert manifest is not None
    return manifest


def _manifest(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:08d}" / "manifest.json"


def _figures(folder: Path) -> dict[int, list[Any]]:
    """What each step gave."""
    steps = [record for record in read_metrics(folder) if record["kind"] == "step"]
    return {record["step"]: [record[figure] for figure in _FIGURES] for record in steps}


def _content(file: Path) -> dict[str, str]:
    """Name -> hash of the content of every tensor."""
    import torch
    from safetensors.torch import load_file

    bytes_of = {name: tensor.reshape(-1).view(torch.uint8).numpy().data for name, tensor in load_file(file).items()}
    return {name: sha256(content).hexdigest() for name, content in bytes_of.items()}


def _compared(whole: Path, cut: Path, steps: int, half: int) -> Verdict:
    manifests = [(folder, _checkpoint(folder, steps)) for folder in (whole, cut)]
    first, second = _figures(whole), _figures(cut)
    differing = [step for step in range(steps) if first.get(step) != second.get(step)]
    tensors, hashes = [], {}
    for name in ("model", "state"):
        one, other = (_content(folder / manifest.files[name].path) for folder, manifest in manifests)
        tensors += [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
        hashes[name] = (fingerprint(one), fingerprint(other))
    return Verdict(
        steps=steps,
        killed=half,
        runtime=dict(manifests[0][1].notes["runtime"]),
        first_step=min(differing, default=None),
        tensors=tensors,
        hashes=hashes,
    )
