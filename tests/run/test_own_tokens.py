"""A model to go on from has a tokenizer of its own: what is said of tokens that it lacks can be followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tokenizers

from firn.core.errors import RecipeError
from firn.model import build
from firn.model.config import ModelSettings
from firn.model.encoder_config import EncoderSettings
from firn.run.planning import plan
from firn.run.recipe import Recipe, load
from firn.run.starting import beginning
from tiny_recipe import copied, run_tiny

MASK = "<|mask|>"


def folder(tiny: Any, path: Path, shape: build.Shape) -> Path:
    """A model's folder with the tiny run's tokenizer, which has 512 tokens and no mask."""
    model = build.build(shape)
    model.init_weights(0)
    build.save(model, path, (Path(tiny.outcome.model) / "tokenizer.json").read_bytes(), end_of_text=0)
    return path


def encoder(rows: int) -> EncoderSettings:
    return EncoderSettings(layers=1, width=32, heads=2, ffn_width=32, context=32, vocab_size=rows)


def from_(model: Path) -> tuple[str, ...]:
    return (
        f"model={{from: {model}}}",
        f"tokenizer={{file: {model / 'tokenizer.json'}}}",
        "train.objective=masked",
        "report.ladder=false",
    )


def recipe(tiny: Any, model: Path) -> Recipe:
    return load(tiny.folder / "tiny.yaml", from_(model))


def add_mask(model: Path) -> None:
    file = str(model / "tokenizer.json")
    changed = tokenizers.Tokenizer.from_file(file)
    changed.add_special_tokens([MASK])
    changed.save(file)


def test_a_mask_token_is_added_where_the_mend_says(tiny: Any, tmp_path: Path) -> None:
    model = folder(tiny, tmp_path / "foreign", encoder(576))
    with pytest.raises(RecipeError, match="no mask token is among them") as error:
        beginning(recipe(tiny, model), tiny.runs)
    assert error.value.mend is not None
    assert f"add them to {model / 'tokenizer.json'} itself: the model has 64 rows to spare" in error.value.mend
    add_mask(model)
    runs = copied(tiny.runs, tmp_path)
    outcome = run_tiny(tiny.folder, runs, *from_(model), "name=other", f"store={runs / 'store'}", "train.steps=2")
    assert MASK in (Path(outcome.model) / "tokenizer.json").read_text()


def test_where_the_table_has_no_room_none_is_offered_and_none_is_taken(tiny: Any, tmp_path: Path) -> None:
    model = folder(tiny, tmp_path / "foreign", encoder(512))
    with pytest.raises(RecipeError, match="no mask token is among them") as error:
        beginning(recipe(tiny, model), tiny.runs)
    assert error.value.mend == f"the tokenizer is the model's: begin from a model that knows {MASK!r}"
    add_mask(model)
    with pytest.raises(RecipeError, match="the tokenizer has 513 tokens, the model that training begins from 512"):
        plan(recipe(tiny, model), tmp_path)


def test_a_decoder_is_not_told_to_get_a_mask_token(tiny: Any, tmp_path: Path) -> None:
    shape = ModelSettings(layers=1, width=32, heads=2, context=32, vocab_size=576)
    with pytest.raises(RecipeError, match="a decoder sees one side of a token"):
        beginning(recipe(tiny, folder(tiny, tmp_path / "foreign", shape)), tiny.runs)
