"""The mixture: which source each window comes from, and how often each source is read.

Weights become whole parts of at most 65,536 (largest remainder, at least one part each). Windows are dealt so that
after any number of them every source's count is less than one away from its exact share. This is the schedule of
unit jobs, the j-th of a source with share w not before (j-1)/w and before j/w, earliest deadline first; it exists
because the shares add up to one (Baruah, Cohen, Plaxton, Varvel 1996, "proportionate progress"). It repeats after one
period, so any position is looked up, never simulated.
"""

from __future__ import annotations

import difflib
import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.tokens.corpus import Corpus

PARTS = 1 << 16
WARN_EPOCHS = 4.0
MAX_EPOCHS = 16.0

#: R*_D: epochs beyond the first after which repetition has lost 1 - 1/e of its worth (Muennighoff et al. 2023,
#: "Scaling Data-Constrained Language Models", section 5 and table 4).
REPETITION_DECAY = 15.39


class StageSettings(Settings):
    """A stretch of training with one window length and one batch size."""

    window: int = Field(ge=1)
    """Tokens per window (T)."""
    batch: int = Field(ge=1)
    """Windows per step (B), over all devices."""
    tokens: int = Field(ge=1)
    """Size of the stage in tokens; rounded up to whole steps."""

    @property
    def steps(self) -> int:
        """Number of steps."""
        return -(-self.tokens // (self.window * self.batch))


class BatchPlan(Settings):
    """All that the sequence of batches depends on, besides the corpus that it names."""

    stages: tuple[StageSettings, ...] = Field(min_length=1)
    """Stages, in order. Appending one changes no earlier batch."""
    weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(min_length=1, max_length=PARTS)
    """Weight of each source of the corpus, any positive number; shares are weights over their sum."""
    seed: int = 0
    """Names the permutations of windows."""
    corpus: str
    """`Corpus.identity`."""

    def extended(self, stage: StageSettings) -> BatchPlan:
        """This plan with one more stage."""
        return self.model_copy(update={"stages": (*self.stages, stage)})

    @property
    def parts(self) -> dict[str, int]:
        """Whole parts of each source, in the order of names; what the weights come to."""
        return apportion(tuple(sorted(self.weights.items())))


@lru_cache(maxsize=64)
def _apportion(weights: tuple[tuple[str, float], ...]) -> tuple[tuple[str, int], ...]:
    total = math.fsum(weight for _, weight in weights)
    exact = [(name, weight / total * PARTS) for name, weight in weights]
    parts = {name: max(1, math.floor(share)) for name, share in exact}
    left = PARTS - sum(parts.values())
    # Largest remainders first; where minimum parts took too much, from the sources that have most above their share.
    order = sorted(exact, key=lambda pair: (parts[pair[0]] - pair[1], pair[0]), reverse=left < 0)
    while left:
        for name, _ in order:
            step = (left > 0) - (left < 0 and parts[name] > 1)
            parts[name] += step
            left -= step
            if not left:
                break
    common = math.gcd(*parts.values())
    return tuple((name, parts[name] // common) for name, _ in exact)


def apportion(weights: tuple[tuple[str, float], ...]) -> dict[str, int]:
    """Whole parts for the weights, at least 1 each, adding up to PARTS or, in lowest terms, to a divisor of it."""
    return dict(_apportion(weights))


@dataclass(frozen=True)
class Interleave:
    """One period of the deal. source, rank: [period]; rank is how many windows of that source came before."""

    source: NDArray[np.int32]
    rank: NDArray[np.int64]
    parts: NDArray[np.int64]

    def at(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """For each position: the source's number, and how many windows of that source came before, [n] each."""
        period, phase = np.divmod(positions, len(self.source))
        source = self.source[phase]
        return source, period * self.parts[source] + self.rank[phase]

    def counts(self, windows: int) -> NDArray[np.int64]:
        """Windows of each source among the first `windows`, [sources]."""
        period, phase = divmod(windows, len(self.source))
        return period * self.parts + np.bincount(self.source[:phase], minlength=len(self.parts))


@lru_cache(maxsize=16)
def interleave(parts: tuple[int, ...]) -> Interleave:
    """The deal of sources with these whole parts; ties go to the source named first."""
    period = sum(parts)
    waiting = [(0, number, 1) for number in range(len(parts))]  # release, source, j
    ready: list[tuple[int, int, int]] = []  # deadline, source, j
    source, rank = np.empty(period, np.int32), np.empty(period, np.int64)
    for position in range(period):
        while waiting and waiting[0][0] <= position:
            _, number, j = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-j * period // parts[number]), number, j))
        _, number, j = heapq.heappop(ready)
        source[position], rank[position] = number, j - 1
        heapq.heappush(waiting, (j * period // parts[number], number, j + 1))
    return Interleave(source, rank, np.array(parts, np.int64))


def windows_in(tokens: int, window: int) -> int:
    """Windows in one epoch of a stream: enough that every token is read. The last one ends where the stream ends."""
    return -(-(tokens - 1) // window)


@dataclass(frozen=True)
class Use:
    """How a plan uses one source.

    share: of the tokens drawn. tokens: drawn. available: in the source. epochs: how often it is read.
    fresh: what the drawn tokens are worth, in tokens read once (Muennighoff et al. 2023).
    """

    source: str
    share: float
    tokens: int
    available: int
    epochs: float
    fresh: float

    @property
    def warning(self) -> str | None:
        """What to say where the source is read too often."""
        if self.epochs <= WARN_EPOCHS:
            return None
        return (
            f"{self.source} is read {self.epochs:.1f} times: its {self.tokens:,} tokens are worth {self.fresh:,.0f} "
            f"fresh ones ({self.fresh / self.tokens:.0%})"
        )


def worth(unique: float, epochs: float) -> float:
    """Fresh tokens that `epochs` passes over `unique` tokens are worth (Muennighoff et al. 2023, equation 5).

    U + U R* (1 - exp(-R / R*)), where R = epochs - 1.
    """
    if epochs <= 1:
        return unique * epochs
    return unique * (1 + REPETITION_DECAY * (1 - math.exp(-(epochs - 1) / REPETITION_DECAY)))


def usage(corpus: Corpus, plan: BatchPlan) -> list[Use]:
    """How the plan uses each source of the corpus, in the order of names."""
    return uses({name: len(source.train) for name, source in corpus.sources.items()}, plan)


def uses(tokens: Mapping[str, int], plan: BatchPlan) -> list[Use]:
    """How the plan uses sources of so many training tokens (2 or more), in the order of names."""
    parts = plan.parts
    drawn: dict[int, int] = {}
    for stage in plan.stages:
        drawn[stage.window] = drawn.get(stage.window, 0) + stage.steps * stage.batch
    deal = interleave(tuple(parts.values()))
    counts = {window: deal.counts(windows).tolist() for window, windows in drawn.items()}
    total = sum(window * windows for window, windows in drawn.items())
    found = []
    for number, name in enumerate(parts):
        available = tokens[name]
        taken = sum(window * counts[window][number] for window in drawn)
        epochs = sum(counts[window][number] / windows_in(available, window) for window in drawn)
        found.append(Use(name, taken / total, taken, available, epochs, worth(available, epochs)))
    return found


def make_plan(
    corpus: Corpus,
    stages: Sequence[StageSettings],
    weights: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    max_epochs: float = MAX_EPOCHS,
) -> BatchPlan:
    """The plan of these stages. weights: of every source of the corpus; None: by the tokens that each holds.

    Raises RecipeError for unknown or missing sources, weights that are not positive, a source that is too short for a
    window, and a source that would be read more than `max_epochs` times.
    """
    names = corpus.sources.keys()
    chosen = dict(weights) if weights is not None else {name: len(corpus.sources[name].train) for name in names}
    for name, weight in chosen.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise RecipeError(
                f"there is no source {name!r}" + (f", did you mean {near[0]!r}?" if near else ""),
                key=f"sources.{name}.weight",
                mend=f"the corpus holds {', '.join(names) or 'no source at all'}; a source of which no document is "
                "left must be left out, or its rules let more stay (`firn status` says which took them)",
            )
        if weights is not None and not 0 < weight < math.inf:
            raise RecipeError(f"a weight must be a positive number, not {weight}", key=f"sources.{name}.weight")
    if missing := sorted(names - chosen.keys()):
        raise RecipeError(
            f"{missing[0]!r} has no weight, though others have",
            key=f"sources.{missing[0]}.weight",
            mend="give every source a weight, or none",
        )
    if not chosen:
        raise RecipeError("the corpus holds no documents", mend="look at the funnel for the rule that removed them")
    longest = max(stage.window for stage in stages)
    for name, source in corpus.sources.items():
        if len(source.train) <= longest:
            raise RecipeError(
                f"the source holds {len(source.train):,} training tokens, one window takes {longest + 1:,}",
                key=f"sources.{name}",
                mend="leave the source out, give it more documents (`firn status` says which rule took them), or set a "
                "smaller train.window",
            )
    plan = BatchPlan(
        stages=tuple(stages),
        weights={name: float(chosen[name]) for name in sorted(chosen)},
        seed=seed,
        corpus=corpus.identity,
    )
    for use in usage(corpus, plan):
        if use.epochs > max_epochs:
            raise RecipeError(
                f"{use.source} would be read {use.epochs:.1f} times, the limit is {max_epochs:g}; its {use.tokens:,} "
                f"tokens would be worth {use.fresh:,.0f} fresh ones",
                key=f"sources.{use.source}.weight",
                mend="train on fewer tokens (train.steps), give the source less weight or more documents, or raise "
                "mixture.max_epochs",
            )
    return plan
