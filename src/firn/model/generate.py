"""Generation: one token after another, with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from firn.model.attention import Cache
from firn.model.transformer import Transformer


def generate(
    model: Transformer,
    tokens: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    stop: Collection[int] = (),
    vocabulary: int | None = None,
    use_cache: bool = True,
) -> Iterator[int]:
    """Yield up to `max_tokens` token ids that go on from `tokens` (at least one).

    temperature: 0 takes the likeliest token. top_k, top_p: see `distribution`. seed: of a generator used for nothing
    else. stop: ids that end the text and are not yielded. vocabulary: ids below this are drawn; published tables often
    have more rows than their tokenizers have ids. When the window is full, generation goes on from its last half, read
    anew: each token then sees between half a context and a whole one.
    """
    context = model.settings.context
    device = model.embed_tokens.weight.device
    generator = torch.Generator().manual_seed(seed)
    seen, fresh = list(tokens)[-context:], list(tokens)[-context:]
    cache: Cache = []
    was_training = model.training
    model.eval()
    try:
        for _ in range(max_tokens):
            with torch.no_grad():
                given = torch.tensor([fresh if use_cache else seen], device=device)
                logits_V = model(given, cache if use_cache else None)[0, -1, :vocabulary].cpu()
            token = sample(logits_V, temperature, top_k, top_p, generator)
            if token in stop:
                return
            yield token
            seen, fresh = [*seen, token], [token]
            if len(seen) > context:
                seen = fresh = seen[-max(1, context // 2) :]
                cache = []
    finally:
        model.train(was_training)


def sample(logits_V: Tensor, temperature: float, top_k: int | None, top_p: float, generator: torch.Generator) -> int:
    """One token id drawn from the distribution; the likeliest at temperature 0."""
    if temperature == 0:
        return int(logits_V.argmax())
    return int(torch.multinomial(distribution(logits_V, temperature, top_k, top_p), 1, generator=generator))


def distribution(logits_V: Tensor, temperature: float, top_k: int | None, top_p: float) -> Tensor:
    """Probabilities [V] that are drawn from.

    top_k keeps the k likeliest. top_p keeps the smallest set of likeliest tokens whose probabilities reach top_p
    (nucleus sampling, Holtzman et al. 2020), always at least one. What is left is renormalised.
    """
    logits_V = logits_V.double() / temperature
    if top_k is not None and top_k < len(logits_V):
        logits_V = logits_V.masked_fill(logits_V < logits_V.topk(top_k).values[-1], -torch.inf)
    p_V = logits_V.softmax(0)
    if top_p < 1.0:
        sorted_V, order_V = p_V.sort(descending=True, stable=True)
        # A token stays while those before it have not reached top_p.
        outside_V = sorted_V.cumsum(0) - sorted_V >= top_p
        outside_V[0] = False
        p_V[order_V[outside_V]] = 0.0
    return p_V / p_V.sum()
