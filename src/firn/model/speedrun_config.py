"""The shape of the speedrun variant."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from firn.core.errors import RecipeError
from firn.model.config import Activation, ModelSettings


class SpeedrunSettings(ModelSettings):
    """A decoder for the lowest loss per token, in parts that no architecture elsewhere has: it does not export.

    Beyond the fields of ModelSettings: value embeddings, and a way back to the embedding in every layer. Its defaults
    are those that the fastest published runs have (modded-nanogpt, nanochat): ReLU^2, QK-norm, capped logits.
    """

    variant: Literal["speedrun"] = "speedrun"
    """Names the variant."""
    activation: Activation | None = "relu2"
    """Of the feed-forward layer."""
    normalise_embedding: bool = True
    """RMSNorm without weight on the embedding's output."""
    logit_softcap: float | None = Field(default=15.0, gt=0)
    """Logits l become cap tanh(l / cap)."""
    value_embedding_every: int = Field(default=2, ge=0)
    """Every so many layers, counted from the last, have a table of value embeddings, as large as the embedding's; 0:
    none has. They cost memory and no products."""

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        fixed = ("preset", "norm", "post_norm", "qk_norm", "attention_bias", "residual_scale", "tied")
        for name in fixed:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise RecipeError(
                    f"the speedrun variant has no choice of {name}",
                    key=f"model.{name}",
                    mend="leave it out, or leave variant out",
                )

    def has_value_embedding(self, layer: int) -> bool:
        """Whether this layer adds an embedding of its tokens to its values."""
        return bool(self.value_embedding_every) and (self.layers - 1 - layer) % self.value_embedding_every == 0

    @property
    def only_ours(self) -> str | None:
        """Why it does not export."""
        return "no architecture of transformers has the speedrun variant's value embeddings and weighted residuals"
