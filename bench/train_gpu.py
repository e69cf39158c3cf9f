"""Training on one GPU: tokens/s and MFU of firn's step at 124 M, 0.5 B and 1 B parameters, beside plain PyTorch and
transformers at the same shape.

    python bench/train_gpu.py [--size 124m 0.5b 1b] [--precision bf16 fp8] [--quick] [--profile]
    python bench/train_gpu.py --size toy       on any machine: whether the program works, not how fast a GPU is

MFU counts 6 N_matmul + 12 L H E T FLOPs per token (Chowdhery et al. 2022, appendix B: the head among the matrices, the
tables not; attention without the causal discount) against the dense 16-bit peak of firn.plan.peaks, 989 TFLOP/s for an
H100 SXM and an H200; for fp8 as well, so that its gain can be read off. No document masks. Where the peak is not in the
table, MFU is "unknown".

firn's step is the trainer's own, with Muon on the matrices, guard and records; blocks compiled on a GPU. The peers step
under autocast, compiled as a whole, with fused AdamW. A step is one micro-batch; a rate is the median over the steps.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from firn.core.errors import FirnError
from firn.model.config import ModelSettings
from firn.model.transformer import Transformer
from firn.plan.peaks import mfu
from firn.tokens.batch import batch
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import make_plan
from firn.train.runtime import choose, settled
from firn.train.settings import OptimizerSettings, TrainSettings
from firn.train.trainer import Trainer
from train_cpu import python_corpus
from train_peers import Size, plain_gpt2, transformers_gpt2, transformers_llama


@dataclass(frozen=True)
class Case:
    """A model and how many windows go through it at once."""

    preset: Literal["gpt2", "llama"]
    size: Size
    windows: int

    @property
    def shape(self) -> ModelSettings:
        """firn's settings of it."""
        s = self.size
        return ModelSettings(
            preset=self.preset,
            vocab_size=s.vocabulary,
            context=s.window,
            layers=s.layers,
            width=s.width,
            heads=s.heads,
            ffn_width=s.hidden,
            tied=self.preset == "gpt2",
        )


#: Vocabularies are GPT-2's, filled up to a multiple of 128. Heads of the larger ones are 128 wide.
CASES = {
    "toy": Case("gpt2", Size(2, 64, 2, 64, 2048), 4),
    "124m": Case("gpt2", Size(12, 768, 12, 1024, 50_304), 64),
    "0.5b": Case("llama", Size(24, 1280, 10, 2048, 50_304, 3456), 16),
    "1b": Case("llama", Size(16, 2048, 16, 2048, 50_304, 8192), 8),
}


def flops_per_token(case: Case) -> int:
    """Of forward and backward pass."""
    with torch.device("meta"):
        return Transformer(case.shape).flops_per_token(case.size.window)


def firn_steps(case: Case, precision: Any, corpus: Corpus, device: str, steps: int) -> Callable[[int], None]:
    """The trainer's step, its batches drawn beforehand. Raises FirnError where the device cannot."""
    runtime = choose(precision, device)
    settings = TrainSettings(
        steps=steps, window=case.size.window, batch=case.windows, optimizer=OptimizerSettings(clip=1.0)
    )
    plan = make_plan(corpus, settings.stages, max_epochs=1000)
    trainer = Trainer(settings, case.shape, corpus, plan, runtime)
    trainer.model.init_weights(0)
    if device == "cuda":
        trainer.compile(0)
    batches = [batch(corpus, plan, step) for step in range(steps)]

    def step(number: int) -> None:
        trainer.update(number, batches[number]).read()

    return step


def peer_steps(case: Case, name: str, device: str) -> Callable[[int], None]:
    """A peer's step on token ids drawn at random."""
    is_gpt2 = case.preset == "gpt2"
    make = plain_gpt2 if name == "plain PyTorch" else transformers_gpt2 if is_gpt2 else transformers_llama
    peer = make(case.size, device, precision="autocast", compiled=device == "cuda")
    ids = torch.randint(case.size.vocabulary, (case.windows, case.size.window + 1), device=device)
    return lambda _: peer.step(ids[:, :-1], ids[:, 1:])


def timed(step: Callable[[int], None], device: str, steps: int, first: int) -> list[float]:
    """Seconds of each step after the first few, which compile."""
    seconds = []
    for number in range(steps):
        began = time.perf_counter()
        step(number)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[first:]


def profiled(step: Callable[[int], None], device: str, last: int) -> None:
    """Print the largest kernels of one step, by their share of the device's time (of the processor's on a CPU)."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        step(last)
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, field))
    total = sum(getattr(event, field) for event in events)
    for event in events[:15]:
        spent = getattr(event, field)
        print(f"    {spent / total:6.1%}  {spent / 1000:8.2f} ms  {event.count:5d} x  {event.key[:80]}")


def measure(
    name: str, case: Case, precision: str, corpus: Corpus, device: str, steps: int, profile: bool
) -> float | None:
    """Print one line, and return tokens/s; None where this machine cannot."""
    first = 1 if device == "cpu" else 5
    try:
        if name == "firn":
            step = firn_steps(case, precision, corpus, device, first + steps + 1)
        else:
            step = peer_steps(case, name, device)
        seconds = timed(step, device, first + steps, first)
    except (FirnError, torch.OutOfMemoryError) as error:
        print(f"  {name:>13}, {precision}: not here: {str(error).splitlines()[0]}", flush=True)
        return None
    rate = case.windows * case.size.window / statistics.median(seconds)
    share = mfu(flops_per_token(case), rate, torch.cuda.get_device_name() if device == "cuda" else "")
    shown = "unknown" if share is None else f"{share:.1%}"
    memory = f", {torch.cuda.max_memory_allocated() / 1e9:.0f} GB" if device == "cuda" else ""
    print(f"  {name:>13}, {precision}: {rate:10,.0f} tokens/s, MFU {shown}{memory}", flush=True)
    if profile:
        profiled(step, device, first + steps)
    return rate


def main() -> None:
    """Every size, firn in every precision and the peers in bf16."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", choices=CASES, default=["124m", "0.5b", "1b"])
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp8"), default=["bf16", "fp8"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="five steps each")
    parser.add_argument("--profile", action="store_true", help="the largest kernels of each of firn's steps")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and options.size != ["toy"]:
        parser.error("no GPU here: nothing is measured (--size toy tries the program)")
    steps = 5 if options.quick else options.steps
    print(f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder, settled(choose("fp32", device)):
        corpus = python_corpus(folder)
        for size in options.size:
            case = CASES[size]
            print(f"{size}: {case.size}, {case.windows} windows, {flops_per_token(case) / 1e9:.3f} GFLOP per token")
            peers = ("plain PyTorch", "transformers") if case.preset == "gpt2" else ("transformers",)
            for name, precision in [*(("firn", p) for p in options.precision), *((peer, "bf16") for peer in peers)]:
                measure(name, case, precision, corpus, device, steps, options.profile and name == "firn")
                gc.collect()
                if device == "cuda":
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
