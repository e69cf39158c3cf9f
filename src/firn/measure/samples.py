"""Completions: what a base model makes of the beginning of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firn.model.generate import generate
from firn.model.transformer import Transformer
from firn.tokens.tokenizer import Tokenizer


def complete(
    model: Transformer,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    max_tokens: int = 48,
    temperature: float = 0.8,
    top_p: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One completion of each prompt: prompt, completion. A completion ends at end-of-text or after `max_tokens`.

    An empty prompt stands for the beginning of a document. Each prompt has the same seed, so that adding one does not
    change the others.
    """
    samples = []
    for prompt in prompts:
        # As in training, a document begins after the end of another.
        tokens = [tokenizer.end_of_text, *tokenizer.encode(prompt).tolist()]
        drawn = generate(
            model,
            tokens,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop=(tokenizer.end_of_text,),
            vocabulary=tokenizer.vocab_size,
        )
        samples.append({"prompt": prompt, "completion": tokenizer.decode(list(drawn))})
    return samples
