"""Cross-entropy fused with the head, against logits all at once and against computing them again.

    python bench/model_objective.py [--threads 2] [--vocab 50257] [--repeat 5]

Prints milliseconds for forward and backward (the median of interleaved repeats) and the largest number of logits that
exist at once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from firn.model.objective import CPU_CHUNK, next_token_loss

_ROWS = 512


def whole(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """All logits at once."""
    logits_NV = F.linear(hidden_ND, head_VD.to(hidden_ND.dtype)).float()
    return F.cross_entropy(logits_NV, targets_N, reduction="sum")


def again(hidden_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """In chunks whose logits the backward pass computes again."""
    total = torch.zeros(())
    for start in range(0, len(targets_N), _ROWS):
        rows = slice(start, start + _ROWS)
        total = total + checkpoint(whole, hidden_ND[rows], head_VD, targets_N[rows], use_reentrant=False)
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocab", type=int, default=50_257)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    generator = torch.Generator().manual_seed(0)
    head_VD = (0.02 * torch.randn(options.vocab, options.width, generator=generator)).requires_grad_()
    targets_N = torch.randint(0, options.vocab, (options.tokens,), generator=generator)
    sizes = f"{options.tokens} tokens, width {options.width}, {options.vocab} ids"
    print(f"{sizes}, {options.threads} threads; milliseconds")
    for dtype in (torch.float32, torch.bfloat16):
        hidden_ND = torch.randn(options.tokens, options.width, generator=generator).to(dtype).requires_grad_()
        programs: dict[str, tuple[Callable[[Tensor, Tensor, Tensor], Tensor], int]] = {
            "fused": (next_token_loss, CPU_CHUNK),
            "all at once": (whole, options.tokens),
            "computed again": (again, _ROWS),
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        for round in range(options.repeat + 1):
            for name, (program, _) in programs.items():
                began = time.perf_counter()
                program(hidden_ND, head_VD, targets_N).backward()
                if round:  # the first warms up
                    times[name].append(time.perf_counter() - began)
        for name, (_, rows) in programs.items():
            megabytes = min(rows, options.tokens) * options.vocab * 4 / 1e6
            median = statistics.median(times[name]) * 1e3
            print(f"{str(dtype).removeprefix('torch.'):<9} {name:<15} {median:8.0f}  logits {megabytes:6.0f} MB")


if __name__ == "__main__":
    main()
