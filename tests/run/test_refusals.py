"""What is known from the recipe to be refused is refused before the first document is read, and by the plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from firn.core.errors import FirnError, RecipeError
from firn.run.pipeline import run
from firn.run.planning import plan
from firn.run.recipe import load
from firn.train.loggers import check_packages
from firn.train.settings import WatchSettings

WANDB, TRACKIO = ("watch.wandb={project: snow}",), ("watch.trackio={project: snow}",)


def absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package be one that is not installed."""
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("firn.train.loggers.find_spec", lambda asked: None)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (WANDB, "watch.wandb: the package wandb is not installed"),
        (TRACKIO, "watch.trackio: the package trackio is not installed"),
        (("train.precision=fp8",), "train.precision: fp8 needs an NVIDIA GPU"),
        (("model.vocab_size=300",), "model.vocab_size: the model has 300 token ids, the tokenizer 512"),
        (("tokenizer.file=nowhere.json",), "nowhere.json"),
        (("model={from: nowhere}", "tokenizer={file: nowhere.json}"), "nowhere"),
        (("train.from=nowhere",), "nowhere"),
    ],
)
def test_nothing_is_read_for_a_training_that_cannot_be(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...], said: str
) -> None:
    if torch.cuda.is_available() and "fp8" in said:
        pytest.skip("a GPU is here")
    for name in ("wandb", "trackio"):
        absent(name, monkeypatch)
    recipe = load(tiny.folder / "tiny.yaml", overrides)
    for verb in (lambda: plan(recipe, tmp_path), lambda: run(recipe, tmp_path, mode="quiet")):
        with pytest.raises(FirnError) as error:
            verb()
        assert said in str(error.value)
    assert not (tmp_path / "store").exists()


def test_a_finished_training_needs_no_package(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent("wandb", monkeypatch)
    assert plan(load(tiny.folder / "tiny.yaml", WANDB), tiny.runs).seconds == 0


def test_a_folder_that_wandb_wrote_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wandb" / "offline-run-1").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(RecipeError, match="the package wandb is not installed"):
        check_packages(WatchSettings.model_validate({"wandb": {"project": "snow"}}))
