"""Attention over windows of several documents, and over sliding windows: one call for each, against a dense mask.

    python bench/model_attention.py [--threads 2] [--repeat 5]

Forward and backward. Prints milliseconds (the median of interleaved repeats) and the ratio.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from firn.model.attention import Backend, Documents, Mask, attend


def run(mask: Mask, parts: list[Tensor], backend: Backend | None) -> Callable[[], None]:
    def once() -> None:
        attend(*parts, mask, backend=backend).sum().backward()  # type: ignore[arg-type]

    return once


def medians(programs: list[Callable[[], None]], repeat: int) -> list[float]:
    times: list[list[float]] = [[] for _ in programs]
    for round in range(repeat + 1):
        for program, taken in zip(programs, times, strict=True):
            began = time.perf_counter()
            program()
            if round:  # the first warms up
                taken.append(time.perf_counter() - began)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    B, H, E = 4, 8, 64
    print(f"{B} windows, {H} heads of {E}, {options.threads} threads; milliseconds, forward and backward")
    for T in (512, 2048):
        generator = torch.Generator().manual_seed(0)
        for dtype in (torch.float32, torch.bfloat16):
            parts = [torch.randn(B, H, T, E, generator=generator).to(dtype).requires_grad_() for _ in range(3)]
            for label, mask in {
                "8 documents": Mask(documents=Documents.of([[n * T // 8 for n in range(8)]] * B, T)),
                "window of 128": Mask(before=127),
                "128 both sides": Mask(before=64, after=64),
            }.items():
                ours, dense = medians([run(mask, parts, backend) for backend in (None, "dense")], options.repeat)
                case = f"T {T:<5} {str(dtype).removeprefix('torch.'):<9} {label:<15}"
                print(f"{case} {ours * 1e3:8.1f}  dense {dense * 1e3:8.1f}  {dense / ours:5.1f}x")


if __name__ == "__main__":
    main()
