"""Small models of every shape."""

from __future__ import annotations

from typing import Any

import torch

from firn.model.config import ModelSettings, RopeScaling
from firn.model.transformer import Transformer

SIZE: dict[str, Any] = {"vocab_size": 97, "context": 32, "layers": 2, "width": 48, "heads": 4}
SHAPES = {
    "gpt2-tied": ModelSettings(preset="gpt2", tied=True, norm_eps=1e-5, **SIZE),
    "gpt2-untied": ModelSettings(preset="gpt2", **SIZE),
    "llama": ModelSettings(preset="llama", **SIZE),
    "llama-gqa-tied": ModelSettings(preset="llama", kv_heads=2, tied=True, rope_theta=500_000.0, **SIZE),
    "qwen3": ModelSettings(preset="qwen3", **SIZE),
    "qwen3-gqa-wide": ModelSettings(preset="qwen3", kv_heads=1, head_width=16, normalise_embedding=True, **SIZE),
    "olmo2-gqa": ModelSettings(preset="olmo2", kv_heads=2, **SIZE),
    "gpt2-relu2": ModelSettings(preset="gpt2", activation="relu2", **SIZE),
    "llama3-rope-biases": ModelSettings(
        preset="llama",
        rope_scaling=RopeScaling(kind="llama3", factor=4.0, original_context=16),
        attention_bias=True,
        ffn_bias=True,
        **SIZE,
    ),
    "qwen3-windows-yarn": ModelSettings(
        preset="qwen3",
        windows=(6, 0),
        rope_scaling=RopeScaling(kind="yarn", factor=4.0, original_context=8),
        attention_bias=True,
        activation="geglu",
        **SIZE,
    ),
    "llama-scaled": ModelSettings(preset="llama", residual_scale=0.5, **SIZE),
    "olmo2-scaled": ModelSettings(preset="olmo2", residual_scale=0.5, **SIZE),
}
#: Shapes that no architecture of transformers computes.
OWN_SHAPES = {
    "capped": ModelSettings(preset="llama", attention_softcap=1.5, logit_softcap=2.0, windows=(5, 3), **SIZE),
    "relu2": ModelSettings(preset="qwen3", activation="relu2", kv_heads=2, **SIZE),
    "layer-norm": ModelSettings(preset="llama", norm="layer", post_norm=True, qk_norm="all", **SIZE),
}


def model_of(settings: ModelSettings, seed: int = 1) -> Transformer:
    """A model whose every parameter is random, so that zero-initialised ones take part too."""
    model = Transformer(settings)
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def tokens(count: int, windows: int = 2) -> torch.Tensor:
    return torch.randint(0, 97, (windows, count), generator=torch.Generator().manual_seed(count))
