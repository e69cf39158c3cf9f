"""The shape of a decoder: one settings class, three presets that people deploy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings

Preset = Literal["gpt2", "llama", "qwen3"]


class ModelSettings(Settings):
    """A dense decoder. The preset fixes the shape's kind; the numbers give its size."""

    preset: Preset = "qwen3"
    """gpt2: learned positions, LayerNorm, GELU, biases. llama: rotary, RMSNorm, SwiGLU. qwen3: llama with QK-norm."""
    vocab_size: int = Field(default=0, ge=0)
    """Rows of the embedding table; 0 lets the run take it from the tokenizer."""
    context: int = Field(default=256, ge=1)
    """Longest window, in tokens."""
    layers: int = Field(default=6, ge=1)
    """Transformer blocks."""
    width: int = Field(default=384, ge=1)
    """Width of the residual stream (d_model)."""
    heads: int = Field(default=6, ge=1)
    """Query heads."""
    kv_heads: int = Field(default=0, ge=0)
    """Key and value heads (grouped-query attention); 0 means as many as query heads."""
    head_width: int = Field(default=0, ge=0)
    """Width of one head; 0 means width / heads."""
    ffn_width: int = Field(default=0, ge=0)
    """Hidden width of the feed-forward layer; 0 means 4 width (gpt2) or 8/3 width rounded up to a multiple of 64."""
    tied: bool = False
    """Whether the output head shares the embedding table. GPT-2 as published ties them."""
    normalise_embedding: bool = False
    """RMSNorm without weight on the embedding's output (llama, qwen3). Folded into the table at export."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary frequencies."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to the variance in every norm."""

    def model_post_init(self, _: Any) -> None:
        if not self.head_width and self.width % self.heads:
            raise RecipeError(
                f"width {self.width} is not a multiple of heads {self.heads}",
                key="model.heads",
                mend="choose heads that divide width, or give head_width",
            )
        if self.heads % self.key_value_heads:
            raise RecipeError(
                f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}",
                key="model.kv_heads",
                mend="choose kv_heads that divide heads",
            )
        if self.preset == "gpt2" and (self.key_value_heads != self.heads or self.head_size * self.heads != self.width):
            raise RecipeError(
                "GPT-2 has as many key-value heads as heads, and heads x head_width = width",
                key="model.preset",
                mend="leave kv_heads and head_width out, or take the llama or qwen3 preset",
            )
        if self.preset == "gpt2" and self.normalise_embedding:
            raise RecipeError(
                "GPT-2 adds positions to the embedding, so its norm cannot be folded into the table at export",
                key="model.normalise_embedding",
                mend="leave it off, or take the llama or qwen3 preset",
            )
        if self.tied and self.normalise_embedding:
            raise RecipeError(
                "a tied head would be normalised with the table at export",
                key="model.normalise_embedding",
                mend="set tied: false, or normalise_embedding: false",
            )
        if self.preset != "gpt2" and self.head_size % 2:
            raise RecipeError(
                f"rotary positions need an even head_width, not {self.head_size}",
                key="model.head_width",
                mend="choose an even one",
            )

    @property
    def head_size(self) -> int:
        """Width of one head, resolved."""
        return self.head_width or self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        """Key and value heads, resolved."""
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layer, resolved."""
        if self.ffn_width:
            return self.ffn_width
        return 4 * self.width if self.preset == "gpt2" else -(-8 * self.width // 3 // 64) * 64

    @property
    def is_gpt2(self) -> bool:
        """Learned positions, LayerNorm, GELU and biases."""
        return self.preset == "gpt2"

    @property
    def qk_norm(self) -> bool:
        """RMSNorm on every query and key head."""
        return self.preset == "qwen3"


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


#: Sizes of GPT-2 as published (Radford et al. 2019, table 2; vocabulary and context as released).
GPT2_SIZES: dict[str, ModelSettings] = {
    "gpt2-small": _gpt2(12, 768, 12),
    "gpt2-medium": _gpt2(24, 1024, 16),
    "gpt2-large": _gpt2(36, 1280, 20),
    "gpt2-xl": _gpt2(48, 1600, 25),
}
