"""Cross-entropy fused with the head, so that the logits of a whole batch never exist at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Rows of logits that exist at once: 2,048 x 50,257 in fp32 are 0.4 GB. On a CPU they are walked through in its cache.
CHUNK = 2048
CPU_CHUNK = 512


class Losses(NamedTuple):
    """total: what to minimise, summed over targets, a scalar in fp32. nats: -ln p of every target [B, T] in fp32, 0
    where there is none; without the z-loss, and without a gradient."""

    total: Tensor
    nats: Tensor


def softcapped(logits: Tensor, cap: float | None) -> Tensor:
    """cap tanh(logits / cap) (Gemma 2, Riviere et al. 2024); as they are where there is no cap."""
    return logits if cap is None else cap * torch.tanh(logits / cap)


def token_losses(
    hidden_BTD: Tensor,
    head_VD: Tensor,
    targets_BT: Tensor,
    *,
    bias_V: Tensor | None = None,
    chunk: int | None = None,
    softcap: float | None = None,
    z_loss: float = 0.0,
) -> Losses:
    """The losses of every target that is not -1.

    hidden_BTD: final states. head_VD, bias_V: the output matrix and its bias. targets_BT: int64. chunk: rows of logits
    at once. softcap: on logits. z_loss: weight of ln(Z)^2, Z the softmax's denominator. The gradients of states and
    head are computed with the forward pass, chunk by chunk: three products with the head instead of the four of
    computing the logits again.
    """
    chunk = chunk or (CPU_CHUNK if hidden_BTD.device.type == "cpu" else CHUNK)
    total, nats_N = _Fused.apply(
        hidden_BTD.flatten(0, -2), head_VD, bias_V, targets_BT.flatten(), chunk, softcap, z_loss
    )
    return Losses(total, nats_N.view(targets_BT.shape))


def next_token_loss(hidden_BTD: Tensor, head_VD: Tensor, targets_BT: Tensor, chunk: int | None = None) -> Tensor:
    """Sum over targets != -1 of -ln p(target), in nats: a scalar of dtype fp32. As `token_losses`."""
    return token_losses(hidden_BTD, head_VD, targets_BT, chunk=chunk).total


class _Fused(torch.autograd.Function):
    """(sum of losses, nats by target), with gradients of the sum alone."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head_VD: Tensor,
        bias_V: Tensor | None,
        targets_N: Tensor,
        chunk: int,
        softcap: float | None,
        z_loss: float,
    ) -> tuple[Tensor, Tensor]:
        used_VD = head_VD.to(hidden_ND.dtype)
        used_V = None if bias_V is None else bias_V.to(hidden_ND.dtype)
        needed = ctx.needs_input_grad[:3]
        d_hidden_ND = torch.empty_like(hidden_ND) if needed[0] else None
        d_head_VD = torch.zeros_like(head_VD, dtype=torch.float32) if needed[1] else None
        d_bias_V = torch.zeros_like(bias_V, dtype=torch.float32) if bias_V is not None and needed[2] else None
        nats_N = torch.empty(len(targets_N), dtype=torch.float32, device=hidden_ND.device)
        total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
        for start in range(0, len(targets_N), chunk):
            rows = slice(start, start + chunk)
            states_MD, wanted_M = hidden_ND[rows], targets_N[rows]
            counts_M = (wanted_M >= 0).float()
            logits_MV = softcapped(F.linear(states_MD, used_VD, used_V).float(), softcap)
            chosen_M1 = wanted_M.clamp(min=0)[:, None]
            chosen_logit_M, top_logit_M = logits_MV.gather(1, chosen_M1)[:, 0], logits_MV.amax(1)
            slope_MV = 1 - (logits_MV / softcap).square() if softcap is not None and any(needed) else None
            p_MV = torch.softmax(logits_MV, 1, out=logits_MV)
            # ln Z by the likeliest token, whose p is at least 1 / V: one exponential per logit instead of two.
            log_z_M = top_logit_M - p_MV.amax(1).log_()
            nats_N[rows] = (log_z_M - chosen_logit_M) * counts_M
            total += nats_N[rows].sum()
            if z_loss:
                total += z_loss * (log_z_M.square() * counts_M).sum()
            if not any(needed):
                continue
            # d loss / d logits = (1 + 2 z ln Z) softmax - onehot; through the cap times 1 - (logits / cap)^2.
            share_M = counts_M if not z_loss else counts_M * (1 + 2 * z_loss * log_z_M)
            d_MV = p_MV.mul_(share_M[:, None]).scatter_add_(1, chosen_M1, -counts_M[:, None])
            if slope_MV is not None:
                d_MV *= slope_MV
            if d_bias_V is not None:
                d_bias_V += d_MV.sum(0)
            d_MV = d_MV.to(hidden_ND.dtype)
            if d_hidden_ND is not None:
                torch.mm(d_MV, used_VD, out=d_hidden_ND[rows])
            if d_head_VD is not None:
                _add(d_head_VD, d_MV.T @ states_MD)
        ctx.save_for_backward(d_hidden_ND, d_head_VD, d_bias_V)
        ctx.mark_non_differentiable(nats_N)
        return total, nats_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [None if saved is None else saved * upstream.to(saved.dtype) for saved in ctx.saved_tensors]
        return (*scaled, None, None, None, None)


def _add(total_VD: Tensor, part_VD: Tensor) -> None:
    """total += part. On a CPU by slices: adding another type first makes a copy, which so stays in the cache."""
    rows = len(total_VD) if total_VD.device.type != "cpu" or total_VD.dtype == part_VD.dtype else 256
    for total, part in zip(total_VD.split(rows), part_VD.split(rows), strict=True):
        total += part
