"""Where runs are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firn.run import training
from firn.run.folder import RunFolder, every
from firn.run.funnel import flows
from firn.run.training import Progressed
from firn.serve.page import Flow


@dataclass(frozen=True)
class RunStatus:
    """Where a run is.

    status: running, finished, failed or interrupted. stage: the last one that began. training: how far it is; None
    before it begins. bits: bits per byte of the final model by source.
    """

    name: str
    path: str
    status: str
    stage: str | None
    started: str | None
    error: str | None
    training: Progressed | None
    bits: dict[str, float]
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
    return RunStatus(
        name=folder.path.name,
        path=str(folder.path),
        status=folder.status,
        stage=folder.state.get("stage"),
        started=folder.state.get("process", {}).get("started"),
        error=folder.state.get("error"),
        training=training.progressed(folder),
        bits={name: bits["bits_per_byte"] for name, bits in result.validation.items()} if result else {},
        flows=flows(folder.funnel()) if with_flows else [],
        report=str(report) if report.exists() else None,
    )
