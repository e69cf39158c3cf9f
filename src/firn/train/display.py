"""What a person sees of training: a live line with the loss curve, or a line now and then, or JSON."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from firn.core.progress import Progress
from firn.measure.figures import FIGURES, held_out
from firn.train.metrics import finite, spent

_BARS = "▁▂▃▄▅▆▇█"
_CURVE = 40
_LINE_SECONDS = 15.0


class Display:
    """Shows the records of `firn.train.metrics` as they come, in the mode of `progress`; used in `with`.

    On a terminal a live panel; elsewhere a line every few seconds; `json` prints every record; `quiet` nothing.
    """

    def __init__(self, progress: Progress, steps: int):
        self._progress, self._steps = progress, steps
        self._live: Live | None = None
        self._losses: list[float] = []
        self._shown = -math.inf
        self._began: tuple[float, int] | None = None
        self._notes = ""

    def __enter__(self) -> Display:
        if self._progress.mode == "auto" and self._progress.console.is_terminal:
            self._live = Live(console=self._progress.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, record: dict[str, Any]) -> None:
        """Take in one record."""
        if self._progress.mode == "json":
            event = finite({"event": "train", "steps": self._steps, **record})
            print(json.dumps(event, default=str), flush=True, file=sys.stdout)
        elif self._progress.mode != "quiet":
            getattr(self, f"_{record['kind']}", lambda record: None)(record)

    def _step(self, record: dict[str, Any]) -> None:
        done, now = record["step"] + 1, time.monotonic()
        self._began = self._began or (now, done)
        self._losses.append(record["loss"])
        elapsed, steps = now - self._began[0], done - self._began[1]
        left = _clock(elapsed / steps * (self._steps - done)) if steps else "?"
        rate = f"{record['tokens_per_second']:,.0f} tokens/s"
        mfu = record["mfu"] if isinstance(record["mfu"], str) else f"{record['mfu']:.1%}"
        if self._live is not None:
            self._live.update(self._panel(done, rate, mfu, left, spent(record)))
        elif now - self._shown >= _LINE_SECONDS or done == self._steps:
            self._shown = now
            parts = (f"step {done}/{self._steps}", f"loss {record['loss']:.3f}", rate, f"MFU {mfu}", f"{left} left")
            self._say("  ".join((*parts, *filter(None, [spent(record)]))))

    def _validation(self, record: dict[str, Any]) -> None:
        figure, values = held_out(record)
        if values:
            self._say(f"step {record['step']}  held-out {FIGURES[figure]}: {_by_source(values)}")

    def _evaluation(self, record: dict[str, Any]) -> None:
        figure, values = held_out(record)
        if values:
            self._say(f"all held-out text, {FIGURES[figure]}: {_by_source(values)}")

    def _bad(self, record: dict[str, Any]) -> None:
        self._say(
            f"step {record['step']}: loss {record['loss']:.4g}, gradient norm {record['gradient_norm']:.4g}; "
            "the update was left out (its documents are in the metrics)"
        )

    def _rewind(self, record: dict[str, Any]) -> None:
        windows = sum(stop - start for _, start, stop in record["skipped"])
        slower = f", at {record['rate']:g} of the learning rates" if record["rate"] < 1 else ""
        self._say(
            f"step {record['undone']}: {len(record['bad'])} bad steps; back to step {record['step']}, {windows} "
            f"windows are left out from here on{slower}"
        )

    def _say(self, text: str) -> None:
        self._progress.console.print(f"{'train':<10}  {text}", markup=False)

    def _panel(self, done: int, rate: str, mfu: str, left: str, cost: str) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(
            Text("train", style="bold"),
            f"step {done}/{self._steps}",
            f"loss {self._losses[-1]:.3f}",
            Text(sparkline(self._losses), style="cyan"),
            rate,
            f"MFU {mfu}",
            f"{left} left",
            *filter(None, [cost]),
        )
        return table


def sparkline(values: Sequence[float], width: int = _CURVE) -> str:
    """The curve of `values` in `width` characters at most: means of equal stretches, lowest to highest bar."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    count = min(width, len(finite))
    edges = [i * len(finite) // count for i in range(count + 1)]
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1)) if span else 0] for mean in means)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _by_source(values: dict[str, float]) -> str:
    return "  ".join(f"{source} {value:.3f}" for source, value in values.items())
