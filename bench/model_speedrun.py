"""Held-out loss of the decoder's shapes and of the speedrun variant after the same steps on the same text.

    python bench/model_speedrun.py TEXT [TEXT ...] [--steps 300] [--seeds 1]

TEXT: plain UTF-8; its last tenth is held out. Prints nats per token (the mean of seeds) and milliseconds per step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from firn.model.config import ModelSettings
from firn.model.speedrun import build
from firn.model.speedrun_config import SpeedrunSettings
from firn.tokens.bpe import TokenizerSettings, train
from firn.tokens.tokenizer import Tokenizer
from firn.train.optim import Optimizers
from firn.train.schedule import ScheduleSettings, learning_rate
from firn.train.settings import OptimizerSettings

SIZE = {"vocab_size": 2048, "context": 256, "layers": 4, "width": 128, "heads": 4}
SHAPES: dict[str, ModelSettings] = {
    "gpt2": ModelSettings(preset="gpt2", **SIZE),
    "qwen3": ModelSettings(preset="qwen3", **SIZE),
    "qwen3, relu2": ModelSettings(preset="qwen3", activation="relu2", **SIZE),
    "speedrun, no values": SpeedrunSettings(value_embedding_every=0, **SIZE),
    "speedrun": SpeedrunSettings(**SIZE),
}


def trained(
    shape: ModelSettings, tokens: torch.Tensor, held: torch.Tensor, steps: int, seed: int
) -> tuple[float, float]:
    """Held-out nats per token, and seconds per step."""
    model = build(shape)
    model.init_weights(seed)
    optimizers = Optimizers(model, OptimizerSettings())
    schedule, T = ScheduleSettings(), shape.context
    generator = torch.Generator().manual_seed(seed)
    taken = []
    for step in range(steps):
        began = time.perf_counter()
        starts = torch.randint(0, len(tokens) - T - 1, (8,), generator=generator)
        windows = torch.stack([tokens[start : start + T + 1] for start in starts])
        (model.loss(windows[:, :-1], windows[:, 1:]) / (8 * T)).backward()
        optimizers.step(step, learning_rate(schedule, step, steps))
        optimizers.zero_grad()
        taken.append(time.perf_counter() - began)
    rows = held[: len(held) // (T + 1) * (T + 1)].view(-1, T + 1)
    with torch.no_grad():
        nats = sum(model.losses(part[:, :-1], part[:, 1:]).nats.sum().item() for part in rows.split(8))
    return nats / (rows.shape[0] * T), statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = "\n".join(path.read_text(encoding="utf-8") for path in options.text)
    tokenizer = Tokenizer(train([text[:2_000_000]], TokenizerSettings(vocab_size=SIZE["vocab_size"])))
    tokens = torch.from_numpy(tokenizer.encode(text))
    cut = len(tokens) * 9 // 10
    held = tokens[cut : cut + 100_000]
    print(f"{cut:,} tokens, {options.steps} steps of 2,048; held-out nats per token")
    for name, shape in SHAPES.items():
        results = [trained(shape, tokens[:cut], held, options.steps, seed) for seed in range(options.seeds)]
        loss, seconds = (statistics.mean(values) for values in zip(*results, strict=True))
        parameters = build(shape).num_parameters()
        print(f"{name:<20} {loss:.3f}  {seconds * 1e3:5.0f} ms per step, {parameters:,} parameters", flush=True)


if __name__ == "__main__":
    main()
