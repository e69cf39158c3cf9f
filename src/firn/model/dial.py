"""One dial: from the number of layers to a model and how it is trained, with the reason for each number.

The point of reference is 12 layers, where the optimum was measured (nanochat, scripts/base_train.py: batch, rates and
decay of its 12-layer model); the rest follows from it by rules that are named beside each number. They hold for Muon on
the matrices and AdamW elsewhere, from about 4 to 32 layers. Numbers found on one's own data are better.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from firn.core.errors import RecipeError
from firn.model.config import ModelSettings

_WINDOW = 2048
_DEPTH = 12
_BATCH = 1 << 19
# Tokens per parameter in matrices and head.
_TOKENS = 12.0
_RATES = {"matrix": 0.02, "embedding": 0.3, "head": 0.008}
# Half of nanochat's 0.28, which falls to zero by a cosine; ours stays.
_DECAY = 0.14
# Tokens of one forward pass.
_PASS = 1 << 14
_NO_DECAY = "at a table's rate, decay would forget rows of rare tokens between one visit and the next"


class Derived(NamedTuple):
    """A key of the recipe, its value, and the reason for it."""

    key: str
    value: int | float
    reason: str


def derive(
    depth: int,
    vocab_size: int = 50_257,
    tokens_per_parameter: float = _TOKENS,
    *,
    window: int = _WINDOW,
    windows: int | None = None,
    steps: int | None = None,
) -> list[Derived]:
    """What follows from `depth` layers of the qwen3 shape: its size, batch, steps, learning rates, weight decay.

    vocab_size: of the tokenizer. tokens_per_parameter: tokens to train on, per parameter in matrices and head; more
    gives a better model for its size, at a higher price than a larger one would have. window: tokens. windows: per
    step, where somebody has chosen them; the rates and decay are then for such a batch. steps: where somebody has
    chosen more of them than follow, the decay is for so many; where fewer, it stays: a trial of a few steps would ask
    for more of it than weights bear. Raises RecipeError for a depth below 1.
    """
    if depth < 1:
        raise RecipeError(f"a model of {depth} layers", key="model.depth", mend="choose 1 or more")
    shape, reference = _shape(depth, vocab_size), _shape(_DEPTH, vocab_size)
    wanted = tokens_per_parameter * _multiplied(shape)
    growth = _multiplied(shape) / _multiplied(reference)
    ideal = _BATCH * growth**0.383
    windows = windows or max(1, (1 << round(math.log2(ideal))) // window)
    batch = windows * window
    enough = max(1, round(wanted / batch))
    horizon = max(enough, steps or 0)
    tokens = wanted * horizon / enough
    by_batch = math.sqrt(batch / _BATCH)
    by_width = math.sqrt(reference.width / shape.width)
    rates = {
        "matrix": _RATES["matrix"] * by_batch,
        "embedding": _RATES["embedding"] * by_batch * by_width,
        "head": _RATES["head"] * by_batch * by_width,
    }
    scaled = f"of 12 layers x sqrt(batch / 2^19) = {by_batch:.3g}"
    return [
        Derived("model.layers", depth, "the dial"),
        Derived("model.width", shape.width, "64 x layers: depth and width grow together, as in GPT-2 and nanochat"),
        Derived("model.heads", shape.heads, "heads are 64 wide, as in GPT-2 and Llama 3.2 1B"),
        Derived("model.context", window, "as long as the windows; 12 layers were measured with 2,048 tokens"),
        Derived("train.window", window, "the whole context"),
        Derived(
            "train.batch",
            windows,
            f"{batch:,} tokens: 2^19 was measured best at 12 layers, and the best batch grows with tokens^0.383 "
            f"(Bergsma et al. 2025), here to {ideal:,.0f}; the nearest power of two",
        ),
        Derived(
            "train.micro_batch",
            min(windows, max(1, _PASS // window)),
            f"{_PASS:,} tokens at a time; the batch is accumulated from them, and what is learned is the same",
        ),
        Derived(
            "train.steps",
            enough,
            f"{enough * batch:,} tokens, {tokens_per_parameter:g} for each of the {_multiplied(shape):,} parameters in "
            "matrices and head: compute-optimal is about 12 counted so, 20 in Hoffmann et al. 2022 counted otherwise",
        ),
        Derived(
            "train.optimizer.matrix_lr",
            rates["matrix"],
            f"{_RATES['matrix']} {scaled}; Muon's step does not depend on the width",
        ),
        Derived(
            "train.optimizer.embedding_lr",
            rates["embedding"],
            f"{_RATES['embedding']} {scaled}, x sqrt(768 / width) = {by_width:.3g}",
        ),
        Derived(
            "train.optimizer.head_lr",
            rates["head"],
            f"{_RATES['head']} {scaled}, x sqrt(768 / width) = {by_width:.3g}",
        ),
        Derived(
            "train.optimizer.weight_decay",
            _DECAY * by_batch * _TOKENS * _multiplied(reference) / tokens,
            f"{_DECAY} of 12 layers x sqrt(batch / 2^19) x tokens of 12 layers / tokens: weights then forget over the "
            f"same share of a run of {horizon:,} steps (Wang and Aitchison 2024)",
        ),
        Derived("train.optimizer.embedding_decay", 0.0, _NO_DECAY),
        Derived("train.optimizer.head_decay", 0.0, _NO_DECAY),
    ]


def _shape(depth: int, vocab_size: int) -> ModelSettings:
    return ModelSettings(vocab_size=vocab_size, context=_WINDOW, layers=depth, width=64 * depth, heads=depth)


def _multiplied(s: ModelSettings) -> int:
    """Parameters in matrices and head of a qwen3 shape with as many key-value heads as heads."""
    return s.layers * (4 * s.width**2 + 3 * s.width * s.hidden) + s.vocab_size * s.width
