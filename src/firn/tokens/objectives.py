"""What is asked of the model: a batch as it lies in the corpus, made into what is read and what is predicted.

All of it is a pure function of (batch, settings, seed, step), row by row, so ranks, restarts and accumulation change
nothing. Next-token prediction is what is left when nothing is set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.tokens.batch import Batch
from firn.tokens.corpus import Corpus
from firn.tokens.fim import FimSettings, Sentinels, fill_in_the_middle
from firn.tokens.goldfish import GoldfishSettings, goldfish
from firn.tokens.masked import MaskingSettings, hide

#: Names of the mask token among a tokenizer's special tokens.
MASKS = ("<|mask|>", "[MASK]", "<mask>")


class ObjectiveSettings(Settings):
    """What is predicted. Nothing set: the next token, of every document."""

    fim: FimSettings | None = None
    """Fill-in-the-middle."""
    fim_sources: tuple[str, ...] = ()
    """Sources whose documents are turned (those of code); empty: all."""
    goldfish: GoldfishSettings | None = None
    """Targets that are never learned, against memorisation."""
    masking: MaskingSettings | None = None
    """For encoders: hidden tokens are predicted and not the next ones."""

    def model_post_init(self, _: Any) -> None:
        if self.masking is not None and (self.fim is not None or self.goldfish is not None):
            raise RecipeError(
                "fim and goldfish are about next tokens, masking about hidden ones",
                key="objective.masking",
                mend="leave masking out for a decoder, fim and goldfish for an encoder",
            )


def apply(drawn: Batch, corpus: Corpus, settings: ObjectiveSettings, *, seed: int, step: int) -> Batch:
    """The batch with its inputs and targets as the objective wants them; targets are -1 where nothing is asked.

    Raises RecipeError where the tokenizer has no sentinels or no mask token.
    """
    if settings.masking is not None:
        inputs, targets = hide(
            drawn.inputs,
            settings.masking,
            mask=mask_token(corpus),
            vocab_size=corpus.vocab_size,
            special=[corpus.end_of_text],
            seed=seed,
            step=step,
            rows=drawn.positions,
        )
        return replace(drawn, inputs=inputs, targets=targets)
    if settings.fim is not None:
        chosen = [row for row, source in enumerate(drawn.sources) if source in (settings.fim_sources or drawn.sources)]
        tokens = np.concatenate((drawn.inputs, drawn.targets[:, -1:]), axis=1)
        starts = document_starts(corpus, drawn, tokens.shape[1])
        silent = np.zeros(tokens.shape, np.bool_)
        tokens[chosen], silent[chosen] = fill_in_the_middle(
            tokens[chosen],
            [starts[row] for row in chosen],
            settings.fim,
            Sentinels.of(corpus.tokenizer),
            end_of_text=corpus.end_of_text,
            seed=seed,
            step=step,
            rows=drawn.positions[chosen],
        )
        drawn = replace(drawn, inputs=tokens[:, :-1], targets=np.where(silent, -1, tokens)[:, 1:])
    if settings.goldfish is not None:
        drawn = replace(drawn, targets=goldfish(drawn.inputs, drawn.targets, settings.goldfish))
    return drawn


def document_starts(corpus: Corpus, drawn: Batch, length: int) -> list[list[int]]:
    """Where documents begin in the first `length` tokens of each window, ascending from 0: also for
    `firn.model.attention.Documents`."""
    found = []
    for source, first in zip(drawn.sources, drawn.starts.tolist(), strict=True):
        spans = corpus.sources[source].train.spans(first, length)
        found.append(sorted({max(0, start - first) for start, _ in spans} | {0}))
    return found


def mask_token(corpus: Corpus) -> int:
    """The id of the tokenizer's mask token. Raises RecipeError where it has none."""
    special = corpus.tokenizer.special_tokens
    for name in MASKS:
        if name in special:
            return special[name]
    raise RecipeError(
        "the tokenizer has no mask token",
        key="objective.masking",
        mend=f"train it with {MASKS[0]} among its special tokens",
    )
