"""The dial: its point of reference, its rules, and that a recipe can take every number."""

from __future__ import annotations

import math

import pytest
import torch

from firn.core.errors import RecipeError
from firn.model.config import ModelSettings
from firn.model.dial import derive
from firn.model.layers import Linear
from firn.model.transformer import Transformer
from firn.train.settings import TrainSettings


def numbers(depth: int, **changes: float) -> dict[str, float]:
    return {found.key: found.value for found in derive(depth, **changes)}  # type: ignore[arg-type]


def test_twelve_layers_are_the_point_of_reference() -> None:
    found = numbers(12)
    assert found.pop("train.steps") == round(12 * (12 * (4 * 768**2 + 3 * 768 * 2048) + 50_257 * 768) / 2**19)
    assert found == {
        "model.layers": 12,
        "model.width": 768,
        "model.heads": 12,
        "model.context": 2048,
        "train.window": 2048,
        "train.batch": 2**19 // 2048,
        "train.micro_batch": 8,
        "train.optimizer.matrix_lr": 0.02,
        "train.optimizer.embedding_lr": 0.3,
        "train.optimizer.head_lr": 0.008,
        "train.optimizer.weight_decay": 0.14,
        "train.optimizer.embedding_decay": 0.0,
        "train.optimizer.head_decay": 0.0,
    }


def test_the_rules_at_24_layers() -> None:
    small, large = numbers(12), numbers(24)
    tokens = lambda found: found["train.steps"] * found["train.batch"] * 2048
    growth = tokens(large) / tokens(small)
    assert 5 < growth < 8
    # 2^19 x growth^0.383 = 1.05 M, whose nearest power of two is 2^20.
    assert large["train.batch"] == 2 * small["train.batch"]
    assert large["train.optimizer.matrix_lr"] == pytest.approx(0.02 * math.sqrt(2))
    assert large["train.optimizer.embedding_lr"] == pytest.approx(0.3)  # sqrt(2) by batch, 1 / sqrt(2) by width
    assert large["train.optimizer.weight_decay"] == pytest.approx(0.14 * math.sqrt(2) / growth, rel=0.01)
    assert tokens(numbers(12, tokens_per_parameter=24)) == pytest.approx(2 * tokens(small), rel=0.01)


def test_the_rest_follows_from_a_window_and_a_batch_that_are_given() -> None:
    short = numbers(12, window=256)
    assert short["train.batch"] * short["train.window"] == 2**19
    assert (short["model.context"], short["train.micro_batch"]) == (256, 64)
    small = numbers(12, windows=16)
    assert small["train.batch"] == 16
    assert small["train.steps"] == pytest.approx(numbers(12)["train.steps"] * 16, abs=16)
    assert small["train.optimizer.matrix_lr"] == pytest.approx(0.02 / 4)


def test_a_longer_run_forgets_over_the_same_share_of_it_and_a_shorter_one_no_faster() -> None:
    """The share of a run over which weights are forgotten: 1 / (rate x decay x steps)."""

    def share(found: dict[str, float], steps: float) -> float:
        return 1 / (found["train.optimizer.matrix_lr"] * found["train.optimizer.weight_decay"] * steps)

    own = numbers(4)
    enough = int(own["train.steps"])
    expected = share(numbers(12), numbers(12)["train.steps"])
    assert share(own, enough) == pytest.approx(expected, rel=0.01)
    for steps in (enough, 3 * enough, 10 * enough):
        found = numbers(4, steps=steps)
        assert share(found, steps) == pytest.approx(expected, rel=0.01)
        assert found | {"train.optimizer.weight_decay": 0} == own | {"train.optimizer.weight_decay": 0}
    assert numbers(4, steps=20) == numbers(4, steps=enough) == own
    # What is said names the run that it is said of.
    for steps, of in ((None, enough), (20, enough), (3 * enough, 3 * enough)):
        [decay] = [found for found in derive(4, steps=steps) if found.key == "train.optimizer.weight_decay"]
        assert f"of a run of {of:,} steps" in decay.reason
    assert numbers(12, tokens_per_parameter=24)["train.optimizer.weight_decay"] == pytest.approx(0.07)


@pytest.mark.parametrize("depth", [1, 2, 5, 12, 20, 32])
def test_a_recipe_can_take_every_number(depth: int) -> None:
    found = numbers(depth, vocab_size=1000)
    shape = {key.removeprefix("model."): value for key, value in found.items() if key.startswith("model.")}
    settings = ModelSettings(vocab_size=1000, **shape)  # type: ignore[arg-type]
    train = {key.removeprefix("train."): value for key, value in found.items() if key.startswith("train.")}
    optimizer = {key.removeprefix("optimizer."): train.pop(key) for key in list(train) if "." in key}
    TrainSettings(**train, optimizer=optimizer)  # type: ignore[arg-type]
    with torch.device("meta"):
        model = Transformer(settings)
    multiplied = sum(module.weight.numel() for module in model.modules() if isinstance(module, Linear))
    if train["steps"] > 100:
        tokens = train["steps"] * train["batch"] * train["window"]
        assert tokens / multiplied == pytest.approx(12, rel=0.01)
    assert all(derived.reason for derived in derive(depth))


def test_no_layers_are_refused() -> None:
    with pytest.raises(RecipeError, match="a model of 0 layers"):
        derive(0)
