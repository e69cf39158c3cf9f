"""Dynamic loss scaling, for gradients in fp16: small ones would vanish below 6e-8, large ones pass 65,504."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

# As Micikevicius et al. 2018 (arXiv 1710.03740, 3.2) propose, with torch.amp.GradScaler's numbers: halve where a
# gradient is not finite, double after so many steps in which all were.
_FIRST = 2.0**16
_PATIENCE = 2000


class LossScaler:
    """The factor on the loss and, by it, on all gradients. All of it stays on the device."""

    def __init__(self, device: str):
        self.scale = torch.tensor(_FIRST, device=device)
        self.good = torch.zeros((), dtype=torch.int32, device=device)

    @torch.no_grad()
    def unscale(self, model: nn.Module) -> None:
        """Take the factor off every gradient."""
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.scale)

    @torch.no_grad()
    def update(self, finite: Tensor) -> None:
        """Take in whether the gradients of a step were finite, a boolean on the device."""
        self.good = torch.where(finite, self.good + 1, 0)
        grown = self.good >= _PATIENCE
        larger = torch.where(grown, self.scale * 2, self.scale)
        self.scale = torch.where(finite, larger, (self.scale / 2).clamp(min=1.0))
        self.good = torch.where(grown, 0, self.good)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """What a checkpoint keeps, by name."""
        yield "scale", self.scale
        yield "good", self.good

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave."""
        device = self.scale.device
        self.scale, self.good = state["scale"].to(device), state["good"].to(device)
