"""A model of whichever kind its settings describe, decoder or encoder: made, written, read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from firn.model import hf, speedrun
from firn.model.config import ModelSettings
from firn.model.encoder import Encoder
from firn.model.encoder_config import EncoderSettings
from firn.model.hf_config import read_config
from firn.model.hf_encoder import load_encoder, load_encoder_into, read_encoder_config, save_encoder
from firn.model.speedrun_config import SpeedrunSettings
from firn.model.tensor_files import read_json
from firn.model.transformer import Transformer

Model = Transformer | Encoder
Shape = ModelSettings | EncoderSettings


def build(shape: Shape) -> Model:
    """The model that the settings describe, its weights unset."""
    return Encoder(shape) if isinstance(shape, EncoderSettings) else speedrun.build(shape)


def save(
    model: Model,
    folder: str | Path,
    tokenizer_json: bytes | None = None,
    card: str | None = None,
    *,
    end_of_text: int | None = None,
    mask: int | None = None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = hf.SHARD_BYTES,
) -> None:
    """Write its Hugging Face folder: `hf.save`, or `save_encoder`, which is told the mask token. Raises StoreError."""
    size: dict[str, Any] = {"dtype": dtype, "shard_bytes": shard_bytes}
    if isinstance(model, Encoder):
        save_encoder(model, folder, tokenizer_json, card, end_of_text=end_of_text, mask=mask, **size)
    else:
        hf.save(model, folder, tokenizer_json, card, end_of_text=end_of_text, **size)


def is_encoder(folder: str | Path) -> bool:
    """Whether a Hugging Face folder holds an encoder. Raises FormatError where its config.json cannot be read."""
    config = read_json(Path(folder) / "config.json")
    return isinstance(config, dict) and config.get("model_type") == "modernbert"


def shape_of(folder: str | Path) -> Shape:
    """What a Hugging Face folder holds. Raises FormatError where its config.json is not of our shapes."""
    config = Path(folder) / "config.json"
    return read_encoder_config(config) if is_encoder(folder) else read_config(config)[1]


def shape_from(fields: Mapping[str, Any]) -> Shape:
    """The shape whose `model_dump` gave these fields. Raises pydantic's ValidationError for others."""
    if fields.get("preset") == EncoderSettings().preset:
        return EncoderSettings.model_validate(fields)
    return (SpeedrunSettings if "variant" in fields else ModelSettings).model_validate(fields)


def load(folder: str | Path) -> Model:
    """The model of a folder, in fp32. Raises FormatError as `hf.load` does."""
    return load_encoder(folder) if is_encoder(folder) else hf.load(folder)


def load_into(model: Model, folder: str | Path) -> None:
    """Set the parameters of a model, wherever they lie, to those of a folder of its shape, one at a time. Raises
    FormatError as `hf.load` does."""
    if isinstance(model, Encoder):
        load_encoder_into(model, folder)
    else:
        hf.load_into(model, folder)
