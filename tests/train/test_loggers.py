"""Other people's dashboards get what TensorBoard gets, and whatever they do, training goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_resume import Notes
from tiny_run import WATCH, run

from firn.core.errors import RecipeError
from firn.train.settings import WatchSettings

# Stands for the third party's interface, to fail where the real one cannot be made to.
FAKE = """
import json, pathlib

class Run:
    def __init__(self, about):
        self.lines = pathlib.Path(FOLDER, NAME + ".jsonl").open("w")
        self.write({"init": {k: str(v) for k, v in about.items()}})
    def write(self, value):
        self.lines.write(json.dumps(value) + chr(10)); self.lines.flush()
    def log(self, values, step):
        if step == FAILS: raise ConnectionError("their server is away")
        self.write({"step": step, **values})
    def finish(self):
        self.write({"finish": True})

def init(**about):
    if FAILS == -1: raise PermissionError("no key")
    return Run(about)
"""


def fake(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, fails: int = 10**9) -> Path:
    (folder / f"{name}.py").write_text(f"FOLDER, NAME, FAILS = {str(folder)!r}, {name!r}, {fails}\n{FAKE}")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return folder / f"{name}.jsonl"


def watching(**keys: object) -> WatchSettings:
    return WatchSettings.model_validate({**WATCH.model_dump(), **keys})


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_records_reach_them(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sent = fake(name, tmp_path, monkeypatch)
    run(store, tmp_path / "run", watch=watching(**{name: {"project": "snow", "name": "first"}}))
    text = sent.read_text()
    assert '"project": "snow"' in text.splitlines()[0]
    assert text.count('"train/loss"') == 12
    assert text.count('"validation/bits_per_byte/web"') == 2
    assert text.splitlines()[-1] == '{"finish": true}'


@pytest.mark.parametrize("fails", [-1, 0, 7])
def test_their_failure_is_said_once_and_training_goes_on(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    expected = run(store, tmp_path / "alone")
    fake("wandb", tmp_path, monkeypatch, fails)
    progress = Notes()
    found = run(store, tmp_path / "run", watch=watching(wandb={"project": "snow"}), progress=progress)
    assert found.weights == expected.weights
    assert len([note for note in progress.notes if "wandb gets no more records" in note]) == 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_one_that_is_not_installed_is_an_error_before_any_step(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RecipeError, match=f"watch.{name}: the package {name} is not installed") as error:
        run(store, tmp_path, watch=watching(**{name: {"project": "snow"}}))
    assert f"pip install {name}" in str(error.value)
    assert not (tmp_path / "checkpoints").exists()
