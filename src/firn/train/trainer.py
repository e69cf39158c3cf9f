"""One model, its optimizers, and one step of them: gradients of a batch, check, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from firn.core.errors import ResumeError
from firn.measure.bits import bits_per_byte
from firn.measure.hidden import hidden_tokens
from firn.measure.samples import complete
from firn.model.attention import Documents
from firn.model.build import Model, Shape, build
from firn.model.encoder import Encoder
from firn.model.fp8 import use_fp8
from firn.plan.peaks import mfu
from firn.tokens.batch import Batch, Skip, batch, stage_of, total_steps
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan
from firn.tokens.objectives import apply
from firn.train import compiled
from firn.train.checkpoint import Stateful
from firn.train.guard import Bounds
from firn.train.optim import Optimizers, gradient_norm, scale_gradients
from firn.train.runtime import Runtime
from firn.train.scaler import LossScaler
from firn.train.schedule import learning_rate
from firn.train.settings import TrainSettings, WatchSettings
from firn.train.step import Clock, Pending, within


class Trainer:
    """A model in training on one device. Its weights are unset until `init_weights` or a checkpoint sets them."""

    def __init__(self, settings: TrainSettings, shape: Shape, corpus: Corpus, plan: BatchPlan, runtime: Runtime):
        self.settings, self.corpus, self.plan, self.runtime = settings, corpus, plan, runtime
        self.steps = total_steps(plan)
        self.model = build(shape).to(runtime.device)
        self.model.compute_dtype = runtime.dtype
        if runtime.precision == "fp8":
            use_fp8(self.model)
        #: Whether the device works through a queue, so that reading from it makes the host wait.
        self.is_queued = runtime.device == "cuda"
        self.scaler = LossScaler(runtime.device) if runtime.precision == "fp16" else None
        self.optimizers = Optimizers(self.model, settings.optimizer, muon_dtype=runtime.dtype)

    def update(
        self,
        step: int,
        drawn: Batch,
        bounds: Bounds = Bounds(),  # noqa: B008 - immutable
        *,
        rate: float = 1.0,
        waited: float = 0.0,
        detailed: bool = False,
    ) -> Pending:
        """Start step number `step` on its batch. Weights and optimizer state stay as they are where loss or gradient
        norm are not finite, or beyond `bounds`; an accelerator decides that by itself, and nobody waits for it.

        rate: factor on the schedule's learning rates. waited: seconds that the batch took, for the record. detailed:
        measure norms of gradients, and sizes of updates in relation to the weights, by group of parameters.
        """
        clock, clip = Clock(self.runtime.device), self.settings.optimizer.clip
        nats_B = self.gradients(drawn, clock)
        counts_B = (drawn.targets >= 0).sum(1)
        if self.scaler is not None:
            self.scaler.unscale(self.model)
        loss, norm = nats_B.sum() / max(1, int(counts_B.sum())), gradient_norm(self.model)
        keep = within(loss, norm, bounds)
        scalars = {"loss": loss, "norm": norm, "kept": keep}
        if self.scaler is not None:
            scalars["scale"] = self.scaler.scale
            self.scaler.update(torch.isfinite(norm))
        before = self._groups(scalars) if detailed else {}
        factor = learning_rate(self.settings.schedule, step, self.steps) * rate
        if self.is_queued or keep:
            if clip is not None:
                scale_gradients(self.model, norm, clip)
            self.optimizers.step(step, factor, keep if self.is_queued else None)
        for group, weights in before.items():
            now = [parameter.detach() for parameter in self.optimizers.groups[group].values()]
            moved = get_total_norm(torch._foreach_sub(now, weights))
            scalars[f"update_ratio/{group}"] = moved / get_total_norm(weights).clamp(min=1e-30)
        self.optimizers.zero_grad()
        clock.mark("optimizer")
        return Pending(step, factor, drawn, nats_B, counts_B, scalars, clock, waited)

    def _groups(self, scalars: dict[str, Tensor]) -> dict[str, list[Tensor]]:
        """Put each group's gradient norm into `scalars`; returns copies of each group's weights."""
        weights = {}
        for group, parameters in self.optimizers.groups.items():
            if gradients := [p.grad for p in parameters.values() if p.grad is not None]:
                scalars[f"gradient_norm/{group}"] = get_total_norm(gradients)
                weights[group] = [parameter.detach().clone() for parameter in parameters.values()]
        return weights

    def gradients(self, drawn: Batch, clock: Clock | None = None) -> Tensor:
        """Add to every parameter's gradient that of the mean loss over all targets of the batch.

        The batch goes through the model in micro-batches. Each divides by the number of targets of the whole batch, so
        that how it is cut up does not matter, also where windows have different numbers of targets. In fp16 gradients
        come scaled.
        Returns the sum of nats of each window, [B].
        """
        total = max(1, int((drawn.targets >= 0).sum()))
        size = self.settings.micro_batch or len(drawn.sources)
        clock, nats = clock or Clock(self.runtime.device), []
        for first in range(0, len(drawn.sources), size):
            rows = slice(first, first + size)
            targets_BT = self._to_device(drawn.targets[rows])
            documents = drawn.documents and Documents.of(drawn.documents[rows], drawn.window)
            losses = self.model.losses(self._to_device(drawn.inputs[rows]), targets_BT, documents or None)
            clock.mark("forward")
            loss = losses.total / total
            (loss if self.scaler is None else loss * self.scaler.scale).backward()
            nats.append(losses.nats.sum(1))
            clock.mark("backward")
        return torch.cat(nats)

    def choose_compile(self, say: Callable[[str], None] = lambda text: None) -> str:
        """Let the model's blocks be compiled where the settings say so or measuring shows that it pays; a note on it.

        Weights must be set; they and the optimizers' state stay as they are. say: told where it will take minutes.
        """
        choice = self.settings.compile
        if choice == "off" or self.settings.document_mask:  # each new set of documents would be compiled
            return "blocks are not compiled: train.document_mask is on" if choice == "on" else ""
        on, note = compiled.choose(self.model.layers, *self._passes(0), choice == "on", say)
        self.runtime = replace(self.runtime, compile=on)
        return note

    def compile(self, step: int) -> None:
        """Compile the blocks for `step`, as they were when the run began. Raises ResumeError where that fails here."""
        compiled.turn_on(self.model.layers)
        try:
            self._passes(step)[0]()
        except Exception as error:  # of the compiler or of what it made: many kinds, from many libraries
            raise ResumeError(
                f"the run began with compiled blocks, and compiling fails here: {error}",
                key="train.compile",
                mend="make torch.compile work as it did (on CPU it needs a C++ compiler), or begin another run with "
                "train.compile=off",
            ) from error

    def _passes(self, step: int) -> tuple[Callable[[], None], int]:
        """A forward and backward pass of the shape of `step` that changes nothing, and how many of them are ahead."""
        stage = stage_of(self.plan, step)
        rows = min(stage.batch, self.settings.micro_batch or stage.batch)
        tokens = np.arange(rows * stage.window, dtype=np.int64).reshape(rows, -1) % self.corpus.vocab_size
        none = np.zeros(rows, np.int64)
        drawn = Batch(tokens, tokens, [""] * rows, none, none, none)

        def once() -> None:
            self.gradients(drawn).sum().item()
            self.optimizers.zero_grad()

        return once, (self.steps - step) * max(1, stage.batch // rows)

    @property
    def parts(self) -> dict[str, Stateful]:
        """What keeps tensors between steps beside the weights, by name."""
        return {"optimizer": self.optimizers} | ({} if self.scaler is None else {"scaler": self.scaler})

    def first_step(self, step: int) -> int:
        """The first step of the stage that `step` belongs to."""
        first = 0
        for stage in self.plan.stages:
            if step < first + stage.steps:
                break
            first += stage.steps
        return first

    def _to_device(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self.runtime.device, non_blocking=True)

    def validate(self, tokens: int | None = None) -> dict[str, dict[str, float]]:
        """Of every source that has held-out text: `bits_per_byte` of a decoder, `hidden_tokens` of an encoder."""
        sources = [source for source, streams in self.corpus.sources.items() if streams.validation.bytes]
        with self._plain():
            if isinstance(self.model, Encoder):
                return {source: hidden_tokens(self.model, self.corpus, source, tokens=tokens) for source in sources}
            return {source: bits_per_byte(self.model, self.corpus, source, tokens=tokens) for source in sources}

    def samples(self, watch: WatchSettings) -> list[dict[str, str]]:
        """Completions of the prompts to be watched; an encoder has none."""
        if isinstance(self.model, Encoder):
            return []
        with self._plain():
            return complete(self.model, self.corpus.tokenizer, watch.prompts, max_tokens=watch.sample_tokens)

    def _plain(self) -> AbstractContextManager[None]:
        return compiled.plain() if self.runtime.compile else nullcontext()

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

    def __init__(self, corpus: Corpus, plan: BatchPlan, settings: TrainSettings, skipped: Iterable[Skip] = ()):
        self._corpus, self._plan, self._settings, self._steps = corpus, plan, settings, total_steps(plan)
        self._skipped = tuple(skipped)
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
        drawn = batch(self._corpus, self._plan, step, skipped=self._skipped)
        return apply(drawn, self._corpus, self._settings, seed=self._settings.seed, step=step)
