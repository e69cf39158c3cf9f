"""What a person sees of long work: a bar per stage with rate and time left, and one summary line when it is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from firn.core.store import Manifest

Mode = Literal["auto", "plain", "quiet", "json"]

# Verdicts worth a place in the summary line when they are not zero.
_SHOWN = ("kept", "changed", "split", "merged", "removed", "failed")


class Progress:
    """Progress of a run.

    mode: `auto` shows bars on a terminal and summary lines elsewhere; `plain` only lines; `json` one object per event
    on standard output; `quiet` nothing.
    """

    def __init__(self, mode: Mode = "auto", console: Console | None = None):
        self.mode = mode
        self.console = console or Console(stderr=mode == "json", highlight=False)
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def begin(self, stage: str, *, total: int, cached: int = 0, bytes: int = 0) -> None:
        """A stage of `total` shards begins, `cached` of which are there already; `bytes` of input are to be read."""
        self._event("begin", stage=stage, shards=total, cached=cached, bytes=bytes)
        if self.mode != "auto" or not self.console.is_terminal or cached == total:
            return
        if self._bars is None:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("[bold]{task.description:<10}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        self._tasks[stage] = self._bars.add_task(stage, total=total, completed=cached, rate="")

    def advance(self, stage: str, *, done: int, rows: int = 0, bytes: int = 0) -> None:
        """`done` shards are finished; `rows` and `bytes` have been read since `begin`."""
        if self._bars is None or stage not in self._tasks:
            return
        task = self._tasks[stage]
        elapsed = self._bars.tasks[self._bars.task_ids.index(task)].elapsed or 0.0
        rate = f"{rows / elapsed:,.0f} docs/s  {bytes / elapsed / 1e6:,.1f} MB/s" if elapsed > 0.5 and rows else ""
        self._bars.update(task, completed=done, rate=rate)

    def end(self, stage: str, manifests: Sequence[Manifest], cached: int, seconds: float) -> None:
        """The stage is done: one line that says what came of it."""
        counts = {key: sum(m.counts.get(key, 0) for m in manifests) for key in ("in", *_SHOWN)}
        self._remove(stage)
        self._event("end", stage=stage, shards=len(manifests), cached=cached, seconds=round(seconds, 3), counts=counts)
        if self.mode in ("quiet", "json"):
            return
        parts = [f"{stage:<10}", f"{len(manifests):>4} {'shard' if len(manifests) == 1 else 'shards'}"]
        if cached:
            parts.append(f"({cached} cached)" if cached < len(manifests) else "(all cached)")
        if counts["in"]:
            parts.append(f"{counts['in']:,} in")
            parts += [f"{counts[key]:,} {key}" for key in _SHOWN if counts[key]]
        if cached < len(manifests):
            made = counts["in"]
            parts += [f"{made / seconds:,.0f} docs/s"] if made and not cached else []
            parts.append(f"{seconds:.1f} s")
        self.console.print("  ".join(parts), markup=False)

    def abandon(self, stage: str) -> None:
        """The stage ends in an error, which whoever called reports."""
        self._remove(stage)

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self._event("note", text=text)
        if self.mode not in ("quiet", "json"):
            self.console.print(text, markup=False)

    def _remove(self, stage: str) -> None:
        if self._bars is None or stage not in self._tasks:
            return
        self._bars.remove_task(self._tasks.pop(stage))
        if not self._tasks:
            self._bars.stop()
            self._bars = None

    def _event(self, event: str, **values: Any) -> None:
        if self.mode == "json":
            print(json.dumps({"event": event, **values}), file=sys.stdout, flush=True)
