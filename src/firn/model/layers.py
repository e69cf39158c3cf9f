"""The small modules that decoder and encoder are made of: weights kept in fp32, used in the dtype of their input."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.core.hashing import hash64
from firn.model.rms import rms_norm


class Linear(nn.Linear):
    """A matrix kept in fp32 and used in the dtype of its input."""

    def reset_parameters(self) -> None:
        """Nothing: torch would draw from the global generator here, time and a hidden seed for nothing."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Embedding(nn.Embedding):
    """A table of fp32 rows."""

    def reset_parameters(self) -> None:
        """Nothing, as in Linear."""


class LayerNorm(nn.LayerNorm):
    """LayerNorm in fp32 (Ba et al. 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


#: The middle of a feed-forward layer, by name. Gated ones multiply what this gives of the gate by another matrix.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "relu2": lambda x: F.relu(x).square(),
    "swiglu": F.silu,
    "geglu": lambda x: F.gelu(x, approximate="tanh"),
}


@torch.no_grad()
def initialise(model: nn.Module, rule: Callable[[str, Tensor, torch.Generator], Tensor | None], seed: int) -> None:
    """Set every parameter to what `rule(name, empty, generator)` makes of an empty one.

    Each is drawn on the CPU by a generator of its own, seeded with its name, so that neither order nor device enters.
    Raises ValueError for a parameter without a rule, and for one on the meta device, which holds nothing.
    """
    for name, parameter in model.named_parameters():
        if parameter.is_meta:
            raise ValueError(f"{name} is on the meta device: call to_empty(device=...) first")
        generator = torch.Generator().manual_seed(hash64(name.encode(), seed) >> 1)
        value = rule(name, torch.empty(parameter.shape), generator)
        if value is None:
            raise ValueError(f"init_weights has no rule for {name}")
        parameter.copy_(value)
