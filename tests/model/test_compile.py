"""Compiled block by block: the same numbers, and no graph of a batch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from model_shapes import SHAPES, model_of, tokens

from firn.model.attention import Documents


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("shape", ["gpt2-tied", "qwen3-windows-yarn"])
def test_compiled_blocks_compute_the_same_and_fit_every_batch(shape: str) -> None:
    graphs = 0

    def backend(module: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        nonlocal graphs
        graphs += 1
        return module.forward

    model = model_of(SHAPES[shape])
    batches = [None, *(Documents.of([[0, n], [0, n + 1, n + 3]], 32) for n in range(1, 20, 3))]
    expected = [model.hidden(tokens(32), documents=documents) for documents in batches]
    for block in model.layers:
        block.compile(backend=backend)
    seen = []
    for documents, plain in zip(batches, expected, strict=True):
        assert torch.allclose(model.hidden(tokens(32), documents=documents), plain, atol=1e-6)
        seen.append(graphs)
    assert 0 < seen[0] < seen[1]
    assert set(seen[1:]) == {seen[1]}  # whatever the documents, no graph more
    model.loss(tokens(32), tokens(32)).backward()
