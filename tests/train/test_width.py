"""What a reference width promises: a step changes a wide model as much as a narrow one."""

from __future__ import annotations

import pytest
import torch

from firn.core.errors import RecipeError
from firn.model.config import ModelSettings
from firn.model.transformer import Transformer
from firn.train.optim import Optimizers
from firn.train.settings import OptimizerSettings

NARROW, WIDE = 32, 256


def changed(width: int, reference: int | None, preset: str, settings: OptimizerSettings) -> tuple[float, float]:
    """Root mean square by which three steps change the final states and the logits of one batch."""
    made = Transformer(
        ModelSettings(
            preset=preset,  # type: ignore[arg-type]
            vocab_size=31,
            context=16,
            layers=2,
            width=width,
            heads=width // 16,
            ffn_width=2 * width,
            reference_width=reference,
        )
    )
    made.init_weights(0)
    optimizers = Optimizers(made, settings)
    tokens = torch.randint(0, 31, (8, 16), generator=torch.Generator().manual_seed(0))
    before = made.hidden(tokens).detach(), made(tokens).detach()
    for step in range(3):
        (made.loss(tokens, tokens.roll(-1, 1)) / tokens.numel()).backward()
        optimizers.step(step, 1.0)
        optimizers.zero_grad()
    after = made.hidden(tokens).detach(), made(tokens).detach()
    states, logits = (float((new - old).square().mean().sqrt()) for new, old in zip(after, before, strict=True))
    return states, logits


@pytest.mark.parametrize("preset", ["gpt2", "llama", "olmo2"])
@pytest.mark.parametrize("matrices", ["adamw", "muon-spectral"])
def test_three_steps_change_states_and_logits_alike_at_every_width(preset: str, matrices: str) -> None:
    kind, _, scaling = matrices.partition("-")
    settings = OptimizerSettings(
        matrices=kind,  # type: ignore[arg-type]
        muon_scaling=scaling or "spectral",  # type: ignore[arg-type]
        matrix_lr=0.002 if kind == "adamw" else 0.02,
        embedding_lr=0.002,
        head_lr=0.002,
        vector_lr=0.002,
    )
    narrow = changed(NARROW, NARROW, preset, settings)
    wide = changed(WIDE, NARROW, preset, settings)
    standard = changed(WIDE, None, preset, settings)
    for found, expected in zip(wide, narrow, strict=True):
        assert found / expected == pytest.approx(1, abs=0.6)
    assert standard[1] / narrow[1] > 2


def test_rates_and_decay_follow_the_width() -> None:
    shape = ModelSettings(vocab_size=11, context=8, layers=1, width=64, heads=2, reference_width=16)
    made = Transformer(shape)
    made.init_weights(0)
    settings = OptimizerSettings(matrices="adamw", matrix_lr=0.4, head_lr=0.2, vector_lr=0.1, weight_decay=0.05)
    groups = [
        (group["full_lr"], group["weight_decay"])
        for optimizer in Optimizers(made, settings).all
        for group in optimizer.param_groups
    ]
    # Four times the reference: matrices and head at a fourth of their rates, the same share taken away per step.
    expected = {"matrix": (0.1, 0.2), "embedding": (0.3, 0.05), "head": (0.05, 0.2), "vector": (0.1, 0.0)}
    assert [pytest.approx(pair) for pair in expected.values()] == groups
    by_muon = Optimizers(made, settings.model_copy(update={"matrices": "muon", "muon_scaling": "rms"})).muon
    assert by_muon is not None
    assert by_muon.param_groups[0]["lr"] == pytest.approx(0.2)


def test_a_head_that_is_the_embedding_has_no_size_of_its_own() -> None:
    with pytest.raises(RecipeError, match=r"model\.reference_width"):
        ModelSettings(tied=True, reference_width=64)
