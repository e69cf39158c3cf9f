"""The batch function: which tokens step `s` reads, as a pure function of (corpus, plan, step, skipped windows).

Windows of one length T form a series, numbered by position. The deal (mixture.interleave) says which source position p
reads and how many windows `i` of that source came before. A source of n tokens has W = ceil((n - 1) / T) windows of
T + 1 tokens, T inputs and T targets; the last one ends at the stream's end, so that every token is read at least once
per epoch. Window `i` is number permute(i mod W) of epoch i div W, under a key of (seed, source, T, epoch).

Stages with the same window length draw from one series, one after the other; a stage with another length draws from a
series of its own, with permutations of its own. Skipped windows are left out of their series, so that later ones move
up: no stage changes its number of steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import RecipeError, ResumeError
from firn.core.hashing import canonical, hash64
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, StageSettings, interleave, windows_in
from firn.tokens.permutation import mix, permute

I64 = NDArray[np.int64]


class Skip(NamedTuple):
    """Positions [start, stop) of the series of windows of this length are not read."""

    window: int
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """One step's windows, or one rank's slice of them.

    inputs, targets: int64 [B, T]; targets are the next tokens, -1 is ignored (`concat` windows have none). sources:
    name of each row's source. positions: in the series of windows of this length, [B]. starts: position of each row's
    first token in its source's training stream, [B]. epochs: how often the source had been read before, [B].
    documents: where documents begin in each row, ascending from 0, if each is to be read by itself; None: they are not.
    """

    inputs: I64
    targets: I64
    sources: list[str]
    positions: I64
    starts: I64
    epochs: I64
    documents: list[list[int]] | None = None

    @property
    def window(self) -> int:
        """Tokens per window (T)."""
        return int(self.inputs.shape[1])


@dataclass(frozen=True)
class Span:
    """A document within a batch: row `row`, inputs [start, end). offset: of its first token here, within the document.

    shard, at: identity of the shard of documents and the row in it.
    """

    row: int
    source: str
    document: str
    url: str | None
    address: str
    start: int
    end: int
    offset: int
    shard: str
    at: int


def total_steps(plan: BatchPlan) -> int:
    """Steps of all stages."""
    return sum(stage.steps for stage in plan.stages)


def total_tokens(plan: BatchPlan) -> int:
    """Tokens of all steps."""
    return sum(stage.steps * stage.batch * stage.window for stage in plan.stages)


def stage_of(plan: BatchPlan, step: int) -> StageSettings:
    """The stage that `step` belongs to. Raises RecipeError where the plan has no such step."""
    return plan.stages[_locate(plan, step)[0]]


def tokens_before(plan: BatchPlan, step: int) -> int:
    """Tokens of all steps before `step`, 0 <= step <= total_steps."""
    tokens = 0
    for stage in plan.stages:
        steps = min(step, stage.steps)
        tokens += steps * stage.batch * stage.window
        step -= steps
    return tokens


def batch(
    corpus: Corpus, plan: BatchPlan, step: int, rank: int = 0, ranks: int = 1, skipped: Iterable[Skip] = ()
) -> Batch:
    """The windows that rank `rank` of `ranks` reads at `step`; the slices of all ranks in order are the whole batch.

    Raises ResumeError where the plan names another corpus, RecipeError for a step beyond the plan or a batch size that
    `ranks` does not divide.
    """
    if plan.corpus != corpus.identity:
        raise ResumeError(
            f"the plan was made for corpus {plan.corpus}, this is {corpus.identity}",
            mend="run the recipe again; to go on with other data, start another run from the checkpoint's weights",
        )
    stage = stage_of(plan, step)
    if stage.batch % ranks:
        raise RecipeError(
            f"{stage.batch} windows per step cannot be dealt to {ranks} devices evenly",
            key="batch",
            mend=f"choose a multiple of {ranks}",
        )
    share = stage.batch // ranks
    positions = _positions(plan, step, skipped)[rank * share : (rank + 1) * share]
    names = list(plan.parts)
    numbers, starts, epochs = _draw(corpus, plan, stage.window, positions, names)
    streams = [corpus.sources[name].train for name in names]
    inputs = np.empty((share, stage.window), np.int64)
    targets = np.empty((share, stage.window), np.int64)
    for row, (number, start) in enumerate(zip(numbers, starts.tolist(), strict=True)):
        tokens = streams[number].read(start, stage.window + 1)
        inputs[row], targets[row] = tokens[:-1], tokens[1:]
    return Batch(inputs, targets, [names[number] for number in numbers], positions, starts, epochs)


def documents_in(corpus: Corpus, plan: BatchPlan, step: int, skipped: Iterable[Skip] = ()) -> list[Span]:
    """The documents in a step's batch, row by row, in the order in which they stand."""
    drawn = batch(corpus, plan, step, skipped=skipped)
    spans = []
    for row, (source, first) in enumerate(zip(drawn.sources, drawn.starts.tolist(), strict=True)):
        for start, document in corpus.sources[source].train.spans(first, drawn.window):
            begin = max(start, first)
            spans.append(
                Span(
                    row=row,
                    source=source,
                    document=document["id"].hex(),
                    url=document["url"],
                    address=document["address"],
                    start=begin - first,
                    end=min(start + document["length"] - first, drawn.window),
                    offset=begin - start,
                    shard=document["shard"],
                    at=document["row"],
                )
            )
    return spans


def skip_step(plan: BatchPlan, step: int, skipped: Iterable[Skip] = ()) -> tuple[Skip, ...]:
    """`skipped` and the windows that `step` would read; the step then reads the windows after them."""
    window = stage_of(plan, step).window
    positions = _positions(plan, step, skipped)
    breaks = np.flatnonzero(np.diff(positions) > 1) + 1
    new = [Skip(window, int(run[0]), int(run[-1]) + 1) for run in np.split(positions, breaks)]
    return merge_skips((*skipped, *new))


def merge_skips(skipped: Iterable[Sequence[int]]) -> tuple[Skip, ...]:
    """The same skipped windows, sorted, in as few ranges as possible."""
    merged: list[Skip] = []
    for window, start, stop in sorted(tuple(skip) for skip in skipped):
        if merged and merged[-1].window == window and start <= merged[-1].stop:
            merged[-1] = Skip(window, merged[-1].start, max(stop, merged[-1].stop))
        elif start < stop:
            merged.append(Skip(window, start, stop))
    return tuple(merged)


def _locate(plan: BatchPlan, step: int) -> tuple[int, int]:
    """(number of the stage, step within it)."""
    left = step
    for number, stage in enumerate(plan.stages):
        if 0 <= left < stage.steps:
            return number, left
        left -= stage.steps
    raise RecipeError(f"there is no step {step}; the plan has {total_steps(plan)}, from 0", key="step")


def _positions(plan: BatchPlan, step: int, skipped: Iterable[Skip]) -> I64:
    """Positions of the step's windows in the series of its window length, [B], ascending."""
    number, within = _locate(plan, step)
    stage = plan.stages[number]
    earlier = sum(s.steps * s.batch for s in plan.stages[:number] if s.window == stage.window)
    first = earlier + within * stage.batch
    positions = np.arange(first, first + stage.batch, dtype=np.int64)
    for skip in merge_skips(skipped):
        if skip.window == stage.window:
            positions[positions >= skip.start] += skip.stop - skip.start
    return positions


def _draw(
    corpus: Corpus, plan: BatchPlan, window: int, positions: I64, names: Sequence[str]
) -> tuple[list[int], I64, I64]:
    """For each position: the source's number among `names`, its first token, its epoch; [n] each."""
    parts = plan.parts
    numbers, index = interleave(tuple(parts[name] for name in names)).at(positions)
    tokens = np.array([len(corpus.sources[name].train) for name in names], np.int64)
    sizes = np.array([windows_in(n, window) for n in tokens.tolist()], np.int64)
    keys = np.array([hash64(canonical([plan.seed, name, window]).encode()) for name in names], np.uint64)
    epochs, within = np.divmod(index, sizes[numbers])
    key = mix(keys[numbers] + epochs.astype(np.uint64))
    drawn = permute(within.astype(np.uint64), sizes[numbers].astype(np.uint64), key).astype(np.int64)
    starts = np.minimum(drawn * window, tokens[numbers] - 1 - window)
    return numbers.tolist(), starts, epochs
