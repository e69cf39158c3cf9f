"""Which checkpoints stay, what happens while one is written, and the time limit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from test_resume import Notes, stop_at
from tiny_run import SETTINGS, WATCH, run

from firn.core.errors import StoreError
from firn.core.store import Manifest
from firn.train.checkpoint import Checkpoints
from firn.train.metrics import read_metrics
from firn.train.settings import WatchSettings
from firn.train.stop import AGAIN, Stop, Stopped, duration


def kept(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir())


def test_those_after_a_multiple_stay_for_good(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path, watch=WATCH.model_copy(update={"checkpoint_every": 1, "keep": 2, "keep_every": 5}))
    assert kept(tmp_path) == [5, 10, 11, 12]


def test_the_best_by_held_out_text_stays(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = WATCH.model_copy(update={"checkpoint_every": 2, "validate_every": 2, "keep": 1, "keep_best": True})
    run(store, tmp_path / "falling", watch=watch)
    bits = {r["step"]: r["bits_per_byte"] for r in read_metrics(tmp_path / "falling") if r["kind"] == "validation"}
    means = {step: sum(values.values()) / len(values) for step, values in bits.items() if step < 12}
    assert kept(tmp_path / "falling") == sorted({min(means, key=lambda step: means[step]), 12})
    # Now the held-out figure is best at step 4.
    values = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    monkeypatch.setattr("firn.train.steps.held_out", lambda found: ("", {"web": next(values)}))
    run(store, tmp_path / "best", watch=watch)
    assert kept(tmp_path / "best") == [4, 12]
    manifest = Manifest.from_json((tmp_path / "best/checkpoints/step-00000004/manifest.json").read_bytes())
    assert manifest is not None
    assert manifest.observed["held_out"] == 1.0


def damage(folder: Path, *steps: int) -> None:
    for step in steps:
        [file] = (folder / f"checkpoints/step-{step:08d}").glob("model-*")
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    ("keep", "damaged", "on_from"),
    [(2, (8,), 6), (1, (8,), 0), (2, (6, 8), 0), (3, (4, 6, 8), 0), (3, (4, 6), 8)],
)
def test_what_is_saved_after_going_back_past_damaged_ones_stays(
    store: Path, tmp_path: Path, keep: int, damaged: tuple[int, ...], on_from: int
) -> None:
    """Steps that are taken again have lower numbers than the damaged checkpoints, and are the newest all the same."""
    watch = WATCH.model_copy(update={"checkpoint_every": 2, "keep": keep, "validate_every": 2, "keep_best": keep > 1})
    expected = run(store, tmp_path / "alone", watch=watch)
    folder, said = tmp_path / "run", Notes()
    with pytest.raises(Stopped, match="saved after step 8"):
        run(store, folder, watch=watch, until=8)
    damage(folder, *damaged)
    for until in (*range(on_from + 1, 8, 3), 9):  # each attempt goes on from where the one before was stopped
        before = len(said.notes)
        with pytest.raises(Stopped, match=f"saved after step {until}"):
            run(store, folder, watch=watch, until=until, progress=said)
        assert (folder / f"checkpoints/step-{until:08d}/manifest.json").exists()
        if until > on_from + 1:
            assert "going on after step" in said.notes[before]
    passed = [note for note in said.notes if "is damaged" in note]
    assert len(passed) == sum(step > on_from for step in damaged)
    assert [("training begins anew" in note) for note in passed] == [False] * (len(passed) - 1) + [not on_from] * bool(
        passed
    )
    assert run(store, folder, watch=watch).weights == expected.weights
    assert kept(folder)[-1] == 12
    assert not list(folder.glob("checkpoints/*/manifest.damaged.json"))


def test_training_goes_on_while_a_checkpoint_is_written(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is held up until later steps have been recorded; weights of step 4 are written all the same."""
    expected = run(store, tmp_path / "alone")
    write, gone_on = Checkpoints._write, threading.Event()

    def held_up(self: Checkpoints, name: str, tensors: Any) -> Any:
        if "step-00000004/model" in name:
            assert gone_on.wait(60), "no step was taken while the checkpoint was written"
        return write(self, name, tensors)

    def shown(self: Any, record: dict[str, Any]) -> None:
        if record["kind"] == "step" and record["step"] == 6:
            gone_on.set()

    monkeypatch.setattr(Checkpoints, "_write", held_up)
    monkeypatch.setattr("firn.train.loop.Display.show", shown)
    stop_at(7, monkeypatch, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, tmp_path / "cut")
    assert kept(tmp_path / "cut") == [4]
    monkeypatch.setattr(Checkpoints, "_write", write)
    assert run(store, tmp_path / "cut").weights == expected.weights


def test_a_checkpoint_that_cannot_be_written_ends_the_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Checkpoints, name: str, tensors: Any) -> Any:
        raise StoreError("cannot be written: No space left on device", where=name)

    monkeypatch.setattr(Checkpoints, "_write", full)
    with pytest.raises(StoreError, match="No space left"):
        run(store, tmp_path)
    steps = [record["step"] for record in read_metrics(tmp_path) if record["kind"] == "step"]
    assert steps[-1] == 7, "told at the checkpoint after the one that failed"


def test_a_time_limit_saves_and_stops_and_changes_nothing(store: Path, tmp_path: Path) -> None:
    expected = run(store, tmp_path / "alone")
    limited = WATCH.model_copy(update={"time_limit": "0s"})
    for done in range(1, 4):  # the limit is over at once, and each attempt takes one step
        with pytest.raises(Stopped, match=f"after step {done} of 12, and stopped by its time limit") as stopped:
            run(store, tmp_path / "limited", watch=limited)
        assert stopped.value.exit_code == AGAIN == 75
        assert "run the same command to go on" in str(stopped.value)
        assert max(kept(tmp_path / "limited")) == done
    assert run(store, tmp_path / "limited", watch=WATCH.model_copy(update={"time_limit": "3h"})) is not None
    assert run(store, tmp_path / "limited").weights == expected.weights


def test_durations() -> None:
    assert [duration(text) for text in ("3h", "90m", "1h30m", "45s", "1d")] == [10800, 5400, 5400, 45, 86400]
    for wrong in ("", "3", "h", "3 weeks", "-1h", "1m1h"):
        with pytest.raises(ValueError, match="not a duration"):
            duration(wrong)
    with pytest.raises(ValidationError, match="write it as 3h"):
        WatchSettings(time_limit="soon")
    assert Stop(0.0).cause == "its time limit"
    assert Stop(1e6).cause is Stop(None).cause is None


def test_checkpoint_seconds_and_costs_are_recorded(store: Path, tmp_path: Path) -> None:
    prices = {"dollars_per_hour": 3.6, "watts": 1000.0}
    watch = WatchSettings.model_validate({**WATCH.model_dump(), "prices": prices, "groups_every": 4})
    run(store, tmp_path, SETTINGS, watch=watch)
    steps = [record for record in read_metrics(tmp_path) if record["kind"] == "step"]
    for record in steps:
        assert set(record["seconds"]) == {"data", "forward", "backward", "optimizer", "checkpoint"}
        # 3.6 dollars per hour beside 1 kW
        assert record["dollars"] == pytest.approx(3.6 * record["kwh"], rel=0.2)
        assert record["mfu"] == "unknown"
        assert record["memory"] > 0
    assert [record["dollars"] for record in steps] == sorted(record["dollars"] for record in steps)
    assert [record["step"] for record in steps if "groups" in record] == [0, 4, 8]
    for record in steps[4::4]:
        norms, ratios = record["groups"]["gradient_norm"], record["groups"]["update_ratio"]
        assert set(norms) == set(ratios) == {"matrix", "embedding", "head", "vector"}
        assert sum(norm**2 for norm in norms.values()) ** 0.5 == pytest.approx(record["gradient_norm"], rel=1e-4)
        assert all(0 < ratio < 1 for ratio in ratios.values())
