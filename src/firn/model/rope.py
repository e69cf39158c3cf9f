"""Rotary positions (Su et al. 2021), and how their frequencies are stretched for a longer context."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from firn.model.config import RopeScaling

#: Cosines and sines [T, E].
Turn = tuple[Tensor, Tensor]


def rotation(positions_T: Tensor, size: int, theta: float, scaling: RopeScaling | None = None) -> Turn:
    """Cosines and sines [T, E] for heads of width E = `size`, halves repeated as Llama lays them out."""
    inverse, factor = frequencies(size, theta, scaling, positions_T.device)
    angles_TE = torch.outer(positions_T.float(), inverse).repeat(1, 2)
    return angles_TE.cos() * factor, angles_TE.sin() * factor


def frequencies(
    size: int, theta: float, scaling: RopeScaling | None = None, device: torch.device | str = "cpu"
) -> tuple[Tensor, float]:
    """Radians per position [E/2], and a factor on what they turn."""
    inverse = theta ** -(torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    if scaling is None:
        return inverse, 1.0
    return (_llama3(inverse, scaling), 1.0) if scaling.kind == "llama3" else _yarn(inverse, scaling, theta)


def rotate(x_BHTE: Tensor, turn: Turn) -> Tensor:
    """Turn each pair (e, e + E/2) of a head by its position's angle."""
    cos_TE, sin_TE = turn
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_TE + torch.cat((-second, first), dim=-1) * sin_TE


def _llama3(inverse: Tensor, s: RopeScaling) -> Tensor:
    """Frequencies that turn less than `low` times in the original context slowed down, more than `high` kept
    (Grattafiori et al. 2024; the mixture between the two as in the code they released)."""
    turns = s.original_context * inverse / (2 * math.pi)
    kept = ((turns - s.low) / (s.high - s.low)).clamp(0, 1)
    return inverse * (kept + (1 - kept) / s.factor)


def _yarn(inverse: Tensor, s: RopeScaling, theta: float) -> tuple[Tensor, float]:
    """YaRN (Peng et al. 2023, section 3.2): a ramp over dimensions, its ends rounded outwards as they released it."""
    size = 2 * len(inverse)

    def dimension(turns: float) -> float:
        """The dimension that turns so many times in the original context."""
        return size * math.log(s.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(dimension(s.beta_fast)), 0)
    high = min(math.ceil(dimension(s.beta_slow)), size - 1)
    ramp = (torch.arange(len(inverse), device=inverse.device) - low) / (high - low if high != low else 0.001)
    slowed = ramp.clamp(0, 1)
    factor = s.attention_factor or (0.1 * math.log(s.factor) + 1 if s.factor > 1 else 1.0)
    return inverse * (1 - slowed + slowed / s.factor), factor
