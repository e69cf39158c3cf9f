"""Longer windows for a trained model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_shapes import SHAPES, model_of, tokens
from transformers import AutoModelForCausalLM

from firn.core.errors import RecipeError
from firn.model import hf
from firn.model.config import RopeScaling
from firn.model.lengthen import lengthen


def test_a_longer_context_alone_changes_nothing_within_the_old_one() -> None:
    model = model_of(SHAPES["qwen3"])
    before = model(tokens(32))
    lengthen(model, 64)
    assert torch.equal(model(tokens(32)), before)
    assert model(tokens(64)).shape == (2, 64, 97)
    with pytest.raises(ValueError, match="65 tokens in a context of 64"):
        model(tokens(65))


def test_a_stretched_model_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    for scaling in (
        RopeScaling(kind="yarn", factor=4.0, original_context=32),
        RopeScaling(kind="llama3", factor=4.0, original_context=32),
    ):
        model = model_of(SHAPES["llama"])
        lengthen(model, 128, rope_theta=50_000.0, rope_scaling=scaling)
        hf.save(model, tmp_path)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
        with torch.no_grad():
            assert (theirs(tokens(100)).logits - model(tokens(100))).abs().max().item() <= 1e-5
        assert hf.load(tmp_path).settings.rope_scaling == scaling


def test_what_cannot_be_lengthened_is_refused() -> None:
    with pytest.raises(RecipeError, match="table of 32 positions"):
        lengthen(model_of(SHAPES["gpt2-tied"]), 64)
    with pytest.raises(RecipeError, match="more than 16"):
        lengthen(model_of(SHAPES["llama"]), 16)
