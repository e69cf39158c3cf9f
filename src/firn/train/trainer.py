"""One model, its optimizers, and one step of them: gradients of a batch, check, update."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor

from firn.measure.bits import bits_per_byte
from firn.measure.hidden import hidden_tokens
from firn.measure.samples import complete
from firn.model.attention import Documents
from firn.model.build import Model, Shape, build
from firn.model.encoder import Encoder
from firn.model.objective import by_source
from firn.plan.peaks import mfu
from firn.tokens.batch import Batch, batch, stage_of, total_steps
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan
from firn.tokens.objectives import apply
from firn.train.optim import Optimizers, gradient_norm, scale_gradients
from firn.train.runtime import Runtime
from firn.train.schedule import learning_rate
from firn.train.settings import TrainSettings, WatchSettings


@dataclass(frozen=True)
class Update:
    """What one step gave.

    loss: nats per target. sources: loss by source. norm: of the gradient, before clipping. factor: on all learning
    rates. tokens: read. targets: of these to be predicted. is_finite: whether the weights were updated. seconds: by
    part of the step.
    """

    loss: float
    sources: dict[str, float]
    norm: float
    factor: float
    tokens: int
    targets: int
    is_finite: bool
    seconds: dict[str, float]


class Trainer:
    """A model in training on one device. Its weights are unset until `init_weights` or a checkpoint sets them."""

    def __init__(self, settings: TrainSettings, shape: Shape, corpus: Corpus, plan: BatchPlan, runtime: Runtime):
        self.settings, self.corpus, self.plan, self.runtime = settings, corpus, plan, runtime
        self.steps = total_steps(plan)
        self.model = build(shape).to(runtime.device)
        self.model.compute_dtype = runtime.dtype
        self.optimizers = Optimizers(self.model, settings.optimizer, muon_dtype=runtime.dtype)

    def update(self, step: int, drawn: Batch, waited: float = 0.0) -> Update:
        """Step number `step` on its batch. Weights and optimizer state stay as they are where anything is not finite.

        waited: seconds that the batch took, for the record.
        """
        began = time.perf_counter()
        nats, counts = self.gradients(drawn)
        targets = sum(counts.values())
        loss = math.fsum(nats.values()) / max(1, targets)
        norm_tensor = gradient_norm(self.model)
        norm = float(norm_tensor)
        computed = time.perf_counter()
        factor = learning_rate(self.settings.schedule, step, self.steps)
        is_finite = math.isfinite(loss) and math.isfinite(norm)
        if is_finite:
            if self.settings.optimizer.clip is not None:
                scale_gradients(self.model, norm_tensor, self.settings.optimizer.clip)
            self.optimizers.step(step, factor)
        self.optimizers.zero_grad()
        seconds = {"data": waited, "compute": computed - began, "optimizer": time.perf_counter() - computed}
        by_source = {source: nats[source] / counts[source] for source in nats}
        return Update(loss, by_source, norm, factor, drawn.inputs.size, targets, is_finite, seconds)

    def gradients(self, drawn: Batch) -> tuple[dict[str, float], dict[str, int]]:
        """Add to every parameter's gradient that of the mean loss over all targets of the batch.

        The batch goes through the model in micro-batches. Each divides by the number of targets of the whole batch, so
        that how it is cut up does not matter, also where windows have different numbers of targets.
        Returns, by source: sum of nats, number of targets.
        """
        total = max(1, int((drawn.targets >= 0).sum()))
        size = self.settings.micro_batch or len(drawn.sources)
        nats, counts = defaultdict[str, float](float), defaultdict[str, int](int)
        for first in range(0, len(drawn.sources), size):
            rows = slice(first, first + size)
            targets_BT = self._to_device(drawn.targets[rows])
            documents = drawn.documents and Documents.of(drawn.documents[rows], drawn.window)
            losses = self.model.losses(self._to_device(drawn.inputs[rows]), targets_BT, documents or None)
            (losses.total / total).backward()
            for source, (found, count) in by_source(losses.nats, targets_BT, drawn.sources[rows]).items():
                nats[source] += found
                counts[source] += count
        return {source: nats[source] for source in nats if counts[source]}, dict(counts)

    def _to_device(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.runtime.device, non_blocking=True)

    def validate(self, tokens: int | None = None) -> dict[str, dict[str, float]]:
        """Of every source that has held-out text: `bits_per_byte` of a decoder, `hidden_tokens` of an encoder."""
        sources = [source for source, streams in self.corpus.sources.items() if streams.validation.bytes]
        if isinstance(self.model, Encoder):
            return {source: hidden_tokens(self.model, self.corpus, source, tokens=tokens) for source in sources}
        return {source: bits_per_byte(self.model, self.corpus, source, tokens=tokens) for source in sources}

    def samples(self, watch: WatchSettings) -> list[dict[str, str]]:
        """Completions of the prompts to be watched; an encoder has none."""
        if isinstance(self.model, Encoder):
            return []
        return complete(self.model, self.corpus.tokenizer, watch.prompts, max_tokens=watch.sample_tokens)

    def mfu(self, step: int, tokens_per_second: float) -> float | str:
        """Model FLOPs utilisation, or "unknown" where the device's peak is."""
        found = mfu(self.flops_per_token(step), tokens_per_second, self.runtime.name)
        return "unknown" if found is None else found

    def flops_per_token(self, step: int) -> float:
        """FLOPs of forward and backward pass per token at `step`, document masks not counted."""
        return flops_per_token(self.model, self.settings, stage_of(self.plan, step).window)

    def flops(self) -> float:
        """FLOPs of the whole plan."""
        return math.fsum(
            flops_per_token(self.model, self.settings, stage.window) * stage.steps * stage.batch * stage.window
            for stage in self.plan.stages
        )

    def memory(self) -> int:
        """Bytes: the device's peak on CUDA, this process's resident memory elsewhere."""
        if self.runtime.device == "cuda":
            return torch.cuda.max_memory_allocated()
        return int(psutil.Process().memory_info().rss)


def flops_per_token(model: Model, settings: TrainSettings, window: int) -> float:
    """FLOPs of forward and backward pass per token, in windows of so many."""
    if isinstance(model, Encoder):
        return float(model.flops_per_token(window, settings.hiding.rate))
    return float(model.flops_per_token(window))


class Ahead:
    """Batches of a plan, as the objective wants them, the next one drawn in a thread while this one is trained on; used
    in `with`."""

    def __init__(self, corpus: Corpus, plan: BatchPlan, settings: TrainSettings):
        self._corpus, self._plan, self._settings, self._steps = corpus, plan, settings, total_steps(plan)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def take(self, step: int) -> Batch:
        """The batch of `step`."""
        if self._next is None or self._next[0] != step:
            self._next = (step, self._draw(step))
        drawn = self._next[1].result()
        self._next = (step + 1, self._draw(step + 1)) if step + 1 < self._steps else None
        return drawn

    def _draw(self, step: int) -> Future[Batch]:
        return self._pool.submit(self._read, step)

    def _read(self, step: int) -> Batch:
        drawn = batch(self._corpus, self._plan, step)
        return apply(drawn, self._corpus, self._settings, seed=self._settings.seed, step=step)
