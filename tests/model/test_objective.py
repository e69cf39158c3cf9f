"""The fused loss against cross-entropy written out, with its gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from firn.model.objective import next_token_loss, token_losses


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 11, 8, generator=generator, requires_grad=True)
    head = torch.randn(50, 8, generator=generator, requires_grad=True)
    bias = torch.randn(50, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (3, 11), generator=generator)
    targets[0, 4:] = -1
    return hidden, head, bias, targets


@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("chunk", [5, 33, 100])
def test_the_fused_loss_is_cross_entropy_with_its_gradient(softcap: float | None, z_loss: float, chunk: int) -> None:
    hidden, head, bias, targets = problem()
    logits = (hidden @ head.T + bias).flatten(0, 1)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    nats = F.cross_entropy(logits, targets.flatten(), ignore_index=-1, reduction="none")
    log_z = logits.logsumexp(1)[targets.flatten() >= 0]
    expected = nats.sum() + z_loss * log_z.square().sum()
    gradients = torch.autograd.grad(expected / 7, (hidden, head, bias))
    found = token_losses(hidden, head, targets, bias_V=bias, chunk=chunk, softcap=softcap, z_loss=z_loss)
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.allclose(found.nats.flatten(), nats, atol=1e-5)
    assert not found.nats.requires_grad
    for ours, plain in zip(torch.autograd.grad(found.total / 7, (hidden, head, bias)), gradients, strict=True):
        assert torch.allclose(ours, plain, atol=1e-5)


def test_no_gradient_is_computed_where_none_is_wanted() -> None:
    hidden, head, _, targets = problem()
    with torch.no_grad():
        assert not next_token_loss(hidden, head, targets).requires_grad
    loss = next_token_loss(hidden.detach(), head, targets)
    loss.backward()
    assert hidden.grad is None
    assert head.grad is not None


def test_bf16_states_give_an_fp32_loss_and_an_fp32_gradient_of_the_head() -> None:
    hidden, head, _, targets = problem()
    loss = next_token_loss(hidden.bfloat16(), head, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert head.grad is not None
    assert head.grad.dtype == torch.float32
    assert loss.item() == pytest.approx(next_token_loss(hidden, head, targets).item(), rel=0.02)
