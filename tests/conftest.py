"""Shared fixtures: real data where it is at hand, a list of what was skipped for want of it, and one finished run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from firn.run.pipeline import Outcome

DATA = Path(os.environ.get("FIRN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

# No test depends on how fast the machine is.
hypothesis.settings.register_profile("firn", deadline=None)
hypothesis.settings.load_profile("firn")

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """`shared_data("warc/aut")` is the path of that real data; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real data absent: {name} (set FIRN_TEST_DATA)")
        return path

    return find


@dataclass(frozen=True)
class Finished:
    """A finished tiny run. folder: of raw data and recipe. runs: the folder of runs, whose run is `tiny`."""

    folder: Path
    runs: Path
    outcome: Outcome


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """The tiny recipe, run once with two workers, to be looked at but not changed; who changes it takes `copied`."""
    import torch

    from tiny_recipe import make, run_tiny

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    make(folder)
    outcome = run_tiny(folder, folder / "runs")
    made = sorted(folder.rglob("*"))
    yield Finished(folder, folder / "runs", outcome)
    # What one test adds here would make another fail, in some orders.
    assert sorted(folder.rglob("*")) == made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [r for r in terminalreporter.stats.get("skipped", []) if "real data absent" in str(r.longrepr)]
    if absent:
        terminalreporter.write_line(
            f"{len(absent)} tests skipped for want of real data under {DATA}; set FIRN_TEST_DATA"
        )
