"""RMSNorm's own backward pass against autograd's in fp64."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from firn.model.rms import _RMSNorm, rms_norm


def test_the_backward_pass_is_the_derivative() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, generator=generator, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(
        rms_norm(x.float(), weight.float(), 1e-3), F.rms_norm(x.float(), (7,), weight.float(), 1e-3)
    )
    upstream = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    exact = torch.autograd.grad(F.rms_norm(x, (7,), weight, 1e-3), (x, weight), upstream)
    # The statistics are computed in fp32, whatever the input.
    for found, expected in zip(
        torch.autograd.grad(_RMSNorm.apply(x, weight, 1e-3), (x, weight), upstream), exact, strict=True
    ):
        torch.testing.assert_close(found, expected.to(found.dtype), atol=1e-5, rtol=1e-5)
    low = x.detach().bfloat16().requires_grad_()
    y = rms_norm(low, weight, 1e-3)
    assert y.dtype == torch.bfloat16
    for found, expected in zip(torch.autograd.grad(y, (low, weight), upstream.bfloat16()), exact, strict=True):
        assert (found.double() - expected).norm() < 0.02 * expected.norm()


def test_a_zero_vector_stays_zero() -> None:
    x = torch.zeros(1, 4, dtype=torch.bfloat16, requires_grad=True)
    y = rms_norm(x, torch.ones(4), 1e-6)
    y.sum().backward()
    assert x.grad is not None
    assert y.eq(0).all()
    assert x.grad.isfinite().all()
