"""A trained model made to read longer windows, before training on them goes on."""

from __future__ import annotations

from firn.core.errors import RecipeError
from firn.model.config import ModelSettings, RopeScaling
from firn.model.transformer import Transformer


def lengthen(
    model: Transformer, context: int, *, rope_theta: float | None = None, rope_scaling: RopeScaling | None = None
) -> None:
    """Let the model read windows of `context` tokens; its weights stay. As `lengthened`."""
    model.settings = lengthened(model.settings, context, rope_theta=rope_theta, rope_scaling=rope_scaling)


def lengthened(
    settings: ModelSettings,
    context: int,
    *,
    rope_theta: float | None = None,
    rope_scaling: RopeScaling | None = None,
) -> ModelSettings:
    """The settings of the same model for windows of `context` tokens.

    rope_theta: a larger base turns positions more slowly (Xiong et al. 2023); None keeps it. rope_scaling: or slow
    frequencies are stretched, by YaRN or as in Llama 3; None keeps what the model has. Without either, positions beyond
    those trained on are new to the model. Raises RecipeError for a table of positions, and for a shorter context.
    """
    s = settings
    if context < s.context:
        raise RecipeError(
            f"the model reads {s.context} tokens, which is more than {context}",
            key="model.context",
            mend="leave the context as it is: shorter windows need no change",
        )
    if s.learned_positions:
        raise RecipeError(
            f"the model has a table of {s.context} positions, which cannot be lengthened",
            key="model.context",
            mend="start from a model with rotary positions",
        )
    changes = {"context": context, "rope_theta": rope_theta, "rope_scaling": rope_scaling}
    given = {name: value for name, value in changes.items() if value is not None}
    return type(s).model_validate({**s.model_dump(), **given})
