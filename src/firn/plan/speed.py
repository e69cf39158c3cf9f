"""How fast a device trains a model: what its matrix products take here and now, times what a step of training keeps."""

from __future__ import annotations

import time

import torch

from firn.model.build import Shape

#: Share of the rate of bare matrix products of its own shape that a whole step of training reaches, in the model's
#: FLOPs of forward and backward pass; optimizer (Muon), norms, attention and loss take the rest. Measured in processor
#: time on one x86-64 core with AVX-512 and AMX, 128 to 384 wide, 1,024 to 2,048 tokens a step: bf16 0.28 to 0.34, fp32
#: 0.40 to 0.42. Not measured on other devices, where it is taken for want of better until the run has steps of its own.
EFFICIENCY = {torch.bfloat16: 0.3, torch.float32: 0.4}
# Rows of the products that are timed: beyond them the rate does not change.
_ROWS = 4096


def matmul_rate(settings: Shape, tokens: int, dtype: torch.dtype, device: str, seconds: float = 0.3) -> float:
    """FLOP/s of the products in the model's feed-forward layers, measured for about `seconds`: the median of runs.

    tokens: in one forward pass.
    """
    rows = min(tokens, _ROWS)
    x = torch.ones(rows, settings.width, dtype=dtype, device=device)
    w = torch.ones(settings.hidden, settings.width, dtype=dtype, device=device)
    spent: list[float] = []
    _wait(device)
    while len(spent) < 5 or sum(spent) < seconds:
        began = time.perf_counter()
        torch.nn.functional.linear(x, w)
        _wait(device)
        spent.append(time.perf_counter() - began)
    # The first ones wake the threads up.
    typical = sorted(spent[2:])[len(spent[2:]) // 2]
    return 2 * rows * settings.width * settings.hidden / typical


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
