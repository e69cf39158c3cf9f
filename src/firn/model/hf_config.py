"""config.json of a Hugging Face folder: written from settings, and read back into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from firn.core.errors import FormatError, RecipeError
from firn.model.config import PARTS, Activation, ModelSettings, Parts, Preset, RopeScaling
from firn.model.speedrun_config import SpeedrunSettings
from firn.model.tensor_files import read_json

#: model_type of a folder that only firn opens.
OWN = "firn"

_CLASSES: dict[Preset, str] = {
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
}

#: transformers' names of activations that we compute; the first is written.
_GPT2_ACTIVATIONS: dict[str, Activation] = {"gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "relu2": "relu2"}
_GATED_ACTIVATIONS: dict[str, Activation] = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu_pytorch_tanh": "geglu",
    "gelu_new": "geglu",
}

#: Layers that a config.json may ask for, so that nothing is built for numbers alone.
MAX_LAYERS = 10_000

#: Keys that change what the same weights compute, and the values we compute. An absent key means the first.
_COMPUTED: dict[Preset, dict[str, tuple[Any, ...]]] = {
    "gpt2": {"scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,)},
    "llama": {"use_sliding_window": (False, None), "partial_rotary_factor": (1.0, None)},
    "qwen3": {"partial_rotary_factor": (1.0, None)},
    "olmo2": {"use_sliding_window": (False, None), "partial_rotary_factor": (1.0, None)},
}


def architecture(s: ModelSettings) -> Preset:
    """The architecture of transformers that comes nearest; `unexportable` says whether it computes the same."""
    if s.learned_positions:
        return "gpt2"
    if s.parts.post_norm:
        return "olmo2"
    return "llama" if s.parts.qk_norm == "none" else "qwen3"


def unexportable(s: ModelSettings) -> str | None:
    """Why no architecture of transformers computes what these settings say; None where one does."""
    if s.only_ours is not None:
        return s.only_ours
    kind, parts = architecture(s), s.parts
    free = {"gpt2": set(), "llama": {"attention_bias", "ffn_bias"}}.get(kind, {"attention_bias"}) | {"activation"}
    for name in sorted(set(Parts.model_fields) - free):
        theirs, ours = getattr(PARTS[kind], name), getattr(parts, name)
        if ours != theirs:
            return f"transformers' {kind} has {name} {theirs}, not {ours}"
    if parts.activation not in _activations(kind).values():
        return f"transformers' {kind} has no {parts.activation}"
    lengths = {window for window in s.windows if window}
    if lengths and kind != "qwen3":
        return f"transformers' {kind} has no sliding windows"
    if len(lengths) > 1:
        return f"transformers' qwen3 has sliding windows of one length, not {sorted(lengths)}"
    if s.attention_softcap is not None or s.logit_softcap is not None:
        return f"transformers' {kind} has no soft-caps"
    if kind == "olmo2" and s.head_size * s.heads != s.width:
        return "transformers' olmo2 has heads of width / heads"
    return None


def to_config(s: ModelSettings, dtype: str = "float32") -> dict[str, Any]:
    """config.json's content. A shape that transformers cannot compute is written as our own, with the reason."""
    why_not = unexportable(s)
    if why_not is not None:
        return {
            "model_type": OWN,
            "only_firn_opens_this": why_not,
            "settings": s.model_dump(mode="json"),
            "dtype": dtype,
        }
    kind = architecture(s)
    common = {
        "architectures": [_CLASSES[kind]],
        "model_type": kind,
        "vocab_size": s.vocab_size,
        "tie_word_embeddings": s.tied,
        "dtype": dtype,
        "torch_dtype": dtype,  # what transformers before 4.56, and vLLM, read
    }
    if kind == "gpt2":
        return {
            **common,
            "n_positions": s.context,
            "n_embd": s.width,
            "n_layer": s.layers,
            "n_head": s.heads,
            "n_inner": s.hidden,
            "activation_function": _theirs(kind, s.parts.activation),
            "layer_norm_epsilon": s.norm_eps,
        }
    config = {
        **common,
        "hidden_size": s.width,
        "intermediate_size": s.hidden,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.key_value_heads,
        "hidden_act": _theirs(kind, s.parts.activation),
        "max_position_embeddings": s.context,
        "rms_norm_eps": s.norm_eps,
        "rope_theta": s.rope_theta,
        "rope_parameters": {**_rope(s.rope_scaling), "rope_theta": s.rope_theta},
        "attention_bias": s.parts.attention_bias,
    }
    if s.rope_scaling is not None:
        config["rope_scaling"] = _rope(s.rope_scaling)  # what transformers before 5 reads
    if kind != "olmo2":
        config["head_dim"] = s.head_size
    if kind == "llama":
        config["mlp_bias"] = s.parts.ffn_bias
    if any(s.windows):
        layers = [s.window(layer) for layer in range(s.layers)]
        config["use_sliding_window"] = True
        config["sliding_window"] = max(s.windows)
        config["layer_types"] = ["sliding_attention" if window else "full_attention" for window in layers]
    return config


def _activations(kind: Preset) -> dict[str, Activation]:
    return _GPT2_ACTIVATIONS if kind == "gpt2" else _GATED_ACTIVATIONS


def _theirs(kind: Preset, activation: Activation) -> str:
    return next(theirs for theirs, ours in _activations(kind).items() if ours == activation)


def _rope(scaling: RopeScaling | None) -> dict[str, Any]:
    if scaling is None:
        return {"rope_type": "default"}
    common = {
        "rope_type": scaling.kind,
        "factor": scaling.factor,
        "original_max_position_embeddings": scaling.original_context,
    }
    if scaling.kind == "llama3":
        return {**common, "low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    sharpened = {} if scaling.attention_factor is None else {"attention_factor": scaling.attention_factor}
    return {**common, "beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow, **sharpened}


def read_config(file: Path) -> tuple[Preset | None, ModelSettings]:
    """The architecture and the settings that a config.json describes; None: written under our own names.

    Raises FormatError for one that is not of our shapes.
    """
    config = read_json(file)
    if not isinstance(config, dict):
        raise FormatError("is not a JSON object", where=str(file))
    model_type = config.get("model_type")
    kind = next((known for known in _CLASSES if known == model_type), None)
    if kind is None and model_type != OWN:
        raise FormatError(f"{model_type!r} is not one of {sorted(_CLASSES)}", where=str(file), key="model_type")
    try:
        settings = _own(config["settings"]) if kind is None else _settings(kind, config, file)
    except KeyError as error:
        raise FormatError("the key is missing", where=str(file), key=str(error.args[0])) from error
    except RecipeError as error:
        raise FormatError(error.problem, where=str(file)) from error
    except TypeError as error:
        raise FormatError(f"a value is of the wrong type: {error}", where=str(file)) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(first["msg"], where=str(file), key=".".join(map(str, first["loc"]))) from error
    if settings.vocab_size < 1:
        raise FormatError("must be 1 or more", where=str(file), key="vocab_size")
    return kind, settings


def _own(settings: Any) -> ModelSettings:
    is_speedrun = isinstance(settings, dict) and "variant" in settings
    return (SpeedrunSettings if is_speedrun else ModelSettings).model_validate(settings)


def _settings(kind: Preset, config: dict[str, Any], file: Path) -> ModelSettings:
    for key, values in _COMPUTED[kind].items():
        if config.get(key, values[0]) not in values:
            raise FormatError(f"{config[key]!r} is not computed, only {values[0]!r}", where=str(file), key=key)
    key = "activation_function" if kind == "gpt2" else "hidden_act"
    theirs = config.get(key, next(iter(_activations(kind))))
    if not isinstance(theirs, str) or theirs not in _activations(kind):
        known = " or ".join(_activations(kind))
        raise FormatError(f"{theirs!r} is not computed, only {known}", where=str(file), key=key)
    fields = _gpt2(config) if kind == "gpt2" else _rotary(kind, config, file)
    fields["activation"] = _activations(kind)[theirs]
    for name, standard in PARTS[kind]:
        if fields.get(name) == standard:
            fields[name] = None
    # None leaves a field to the settings' default.
    return ModelSettings(preset=kind, **{name: value for name, value in fields.items() if value is not None})


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


def _rotary(kind: Preset, c: dict[str, Any], file: Path) -> dict[str, Any]:
    rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise FormatError("is not a JSON object", where=str(file), key="rope_parameters")
    return {
        "vocab_size": c["vocab_size"],
        "context": c["max_position_embeddings"],
        "layers": c["num_hidden_layers"],
        "width": c["hidden_size"],
        "heads": c["num_attention_heads"],
        "kv_heads": c.get("num_key_value_heads"),
        # transformers takes 128 for a Qwen3 without it, and width / heads for the others.
        "head_width": c["head_dim"] if kind == "qwen3" else c.get("head_dim"),
        "ffn_width": c["intermediate_size"],
        "tied": c.get("tie_word_embeddings", False),
        "rope_theta": rope.get("rope_theta", c.get("rope_theta", 10_000.0)),
        "rope_scaling": _scaling(rope, c["max_position_embeddings"], file),
        "norm_eps": c.get("rms_norm_eps", 1e-5 if kind == "olmo2" else 1e-6),
        "attention_bias": c.get("attention_bias", False),
        "ffn_bias": c.get("mlp_bias", False) if kind == "llama" else None,
        "windows": _windows(c, file) if kind == "qwen3" else None,
    }


def _scaling(rope: dict[str, Any], context: Any, file: Path) -> dict[str, Any] | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind not in ("llama3", "yarn"):
        raise FormatError(f"rope type {kind!r} is not computed", where=str(file), key="rope_parameters")
    if rope.get("mscale") or rope.get("mscale_all_dim") or not rope.get("truncate", True):
        problem = "yarn with mscale or without truncate is not computed"
        raise FormatError(problem, where=str(file), key="rope_parameters")
    fields = {
        "kind": kind,
        "factor": rope["factor"],
        "original_context": rope.get("original_max_position_embeddings", context),
        "low": rope.get("low_freq_factor"),
        "high": rope.get("high_freq_factor"),
        "beta_fast": rope.get("beta_fast"),
        "beta_slow": rope.get("beta_slow"),
        "attention_factor": rope.get("attention_factor"),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _windows(c: dict[str, Any], file: Path) -> tuple[int, ...] | None:
    if not c.get("use_sliding_window"):
        return None
    layers, length = c["num_hidden_layers"], c["sliding_window"]
    if not isinstance(layers, int) or layers > MAX_LAYERS:
        raise FormatError(f"{layers!r} layers", where=str(file), key="num_hidden_layers")
    first = c.get("max_window_layers", 28)
    default = ["sliding_attention" if layer >= first else "full_attention" for layer in range(layers)]
    types = c.get("layer_types") or default
    if not isinstance(types, list) or len(types) != layers or set(types) - {"sliding_attention", "full_attention"}:
        raise FormatError(
            "is not one of sliding_attention and full_attention by layer", where=str(file), key="layer_types"
        )
    windows = [length if kind == "sliding_attention" else 0 for kind in types]
    # The shortest pattern that gives the list when it is repeated.
    period = next(n for n in range(1, layers + 1) if all(windows[i] == windows[i % n] for i in range(layers)))
    return tuple(windows[:period])
