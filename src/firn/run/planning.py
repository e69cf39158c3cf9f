"""`firn plan`: a run walked through without running it. Shards that are not there are foretold (firn.plan.rates).

Nothing is written, and nothing heavy is run but a third of a second of matrix products.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from firn.core.disk import free_bytes
from firn.core.errors import RecipeError
from firn.core.inputs import external
from firn.core.store import Manifest, Store
from firn.model.build import Model, build
from firn.plan import speed
from firn.plan.memory import checkpoint_bytes, training_memory
from firn.plan.rates import is_expected
from firn.run import graph, training
from firn.run.folder import RunFolder, every
from firn.run.lookahead import Lookahead, StageForecast
from firn.run.recipe import Recipe
from firn.run.refusals import refuse
from firn.run.shape import words
from firn.run.starting import Beginning, beginning
from firn.serve.numbers import size
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, Use, uses
from firn.tokens.tokenizer import load
from firn.train.metrics import read_metrics
from firn.train.result import TrainResult
from firn.train.runtime import Runtime, choose
from firn.train.trainer import flops_per_token

# Steps at the start of a training that are not typical: threads and caches warm up.
_WARM_UP = 5


@dataclass(frozen=True)
class Forecast:
    """What a run would do and cost.

    mixture: how the sources are used; tokens_known: whether their tokens are counted and not foretold. steps, tokens:
    of the whole training; flops: of its forward and backward passes. memory: bytes in training, at least. disk: bytes
    written by the run at its peak; stays: of these, when it is finished (`retain`). free: bytes free; None where the
    store is remote. seconds: 0 where there is nothing to do. device: what trains, and how its speed is known.
    dial: each number that `model.depth` speaks of, and why.
    """

    name: str
    stages: list[StageForecast]
    mixture: list[Use]
    tokens_known: bool
    shape: str
    parameters: int
    steps: int
    tokens: int
    flops: float
    memory: int
    disk: int
    stays: int
    free: int | None
    seconds: float
    device: str
    warnings: list[str] = field(default_factory=list)
    dial: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def plan(recipe: Recipe, runs: str | Path = "runs", *, workers: int | None = None) -> Forecast:
    """What `run` with these arguments would do and cost. Raises InputError and RecipeError as it would."""
    folder, store = RunFolder(Path(runs) / recipe.name), Store(recipe.store or Path(runs) / "store")
    begin = beginning(recipe, runs)
    engine = Lookahead(store, workers or recipe.engine.workers, recipe.retain)
    documents = graph.documents(recipe, engine)
    available, held_out = _tokens(recipe, documents, "train"), _tokens(recipe, documents, "validation")
    tokens_known = not any(is_expected(manifest) for manifest in documents.tokens)
    mixture, warnings = _mixture(recipe, available)
    model, settings = _model(recipe, begin, documents.tokenizer), recipe.train
    parameters, runtime = model.num_parameters(), choose(settings.precision)
    tokens_per_step = settings.batch * settings.window
    flops = flops_per_token(model, settings, settings.window) * tokens_per_step

    steps = 0 if tokens_known and _trained(recipe, begin, folder, store, documents) else settings.steps
    if steps:
        refuse(recipe, begin, store, documents.tokenizer)
    per_step, source = seconds_per_step(recipe, model, runs, runtime)
    # A forward pass is a third of a step.
    read = _validated(recipe, held_out) if steps else 0
    row = StageForecast("train", there=int(steps == 0), todo=int(steps > 0), known=steps == 0)
    row.seconds = (steps + read / tokens_per_step / 3) * per_step
    row.bytes = row.stays = training_bytes(recipe, parameters) if steps else 0
    stages = [*engine.stages.values(), row]

    windows = settings.micro_batch or settings.batch
    shape = model.settings.model_copy(update={"context": settings.window})
    memory = training_memory(shape, parameters, windows, element=runtime.dtype.itemsize).total
    disk, free = sum(stage.bytes for stage in stages), free_bytes(store)
    return Forecast(
        name=recipe.name,
        stages=stages,
        mixture=mixture,
        tokens_known=tokens_known,
        shape=f"{words(shape)}, {shape.layers} layers of {shape.width}"
        + (f", from {begin.said}" if begin.said else ""),
        dial=[str(number) for number in recipe.dial],
        parameters=parameters,
        steps=settings.steps,
        tokens=settings.steps * tokens_per_step,
        flops=flops * settings.steps,
        memory=memory,
        disk=disk,
        stays=sum(stage.stays for stage in stages),
        free=free,
        seconds=sum(stage.seconds for stage in stages),
        device=f"{device_words(runtime)}" + (f"; training by {source}" if steps else ""),
        warnings=[*warnings, *_too_much(memory, disk, free, runtime)],
    )


def disk_needed(recipe: Recipe, store: Store, folder: RunFolder | None = None) -> int:
    """Bytes that the run will write, as far as can be told. folder: the run's own, where a finished training may lie.

    All of it lies on the disk at once at the end: what `retain` lets go, goes when the run is finished. Raises
    RecipeError for what training would refuse (`firn.run.refusals`).
    """
    begin = beginning(recipe, folder.path.parent if folder else Path("runs"))
    engine = Lookahead(store, recipe.engine.workers, recipe.retain)
    documents = graph.documents(recipe, engine)
    needed = sum(stage.bytes for stage in engine.stages.values())
    counted = not any(is_expected(manifest) for manifest in documents.tokens)
    if folder is None or not counted or not _trained(recipe, begin, folder, store, documents):
        refuse(recipe, begin, store, documents.tokenizer)
        needed += training_bytes(recipe, _model(recipe, begin, documents.tokenizer).num_parameters())
    return needed


def training_bytes(recipe: Recipe, parameters: int) -> int:
    """Bytes of the checkpoints that lie side by side, of which one is being written, and of the exported model."""
    return (recipe.watch.keep + 1) * checkpoint_bytes(parameters) + 4 * parameters


def seconds_per_step(recipe: Recipe, model: Model, runs: str | Path, runtime: Runtime) -> tuple[float, str]:
    """Seconds that a step takes here, and how that is known.

    By earlier steps with as many parameters and FLOPs on this device in any of the runs, or else by matrix products.
    """
    settings = recipe.train
    flops = flops_per_token(model, settings, settings.window) * settings.batch * settings.window
    alike = {"parameters": model.num_parameters(), "flops": flops * settings.steps, "steps": settings.steps}
    for path in every(runs):
        for folder in sorted(path.glob("train-*")):
            if taken := _step_seconds(folder, runtime, flops, alike["parameters"]):
                return taken, "earlier steps of this shape"
    windows = settings.micro_batch or settings.batch
    rate = speed.matmul_rate(model.settings, windows * settings.window, runtime.dtype, runtime.device)
    return flops / (rate * speed.EFFICIENCY[runtime.dtype]), f"matrix products at {rate / 1e9:,.0f} GFLOP/s"


def _step_seconds(folder: Path, runtime: Runtime, flops: float, parameters: float) -> float | None:
    """Median seconds of the steps of a training; None where it is not of this shape and device, or too short."""
    records = read_metrics(folder)
    start = next((record for record in records if record["kind"] == "start"), None)
    if start is None or start["runtime"] != runtime.to_json() or start["parameters"] != parameters:
        return None
    if abs(start["flops"] / start["steps"] / flops - 1) > 1e-6:
        return None
    taken = [
        sum(seconds for part, seconds in record["seconds"].items() if part != "checkpoint")
        for record in records
        if record["kind"] == "step"
    ][_WARM_UP:]
    return statistics.median(taken) if taken else None


def _tokens(recipe: Recipe, documents: graph.Documents, split: str) -> dict[str, int]:
    """Tokens of each source in one split, counted or foretold."""
    size = 2 if _vocabulary(recipe, documents.tokenizer) <= 1 << 16 else 4
    return {
        source: sum(manifest.files[split].bytes for manifest in stages.get("tokens", ())) // size
        for source, stages in documents.shards.items()
    }


def _vocabulary(recipe: Recipe, tokenizer: Manifest) -> int:
    """Number of token ids; where a tokenizer is still to be trained, what the recipe asks for."""
    if recipe.tokenizer.file is not None:
        return load(external(recipe.tokenizer.file).local()).vocab_size
    return int(tokenizer.notes.get("vocab_size", recipe.tokenizer.vocab_size))


def _model(recipe: Recipe, begin: Beginning, tokenizer: Manifest) -> Model:
    """The model without memory for its weights."""
    rows = max(begin.shape.vocab_size, _vocabulary(recipe, tokenizer))
    with torch.device("meta"):
        return build(begin.shape.model_copy(update={"vocab_size": rows}))


def _mixture(recipe: Recipe, available: dict[str, int]) -> tuple[list[Use], list[str]]:
    """How the sources are used, and what `run` would warn of or refuse."""
    warnings = [
        f"{source} has about {tokens:,} training tokens, one window takes {recipe.train.window + 1:,}: run refuses it"
        for source, tokens in available.items()
        if tokens <= recipe.train.window
    ]
    there = {source: tokens for source, tokens in available.items() if tokens > 1}
    weights = {source: (recipe.weights or there)[source] for source in sorted(there)}
    if not weights:
        return [], warnings
    found = uses(there, BatchPlan(stages=recipe.train.stages, weights=weights, seed=recipe.train.seed, corpus=""))
    for use in found:
        if use.epochs > recipe.mixture.max_epochs:
            warnings.append(
                f"{use.source} would be read about {use.epochs:.1f} times, the limit is {recipe.mixture.max_epochs:g}: "
                "run refuses it"
            )
        elif use.warning:
            warnings.append(use.warning)
    return found, warnings


def _trained(recipe: Recipe, begin: Beginning, folder: RunFolder, store: Store, documents: graph.Documents) -> bool:
    """Whether the training of these tokens, all of which are there, is finished."""
    corpus = Corpus.open(store, documents.tokens, documents.tokenizer)
    try:
        _, name = training.planned(recipe, corpus, begin)
    except RecipeError:
        return False  # what the mixture is warned of
    return TrainResult.read(folder.path / name) is not None


def _validated(recipe: Recipe, held_out: dict[str, int]) -> int:
    """Tokens that all validations read."""
    watch, total = recipe.watch, sum(held_out.values())
    times = (recipe.train.steps - 1) // watch.validate_every + 1 if watch.validate_every else 0
    return total + times * sum(min(watch.validation_tokens, tokens) for tokens in held_out.values())


def device_words(runtime: Runtime) -> str:
    """The device, for people."""
    if runtime.device != "cpu":
        return runtime.name
    return f"{runtime.threads} {'thread' if runtime.threads == 1 else 'threads'} of {runtime.name}"


def _too_much(memory: int, disk: int, free: int | None, runtime: Runtime) -> list[str]:
    """What this machine is too small for."""
    has = torch.cuda.mem_get_info()[1] if runtime.device == "cuda" else psutil.virtual_memory().total
    found = []
    if memory > has:
        found.append(
            f"training takes at least {size(memory)} of memory and there are {size(has)}: "
            "set train.micro_batch to fewer windows, or take a smaller model"
        )
    if free is not None and disk > free:
        found.append(f"the run writes {size(disk)} and the disk has {size(free)} left: run refuses it")
    return found
