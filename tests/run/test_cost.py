"""Where prices are given, what a training has cost is seen where people look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firn.cli import show
from firn.run.status import status
from firn.train.metrics import spent
from tiny_recipe import copied, run_tiny


def test_status_and_the_page_say_what_a_training_has_cost(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = copied(tiny.runs, tmp_path)
    prices = "watch.prices={dollars_per_hour: 36000, watts: 3600000}"  # ten dollars and a kWh per second
    outcome = run_tiny(tiny.folder, runs, "train.seed=1", prices, f"store={runs / 'store'}")
    found = status("tiny", runs)
    assert found.training is not None
    assert found.training.dollars is not None
    assert found.training.kwh is not None
    assert found.training.dollars == pytest.approx(10 * found.training.kwh, rel=0.01)
    said = spent({"dollars": found.training.dollars, "kwh": found.training.kwh})
    assert said.startswith("$")
    assert said.endswith(" kWh")
    show.status(found)
    assert said in capsys.readouterr().out
    assert said in Path(outcome.report).read_text()
    assert json.loads(json.dumps(found.to_json()))["training"]["dollars"] == found.training.dollars


def test_without_prices_nothing_is_said_of_them(tiny: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = status("tiny", tiny.runs)
    show.status(found)
    assert "kWh" not in capsys.readouterr().out
    assert "training has cost" not in Path(tiny.outcome.report).read_text()


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({}, ""),
        ({"dollars": 1234.5}, "$1,234.50"),
        ({"dollars": 0.0123, "kwh": 0.5}, "$0.01, 0.50 kWh"),
        ({"kwh": 0.00042}, "0.0004 kWh"),
        ({"dollars": 0.0, "kwh": None}, "$0.00"),
    ],
)
def test_amounts_are_read_at_a_glance(record: dict[str, Any], said: str) -> None:
    assert spent(record) == said
