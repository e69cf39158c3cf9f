"""Two runs side by side: what differs in their recipes, their funnels, their curves and what they came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.measure.figures import FIGURES, figures, held_out
from firn.run import training
from firn.run.folder import RunFolder
from firn.run.funnel import LEDGERS, flows
from firn.serve.page import Flow

_CURVE_ROWS = 12

#: (key, value in the first run, value in the second); None where a run has none.
Row = tuple[str, float | None, float | None]


@dataclass(frozen=True)
class FunnelRow:
    """What one stage did with one source in either run; None where a run has no such stage or source."""

    source: str
    stage: str
    entered: tuple[int | None, int | None]
    left: tuple[int | None, int | None]


@dataclass(frozen=True)
class Comparison:
    """Two runs. recipe: (dotted key, value, value) where they differ. rules: documents by rule, where they differ.

    results: parameters, tokens, loss, held-out figures, seconds. curves: held-out figures by tokens and source.
    """

    names: tuple[str, str]
    recipe: list[tuple[str, Any, Any]]
    funnel: list[FunnelRow]
    rules: list[Row]
    results: list[Row]
    curves: list[Row]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def compare(first: str | Path, second: str | Path, runs: str | Path = "runs") -> Comparison:
    """Compare two runs, by name or folder, finished or not. Raises InputError where one is not there."""
    one, two = RunFolder.open(first, runs), RunFolder.open(second, runs)
    ours, theirs = ({(f.source, f.stage): f for f in flows(run.funnel())} for run in (one, two))
    return Comparison(
        names=(one.path.name, two.path.name),
        recipe=differences(one.state.get("recipe", {}), two.state.get("recipe", {})),
        funnel=_funnel(ours, theirs),
        rules=_rules(ours, theirs),
        results=_both(_results(one), _results(two)),
        curves=_thinned(_both(_curve(one), _curve(two))),
    )


def differences(one: Any, two: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """(dotted key, value, value) wherever two trees differ; None where one has no such key."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return [
            row
            for name in dict.fromkeys([*one, *two])
            for row in differences(one.get(name), two.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if one == two else [(key, one, two)]


def _funnel(ours: Mapping[tuple[str, str], Flow], theirs: Mapping[tuple[str, str], Flow]) -> list[FunnelRow]:
    sources = dict.fromkeys(source for source, _ in [*ours, *theirs])
    rows = []
    for source in sources:
        for stage in LEDGERS:
            pair = ours.get((source, stage)), theirs.get((source, stage))
            if pair != (None, None):
                entered = tuple(flow.entered if flow else None for flow in pair)
                left = tuple(flow.left if flow else None for flow in pair)
                rows.append(FunnelRow(source, stage, (entered[0], entered[1]), (left[0], left[1])))
    return rows


def _rules(ours: Mapping[tuple[str, str], Flow], theirs: Mapping[tuple[str, str], Flow]) -> list[Row]:
    def by_rule(flows: Mapping[tuple[str, str], Flow]) -> dict[str, float]:
        return {
            f"{source}: {rule}": n
            for (source, _), flow in flows.items()
            for rule, n in {**flow.rules, **flow.changes}.items()
        }

    return [row for row in _both(by_rule(ours), by_rule(theirs)) if row[1] != row[2]]


def _results(run: RunFolder) -> dict[str, float]:
    result = training.result(run)
    if result is None:
        return {}
    return {
        "parameters": result.parameters,
        "steps": result.steps,
        "training tokens": result.tokens,
        "loss (nats per token)": result.loss,
        **{
            f"{FIGURES[figure]}, {source}": value
            for figure, values in figures(result.validation).items()
            for source, value in values.items()
        },
        "training FLOPs": result.flops,
        "training seconds": result.seconds,
    }


def _curve(run: RunFolder) -> dict[str, float]:
    """The held-out figure by `<tokens> tokens, <source>`; an encoder's says which it is."""
    tokens, found = 0, {}
    for record in training.metrics(run):
        if record["kind"] == "step":
            tokens = record["tokens"]
        elif record["kind"] == "validation":
            figure, values = held_out(record)
            unit = "" if figure == "bits_per_byte" else f", {FIGURES[figure]}"
            found.update({f"{tokens:>14,} tokens, {source}{unit}": value for source, value in values.items()})
    return found


def _both(one: Mapping[str, float], two: Mapping[str, float]) -> list[Row]:
    return [(key, one.get(key), two.get(key)) for key in dict.fromkeys([*one, *two])]


def _thinned(rows: Sequence[Row]) -> list[Row]:
    """At most so many rows of the curves, evenly spread, the last ones among them."""
    rows = sorted(rows)
    if len(rows) <= _CURVE_ROWS:
        return rows
    return [rows[round(i * (len(rows) - 1) / (_CURVE_ROWS - 1))] for i in range(_CURVE_ROWS)]
