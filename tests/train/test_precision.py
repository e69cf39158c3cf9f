"""Each precision trains, resumes to the same bits, and a compiled run does as well."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import Notes, stop_at
from tiny_run import MODEL, SETTINGS, plan_of, run, tiny_corpus
from torch import nn

from firn.core.errors import RecipeError, ResumeError
from firn.model import fp8
from firn.train import compiled
from firn.train.result import TrainResult
from firn.train.runtime import choose
from firn.train.scaler import LossScaler
from firn.train.trainer import Trainer


def cut_and_resumed(store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[TrainResult]:
    """The results of a run that is left alone, and of one that ends in an error and goes on."""
    settings = SETTINGS.model_copy(update=changes)
    whole = run(store, folder / "whole", settings)
    stop_at(6, monkeypatch, RuntimeError("power cut"))
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, folder / "cut", settings)
    return [whole, run(store, folder / "cut", settings)]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_of_16_bits_learns_and_resumes_to_the_same_bits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    whole, again = cut_and_resumed(store, tmp_path, monkeypatch, precision=precision)
    assert whole.runtime["precision"] == precision
    assert again.weights == whole.weights
    assert whole.loss == pytest.approx(run(store, tmp_path / "fp32").loss, rel=0.03)


def test_the_scale_falls_where_gradients_overflow_and_that_is_no_bad_step(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = LossScaler.__init__

    def large(self: LossScaler, device: str) -> None:
        init(self, device)
        self.scale = self.scale * 2**16

    monkeypatch.setattr(LossScaler, "__init__", large)
    result = run(store, tmp_path, SETTINGS.model_copy(update={"precision": "fp16", "steps": 40}))
    assert result.bad == []
    assert result.loss < 5


def test_the_scale_of_the_loss_halves_and_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firn.train.scaler._PATIENCE", 2)
    scaler, seen = LossScaler("cpu"), []
    for finite in (True, False, True, True, True, False, False):
        scaler.update(torch.tensor(finite))
        seen.append(float(scaler.scale) / 2**16)
    assert seen == [1.0, 0.5, 0.5, 1.0, 1.0, 0.5, 0.25]
    for _ in range(40):
        scaler.update(torch.tensor(False))
    assert scaler.scale == 1.0
    other = LossScaler("cpu")
    other.load_state(dict(scaler.state()))
    assert (other.scale, other.good) == (scaler.scale, scaler.good)


def test_products_in_fp8_are_those_of_fp32_to_the_formats_digits() -> None:
    torch.manual_seed(0)
    layer = nn.Module()
    layer.layers = nn.ModuleList([fp8.Linear(48, 32, bias=False), fp8.Linear(20, 20)])
    assert fp8.use_fp8(layer) == 1  # 20 is no multiple of 16
    linear = layer.layers[0]
    nn.init.normal_(linear.weight)
    x = torch.randn(2, 16, 48, dtype=torch.bfloat16, requires_grad=True)
    dy = torch.randn(2, 16, 32, dtype=torch.bfloat16)
    y = linear(x)
    y.backward(dy)
    w, flat, dflat = linear.weight.detach(), x.detach().float().view(-1, 48), dy.float().view(-1, 32)
    for found, expected in ((y, flat @ w.T), (x.grad, dflat @ w), (linear.weight.grad, dflat.T @ flat)):
        # e4m3 keeps 3 bits of the fraction, e5m2 2: errors up to 1/16 and 1/8 of an entry, evened out in sums.
        error = (found.detach().float().flatten() - expected.flatten()).norm() / expected.norm()
        assert 0.001 < error < 0.08
    assert linear.weight.grad.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(linear(x), nn.functional.linear(x, w.bfloat16()))


def test_fp8_is_refused_where_the_device_has_none(store: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"fp8 needs an NVIDIA GPU of compute capability 8\.9.*on cpu") as error:
        run(store, tmp_path, SETTINGS.model_copy(update={"precision": "fp8"}), device="cpu")
    assert "train.precision=bf16" in str(error.value)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_run_resumes_to_the_same_bits(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, again = cut_and_resumed(store, tmp_path, monkeypatch, compile="on")
    assert whole.runtime["compile"]
    assert again.weights == whole.weights
    plain = run(store, tmp_path / "plain")
    assert not plain.runtime["compile"]
    assert whole.loss == pytest.approx(plain.loss, rel=1e-3)


def test_where_compiling_fails_a_run_says_so_and_goes_on_without(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*args: Any) -> None:
        raise RuntimeError("no compiler here")

    def fails(self: nn.Module, **options: Any) -> None:
        self._compiled_call_impl = call

    monkeypatch.setattr(nn.Module, "compile", fails)
    progress = Notes()
    result = run(store, tmp_path / "new", SETTINGS.model_copy(update={"compile": "on"}), progress=progress)
    assert not result.runtime["compile"]
    assert any("not compiled: it failed (RuntimeError: no compiler here)" in note for note in progress.notes)
    # A run that began compiled does not go on otherwise without a word.
    corpus = tiny_corpus(store)
    shape = MODEL.model_copy(update={"vocab_size": corpus.vocab_size})
    made = Trainer(SETTINGS, shape, corpus, plan_of(corpus, SETTINGS), choose("fp32", "cpu"))
    made.model.init_weights(0)
    with pytest.raises(ResumeError, match="no compiler here"):
        made.compile(4)


def test_compiling_is_chosen_by_what_it_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = nn.ModuleList([nn.Linear(2, 2)])

    def chosen(eager: float, first: float, fast: float, passes: int, always: bool = False) -> bool:
        times = iter([eager, eager, eager, first, fast, fast, fast])
        monkeypatch.setattr(compiled, "_seconds", lambda once: next(times))
        said: list[str] = []
        on, note = compiled.choose(blocks, lambda: None, passes, always, said.append)
        assert bool(said) == bool(note), "told before it compiles, and only then"
        assert (blocks[0]._compiled_call_impl is not None) == on
        compiled.turn_off(blocks)
        return on

    assert chosen(1.0, 60.0, 0.5, passes=1000)
    assert not chosen(1.0, 60.0, 0.9, passes=400), "40 s saved, 60 s spent"
    assert not chosen(1.0, 0.0, 0.1, passes=100), "not even tried"
    assert chosen(1.0, 60.0, 2.0, passes=1, always=True)
