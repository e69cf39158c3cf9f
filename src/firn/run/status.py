"""Where runs are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.measure.figures import FIGURES, figures, held_out
from firn.run import training
from firn.run.folder import RunFolder, every
from firn.run.funnel import flows
from firn.run.training import Progressed
from firn.serve.page import Flow


@dataclass(frozen=True)
class RunStatus:
    """Where a run is.

    status: running, finished, failed or interrupted. stage: the last one that began. training: how far it is; None
    before it begins. held_out: the held-out figure of the final model by source; figure: which one, for people.
    """

    name: str
    path: str
    status: str
    stage: str | None
    started: str | None
    error: str | None
    training: Progressed | None
    figure: str
    held_out: dict[str, float]
    flows: list[Flow]
    report: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def status(run: str | Path, runs: str | Path = "runs") -> RunStatus:
    """Where one run is, with its funnel. Raises InputError where there is none."""
    return _status(RunFolder.open(run, runs), with_flows=True)


def overview(runs: str | Path = "runs") -> list[RunStatus]:
    """All runs below `runs`, by name, without their funnels."""
    return [_status(RunFolder.open(path), with_flows=False) for path in every(runs)]


def _status(folder: RunFolder, with_flows: bool) -> RunStatus:
    report = folder.path / "report.html"
    result = training.result(folder)
    progressed = training.progressed(folder)
    figure, values = held_out(figures(result.validation)) if result else (progressed and progressed.figure, {})
    return RunStatus(
        name=folder.path.name,
        path=str(folder.path),
        status=folder.status,
        stage=folder.state.get("stage"),
        started=folder.state.get("process", {}).get("started"),
        error=folder.state.get("error"),
        training=progressed,
        figure=FIGURES[figure] if figure else "",
        held_out=values,
        flows=flows(folder.funnel()) if with_flows else [],
        report=str(report) if report.exists() else None,
    )
