"""The loop: next batch, update, and around it records, validation, checkpoints, and the end of a run."""

from __future__ import annotations

import math
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from firn.core.errors import RecipeError
from firn.core.progress import Progress
from firn.measure.figures import figures
from firn.model.build import Shape, save
from firn.tokens.batch import documents_in, tokens_before
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan
from firn.tokens.objectives import mask_token
from firn.train import runtime as runtimes
from firn.train.checkpoint import Checkpoints, Position
from firn.train.display import Display
from firn.train.guard import Stopped, StopSignals, TrainError, alone_in, check_bad_steps
from firn.train.metrics import Metrics
from firn.train.result import TrainResult, file_hash, weights_hash
from firn.train.settings import TrainSettings, WatchSettings
from firn.train.trainer import Ahead, Trainer, Update

# Steps that the shown rate is a mean of.
_RATE_STEPS = 20


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
    card: str | None = None,
) -> TrainResult:
    """Train a model, or go on from the newest checkpoint in `folder`; a finished run is returned at once.

    plan: where the batches come from; its stages are those of `settings`. folder: gets checkpoints/, metrics-*.jsonl,
    tensorboard/, model/ (a Hugging Face folder) and, last, result.json. device: `cuda`, `mps` or `cpu`; None: that of
    the checkpoint, else the first of these that is here. card: the model card, Markdown.

    Killed at any moment and started again with the same arguments on the same machine, it ends with the same weights,
    bit for bit. A second process in the same folder waits for the first and takes over its result.

    Raises ResumeError where the folder holds another run, Stopped after SIGINT or SIGTERM (everything is saved),
    TrainError where the loss stays not finite, StoreError where the folder cannot be written.
    """
    folder, watch, progress = Path(folder), watch or WatchSettings(), progress or Progress("quiet")
    shape = _fitted(model_settings, corpus, settings, plan)
    identity = {
        "corpus": plan.corpus,
        "plan": plan.model_dump(mode="json"),
        "model": shape.model_dump(mode="json"),
        "train": settings.model_dump(mode="json"),
    }
    with alone_in(folder, progress.note), ExitStack() as stack:
        result = TrainResult.read(folder, identity)
        if result is not None and result.is_whole(folder):
            return result
        checkpoints = Checkpoints(folder, identity, watch.keep, progress.note)
        saved = checkpoints.newest()
        if saved is None:
            runtime, warning = runtimes.choose(settings.precision, device), None
        else:
            runtime, warning = runtimes.resume(saved.notes["runtime"], device)
        if warning:
            progress.note(warning)
        stack.enter_context(runtimes.settled(runtime))
        trainer = Trainer(settings, shape, corpus, plan, runtime)
        if saved is None:
            trainer.model.init_weights(settings.seed)
            position = Position(step=0, seconds=0.0, runtime=runtime.to_json())
        else:
            position = checkpoints.load(saved, trainer.model, trainer.optimizers)
            progress.note(f"{'train':<10}  going on after step {position.step} of {trainer.steps}")
        metrics = Metrics(folder)
        stack.callback(metrics.close)
        display = stack.enter_context(Display(progress, trainer.steps))

        def record(kind: str, step: int, **values: Any) -> None:
            display.show(metrics.record(kind, step, **values))

        try:
            position = _run(trainer, position, checkpoints, watch, record)
        except torch.OutOfMemoryError as error:
            raise TrainError(
                f"the device is out of memory: {str(error).splitlines()[0]}",
                key="train.micro_batch",
                mend="set train.micro_batch to fewer windows: the batch is then accumulated from several passes",
            ) from error
        result = _finish(trainer, position, folder, watch, record, card)
        result.write(folder, identity)
        return result


def _run(trainer: Trainer, position: Position, checkpoints: Checkpoints, watch: WatchSettings, record: Any) -> Position:
    """All steps after `position`; returns the position after the last."""
    steps, saving = trainer.steps, 0.0
    losses = deque(position.losses, maxlen=max(1, min(1000, steps // 20)))
    rates: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS)
    record(
        "start",
        position.step,
        runtime=dict(position.runtime),
        parameters=trainer.model.num_parameters(),
        flops=trainer.flops(),
        steps=steps,
    )
    with StopSignals() as stop, Ahead(trainer.corpus, trainer.plan, trainer.settings) as ahead:
        for step in range(position.step, steps):
            began = time.perf_counter()
            drawn = ahead.take(step)
            update = trainer.update(step, drawn, waited=time.perf_counter() - began)
            if update.is_finite:
                losses.append(update.loss)
            else:
                position = _left_out(trainer, position, step, update, record)
            spent = sum(update.seconds.values())
            rates.append((update.tokens, spent))
            position = replace(position, step=step + 1, seconds=position.seconds + spent, losses=tuple(losses))
            rate = sum(tokens for tokens, _ in rates) / sum(seconds for _, seconds in rates)
            record(
                "step",
                step,
                loss=update.loss,
                sources=update.sources,
                lr=update.factor,
                gradient_norm=update.norm,
                tokens=tokens_before(trainer.plan, step + 1),
                tokens_per_second=rate,
                seconds={**update.seconds, "checkpoint": saving},
                mfu=trainer.mfu(step, rate),
                memory=trainer.memory(),
            )
            saving, done = 0.0, step + 1
            if watch.validate_every and done % watch.validate_every == 0 and done < steps:
                record("validation", done, **figures(trainer.validate(watch.validation_tokens)))
                if samples := trainer.samples(watch):
                    record("samples", done, samples=samples)
            if done % watch.checkpoint_every == 0 or done == steps or stop.name:
                began = time.perf_counter()
                checkpoints.save(position, trainer.model, trainer.optimizers)
                saving = time.perf_counter() - began
                record("checkpoint", done, seconds=saving)
            if stop.name and done < steps:
                raise Stopped(
                    f"saved after step {done} of {steps}, and stopped by {stop.name}",
                    mend="run the same command to go on",
                )
    return position


def _left_out(trainer: Trainer, position: Position, step: int, update: Update, record: Any) -> Position:
    """Record that the update by `step` was left out. Raises TrainError where too many were in a row."""
    documents = [span.document for span in documents_in(trainer.corpus, trainer.plan, step)]
    record("bad", step, loss=update.loss, gradient_norm=update.norm, documents=documents)
    position = replace(position, bad=(*position.bad, {"step": step, "documents": documents}))
    check_bad_steps(position.bad, trainer.settings.bad_steps)
    return position


def _finish(
    trainer: Trainer, position: Position, folder: Path, watch: WatchSettings, record: Any, card: str | None
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
    tokenizer, model = trainer.corpus.tokenizer, folder / "model"
    mask = mask_token(tokenizer) if trainer.settings.objective == "masked" else None
    save(trainer.model, model, tokenizer.json, card, end_of_text=tokenizer.end_of_text, mask=mask)
    return TrainResult(
        steps=trainer.steps,
        tokens=tokens_before(trainer.plan, trainer.steps),
        parameters=trainer.model.num_parameters(),
        flops=trainer.flops(),
        loss=math.fsum(position.losses) / len(position.losses),
        validation=validation,
        samples=samples,
        weights=weights_hash(trainer.model),
        files={path.name: file_hash(path) for path in sorted(model.iterdir()) if path.suffix != ".tmp"},
        bad=[dict(entry) for entry in position.bad],
        runtime=dict(position.runtime),
        seconds=position.seconds,
    )


def _fitted(shape: Shape, corpus: Corpus, settings: TrainSettings, plan: BatchPlan) -> Shape:
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
    if shape.vocab_size not in (0, corpus.vocab_size):
        raise RecipeError(
            f"the model has {shape.vocab_size} token ids, the tokenizer {corpus.vocab_size}",
            key="model.vocab_size",
            mend="leave model.vocab_size out: it is taken from the tokenizer",
        )
    return shape.model_copy(update={"vocab_size": corpus.vocab_size})
