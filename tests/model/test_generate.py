"""Generation: the cache against no cache, and known distributions."""

from __future__ import annotations

import pytest
import torch
from model_shapes import SHAPES, model_of, tokens

from firn.model.generate import distribution, generate
from firn.model.transformer import Transformer


def test_generation_with_the_cache_equals_generation_without_it(model: Transformer) -> None:
    prompt = tokens(5, 1)[0].tolist()
    # 60 tokens overflow the context of 32, so the window slides too.
    for temperature in (0.0, 0.8):
        with_cache = list(generate(model, prompt, max_tokens=60, temperature=temperature, top_p=0.9, seed=7))
        without = list(
            generate(model, prompt, max_tokens=60, temperature=temperature, top_p=0.9, seed=7, use_cache=False)
        )
        assert with_cache == without
        assert len(with_cache) == 60


def test_what_is_drawn_from() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert distribution(logits, 1.0, None, 1.0).tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert distribution(logits, 1.0, 2, 1.0).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    # 0.5 < 0.6, so the second token is needed to reach it.
    assert distribution(logits, 1.0, None, 0.6).tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert distribution(logits, 1.0, None, 1e-9).tolist() == [1, 0, 0, 0]
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert distribution(logits, 0.5, None, 1.0).tolist() == pytest.approx([x / sum(squares) for x in squares])


def test_generation_is_seeded_and_stops() -> None:
    model = model_of(SHAPES["llama"])
    draw = lambda seed, stop=(): list(generate(model, [1, 2], max_tokens=20, seed=seed, stop=stop))
    assert draw(3) == draw(3) != draw(4)
    assert draw(3, {draw(3)[6]}) == draw(3)[: draw(3).index(draw(3)[6])]


def test_rows_without_a_token_are_never_drawn() -> None:
    model = model_of(SHAPES["llama"])
    drawn = list(generate(model, [1, 2], max_tokens=40, temperature=5.0, vocabulary=3))
    assert set(drawn) == {0, 1, 2}
    assert max(generate(model, [1, 2], max_tokens=40, temperature=5.0)) > 2
