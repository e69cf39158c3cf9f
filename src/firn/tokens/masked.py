"""Masked language modelling: tokens hidden from an encoder, which is to predict them (Devlin et al. 2019)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.tokens.draws import keys, uniform

I64 = NDArray[np.int64]


class MaskingSettings(Settings):
    """How much is hidden, and how. The default hides plainly and twice as much as BERT did, which is better (Wettig et
    al. 2023; ModernBERT, Warner et al. 2024). BERT's is rate 0.15, masked 0.8, random 0.1."""

    rate: float = Field(default=0.3, gt=0, lt=1)
    """Share of tokens that are to be predicted."""
    masked: float = Field(default=1.0, ge=0, le=1)
    """Share of these that the mask token stands for."""
    random: float = Field(default=0.0, ge=0, le=1)
    """Share of these that a random token stands for. The rest stand as they are."""

    def model_post_init(self, _: Any) -> None:
        if self.masked + self.random > 1:
            raise RecipeError(
                f"masked {self.masked} and random {self.random} are more than all",
                key="masking.random",
                mend="let both be at most 1 together",
            )


BERT = MaskingSettings(rate=0.15, masked=0.8, random=0.1)


def hide(
    tokens: I64,
    settings: MaskingSettings,
    *,
    mask: int,
    vocab_size: int,
    special: Collection[int],
    seed: int,
    step: int,
    rows: ArrayLike,
) -> tuple[I64, I64]:
    """What the encoder reads and what it is to predict, int64 [B, T] each; targets are -1 where nothing is asked.

    tokens: int64 [B, T]. mask: the id of the mask token. special: ids that are never hidden (the end of a document).
    rows: `Batch.positions`, [B]. The same (seed, step, row) hides the same tokens, whatever rank holds the row.
    """
    key = keys("masked", seed, step, rows)[:, None]
    index = np.arange(tokens.shape[1])[None, :] * 3
    chosen = (uniform(key, index) < settings.rate) & ~np.isin(tokens, list(special))
    way = uniform(key, index + 1)
    drawn = (uniform(key, index + 2) * vocab_size).astype(np.int64)
    inputs = np.where(chosen & (way < settings.masked), mask, tokens)
    is_random = chosen & (way >= settings.masked) & (way < settings.masked + settings.random)
    return np.where(is_random, drawn, inputs), np.where(chosen, tokens, -1)
