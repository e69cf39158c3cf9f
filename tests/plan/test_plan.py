"""Published numbers are met; unknown devices stay unknown; memory is that of real steps."""

from __future__ import annotations

import pytest
import torch

from firn.core.errors import RecipeError
from firn.model.config import ModelSettings
from firn.model.precision import resolve
from firn.model.transformer import Transformer
from firn.plan.memory import checkpoint_bytes, training_memory
from firn.plan.peaks import mfu, peak_flops
from firn.plan.scaling import BESIROGLU, HOFFMANN


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("Tesla T4", 65e12),
        ("AMD Instinct MI300X", 1307e12),
        ("NVIDIA A1000 Laptop", None),
        ("AMD EPYC 9754", None),
        ("", None),
    ],
)
def test_peaks_by_the_names_that_drivers_give(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak


def test_mfu_is_a_share_of_the_peak_or_unknown() -> None:
    # 6 x 1.1e9 x 24,000 / 312e12, by hand.
    assert mfu(6 * 1.1e9, 24_000, "NVIDIA A100-SXM4-40GB") == pytest.approx(0.508, abs=0.001)
    assert mfu(6 * 1.1e9, 24_000, "a device of tomorrow") is None


def test_compute_optimal_sizes_at_chinchillas_budget() -> None:
    parameters, tokens = BESIROGLU.optimum(5.76e23)
    assert (parameters / 1e9, tokens / 1e12) == pytest.approx((72, 1.33), rel=0.03)
    parameters, tokens = HOFFMANN.optimum(5.76e23)
    assert (parameters / 1e9, tokens / 1e12) == pytest.approx((32, 3.0), rel=0.03)


def test_the_optimum_is_one() -> None:
    flops = 1e21
    best, tokens = BESIROGLU.optimum(flops)
    loss = BESIROGLU.loss(best, tokens)
    assert all(BESIROGLU.loss(best * f, tokens / f) > loss for f in (0.5, 0.9, 1.1, 2.0))
    smaller = BESIROGLU.tokens_for(best / 2, loss)
    assert smaller is not None
    assert BESIROGLU.loss(best / 2, smaller) == pytest.approx(loss)
    assert BESIROGLU.tokens_for(1e6, 1.9) is None


def test_activations_are_those_that_a_step_keeps() -> None:
    settings = ModelSettings(preset="llama", vocab_size=64, context=128, layers=4, width=128, heads=4)
    model = Transformer(settings)
    model.init_weights(0)
    parameters = {id(p) for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point() and id(tensor) not in parameters and tensor.shape[:1] != (64,):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    tokens = torch.zeros(4, 128, dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model.loss(tokens, tokens)
    estimate = training_memory(settings, model.num_parameters(), 4, element=4)
    assert loss.requires_grad
    # An estimate: within a factor of two of what autograd really holds.
    assert 0.5 < (estimate.activations + estimate.logits) / sum(kept.values()) < 2
    assert estimate.states == 16 * model.num_parameters()
    assert checkpoint_bytes(model.num_parameters()) == 12 * model.num_parameters()


def test_precision_is_what_was_asked_for() -> None:
    assert resolve("fp32", "cpu") == "fp32"
    assert resolve("bf16", "cpu") == "bf16"
    assert resolve("auto", "cpu") in ("fp32", "bf16")
    with pytest.raises(RecipeError, match=r"compute capability 8\.9"):
        resolve("fp8", "cpu")
