"""From token shards to a trained model in the run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firn.core.errors import InputError
from firn.core.files import atomic_write
from firn.core.hashing import fingerprint
from firn.core.progress import Progress
from firn.core.store import Manifest
from firn.measure.figures import held_out
from firn.measure.ladder import ladder as measure_ladder
from firn.model.config import ModelSettings
from firn.model.hf_config import unexportable
from firn.run.card import card
from firn.run.folder import RunFolder
from firn.run.recipe import Recipe
from firn.run.shape import words
from firn.run.starting import Beginning, beginning
from firn.tokens.batch import Skip
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, Use, make_plan, usage
from firn.train.loop import train as train_model
from firn.train.metrics import read_metrics, spent
from firn.train.result import TrainResult
from firn.train.runtime import Runtime

_LADDER_VERSION = 1


@dataclass(frozen=True)
class Progressed:
    """How far a training is. held_out: latest held-out figure by source; figure: which one (`firn.measure.figures`).
    rate: tokens per second. dollars, kwh: so far; None where the recipe gives no prices."""

    step: int
    steps: int
    loss: float | None
    rate: float | None
    figure: str
    held_out: dict[str, float]
    dollars: float | None = None
    kwh: float | None = None

    @property
    def cost(self) -> str:
        """Dollars and kWh, for people; empty where they are not known."""
        return spent({"dollars": self.dollars, "kwh": self.kwh})


def prepare(recipe: Recipe, folder: RunFolder, tokens: Sequence[Manifest], tokenizer: Manifest) -> Corpus:
    """The corpus of these shards, its plan, and the name of the training's folder; all noted in run.json."""
    corpus, begin = Corpus.open(folder.store, tokens, tokenizer), beginning(recipe, folder.path.parent)
    begin.check(corpus.tokenizer)
    plan, name = planned(recipe, corpus, begin)
    noted: dict[str, Any] = {"training": name, "plan": plan.model_dump(mode="json"), "tokenizer": tokenizer.fingerprint}
    noted |= {"architecture": words(begin.shape), "start": begin.noted(recipe)}
    if any(folder.state.get(key) != value for key, value in noted.items()):
        folder.update(**noted)
    return corpus


def planned(recipe: Recipe, corpus: Corpus, begin: Beginning) -> tuple[BatchPlan, str]:
    """The plan of batches, and the name of the training's folder."""
    plan = make_plan(
        corpus, recipe.train.stages, recipe.weights, seed=recipe.train.seed, max_epochs=recipe.mixture.max_epochs
    )
    parts: dict[str, Any] = {
        "plan": plan,
        "model": begin.shape,
        "train": recipe.train.model_copy(update={"start": None}),
    }
    if begin.identity is not None:
        parts["start"] = begin.identity
    return plan, f"train-{fingerprint(parts)[:8]}"


def train(
    recipe: Recipe,
    folder: RunFolder,
    corpus: Corpus,
    progress: Progress,
    *,
    into: Path | None = None,
    runtime: Runtime | None = None,
    until: int | None = None,
) -> TrainResult:
    """Train, go on with a training, or find it finished. into: another folder than the run's. runtime, until: as
    `firn.train.loop.train` takes them."""
    plan, begin = plan_of(folder), beginning(recipe, folder.path.parent)
    assert folder.training is not None
    rungs = known_ladder(folder, corpus) if recipe.report.ladder else {}
    if result(folder) is None:
        for line in remarks(recipe, begin):
            progress.note(line)
    return train_model(
        recipe.train,
        begin.shape,
        corpus,
        plan,
        into or folder.training,
        watch=recipe.watch,
        progress=progress,
        runtime=runtime,
        until=until,
        card=lambda found: card(recipe, begin, corpus, plan, found, rungs),
        start=begin.start,
    )


def remarks(recipe: Recipe, begin: Beginning) -> list[str]:
    """What is to be said of the model before it is trained."""
    lines = [f"{'dial':<10}  {number}" for number in recipe.dial]
    if begin.said:
        lines.append(f"{'train':<10}  begins from {begin.said}")
    if recipe.train.start is not None:
        lines.append(
            f"{'train':<10}  batches begin at the first again: for other windows of the same data, set train.seed"
        )
    if recipe.train.schedule.warmup >= recipe.train.steps:
        lines.append(
            f"{'train':<10}  ends while its rates still rise: {recipe.train.steps:,} steps, and "
            f"train.schedule.warmup is {recipe.train.schedule.warmup:,}"
        )
    if isinstance(begin.shape, ModelSettings) and (reason := unexportable(begin.shape)):
        lines.append(f"{'train':<10}  the model will open in firn alone: {reason}")
    return lines


def ladder(folder: RunFolder, corpus: Corpus, progress: Progress) -> dict[str, dict[str, float]]:
    """source -> rung -> bits per byte, for this corpus; measured once. Empty where no text is held out."""
    if found := known_ladder(folder, corpus):
        return found
    began = time.monotonic()
    if not (found := measure_ladder(corpus)):
        return found
    atomic_write(_ladder_file(folder, corpus), (json.dumps(found, indent=1) + "\n").encode())
    progress.note(f"{'ladder':<10}  compressors and byte models on the held-out text  {time.monotonic() - began:.1f} s")
    return found


def known_ladder(folder: RunFolder, corpus: Corpus) -> dict[str, dict[str, float]]:
    """The ladder where it has been measured, else empty."""
    try:
        found: dict[str, dict[str, float]] = json.loads(_ladder_file(folder, corpus).read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _ladder_file(folder: RunFolder, corpus: Corpus) -> Path:
    return folder.path / f"ladder-{fingerprint([corpus.identity, _LADDER_VERSION])[:8]}.json"


def plan_of(folder: RunFolder) -> BatchPlan:
    """The plan that run.json holds. Raises InputError where the run has not come so far."""
    plan = folder.state.get("plan")
    if plan is None:
        raise InputError("the run has no tokens yet", where=str(folder.path), mend="run its recipe to the end")
    return BatchPlan.model_validate(plan)


def opened(folder: RunFolder) -> tuple[Corpus, BatchPlan, tuple[Skip, ...]]:
    """Corpus, plan and skipped windows of a run's last training, to look into its batches."""
    plan = plan_of(folder)
    tokenizer = folder.store.lookup("tokenizer", folder.state["tokenizer"])
    if tokenizer is None:
        raise InputError("the run's tokens are gone", where=str(folder.path), mend="run its recipe again")
    # Steps before the last return read none of these windows, so they hold for the whole run.
    rewinds = [record for record in metrics(folder) if record["kind"] == "rewind"]
    skipped = tuple(Skip(*skip) for skip in rewinds[-1]["skipped"]) if rewinds else ()
    return Corpus.open(folder.store, folder.shards("tokens"), tokenizer), plan, skipped


def result(folder: RunFolder) -> TrainResult | None:
    """What the run's last training ended in; None where it has not."""
    return TrainResult.read(folder.training) if folder.training is not None else None


def metrics(folder: RunFolder) -> list[dict[str, Any]]:
    """The records of the run's last training, in the order of steps."""
    return read_metrics(folder.training) if folder.training is not None else []


def progressed(folder: RunFolder) -> Progressed | None:
    """How far the run's last training is; None where it has not begun."""
    records = metrics(folder)
    steps = next((record["steps"] for record in reversed(records) if record["kind"] == "start"), None)
    if steps is None:
        return None
    last: dict[str, Any] = next((record for record in reversed(records) if record["kind"] == "step"), {})
    measured: dict[str, Any] = next(
        (record for record in reversed(records) if record["kind"] in ("validation", "evaluation")), {}
    )
    done, loss, rate = last.get("step", -1) + 1, last.get("loss"), last.get("tokens_per_second")
    cost = last.get("dollars"), last.get("kwh")
    return Progressed(done, steps, loss, rate, *held_out(measured), *cost)


def mixture(folder: RunFolder, corpus: Corpus) -> list[Use]:
    """How the run's plan uses each source."""
    return usage(corpus, plan_of(folder))
