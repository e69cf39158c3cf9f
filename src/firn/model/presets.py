"""Models as published, by name. What differs from the published one is said beside it."""

from __future__ import annotations

from firn.model.config import ModelSettings, RopeScaling
from firn.model.encoder_config import EncoderSettings


def _gpt2(layers: int, width: int, heads: int) -> ModelSettings:
    return ModelSettings(
        preset="gpt2",
        vocab_size=50257,
        context=1024,
        layers=layers,
        width=width,
        heads=heads,
        tied=True,
        norm_eps=1e-5,
    )


DECODERS: dict[str, ModelSettings] = {
    # Radford et al. 2019, table 2; vocabulary and context as released.
    "gpt2-small": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
    # Llama 3.2 1B: its config.json as released.
    "llama3-like": ModelSettings(
        preset="llama",
        vocab_size=128_256,
        context=131_072,
        layers=16,
        width=2048,
        heads=32,
        kv_heads=8,
        ffn_width=8192,
        tied=True,
        rope_theta=500_000.0,
        rope_scaling=RopeScaling(kind="llama3", factor=32.0, original_context=8192),
        norm_eps=1e-5,
    ),
    # Qwen3 0.6B Base (Yang et al. 2025, table 1): its config.json as released.
    "qwen3-like": ModelSettings(
        preset="qwen3",
        vocab_size=151_936,
        context=32_768,
        layers=28,
        width=1024,
        heads=16,
        kv_heads=8,
        head_width=128,
        ffn_width=3072,
        tied=True,
        rope_theta=1_000_000.0,
    ),
    # OLMo 2 1B (Walsh et al. 2025): its config.json as released.
    "olmo2-like": ModelSettings(
        preset="olmo2",
        vocab_size=100_352,
        context=4096,
        layers=16,
        width=2048,
        heads=16,
        ffn_width=8192,
        rope_theta=500_000.0,
        z_loss=1e-5,
    ),
}

ENCODERS: dict[str, EncoderSettings] = {
    # ModernBERT base (Warner et al. 2024, table 4): its config.json as released.
    "modernbert-like": EncoderSettings(vocab_size=50_368, context=8192, layers=22, width=768, heads=12, ffn_width=1152),
}
