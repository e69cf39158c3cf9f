"""What a run records is what programs, TensorBoard and people read."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import pytest
from rich.console import Console

from firn.core.progress import Progress
from firn.train.display import Display, sparkline
from firn.train.metrics import Metrics, read_metrics

STEP = {
    "loss": 2.5,
    "sources": {"web": 2.0, "code": 3.0},
    "tokens_per_second": 1234.5,
    "mfu": "unknown",
    "seconds": {"data": 0.0, "compute": 0.5},
}


def test_tensorboard_reads_every_number_of_steps_and_validations(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(tmp_path)
    metrics.record("start", 0, parameters=7)
    metrics.record("step", 0, **STEP)
    metrics.record("step", 1, **{**STEP, "loss": 2.25})
    metrics.record("validation", 2, bits_per_byte={"web": 1.5})
    metrics.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert scalars["train/loss"] == [(0, 2.5), (1, 2.25)]
    assert scalars["train/sources/code"] == [(0, 3.0), (1, 3.0)]
    assert scalars["train/seconds/compute"] == [(0, 0.5), (1, 0.5)]
    assert scalars["validation/bits_per_byte/web"] == [(2, 1.5)]
    assert not any("mfu" in tag or "parameters" in tag for tag in scalars)


def test_lines_are_json_whatever_the_numbers_and_torn_ones_are_passed_over(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    metrics.record("start", 0)
    metrics.record("bad", 0, loss=math.nan, gradient_norm=math.inf)
    metrics.close()
    [file] = tmp_path.glob("metrics-*.jsonl")
    text = file.read_text()
    assert [json.loads(line, parse_constant=pytest.fail)["kind"] for line in text.splitlines()] == ["start", "bad"]
    file.write_text(text + '{"kind": "step", "st')
    assert [record["kind"] for record in read_metrics(tmp_path)] == ["start", "bad"]
    assert read_metrics(tmp_path)[1]["loss"] == "nan"


def test_a_pipe_gets_a_line_at_the_first_and_the_last_step_and_every_validation() -> None:
    out = io.StringIO()
    progress = Progress("auto")
    progress.console = Console(file=out, width=200, force_terminal=False)
    with Display(progress, 3) as display:
        for step in range(3):
            display.show({"kind": "step", "step": step, **STEP})
        display.show({"kind": "validation", "step": 3, "bits_per_byte": {"code": 1.25, "web": 1.5}})
        display.show({"kind": "evaluation", "step": 3, "bits_per_byte": {"code": 1.5, "web": 1.75}})
    lines = out.getvalue().splitlines()
    assert [line.split("step ")[1][:3] for line in lines[:2]] == ["1/3", "3/3"]
    assert "loss 2.500" in lines[0]
    assert "1,234 tokens/s" in lines[0]
    assert "MFU unknown" in lines[0]
    assert "0:00 left" in lines[1]
    assert "step 3  held-out bits per byte: code 1.250  web 1.500" in lines[2]
    assert "all held-out text, bits per byte: code 1.500  web 1.750" in lines[3]


@pytest.mark.parametrize("terminal", [False, True])
def test_dollars_and_kwh_so_far_end_the_line(terminal: bool) -> None:
    out = io.StringIO()
    progress = Progress("auto")
    progress.console = Console(file=out, width=200, force_terminal=terminal)
    with Display(progress, 1) as display:
        display.show({"kind": "step", "step": 0, **STEP, "dollars": 12.5, "kwh": 3.25})
    assert re.search(r"left  \$12\.50, 3\.25 kWh *$", out.getvalue(), re.MULTILINE)


def test_scripts_get_every_record_and_quiet_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(Progress("json"), 3) as display:
        display.show({"kind": "step", "step": 0, **STEP})
        display.show({"kind": "bad", "step": 1, "loss": math.nan})
    printed, bad = (json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines())
    assert (printed["event"], printed["kind"], printed["steps"], printed["loss"]) == ("train", "step", 3, 2.5)
    assert bad["loss"] == "nan"
    with Display(Progress("quiet"), 3) as display:
        display.show({"kind": "step", "step": 0, **STEP})
    assert capsys.readouterr() == ("", "")


def test_a_sparkline_goes_from_the_highest_to_the_lowest_bar_and_knows_no_nan() -> None:
    assert sparkline([3.0, 2.0, math.nan, 1.0]) == "█▅▁"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline([float(n) for n in range(1000)], width=40)) == 40
