"""The benchmark for GPUs, at a size for any processor: it runs, and counts FLOPs as published."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_run import tiny_corpus

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import train_gpu


@pytest.mark.parametrize(("size", "hidden_matrices"), [("124m", 2), ("0.5b", 3), ("1b", 3)])
def test_flops_per_token_are_6_n_matmul_and_12_l_h_e_t(size: str, hidden_matrices: int) -> None:
    s = train_gpu.CASES[size].size
    hidden = s.hidden or 4 * s.width
    matrices = s.layers * (4 * s.width**2 + hidden_matrices * s.width * hidden) + s.vocabulary * s.width
    assert train_gpu.flops_per_token(train_gpu.CASES[size]) == 6 * matrices + 12 * s.layers * s.width * s.window


@pytest.mark.parametrize("name", ["firn", "plain PyTorch", "transformers"])
def test_every_side_steps_and_says_how_fast(store: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    precision = "fp32" if name == "firn" else "bf16"
    rate = train_gpu.measure(name, train_gpu.CASES["toy"], precision, tiny_corpus(store), "cpu", 1, profile=True)
    assert rate is not None
    assert rate > 0
    assert f"{name}, {precision}" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_precision_that_this_machine_has_not_is_said(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_gpu.measure("firn", train_gpu.CASES["toy"], "fp8", tiny_corpus(store), "cpu", 1, profile=False) is None
    assert "fp8: not here" in capsys.readouterr().out
