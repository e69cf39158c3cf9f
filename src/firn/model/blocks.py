"""Causal attention for training on a CPU, by blocks of queries over all the keys that they see.

torch's own kernel for CPUs walks through tiles so small that its matrix products run far below the processor's rate.
Here a block of scores fills the cache instead, keys that no query of the block sees are left out, and the backward
pass makes the scores again rather than keeping them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Queries of one block, and scores that exist at once: 2 MB in bf16, what a core's own cache holds.
_QUERIES = 128
_SCORES = 1 << 20


def causal_attention(q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(E)) v, each token seeing itself and those before it: [B, H, T, E]."""
    # Heads that lie apart would be copied for every product.
    y: Tensor = _Blocks.apply(q_BHTE.contiguous(), k_BHTE.contiguous(), v_BHTE.contiguous())
    return y


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor) -> Tensor:
        ctx.save_for_backward(q_BHTE, k_BHTE, v_BHTE)
        y_BHTE, scale = torch.empty_like(q_BHTE), q_BHTE.shape[-1] ** -0.5
        for rows, queries, keys in _blocks(*q_BHTE.shape[:3]):
            p_BHTS = _probabilities(q_BHTE[rows][:, :, queries] * scale, k_BHTE[rows][:, :, keys])
            y_BHTE[rows][:, :, queries] = p_BHTS @ v_BHTE[rows][:, :, keys]
        return y_BHTE

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BHTE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q_BHTE, k_BHTE, v_BHTE = ctx.saved_tensors
        dq_BHTE, dk_BHTE, dv_BHTE = (torch.zeros_like(x) for x in (q_BHTE, k_BHTE, v_BHTE))
        scale = q_BHTE.shape[-1] ** -0.5
        for rows, queries, keys in _blocks(*q_BHTE.shape[:3]):
            q, dy = q_BHTE[rows][:, :, queries] * scale, dy_BHTE[rows][:, :, queries]
            k, v = k_BHTE[rows][:, :, keys], v_BHTE[rows][:, :, keys]
            p_BHTS = _probabilities(q, k)
            ds_BHTS = torch._softmax_backward_data(dy @ v.mT, p_BHTS, -1, p_BHTS.dtype)
            dq_BHTE[rows][:, :, queries] = (ds_BHTS @ k) * scale
            dk_BHTE[rows][:, :, keys] += ds_BHTS.mT @ q
            dv_BHTE[rows][:, :, keys] += p_BHTS.mT @ dy
        return dq_BHTE, dk_BHTE, dv_BHTE


def _blocks(B: int, H: int, T: int) -> Iterator[tuple[slice, slice, slice]]:
    """(windows, queries, keys that these queries see) of every block."""
    size = max(1, _SCORES // (H * min(T, _QUERIES) * T))
    for row in range(0, B, size):
        for start in range(0, T, _QUERIES):
            stop = min(T, start + _QUERIES)
            yield slice(row, row + size), slice(start, stop), slice(0, stop)


def _probabilities(q_BHTE: Tensor, k_BHSE: Tensor) -> Tensor:
    """What each scaled query, the last T of the S tokens, gives to every key: [B, H, T, S]."""
    T = q_BHTE.shape[2]
    scores_BHTS = q_BHTE @ k_BHSE.mT
    hidden_TT = torch.full((T, T), -math.inf, dtype=scores_BHTS.dtype, device=q_BHTE.device).triu_(1)
    scores_BHTS[..., -T:] += hidden_TT
    return scores_BHTS.softmax(-1)
