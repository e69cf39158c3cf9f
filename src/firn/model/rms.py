"""RMSNorm (Zhang and Sennrich 2019), with the backward pass written out for bf16 on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean x^2 + eps) * weight over the last axis [..., D], computed in fp32, in the dtype of x."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16:
        # Autograd would walk through memory about twice as often, in fp32.
        y: Tensor = _RMSNorm.apply(x, weight_D, eps)
        return y
    return F.rms_norm(x.float(), (x.shape[-1],), weight_D, eps).to(x.dtype)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        x32 = x.float()
        scale = (x32.square().mean(-1, keepdim=True) + eps).rsqrt()
        normed = (x32 * scale).to(x.dtype)
        ctx.save_for_backward(normed, scale.to(x.dtype), weight_D)
        return normed * weight_D.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, scale, weight_D = ctx.saved_tensors
        weighted = dy * weight_D.to(dy.dtype)
        d_weight_D = (dy * normed).flatten(0, -2).sum(0, dtype=torch.float32)
        # d x = scale (d normed - normed mean(d normed * normed))
        along = (weighted * normed).sum(-1, keepdim=True, dtype=torch.float32) / -normed.shape[-1]
        return weighted.addcmul_(normed, along.to(dy.dtype)).mul_(scale), d_weight_D, None
