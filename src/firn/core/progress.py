"""What a person sees of long work: a bar per stage with rate and time left, and one summary line when it is done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from firn.core.store import Manifest

Mode = Literal["auto", "plain", "quiet", "json"]

# Verdicts worth a place in the summary line when they are not zero.
_SHOWN = ("kept", "changed", "split", "merged", "removed", "failed")


@dataclass
class _Stage:
    """A stage under way. rows, bytes: to be read, 0 where unknown. rows_read: so far."""

    label: str
    total: int
    cached: int
    rows: int
    bytes: int
    done: int = 0
    rows_read: int = 0
    bar: TaskID | None = None
    started: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Making:
    """A shard in the making. rows, bytes: that it has read; documents: that came of them; seconds: since it began."""

    label: str
    rows: int
    documents: int
    bytes: int
    seconds: float


class Progress:
    """Progress of a run.

    mode: `auto` shows bars on a terminal and summary lines; `plain` only lines; `json` one object per event on standard
    output; `quiet` nothing.
    """

    def __init__(self, mode: Mode = "auto", console: Console | None = None):
        self.mode = mode
        self.console = console or Console(stderr=mode == "json", highlight=False)
        self._bars: Bars | None = None
        self._stages: dict[str, _Stage] = {}

    def begin(self, stage: str, *, label: str = "", total: int, cached: int = 0, rows: int = 0, bytes: int = 0) -> None:
        """A stage of `total` parts begins, `cached` of which are there already; `rows` and `bytes` are to be read."""
        self._event("begin", stage=stage, label=label, total=total, cached=cached, rows=rows, bytes=bytes)
        state = self._stages[stage] = _Stage(label, total, cached, rows, bytes, done=cached)
        if self.mode != "auto" or not self.console.is_terminal or cached == total:
            return
        if self._bars is None:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        state.bar = self._bars.add_task(_name(stage, label), total=total, completed=cached, text=f"{cached}/{total}")

    def advance(self, stage: str, *, done: int, rows: int = 0, bytes: int = 0, text: str | None = None) -> None:
        """`done` parts are finished, cached ones included; `rows` and `bytes` have been read since `begin`.

        text: what stands beside the bar instead of the rates of rows and bytes.
        """
        state = self._stages[stage]
        state.rows_read = rows
        if done != state.done:
            state.done = done
            self._event("advance", stage=stage, done=done, total=state.total, rows=rows, bytes=bytes)
        if self._bars is None or state.bar is None:
            return
        seconds = time.monotonic() - state.started
        if text is None:
            rates = [f"{done}/{state.total}"]
            rates += [f"{rows / seconds:,.0f} docs/s"] if rows else []
            rates += [f"{bytes / seconds / 1e6:,.1f} MB/s"] if bytes else []
            text = "  ".join(rates)
        # Rows within unfinished parts count too, so that the time left is good with a few large parts.
        share = rows / state.rows if state.rows else bytes / state.bytes if state.bytes else 0.0
        within = state.cached + (state.total - state.cached) * min(share, 1.0)
        self._bars.update(state.bar, completed=min(max(done, within), state.total), text=text)

    def shard(self, manifest: Manifest) -> None:
        """A shard was made. Nothing is shown of a single one here; a display of its own kind may."""

    def there(self, manifests: Sequence[Manifest]) -> None:
        """Shards that need not be made, since they are there. As with `shard`."""

    def making(self, shards: Sequence[Making]) -> None:
        """The shards in the making. As with `shard`."""

    def end(self, stage: str, manifests: Sequence[Manifest], cached: int, seconds: float) -> None:
        """The shards of a stage are there: one line that says what came of them."""
        shards = len(manifests)
        counts = {key: sum(m.counts.get(key, 0) for m in manifests) for key in ("in", *_SHOWN)}
        parts = [f"{shards} {'shard' if shards == 1 else 'shards'}"]
        if cached:
            parts[0] += " (cached)" if cached == shards else f" ({cached} cached)"
        if counts["in"]:
            parts += [f"{counts[key]:,} {key}" for key in ("in", *_SHOWN) if counts[key] or key == "in"]
        if cached < shards:
            rows = self._stages[stage].rows_read if stage in self._stages else 0
            parts += [f"{rows / seconds:,.0f} docs/s"] if rows and seconds else []
            parts.append(_duration(seconds))
        self.finish(stage, "  ".join(parts), shards=shards, cached=cached, seconds=round(seconds, 3), counts=counts)

    def finish(self, stage: str, summary: str, **facts: Any) -> None:
        """The stage is done: its bar goes and `summary` stays as its line; `facts` are for scripts."""
        label = self._stages[stage].label if stage in self._stages else ""
        self._remove(stage)
        self._event("end", stage=stage, label=label, **facts)
        self._line(f"{_name(stage, label):<10}  {summary}")

    def abandon(self, stage: str, *, interrupted: bool = False) -> None:
        """The stage ends in an error, which whoever called reports, or because a person stopped it."""
        state = self._stages.get(stage)
        self._remove(stage)
        if interrupted and state is not None:
            self._event("interrupted", stage=stage, done=state.done, total=state.total)
            self._line(
                f"{stage}: stopped with {state.done} of {state.total} done; what is finished stays, "
                "run the same command to go on"
            )

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self._event("note", text=text)
        self._line(text)

    def _line(self, text: str) -> None:
        if self.mode in ("auto", "plain"):
            self.console.print(text, markup=False, soft_wrap=True)

    def _remove(self, stage: str) -> None:
        state = self._stages.pop(stage, None)
        if self._bars is None or state is None or state.bar is None:
            return
        self._bars.remove_task(state.bar)
        if not self._bars.tasks:
            self._bars.stop()
            self._bars = None

    def _event(self, event: str, **values: Any) -> None:
        if self.mode == "json":
            print(json.dumps({"event": event, **values}), file=sys.stdout, flush=True)


def _name(stage: str, label: str) -> str:
    return f"{stage:<10}  {label}" if label else stage


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
