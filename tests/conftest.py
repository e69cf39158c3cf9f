"""Shared fixtures: real data where it is at hand, and a list of what was skipped for want of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FIRN_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """`shared_data("warc/aut")` is the path of that real data; the test is skipped where it is absent."""

    def find(name: str) -> Path:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real data absent: {name} (set FIRN_TEST_DATA)")
        return path

    return find


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [r for r in terminalreporter.stats.get("skipped", []) if "real data absent" in str(r.longrepr)]
    if absent:
        terminalreporter.write_line(
            f"{len(absent)} tests skipped for want of real data under {DATA}; set FIRN_TEST_DATA"
        )
