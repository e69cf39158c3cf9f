"""What is asked of the model: a batch as it lies in the corpus, made into what is read and what is predicted.

All of it is a pure function of (batch, settings, seed, step), row by row, so ranks, restarts and accumulation change
nothing. Next-token prediction is what is left when nothing is set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.tokens.batch import Batch
from firn.tokens.corpus import Corpus
from firn.tokens.fim import FimSettings, Sentinels, fill_in_the_middle
from firn.tokens.goldfish import GoldfishSettings, goldfish
from firn.tokens.masked import MaskingSettings, hide
from firn.tokens.tokenizer import Tokenizer

#: Names of the mask token among a tokenizer's special tokens.
MASKS = ("<|mask|>", "[MASK]", "<mask>")


class ObjectiveSettings(Settings):
    """What is predicted. Nothing set: the next token, of every document."""

    objective: Literal["causal", "masked"] = "causal"
    """causal: a decoder predicts each next token. masked: an encoder predicts tokens that are hidden from it."""
    fim: FimSettings | None = None
    """causal: some documents are turned, so that their middle is learned from both sides; null: none is."""
    goldfish: GoldfishSettings | None = None
    """causal: some targets are never learned, against memorisation; null: all are."""
    masking: MaskingSettings | None = None
    """masked: how much is hidden, and how; null: 30 % plainly."""
    document_mask: bool = False
    """Whether a token sees its own document alone. false: all of its window before it, as GPT-2 and Llama 2 were
    trained. Learned positions begin anew with each document; rotary ones know distances alone, so need not. For an
    objective that turns documents, what a window has of one stays one."""

    def model_post_init(self, _: Any) -> None:
        strangers = ("masking",) if self.objective == "causal" else ("fim", "goldfish")
        for name in strangers:
            if getattr(self, name) is not None:
                kind = "hidden" if name == "masking" else "next"
                raise RecipeError(
                    f"{name} is about {kind} tokens, and the objective is {self.objective}",
                    key=f"train.{name}",
                    mend=f"leave it out, or set objective: {'masked' if name == 'masking' else 'causal'}",
                )

    @property
    def hiding(self) -> MaskingSettings:
        """How tokens are hidden, resolved."""
        return self.masking or MaskingSettings()


def apply(drawn: Batch, corpus: Corpus, settings: ObjectiveSettings, *, seed: int, step: int) -> Batch:
    """The batch with its inputs and targets as the objective wants them; targets are -1 where nothing is asked.

    With a document mask it also says where documents begin. Raises RecipeError where the tokenizer has no sentinels or
    no mask token.
    """
    if settings.document_mask:
        drawn = replace(drawn, documents=document_starts(corpus, drawn, drawn.window))
    if settings.objective == "masked":
        inputs, targets = hide(
            drawn.inputs,
            settings.hiding,
            mask=mask_token(corpus.tokenizer),
            vocab_size=corpus.vocab_size,
            special=[corpus.end_of_text],
            seed=seed,
            step=step,
            rows=drawn.positions,
        )
        return replace(drawn, inputs=inputs, targets=targets)
    if settings.fim is not None:
        chosen = [row for row, source in enumerate(drawn.sources) if source in (settings.fim.sources or drawn.sources)]
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


def mask_token(tokenizer: Tokenizer) -> int:
    """The id of the tokenizer's mask token. Raises RecipeError where it has none."""
    for name in MASKS:
        if name in tokenizer.special_tokens:
            return tokenizer.special_tokens[name]
    raise RecipeError(
        "the tokenizer has no mask token",
        key="train.objective",
        mend=f"put {MASKS[0]} among tokenizer.special_tokens; a file without one cannot be used for an encoder",
    )
