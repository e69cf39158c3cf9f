"""The guard: which updates are left out, and when training goes back, leaves data out, or slows down.

Before every optimizer step loss and gradient norm are judged: they must be finite, and no more than a robust number of
deviations above those of the last good steps. The policy for what fails:

1. the update is left out; weights and optimizer state stay as they are;
2. after `skips` of these among `span` steps, training goes back to a checkpoint and leaves out the windows that were
   read since, as PaLM did (Chowdhery et al. 2022, arXiv 2204.02311, 5.1: about 100 steps back, 200 to 500 batches
   left out);
3. after `rewinds` of these, it also goes on at a lower rate, `slowdowns` times at most; then it gives up.

Bounds for step s come of steps up to s - 2 alone, so that an accelerator never has to wait for the outcome of s - 1,
and are the same on every device. Bad steps never enter them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from pydantic import Field

from firn.core.errors import FirnError
from firn.core.settings import Settings

#: Deviation of a normal distribution, in median absolute deviations (Iglewicz and Hoaglin 1993).
_DEVIATION = 1.4826
#: Deviations count as at least this, or a curve with hardly any noise would trip over its first wrinkle: of the loss, a
#: share of it; of the gradient norm, in its logarithm.
_LEAST_LOSS = 0.02
_LEAST_NORM = 0.2
#: Steps between a step and the newest that it is judged by.
_LAG = 2


class TrainError(FirnError):
    """Training cannot go on: its loss is not finite, or it does not fit into memory."""


class GuardSettings(Settings):
    """When an update is left out, and what follows."""

    deviations: float | None = Field(default=6.0, gt=0)
    """A loss, or the logarithm of a gradient norm, this many deviations above the median of the last good steps is a
    spike (6 standard deviations over 128 steps in OLMo-core's skip-step optimizer; here median and MAD, which a spike
    cannot pull up). None: only what is not finite is left out."""
    window: int = Field(default=128, ge=8)
    """Good steps that median and deviation are of. Spikes are judged once there are so many, in each stage anew."""
    skips: int = Field(default=3, ge=1)
    """Bad steps among the last `span` after which training goes back."""
    span: int = Field(default=20, ge=1)
    """Steps among which bad ones are counted."""
    every: int = Field(default=100, ge=0)
    """Steps between the checkpoints that it may go back to, which are kept beside those of `watch`. It goes to the last
    one at least half as many steps before the first bad one. 0: it never goes back."""
    rewinds: int = Field(default=2, ge=0)
    """How often it goes back at the same rate."""
    slower: float = Field(default=0.5, gt=0, lt=1)
    """Factor on all learning rates each time after that."""
    slowdowns: int = Field(default=2, ge=0)
    """How often the rate is lowered before training gives up."""


class Bounds(NamedTuple):
    """The largest loss and gradient norm that a step may have; what is not finite is beyond any."""

    loss: float = math.inf
    norm: float = math.inf


class Good(NamedTuple):
    """What a good step gave."""

    step: int
    loss: float
    norm: float


class Rewind(Exception):
    """The steps `first` to `last` are to be undone. bad: those among them whose updates were left out."""

    def __init__(self, bad: Sequence[Mapping[str, Any]], last: int):
        super().__init__()
        self.bad, self.first, self.last = list(bad), int(bad[0]["step"]), last


def bounds(settings: GuardSettings, recent: Sequence[Good], step: int, since: int = 0) -> Bounds:
    """What step number `step` is judged by. since: the first step of its stage, in which losses are alike."""
    known = [good for good in recent if since <= good.step <= step - _LAG][-settings.window :]
    if settings.deviations is None or len(known) < settings.window:
        return Bounds()
    loss, spread = _middle([good.loss for good in known])
    norm, norm_spread = _middle([math.log(max(good.norm, 1e-30)) for good in known])
    return Bounds(
        loss + settings.deviations * max(spread, _LEAST_LOSS * abs(loss)),
        math.exp(min(700.0, norm + settings.deviations * max(norm_spread, _LEAST_NORM))),
    )


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Median and robust deviation."""
    middle = median(values)
    return middle, _DEVIATION * median(abs(value - middle) for value in values)


def still_needed(settings: GuardSettings, recent: Sequence[Good]) -> tuple[Good, ...]:
    """Those of the good steps that later ones may be judged by."""
    return tuple(recent)[-settings.window - _LAG :]


def check(settings: GuardSettings, bad: Sequence[Mapping[str, Any]], step: int) -> None:
    """Raise Rewind where too many of the last steps up to `step` were bad. bad: all bad steps so far, ascending."""
    latest = [entry for entry in bad if entry["step"] > step - settings.span]
    if len(latest) >= settings.skips:
        raise Rewind(latest, step)


def target(settings: GuardSettings, first: int) -> int | None:
    """The step to go back to where the first bad step was `first`; None where there is none."""
    back = settings.every and (first - settings.every // 2) // settings.every * settings.every
    return back if back > 0 else None


def rate(settings: GuardSettings, rewinds: int) -> float:
    """The factor on all learning rates after so many returns."""
    return settings.slower ** max(0, rewinds - settings.rewinds)


def give_up(rewind: Rewind, rewinds: int, *, nowhere: bool = False) -> TrainError:
    """The error that ends training. rewinds: how often it went back before. nowhere: there is no checkpoint for it."""
    tried = f"; going back {rewinds} times did not help" if rewinds else ""
    tried += "; there is no checkpoint to go back to" if nowhere else ""
    finite = all(math.isfinite(float(entry["loss"])) and math.isfinite(float(entry["norm"])) for entry in rewind.bad)
    what = "far above the steps before" if finite else "not finite"
    return TrainError(
        f"{len(rewind.bad)} steps gave a loss or gradient that is {what} (between {rewind.first} and {rewind.last}"
        f"{tried})",
        key="train.guard",
        mend="lower the learning rates (train.optimizer), set train.precision=fp32, or look at the documents of these "
        "steps with `firn show-batch`",
    )
