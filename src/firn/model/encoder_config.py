"""The shape of an encoder."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings


class EncoderSettings(Settings):
    """An encoder of ModernBERT's shape, for masked language modelling."""

    preset: Literal["modernbert"] = "modernbert"
    """Names the architecture."""
    vocab_size: int = Field(default=0, ge=0)
    """Rows of the embedding table, the mask token's among them; 0 lets the run take it from the tokenizer."""
    context: int = Field(default=512, ge=1)
    """Longest window, in tokens."""
    layers: int = Field(default=6, ge=1)
    """Blocks."""
    width: int = Field(default=384, ge=1)
    """Width of the residual stream (d_model)."""
    heads: int = Field(default=6, ge=1)
    """Attention heads."""
    ffn_width: int = Field(default=576, ge=1)
    """Hidden width of the feed-forward layer, before its gate."""
    local_window: int = Field(default=128, ge=2)
    """Tokens that a token of a local layer sees, half of them on each side."""
    global_every: int = Field(default=3, ge=1)
    """Every so many layers, from the first, one sees all."""
    rope_theta: float = Field(default=160_000.0, gt=0)
    """Base of the rotary frequencies in global layers."""
    local_rope_theta: float = Field(default=10_000.0, gt=0)
    """The same in local layers."""
    norm_eps: float = Field(default=1e-5, gt=0)
    """Added to the variance in every norm."""

    def model_post_init(self, _: Any) -> None:
        if self.width % (2 * self.heads):
            raise RecipeError(
                f"width {self.width} is not an even multiple of heads {self.heads}",
                key="model.heads",
                mend="choose heads that divide half of the width: rotary positions turn pairs",
            )

    @property
    def head_size(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        """As many as query heads."""
        return self.heads

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layer."""
        return self.ffn_width

    def is_global(self, layer: int) -> bool:
        """Whether this layer sees all tokens."""
        return layer % self.global_every == 0
