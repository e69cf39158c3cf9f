"""The learning rate's course: pure functions of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from firn.core.settings import Settings


class ScheduleSettings(Settings):
    """How the learning rates rise and fall over a run."""

    kind: Literal["wsd", "cosine", "constant"] = "wsd"
    """wsd: warm-up, stable, linear decay (Hu et al. 2024, arXiv 2404.06395); cosine: warm-up and half a cosine;
    constant: warm-up only."""
    warmup: int = Field(default=10, ge=0)
    """Steps of linear rise from zero. The first step already has 1 / (warmup + 1) of the full rate."""
    decay: float = Field(default=0.6, ge=0.0, le=1.0)
    """wsd: share of all steps over which the rate falls in a straight line."""
    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the full rate that is left at the end."""


def learning_rate(settings: ScheduleSettings, step: int, steps: int) -> float:
    """The factor on every learning rate at `step` (0 <= step < steps), between 0 and 1.

    The decay reaches `floor` at step == steps, one past the last, so that no step is wasted at a rate of zero.
    """
    rise = (step + 1) / (settings.warmup + 1) if step < settings.warmup else 1.0
    return rise * _fall(settings, step, steps)


def _fall(settings: ScheduleSettings, step: int, steps: int) -> float:
    floor = settings.floor
    if settings.kind == "wsd":
        length = settings.decay * steps
        return floor + (1.0 - floor) * min(1.0, (steps - step) / length) if length else 1.0
    if settings.kind == "cosine":
        done = max(0.0, (step - settings.warmup) / max(1, steps - settings.warmup))
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))
    return 1.0


def momentum(step: int, *, first: float, last: float, warmup: int) -> float:
    """Momentum at `step`: a straight line from `first` to `last` over `warmup` steps (Jordan et al. 2024: early
    gradients are soon out of date)."""
    return last if step >= warmup else first + (last - first) * step / warmup
