"""The causal objective, fused with the head so that the logits of a whole batch never exist at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

#: Rows of logits that exist at once: 2,048 x 50,257 in fp32 are 0.4 GB.
CHUNK = 2048


def _chunk_loss(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    logits_NV = F.linear(hidden_ND, head_VD).float()
    return F.cross_entropy(logits_NV, targets_N, ignore_index=-1, reduction="sum")


def next_token_loss(hidden_BTD: Tensor, head_VD: Tensor, targets_BT: Tensor, chunk: int = CHUNK) -> Tensor:
    """Sum over targets != -1 of -ln p(target), in nats: a scalar of dtype fp32.

    hidden_BTD: final states. head_VD: the output matrix. targets_BT: int64, -1 where nothing is to be predicted.
    Beyond one chunk the backward pass computes the logits again instead of keeping them.
    """
    hidden_ND, targets_N = hidden_BTD.flatten(0, 1), targets_BT.flatten()
    head_VD = head_VD.to(hidden_ND.dtype)
    if len(targets_N) <= chunk:
        return _chunk_loss(hidden_ND, head_VD, targets_N)
    total = torch.zeros((), dtype=torch.float32, device=hidden_ND.device)
    for start in range(0, len(targets_N), chunk):
        part = hidden_ND[start : start + chunk], head_VD, targets_N[start : start + chunk]
        total = total + checkpoint(_chunk_loss, *part, use_reentrant=False)
    return total
