"""Attention by blocks is torch's attention, forward and backward."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from firn.model import blocks
from firn.model.attention import Mask, attend, choose


def inputs(B: int, H: int, K: int, T: int, E: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(B * T + H)
    shapes = [(B, T, H, E), (B, T, K, E), (B, T, K, E)]
    made = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [x.transpose(1, 2).requires_grad_() for x in made]


def gradients(y: Tensor, of: list[Tensor]) -> list[Tensor]:
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype)
    return list(torch.autograd.grad(y, of, upstream))


@pytest.mark.parametrize("T", [1, 5, 64, 65, 130])
@pytest.mark.parametrize("scores", [1, 1 << 20])
def test_values_and_gradients_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, T: int, scores: int) -> None:
    # Small blocks, so that the last one is cut short and windows are taken one by one or together.
    monkeypatch.setattr(blocks, "_QUERIES", 64)
    monkeypatch.setattr(blocks, "_SCORES", scores)
    qkv = inputs(3, 2, 2, T, 8, torch.float64)
    y, expected = blocks.causal_attention(*qkv), F.scaled_dot_product_attention(*qkv, is_causal=True)
    torch.testing.assert_close(y, expected)
    for ours, theirs in zip(gradients(y, qkv), gradients(expected, qkv), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_is_chosen_for_training_in_bf16_on_a_cpu_and_shares_keys_among_queries() -> None:
    q, k, v = inputs(2, 4, 2, 300, 16, torch.bfloat16)
    assert choose(q, k, Mask(), None) == "blocks"
    assert choose(q.detach(), k.detach(), Mask(), None) == "sdpa"
    assert choose(q, k, Mask(before=100), None) == "sdpa"
    assert choose(q.float(), k.float(), Mask(), None) == "sdpa"
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    y, expected = attend(q, k, v, Mask()), attend(*exact, Mask())
    torch.testing.assert_close(y.double(), expected, atol=0.03, rtol=0.03)
    for ours, theirs in zip(gradients(y, [q, k, v]), gradients(expected, exact), strict=True):
        assert (ours.double() - theirs).norm() < 0.01 * theirs.norm()
