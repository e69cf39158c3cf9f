"""Does the best learning rate stay where it is when the model becomes four times as wide?

    python bench/mup.py [--quick] [--matrices muon | muon-rms] [--seeds 3] [--threads 1]

A GPT-2 with a head of its own, at a narrow width and at one four times as wide, at five rates, each twice the last:
with `model.reference_width` (muP, Yang et al. 2022), and without, when every width is treated alike (standard
parameterisation). At the narrow width the two are the same model. AdamW has one rate for everything; with Muon it is
the hidden matrices' rate that is tried, in units of the update's spectral norm or, as muon-rms, of AdamW's updates;
everything else stays at 0.004.

Text: as bench/train_cpu.py, an eighth of the modules held out. Every run reads the same batches in the same order; what
counts is the mean loss of its last eighth, averaged over seeds of the initial weights, in nats per token. The best rate
is that of the mean; the last column has each seed's own.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Literal

import torch

from firn.model.config import ModelSettings
from firn.tokens.batch import batch
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import make_plan
from firn.train.runtime import choose, settled
from firn.train.schedule import ScheduleSettings
from firn.train.settings import OptimizerSettings, TrainSettings
from firn.train.trainer import Trainer
from train_cpu import python_corpus

NARROW, TIMES, LAYERS, HEAD_WIDTH, WINDOW = 64, 4, 2, 32, 64
LOWEST = {"adamw": 0.0005, "muon": 0.005, "muon-rms": 0.0025}
REST = 0.004

Matrices = Literal["adamw", "muon", "muon-rms"]


def loss_of(corpus: Corpus, matrices: Matrices, rate: float, width: int, steps: int, is_mup: bool, seed: int) -> float:
    """Mean nats per token over the last eighth of the steps; infinite where the loss is not finite."""
    shape = ModelSettings(
        preset="gpt2",
        vocab_size=corpus.vocab_size,
        context=WINDOW,
        layers=LAYERS,
        width=width,
        heads=width // HEAD_WIDTH,
        reference_width=NARROW if is_mup else None,
    )
    other = rate if matrices == "adamw" else REST
    optimizer = OptimizerSettings(
        matrices="adamw" if matrices == "adamw" else "muon",
        muon_scaling="rms" if matrices == "muon-rms" else "spectral",
        matrix_lr=rate,
        embedding_lr=other,
        head_lr=other,
        vector_lr=other,
        beta1=0.9,
        clip=1.0,
    )
    schedule = ScheduleSettings(warmup=steps // 20, decay=0.5)
    settings = TrainSettings(steps=steps, window=WINDOW, batch=16, optimizer=optimizer, schedule=schedule)
    plan = make_plan(corpus, settings.stages)
    trainer = Trainer(settings, shape, corpus, plan, choose("auto", "cpu"))
    trainer.model.init_weights(seed)
    losses = [trainer.update(step, batch(corpus, plan, step)).read().loss for step in range(steps)]
    last = statistics.fmean(losses[-max(1, steps // 8) :])
    return last if last == last else float("inf")


def main() -> None:
    """The three rows of the table, and how far the best rate moved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrices", choices=tuple(LOWEST), default="adamw")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="60 steps: the table is there, its numbers mean little")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began, steps = time.perf_counter(), 60 if options.quick else options.steps
    rates = [LOWEST[options.matrices] * 2**power for power in range(5)]
    print(f"{options.matrices}, {steps} steps of {16 * WINDOW} tokens, {LAYERS} layers, {options.seeds} seed(s)")
    print(" " * 22 + "".join(f"{rate:>9g}" for rate in rates) + "   best, and each seed's")
    best = {}
    with tempfile.TemporaryDirectory() as folder, settled(choose("auto", "cpu")):
        corpus = python_corpus(folder)
        wide = TIMES * NARROW
        for name, width, is_mup in (("narrow", NARROW, True), ("muP", wide, True), ("standard", wide, False)):
            by_seed = [
                [loss_of(corpus, options.matrices, rate, width, steps, is_mup, seed) for rate in rates]
                for seed in range(options.seeds)
            ]
            losses = [statistics.fmean(column) for column in zip(*by_seed, strict=True)]
            best[name] = losses.index(min(losses))
            row = "".join(f"{loss:9.3f}" for loss in losses)
            each = " ".join(f"{rates[own.index(min(own))]:g}" for own in by_seed)
            print(f"{name:>10}, width {width:>4}{row}   {rates[best[name]]:g} ({each})", flush=True)
    for name in ("muP", "standard"):
        print(f"{name}: the best rate moves by {best[name] - best['narrow']:+d} steps of 2")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
