"""config.json of a Hugging Face folder: written from settings, and read back into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firn.core.errors import FormatError, RecipeError
from firn.model.config import ModelSettings, Preset

_ARCHITECTURES: dict[Preset, str] = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}

_ROTARY: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "use_sliding_window": (False, None),
    "partial_rotary_factor": (1.0, None),
}

#: Keys that change what the same weights compute, and the values we compute. An absent key means the first.
_COMPUTED: dict[Preset, dict[str, tuple[Any, ...]]] = {
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    },
    "llama": _ROTARY,
    "qwen3": _ROTARY,
}


def to_config(s: ModelSettings) -> dict[str, Any]:
    """config.json's content."""
    common = {
        "architectures": [_ARCHITECTURES[s.preset]],
        "model_type": s.preset,
        "vocab_size": s.vocab_size,
        "tie_word_embeddings": s.tied,
        "dtype": "float32",
        "torch_dtype": "float32",  # what transformers before 4.56, and vLLM, read
    }
    if s.is_gpt2:
        return {
            **common,
            "n_positions": s.context,
            "n_embd": s.width,
            "n_layer": s.layers,
            "n_head": s.heads,
            "n_inner": s.hidden,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": s.norm_eps,
        }
    return {
        **common,
        "hidden_size": s.width,
        "intermediate_size": s.hidden,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.key_value_heads,
        "head_dim": s.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": s.context,
        "rms_norm_eps": s.norm_eps,
        "rope_theta": s.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": s.rope_theta},
        "attention_bias": False,
    }


def read_config(file: Path) -> ModelSettings:
    """The settings that a config.json describes. Raises FormatError for one that is not of our three shapes."""
    try:
        config = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=str(file)) from error
    if not isinstance(config, dict):
        raise FormatError("is not a JSON object", where=str(file))
    model_type = config.get("model_type")
    kind = next((known for known in _ARCHITECTURES if known == model_type), None)
    if kind is None:
        raise FormatError(f"{model_type!r} is not one of {sorted(_ARCHITECTURES)}", where=str(file), key="model_type")
    for key, values in _COMPUTED[kind].items():
        if config.get(key, values[0]) not in values:
            raise FormatError(f"{config[key]!r} is not computed, only {values[0]!r}", where=str(file), key=key)
    try:
        fields = _gpt2(config) if kind == "gpt2" else _rotary(config, file)
        settings = ModelSettings(preset=kind, **{key: value for key, value in fields.items() if value is not None})
    except KeyError as error:
        raise FormatError("the key is missing", where=str(file), key=str(error.args[0])) from error
    except RecipeError as error:
        raise FormatError(error.problem, where=str(file)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(first["msg"], where=str(file), key=".".join(map(str, first["loc"]))) from error
    if settings.vocab_size < 1:
        raise FormatError("must be 1 or more", where=str(file), key="vocab_size")
    return settings


# A value of None leaves the field to ModelSettings' default.
def _gpt2(c: dict[str, Any]) -> dict[str, Any]:
    return {
        "vocab_size": c["vocab_size"],
        "context": c["n_positions"],
        "layers": c["n_layer"],
        "width": c["n_embd"],
        "heads": c["n_head"],
        "ffn_width": c.get("n_inner"),
        "tied": c.get("tie_word_embeddings", True),
        "norm_eps": c.get("layer_norm_epsilon", 1e-5),
    }


def _rotary(c: dict[str, Any], file: Path) -> dict[str, Any]:
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise FormatError("is not a JSON object", where=str(file), key="rope_parameters")
    scaling = rope.get("rope_type", rope.get("type", "default"))
    if scaling != "default":
        raise FormatError(f"rope type {scaling!r} is not computed", where=str(file), key="rope_parameters")
    return {
        "vocab_size": c["vocab_size"],
        "context": c["max_position_embeddings"],
        "layers": c["num_hidden_layers"],
        "width": c["hidden_size"],
        "heads": c["num_attention_heads"],
        "kv_heads": c.get("num_key_value_heads"),
        # transformers takes 128 for a Qwen3 without it, and width / heads for a Llama.
        "head_width": c["head_dim"] if c["model_type"] == "qwen3" else c.get("head_dim"),
        "ffn_width": c["intermediate_size"],
        "tied": c.get("tie_word_embeddings", False),
        "rope_theta": rope.get("rope_theta", c.get("rope_theta", 10_000.0)),
        "norm_eps": c.get("rms_norm_eps", 1e-6),
    }
