"""Matrix products in 8-bit floats, where the device has them: twice the rate of bf16, with fewer digits.

Values and weights are e4m3, gradients e5m2, each tensor scaled so that its largest entry is the format's largest
(Micikevicius et al. 2022, arXiv 2209.05433); sums are kept in fp32. The head stays in bf16: its gradients are the
smallest of all. Off the training path, in validation and generation, products are bf16.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from firn.model.layers import Linear

#: The kernels want rows and columns in multiples of this.
_MULTIPLE = 16


def use_fp8(model: nn.Module) -> int:
    """Let the matrices inside the model's layers multiply in fp8; their weights stay the same parameters.

    A matrix whose sides are no multiples of 16 stays as it is. Returns how many were changed.
    """
    layers = model.get_submodule("layers")
    found = [module for module in layers.modules() if type(module) is Linear and _fits(*module.weight.shape)]
    for module in found:
        module.__class__ = Float8Linear
    return len(found)


class Float8Linear(Linear):
    """A Linear whose products are in fp8 while it trains."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.numel() // x.shape[-1]
        if not torch.is_grad_enabled() or not _fits(rows):
            return super().forward(x)
        y: Tensor = _Product.apply(x.reshape(rows, -1), self.weight).view(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class _Product(torch.autograd.Function):
    """x [N, K], w [M, K] -> x w' [N, M] in the dtype of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        x8, x_scale = scaled(x, torch.float8_e4m3fn)
        w8, w_scale = scaled(w, torch.float8_e4m3fn)
        ctx.save_for_backward(x8, x_scale, w8, w_scale)
        ctx.dtype = x.dtype
        return multiply(x8, w8.T, x_scale, w_scale, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x8, x_scale, w8, w_scale = ctx.saved_tensors
        dy8, dy_scale = scaled(dy, torch.float8_e5m2)
        dx = multiply(dy8, _by_columns(w8), dy_scale, w_scale, ctx.dtype)
        dw = multiply(dy8.T.contiguous(), _by_columns(x8), dy_scale, x_scale, torch.float32)
        return dx, dw


def scaled(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x in an 8-bit format, and what it has to be multiplied by to have its size back: a scalar in fp32."""
    largest = torch.finfo(dtype).max
    factor = largest / x.abs().amax().float().clamp(min=1e-12)
    return (x.float() * factor).clamp(-largest, largest).to(dtype), factor.reciprocal()


def multiply(a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, dtype: torch.dtype) -> Tensor:
    """a [N, K], by rows, times b [K, M], by columns, both in 8 bits, times their scales."""
    return torch._scaled_mm(a, b, a_scale, b_scale, out_dtype=dtype)


def _by_columns(x: Tensor) -> Tensor:
    return x.T.contiguous().T


def _fits(*sizes: int) -> bool:
    return all(size % _MULTIPLE == 0 for size in sizes)
