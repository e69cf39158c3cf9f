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


def test_gpt2_small_has_the_size_that_was_published() -> None:
    recipe = load(next(path for path in RECIPES if path.stem == "gpt2-124m"))
    with torch.device("meta"):
        assert build(recipe.model.model_copy(update={"vocab_size": 50_257})).num_parameters() == 124_439_808
    assert sum(stage.tokens for stage in recipe.train.stages) == 10_255_073_280
