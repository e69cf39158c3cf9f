"""All steps between a position and the end: each batch, its update, and around it records, validation, checkpoints.

The outcome of a step is read one step late on an accelerator, so that it always has the next one to do; before a
validation, a checkpoint and the end nothing is left unread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from firn.measure.figures import figures, held_out
from firn.tokens.batch import documents_in, merge_skips, skip_step, tokens_before
from firn.train import guard
from firn.train.checkpoint import Checkpoints, Position
from firn.train.guard import Good, Rewind
from firn.train.metrics import finite
from firn.train.settings import WatchSettings
from firn.train.step import Pending, Update
from firn.train.stop import Stop, Stopped
from firn.train.trainer import Ahead, Trainer

# Steps that the shown rate is a mean of.
_RATE_STEPS = 20
_HOUR = 3600.0


class Steps:
    """The steps of one attempt. `run` takes them; `position` is how far they are.

    record: takes kind, step and values. until: the step after which to save and stop; None: the last one.
    """

    def __init__(
        self,
        trainer: Trainer,
        position: Position,
        checkpoints: Checkpoints,
        watch: WatchSettings,
        record: Callable[..., None],
        until: int | None = None,
    ):
        self.position = position
        self._trainer, self._checkpoints, self._watch, self._record = trainer, checkpoints, watch, record
        self._until, self._guard = until, trainer.settings.guard
        self._began = time.monotonic() - position.hours * _HOUR
        self._rates: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS)
        self._unread: deque[Pending] = deque()
        self._saving = 0.0

    def run(self, stop: Stop) -> Position:
        """Take all steps; returns the position after the last. Raises Stopped, TrainError, StoreError."""
        t = self._trainer
        while True:
            try:
                with Ahead(t.corpus, t.plan, t.settings, self.position.skipped) as ahead:
                    for step in range(self.position.step, t.steps):
                        self._start(step, ahead)
                        self._between(step + 1, stop)
                return self.position
            except Rewind as rewind:
                self._go_back(rewind)

    def _start(self, step: int, ahead: Ahead) -> None:
        """Start a step, and read the one before it where that runs beside it."""
        every = self._watch.groups_every
        began = time.perf_counter()
        drawn = ahead.take(step)
        pending = self._trainer.update(
            step,
            drawn,
            guard.bounds(self._guard, self.position.recent, step, since=self._trainer.first_step(step)),
            rate=guard.rate(self._guard, len(self.position.rewinds)),
            waited=time.perf_counter() - began,
            detailed=bool(every) and step % every == 0,
        )
        self._unread.append(pending)
        while len(self._unread) > (1 if self._trainer.is_queued else 0):
            self._read()

    def _between(self, done: int, stop: Stop) -> None:
        """Validate, save and stop, where it is time to after `done` steps."""
        watch, steps, cause = self._watch, self._trainer.steps, stop.cause
        validates = bool(watch.validate_every) and done % watch.validate_every == 0 and done < steps
        rewindable = bool(self._guard.every) and done % self._guard.every == 0
        stops = done < steps and (cause is not None or done == self._until)
        saves = stops or rewindable or done % watch.checkpoint_every == 0 or done == steps
        if not validates and not saves:
            return
        while self._unread:
            self._read()
        figure = self._validate(done) if validates else None
        if saves:
            self._save(figure)
        if stops:
            self._checkpoints.wait()
            raise Stopped(
                f"saved after step {done} of {steps}, and stopped by {cause or 'the caller'}",
                mend="run the same command to go on",
            )

    def _validate(self, done: int) -> float | None:
        """Measure and record; returns the mean of the held-out figure over sources."""
        found = figures(self._trainer.validate(self._watch.validation_tokens))
        self._record("validation", done, **found)
        if samples := self._trainer.samples(self._watch):
            self._record("samples", done, samples=samples)
        values = held_out(found)[1].values()
        return sum(values) / len(values) if values else None

    def _save(self, figure: float | None = None) -> None:
        began = time.perf_counter()
        self.position = replace(self.position, hours=self._hours())
        self._checkpoints.save(self.position, self._trainer.model, self._trainer.parts, figure)
        self._saving = time.perf_counter() - began
        self._record("checkpoint", self.position.step, seconds=self._saving)

    def _read(self) -> None:
        """Take in the outcome of the oldest step that is not read yet. Raises Rewind."""
        update, trainer, position = self._unread.popleft().read(), self._trainer, self.position
        step, spent = update.step, sum(update.seconds.values())
        is_bad = not update.kept and not update.overflowed
        if update.kept:
            recent = (*position.recent, Good(step, update.loss, update.norm))
            length = max(1, min(1000, trainer.steps // 20))  # the final loss is a mean over the last twentieth
            position = replace(
                position,
                recent=guard.still_needed(self._guard, recent),
                losses=(*position.losses, update.loss)[-length:],
            )
        elif is_bad:
            documents = [span.document for span in documents_in(trainer.corpus, trainer.plan, step, position.skipped)]
            self._record("bad", step, loss=update.loss, gradient_norm=update.norm, documents=documents)
            bad = {"step": step, "loss": finite(update.loss), "norm": finite(update.norm), "documents": documents}
            position = replace(position, bad=(*position.bad, bad))
        self.position = replace(position, step=step + 1, seconds=position.seconds + spent)
        self._rates.append((update.tokens, spent))
        self._record_step(update)
        if is_bad:
            guard.check(self._guard, self.position.bad, step)

    def _record_step(self, update: Update) -> None:
        trainer, step = self._trainer, update.step
        rate = sum(tokens for tokens, _ in self._rates) / sum(seconds for _, seconds in self._rates)
        self._record(
            "step",
            step,
            loss=update.loss,
            sources=update.sources,
            lr=update.factor,
            gradient_norm=update.norm,
            tokens=tokens_before(trainer.plan, step + 1),
            tokens_per_second=rate,
            seconds={**update.seconds, "checkpoint": self._saving},
            mfu=trainer.mfu(step, rate),
            memory=trainer.memory(),
            **({"scale": update.scale} if trainer.scaler is not None else {}),
            **({"groups": update.groups} if update.groups else {}),
            **self._cost(),
        )
        self._saving = 0.0

    def _hours(self) -> float:
        """By the clock on the wall, over all attempts."""
        return (time.monotonic() - self._began) / _HOUR

    def _cost(self) -> dict[str, float]:
        """Dollars and kWh so far, where prices are given."""
        if (prices := self._watch.prices) is None:
            return {}
        rates = {"dollars": prices.dollars_per_hour, "kwh": prices.watts and prices.watts / 1000}
        return {name: rate * self._hours() for name, rate in rates.items() if rate is not None}

    def _go_back(self, rewind: Rewind) -> None:
        """Load an earlier checkpoint, and leave out the windows that were read since. Raises TrainError."""
        self._unread.clear()
        trainer, before, number = self._trainer, self.position, len(self.position.rewinds) + 1
        step = guard.target(self._guard, rewind.first)
        saved = None if step is None else self._checkpoints.at(step)
        if step is None or saved is None:
            raise guard.give_up(rewind, number - 1, nowhere=True)
        if number > self._guard.rewinds + self._guard.slowdowns:
            raise guard.give_up(rewind, number - 1)
        undone = [skip_step(trainer.plan, n, before.skipped) for n in range(step, rewind.last + 1)]
        entry = {
            "undone": rewind.last + 1,
            "bad": rewind.bad,
            "skipped": [list(skip) for skip in merge_skips(skip for skips in undone for skip in skips)],
            "rate": guard.rate(self._guard, number),
        }
        position = self._checkpoints.load(saved, trainer.model, trainer.parts)
        self._checkpoints.forget_after(step)
        rewinds: tuple[Mapping[str, object], ...] = (*before.rewinds, {"step": step, **entry})
        self.position = replace(position, rewinds=rewinds, seconds=before.seconds)
        self._record("rewind", step, **entry)
        self._save()
