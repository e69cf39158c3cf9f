"""Hugging Face folders of encoders: ModernBertForMaskedLM, written and read back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from firn.core.errors import FormatError, RecipeError
from firn.model.encoder import Encoder
from firn.model.encoder_config import EncoderSettings
from firn.model.hf import SHARD_BYTES, check_layers, fill, write_beside
from firn.model.hf_names import Stored, made
from firn.model.tensor_files import TensorFiles, read_json, write_tensors

#: Keys that change what the same weights compute, and the values we compute. An absent key means the first.
_COMPUTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("modernbert",),
    "hidden_activation": ("gelu",),
    "classifier_activation": ("gelu",),
    "norm_bias": (False,),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "classifier_bias": (False,),
    "decoder_bias": (True,),
    "tie_word_embeddings": (True, None),
}

#: ModernBERT's names, by ours; what is in neither has our name.
_TOP = {
    "embed_tokens.weight": "model.embeddings.tok_embeddings.weight",
    "embed_norm.weight": "model.embeddings.norm.weight",
    "final_norm.weight": "model.final_norm.weight",
    "head.dense_proj.weight": "head.dense.weight",
    "head.norm.weight": "head.norm.weight",
    "head.bias": "decoder.bias",
}
#: Stored tensors of a block that hold several of ours, or have another name.
_BLOCK = {
    "attn.q_proj": ("attn.Wqkv", ("attn.q_proj", "attn.k_proj", "attn.v_proj")),
    "attn.o_proj": ("attn.Wo", ("attn.o_proj",)),
    "mlp.gate_proj": ("mlp.Wi", ("mlp.gate_proj", "mlp.up_proj")),
    "mlp.down_proj": ("mlp.Wo", ("mlp.down_proj",)),
    "attn_norm": ("attn_norm", ("attn_norm",)),
    "mlp_norm": ("mlp_norm", ("mlp_norm",)),
}


def save_encoder(
    model: Encoder,
    folder: str | Path,
    tokenizer_json: bytes | None = None,
    card: str | None = None,
    *,
    end_of_text: int | None = None,
    mask: int | None = None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder as `hf.save` does for a decoder. end_of_text: the id that stands between documents, and so begins,
    ends and pads a text. mask: the id that stands for a hidden token. Raises StoreError."""
    folder, own = Path(folder), dict(model.named_parameters())
    with torch.no_grad():
        write_tensors(folder, made(_stored(list(own)), own, None), dtype, shard_bytes)
    config = _to_config(model.settings, str(dtype).removeprefix("torch."))
    names = ("bos_token", "eos_token", "cls_token", "sep_token", "pad_token")
    special = {} if end_of_text is None else dict.fromkeys(names, end_of_text)
    if mask is not None:
        special["mask_token"] = mask
    # transformers would otherwise take the released model's ids, which may lie beyond our vocabulary.
    config |= {f"{name}_id": None for name in names}
    write_beside(folder, config, tokenizer_json, card, special, model.settings.context)


def load_encoder(folder: str | Path) -> Encoder:
    """The encoder of a folder, in fp32. Raises FormatError as `hf.load` does."""
    folder = Path(folder)
    config = folder / "config.json"
    settings = read_encoder_config(config)
    files = TensorFiles(folder)
    check_layers(settings.layers, len(files.entries), config)
    try:
        with torch.device("meta"):
            model = Encoder(settings)
    except (RuntimeError, OverflowError, TypeError) as error:  # what torch makes of sizes beyond all memory
        raise FormatError("describes a model that cannot be", where=str(config)) from error
    _fill(model, files)
    return model


def load_encoder_into(model: Encoder, folder: str | Path) -> None:
    """Set the parameters of an encoder, wherever they lie, to those of a folder of its shape. Raises FormatError as
    `hf.load` does."""
    _fill(model, TensorFiles(Path(folder)))


def _fill(model: Encoder, files: TensorFiles) -> None:
    tensors = _stored([name for name, _ in model.named_parameters()])
    fill(model, files, tensors, shared={"decoder.weight": "embed_tokens.weight"})


def _stored(names: list[str]) -> dict[str, Stored]:
    found = {}
    for name in names:
        block = re.fullmatch(r"(layers\.\d+)\.(.*)\.weight", name)
        if block is None:
            found[_TOP[name]] = Stored(_TOP[name], (name,))
        elif block[2] in _BLOCK:
            theirs, ours = _BLOCK[block[2]]
            full = f"model.{block[1]}.{theirs}.weight"
            found[full] = Stored(full, tuple(f"{block[1]}.{part}.weight" for part in ours))
    return found


def _to_config(s: EncoderSettings, dtype: str) -> dict[str, Any]:
    layers = ["full_attention" if s.is_global(layer) else "sliding_attention" for layer in range(s.layers)]
    return {
        "architectures": ["ModernBertForMaskedLM"],
        **{key: values[0] for key, values in _COMPUTED.items()},
        "vocab_size": s.vocab_size,
        "hidden_size": s.width,
        "intermediate_size": s.ffn_width,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "max_position_embeddings": s.context,
        "norm_eps": s.norm_eps,
        "local_attention": s.local_window,
        "layer_types": layers,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": s.rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": s.local_rope_theta},
        },
        # What transformers before 5 reads.
        "global_attn_every_n_layers": s.global_every,
        "global_rope_theta": s.rope_theta,
        "local_rope_theta": s.local_rope_theta,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def read_encoder_config(file: Path) -> EncoderSettings:
    """The settings that a config.json describes. Raises FormatError for one that is not of this shape."""
    config = read_json(file)
    if not isinstance(config, dict):
        raise FormatError("is not a JSON object", where=str(file))
    for key, values in _COMPUTED.items():
        if config.get(key, None if key == "model_type" else values[0]) not in values:
            raise FormatError(f"{config.get(key)!r} is not computed, only {values[0]!r}", where=str(file), key=key)
    try:
        settings = _settings(config, file)
    except KeyError as error:
        raise FormatError("the key is missing", where=str(file), key=str(error.args[0])) from error
    except RecipeError as error:
        raise FormatError(error.problem, where=str(file)) from error
    except (TypeError, AttributeError) as error:
        raise FormatError(f"a value is of the wrong type: {error}", where=str(file)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(first["msg"], where=str(file), key=".".join(map(str, first["loc"]))) from error
    if settings.vocab_size < 1:
        raise FormatError("must be 1 or more", where=str(file), key="vocab_size")
    return settings


def _settings(c: dict[str, Any], file: Path) -> EncoderSettings:
    rope = c.get("rope_parameters") or {}
    theta = {}
    for kind, key, standard in (
        ("full_attention", "global_rope_theta", 160_000.0),
        ("sliding_attention", "local_rope_theta", 10_000.0),
    ):
        found = rope.get(kind) or {}
        if found.get("rope_type", "default") != "default":
            raise FormatError(
                f"rope type {found['rope_type']!r} is not computed", where=str(file), key="rope_parameters"
            )
        theta[kind] = found.get("rope_theta", c.get(key, standard))
    types = c.get("layer_types")
    every = c.get("global_attn_every_n_layers", 3)
    if types is not None:
        # The distance of the second global layer from the first; one alone is as good as any that is longer.
        every = next((layer for layer, kind in enumerate(types) if layer and kind == "full_attention"), len(types))
    settings = EncoderSettings(
        vocab_size=c["vocab_size"],
        context=c["max_position_embeddings"],
        layers=c["num_hidden_layers"],
        width=c["hidden_size"],
        heads=c["num_attention_heads"],
        ffn_width=c["intermediate_size"],
        local_window=c.get("local_attention", 128),
        global_every=every,
        rope_theta=theta["full_attention"],
        local_rope_theta=theta["sliding_attention"],
        norm_eps=c.get("norm_eps", 1e-5),
    )
    if types is not None and (
        len(types) != settings.layers
        or any((kind == "full_attention") != settings.is_global(layer) for layer, kind in enumerate(types))
    ):
        raise FormatError("is not one global layer in so many, from the first", where=str(file), key="layer_types")
    return settings
