"""What a run measured, step by step: one JSON object per line for programs, TensorBoard events for eyes.

    metrics-0001-<attempt>.jsonl       one file per attempt; a resumed run begins a new one
    tensorboard/events.out.tfevents.0001-<attempt>

Every record has `kind` and `step`:

- `start`: an attempt begins with `step` steps done; runtime, parameters, flops_per_token.
- `step`: what batch number `step` (from 0) gave: loss (nats per target), sources (loss by source), lr (factor of the
  full rates), gradient_norm, tokens (read since step 0), tokens_per_second, seconds (data, forward, backward,
  optimizer, checkpoint), mfu (a share, or "unknown"), memory (bytes); now and then groups (gradient_norm and
  update_ratio, the size of the update in relation to the weights, by group of parameters); where prices are known,
  dollars and kwh so far; in fp16, scale (of the loss).
- `bad`: the update by batch number `step` was left out; loss, gradient_norm, documents.
- `rewind`: training went back to `step` steps done; bad (steps left out, and their documents), undone (steps done
  before), skipped (windows not read from here on: length, first position, position after the last), rate (factor on
  all learning rates from here on).
- `validation`, `samples`, `checkpoint`: after `step` steps; held-out figures by source (`firn.measure.figures`),
  completions.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from firn.core.files import Files
from firn.train.loggers import loggers
from firn.train.settings import WatchSettings

Record = dict[str, Any]


class Metrics:
    """Writes the records of one attempt. Each line is on its way to the disk when `record` returns.

    watch: where else they go. warn: takes what goes wrong there. Raises RecipeError where a package is not installed.
    """

    def __init__(
        self, folder: Path, watch: WatchSettings | None = None, warn: Callable[[str], None] = lambda text: None
    ):
        number = 1 + max((int(path.name.split("-")[1]) for path in folder.glob("metrics-*.jsonl")), default=0)
        attempt = f"{number:04d}-{secrets.token_hex(4)}"
        files = Files(folder)
        self._lines = files.create(f"metrics-{attempt}.jsonl")
        self._events = Events(files, f"tensorboard/events.out.tfevents.{attempt}")
        self._loggers = loggers(folder, watch, warn) if watch is not None else []

    def record(self, kind: str, step: int, **values: Any) -> Record:
        """Write one record and return it."""
        record = {"kind": kind, "step": step, **values}
        self._lines.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")
        scalars = dict(_scalars(kind, values))
        self._events.write(step, scalars)
        for logger in self._loggers:
            logger.log(step, scalars)
        return record

    def close(self) -> None:
        """Make both files durable, and end the run elsewhere."""
        self._lines.close()
        self._events.close()
        for logger in self._loggers:
            logger.close()


class Events:
    """A TensorBoard event file, written through firn's own files rather than by a thread behind our back."""

    def __init__(self, files: Files, name: str):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        self._file = files.create(name)
        self._records = RecordWriter(self._file)
        self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """One event with these values."""
        if scalars:
            values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
            event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=values))
            self._records.write(event.SerializeToString())

    def close(self) -> None:
        """Make the file durable."""
        self._file.close()


def read_metrics(folder: str | Path) -> list[Record]:
    """The records of all attempts as if there had been one, in the order of steps.

    What an attempt did after the checkpoint from which the next one went on is left out, as is what was done before
    training went back, and torn lines.
    """
    merged: list[Record] = []
    for path in sorted(Path(folder).glob("metrics-*.jsonl")):
        for record in _lines(path):
            if record["kind"] in ("start", "rewind"):
                merged = [old for old in merged if _done(old) <= record["step"]]
            merged.append(record)
    return sorted(merged, key=_done)


def spent(record: Mapping[str, Any]) -> str:
    """Dollars and kWh of a record for people, "$1.25, 0.85 kWh"; empty where no prices were given."""
    dollars, kwh = record.get("dollars"), record.get("kwh")
    parts = [] if dollars is None else [f"${_digits(dollars)}"]
    return ", ".join([*parts, *([] if kwh is None else [f"{_digits(kwh)} kWh"])])


def _digits(amount: float) -> str:
    """Cents, and below them the first digit that counts."""
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.1g}"


def _done(record: Record) -> int:
    """Steps that were done when the record was written."""
    step: int = record["step"]
    return step + 1 if record["kind"] in ("step", "bad") else step


def _lines(path: Path) -> Iterable[Record]:
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
            if {"kind", "step"} <= record.keys():
                yield record
        except (ValueError, AttributeError):
            continue


def finite(value: Any) -> Any:
    """The same value with floats that JSON cannot spell as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _scalars(kind: str, values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    """TensorBoard's tags and values: every number of a step, validation or evaluation record."""
    if kind not in ("step", "validation", "evaluation"):
        return
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(kind, value, f"{prefix}{key}/")
        elif isinstance(value, int | float):
            yield f"{'train' if kind == 'step' else kind}/{prefix}{key}", float(value)
