"""Every recipe of the repository loads, and describes a model that can be made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from firn.model.build import build
from firn.run.recipe import load

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_loads_and_its_model_can_be_made(path: Path) -> None:
    recipe = load(path)
    assert recipe.name == path.stem
    assert load(path).to_yaml() == recipe.to_yaml()
    with torch.device("meta"):
        model = build(recipe.model.model_copy(update={"vocab_size": recipe.model.vocab_size or 1024}))
    assert model.num_parameters() > 0
    assert max(stage.window for stage in recipe.train.stages) <= recipe.model.context
