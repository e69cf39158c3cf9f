"""Models of every shape, on one thread: small ones are slower on many, and on a busy machine many times slower."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# pytest's importlib mode puts no folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from model_shapes import OWN_SHAPES, SHAPES, model_of

from firn.model.transformer import Transformer


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> Transformer:
    return model_of(SHAPES[request.param])


@pytest.fixture(params=[*SHAPES, *OWN_SHAPES])
def any_model(request: pytest.FixtureRequest) -> Transformer:
    return model_of({**SHAPES, **OWN_SHAPES}[request.param])
