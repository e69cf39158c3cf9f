"""The loop: next batch, update, and around it records, validation, checkpoints, and the end of a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from firn.core.errors import RecipeError
from firn.core.progress import Progress
from firn.measure.figures import figures
from firn.model.build import Shape, save
from firn.tokens.batch import tokens_before
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan
from firn.tokens.objectives import mask_token
from firn.train import runtime as runtimes
from firn.train.checkpoint import Checkpoints, Position
from firn.train.display import Display
from firn.train.guard import TrainError
from firn.train.metrics import Metrics
from firn.train.result import TrainResult, file_hash, weights_hash
from firn.train.runtime import Runtime
from firn.train.settings import TrainSettings, WatchSettings
from firn.train.start import Start
from firn.train.steps import Steps
from firn.train.stop import Stop, alone_in, duration
from firn.train.trainer import Trainer


def train(
    settings: TrainSettings,
    model_settings: Shape,
    corpus: Corpus,
    plan: BatchPlan,
    folder: str | Path,
    *,
    watch: WatchSettings | None = None,
    progress: Progress | None = None,
    device: str | None = None,
    card: Callable[[TrainResult], str] | None = None,
    start: Start | None = None,
    runtime: Runtime | None = None,
    until: int | None = None,
) -> TrainResult:
    """Train a model, or go on from the newest checkpoint in `folder`; a finished run is returned at once.

    plan: where the batches come from; its stages are those of `settings`. folder: gets checkpoints/, metrics-*.jsonl,
    tensorboard/, model/ (a Hugging Face folder) and, last, result.json. device: `cuda`, `mps` or `cpu`; None: that of
    the checkpoint, else the first of these that is here. card: makes the model card, Markdown, of the result, whatever
    its `seconds`. start: what is loaded before the first step; None: random weights. runtime: how a new run computes,
    instead of what is chosen here. until: the step after which to save and stop; None: the last.

    Killed at any moment and started again with the same arguments on the same machine, it ends with the same weights,
    bit for bit. A second process in the same folder waits for the first and takes over its result.

    Raises ResumeError where the folder holds another run, Stopped after SIGINT, SIGTERM, the time limit or `until`
    (everything is saved), TrainError where the guard gives up, StoreError where the folder cannot be written.
    """
    folder, watch, progress = Path(folder), watch or WatchSettings(), progress or Progress("quiet")
    shape = _fitted(model_settings, corpus, settings, plan, start)
    identity = {
        "corpus": plan.corpus,
        "plan": plan.model_dump(mode="json"),
        "model": shape.model_dump(mode="json"),
        "train": settings.model_dump(mode="json", exclude={"start"}),
        **({"start": start.identity} if start else {}),
    }
    with alone_in(folder, progress.note), ExitStack() as stack:
        result = TrainResult.read(folder, identity)
        if result is not None and result.is_whole(folder):
            return result
        stop = Stop(duration(watch.time_limit) if watch.time_limit else None)
        checkpoints = stack.enter_context(
            Checkpoints(
                folder,
                identity,
                progress.note,
                keep=watch.keep,
                keep_every=watch.keep_every,
                keep_best=watch.keep_best,
                guard_every=settings.guard.every,
            )
        )
        saved = checkpoints.newest()
        if saved is None:
            chosen, warning = runtime or runtimes.choose(settings.precision, device), None
        else:
            chosen, warning = runtimes.resume(saved.notes["runtime"], device)
        if warning:
            progress.note(warning)
        stack.enter_context(runtimes.settled(chosen))
        trainer = Trainer(settings, shape, corpus, plan, chosen)
        if saved is None:
            torch.manual_seed(settings.seed)  # nothing of firn's draws from it, but a model from elsewhere may
            trainer.model.init_weights(settings.seed)
            if start is not None:
                start.load(trainer.model, trainer.optimizers)
            if runtime is None:
                _note(progress, trainer.choose_compile(partial(_note, progress)))
            position = Position(step=0, seconds=0.0, runtime=trainer.runtime.to_json())
        else:
            position = checkpoints.load(saved, trainer.model, trainer.parts)
            _note(progress, f"going on after step {position.step} of {trainer.steps}")
        if trainer.runtime.compile and position.step < trainer.steps:
            trainer.compile(position.step)
        metrics = Metrics(folder, watch, progress.note)
        stack.callback(metrics.close)
        display = stack.enter_context(Display(progress, trainer.steps))

        def record(kind: str, step: int, **values: Any) -> None:
            display.show(metrics.record(kind, step, **values))

        record(
            "start",
            position.step,
            runtime=dict(position.runtime),
            parameters=trainer.model.num_parameters(),
            flops=trainer.flops(),
            steps=trainer.steps,
        )
        try:
            with stop:
                position = Steps(trainer, position, checkpoints, watch, record, until).run(stop)
        except torch.OutOfMemoryError as error:
            raise TrainError(
                f"the device is out of memory: {str(error).splitlines()[0]}",
                key="train.micro_batch",
                mend="set train.micro_batch to fewer windows: the batch is then accumulated from several passes",
            ) from error
        checkpoints.wait()
        result = _finish(trainer, position, folder, watch, record, card)
        result.write(folder, identity)
        return result


def _note(progress: Progress, text: str) -> None:
    if text:
        progress.note(f"{'train':<10}  {text}")


def _finish(
    trainer: Trainer,
    position: Position,
    folder: Path,
    watch: WatchSettings,
    record: Any,
    card: Callable[[TrainResult], str] | None,
) -> TrainResult:
    """Measure the model on all held-out text and write its folder."""
    if not position.losses:
        raise TrainError("no step had a finite loss", key="train.optimizer", mend="lower the learning rates")
    trainer.optimizers.take_averages()
    if watch.validate_every:  # the last point of the curve, of the same text as those before it
        record("validation", trainer.steps, **figures(trainer.validate(watch.validation_tokens)))
    validation = trainer.validate()
    record("evaluation", trainer.steps, **figures(validation))
    samples = trainer.samples(watch)
    if samples:
        record("samples", trainer.steps, samples=samples)
    result = TrainResult(
        steps=trainer.steps,
        tokens=tokens_before(trainer.plan, trainer.steps),
        parameters=trainer.model.num_parameters(),
        flops=trainer.flops(),
        loss=math.fsum(position.losses) / len(position.losses),
        validation=validation,
        samples=samples,
        weights=weights_hash(trainer.model),
        files={},
        bad=[dict(entry) for entry in position.bad],
        rewinds=[dict(entry) for entry in position.rewinds],
        runtime=dict(position.runtime),
        seconds=position.seconds,
    )
    tokenizer, model = trainer.corpus.tokenizer, folder / "model"
    mask = mask_token(tokenizer) if trainer.settings.objective == "masked" else None
    text = None if card is None else card(result)
    save(trainer.model, model, tokenizer.json, text, end_of_text=tokenizer.end_of_text, mask=mask)
    files = {path.name: file_hash(path) for path in sorted(model.iterdir()) if path.suffix != ".tmp"}
    return replace(result, files=files)


def _fitted(
    shape: Shape, corpus: Corpus, settings: TrainSettings, plan: BatchPlan, start: Start | None = None
) -> Shape:
    """The model's settings with the tokenizer's vocabulary; RecipeError where model, settings and plan do not agree."""
    if tuple(plan.stages) != settings.stages:
        raise RecipeError(
            f"the plan has the stages {plan.stages}, the settings ask for {settings.stages}",
            key="train.steps",
            mend="make the plan with firn.tokens.mixture.make_plan(corpus, settings.stages, ...)",
        )
    longest = max(stage.window for stage in plan.stages)
    if longest > shape.context:
        raise RecipeError(
            f"the window is {longest} tokens, the model reads at most {shape.context}",
            key="train.window",
            mend="make model.context at least as long",
        )
    if start is not None and shape.vocab_size >= corpus.vocab_size:
        return shape  # published tables often have more rows than their tokenizers have ids
    if shape.vocab_size not in (0, corpus.vocab_size):
        raise RecipeError(
            f"the model has {shape.vocab_size} token ids, the tokenizer {corpus.vocab_size}",
            key="model.vocab_size",
            mend="leave model.vocab_size out: it is taken from the tokenizer",
        )
    return shape.model_copy(update={"vocab_size": corpus.vocab_size})
