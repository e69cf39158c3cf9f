"""The learning rate's course: pure functions of the step, so that a resumed run needs no state for them."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from firn.core.settings import Settings


class ScheduleSettings(Settings):
    """How the learning rates rise and fall over a run."""

    kind: Literal["wsd", "cosine", "linear", "inverse-sqrt", "constant"] = "wsd"
    """After the warm-up. wsd: stable, then a linear decay (Hu et al. 2024, arXiv 2404.06395). cosine: half a cosine
    (Loshchilov and Hutter 2016). linear: a straight line from the warm-up's end. inverse-sqrt: as 1 / sqrt(step)
    (Vaswani et al. 2017), which knows no end. constant: nothing."""
    warmup: int = Field(default=10, ge=0)
    """Steps of linear rise from zero. The first step already has 1 / (warmup + 1) of the full rate. Muon's updates are
    of one size from the first step on, and zero-initialised projections keep early losses tame, so few are enough."""
    decay: float = Field(default=0.6, ge=0.0, le=1.0)
    """wsd: share of all steps over which the rate falls in a straight line. Long cooldowns win in short runs: speedruns
    of GPT-2 use 0.4 to 0.7 (modded-nanogpt, nanochat)."""
    floor: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the full rate below which it does not fall. wsd, cosine and linear reach it at the end."""


def learning_rate(settings: ScheduleSettings, step: int, steps: int) -> float:
    """The factor on every learning rate at `step` (0 <= step < steps), between 0 and 1.

    A decay reaches `floor` at step == steps, one past the last, so that no step is wasted at a rate of zero.
    """
    rise = (step + 1) / (settings.warmup + 1) if step < settings.warmup else 1.0
    return rise * _fall(settings, step, steps)


def _fall(settings: ScheduleSettings, step: int, steps: int) -> float:
    floor, warmup = settings.floor, settings.warmup
    if settings.kind == "inverse-sqrt":
        return max(floor, math.sqrt(max(1, warmup) / max(1, step + 1, warmup)))
    if settings.kind == "constant":
        return 1.0
    # Steps left, as a share of the decay's length.
    length = settings.decay * steps if settings.kind == "wsd" else float(max(1, steps - warmup))
    left = min(1.0, (steps - step) / length) if length else 1.0
    if settings.kind == "cosine":
        left = 0.5 * (1.0 - math.cos(math.pi * left))
    return floor + (1.0 - floor) * left


def momentum(step: int, *, first: float, last: float, warmup: int) -> float:
    """Momentum at `step`: a straight line from `first` to `last` over `warmup` steps (Jordan et al. 2024: early
    gradients are soon out of date)."""
    return last if step >= warmup else first + (last - first) * step / warmup
