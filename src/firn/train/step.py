"""One step under way: what it gave stays on the device until it is asked for, so that the next one can be started."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from firn.tokens.batch import Batch
from firn.train.guard import Bounds


@dataclass(frozen=True)
class Update:
    """What one step gave.

    loss: nats per target. sources: loss by source. norm: of the gradient, before clipping. factor: on all learning
    rates. tokens: read. targets: of these to be predicted. kept: whether the weights were updated. scale: of the loss
    in fp16, else 1. groups: figure -> group of parameters -> value, in steps that measure them. seconds: by part of
    the step.
    """

    step: int
    loss: float
    sources: dict[str, float]
    norm: float
    factor: float
    tokens: int
    targets: int
    kept: bool
    scale: float
    groups: dict[str, dict[str, float]]
    seconds: dict[str, float]

    @property
    def overflowed(self) -> bool:
        """Whether it was left out for gradients beyond fp16's range alone, which a smaller scale of the loss mends."""
        return self.scale > 1 and math.isfinite(self.loss) and not math.isfinite(self.norm)


class Clock:
    """Times the parts of a step where they run: on an accelerator by events in its queue, so that nothing waits."""

    def __init__(self, device: str):
        self._on_device = device == "cuda"
        self._marks: list[tuple[str, Any]] = [("", self._now())]

    def mark(self, part: str) -> None:
        """`part` ends here; it began at the mark before."""
        self._marks.append((part, self._now()))

    def seconds(self) -> dict[str, float]:
        """Seconds by part, once the last of it has run."""
        found = defaultdict[str, float](float)
        for (_, began), (part, ended) in pairwise(self._marks):
            found[part] += began.elapsed_time(ended) / 1000 if self._on_device else ended - began
        return dict(found)

    def _now(self) -> Any:
        if not self._on_device:
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


@dataclass
class Pending:
    """A step whose outcome is on its way to the host; `read` waits for it.

    nats_B: sum of nats of each window. counts_B: targets of each window. scalars: name -> tensor of one element; a
    name with a stroke is a figure of one group of parameters.
    """

    step: int
    factor: float
    drawn: Batch
    nats_B: Tensor
    counts_B: NDArray[np.int64]
    scalars: Mapping[str, Tensor]
    clock: Clock
    waited: float
    _host: Tensor = field(init=False)
    _arrived: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        found = torch.cat([self.nats_B.float(), *(x.detach().reshape(1).float() for x in self.scalars.values())])
        if found.device.type != "cuda":
            self._host = found.cpu()
            return
        self._host = torch.empty(found.shape, pin_memory=True)
        self._host.copy_(found, non_blocking=True)
        self._arrived = torch.cuda.Event()
        self._arrived.record()

    def read(self) -> Update:
        """The outcome."""
        if self._arrived is not None:
            self._arrived.synchronize()
        values, rows = self._host.tolist(), len(self.drawn.sources)
        scalars = dict(zip(self.scalars, values[rows:], strict=True))
        nats, counts = defaultdict[str, float](float), defaultdict[str, int](int)
        for source, found, count in zip(self.drawn.sources, values[:rows], self.counts_B.tolist(), strict=True):
            nats[source] += found
            counts[source] += count
        groups = defaultdict[str, dict[str, float]](dict)
        for name, value in scalars.items():
            if "/" in name:
                figure, group = name.split("/")
                groups[figure][group] = value
        return Update(
            step=self.step,
            loss=scalars["loss"],
            sources={source: nats[source] / counts[source] for source in sorted(nats) if counts[source]},
            norm=scalars["norm"],
            factor=self.factor,
            tokens=self.drawn.inputs.size,
            targets=sum(counts.values()),
            kept=bool(scalars["kept"]),
            scale=scalars.get("scale", 1.0),
            groups=dict(groups),
            seconds={"data": self.waited, **self.clock.seconds()},
        )


def within(loss: Tensor, norm: Tensor, bounds: Bounds) -> Tensor:
    """Whether a step may be taken, a boolean on the device. What is not finite is beyond any bounds."""
    return torch.isfinite(loss) & torch.isfinite(norm) & (loss <= bounds.loss) & (norm <= bounds.norm)
