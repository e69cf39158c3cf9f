"""Hugging Face folders: written so that transformers, vLLM and llama.cpp open them, and read back.

Llama and Qwen3 folders hold the weights under the names they have here; GPT-2 keeps its own (fused attention matrix,
transposed). Only safetensors are read, never pickles.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from firn.core.errors import FormatError
from firn.core.files import atomic_write
from firn.model.config import ModelSettings
from firn.model.transformer import Transformer

_ARCHITECTURES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}

#: GPT-2's names, by ours. Matrices are stored [in, out]; q, k and v side by side.
_GPT2_NAMES = {
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}


def save(
    model: Transformer,
    folder: str | Path,
    tokenizer_json: bytes | None = None,
    end_of_text: int | None = None,
    card: str | None = None,
) -> None:
    """Write config.json, model.safetensors, generation_config.json, and the tokenizer and README.md where given."""
    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().float().contiguous() for name, tensor in _to_hf(model).items()}
    atomic_write(folder / "model.safetensors", save_tensors(tensors, metadata={"format": "pt"}))
    special = {} if end_of_text is None else {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    _write_json(folder / "config.json", {**config(model.settings), **special})
    _write_json(folder / "generation_config.json", {"_from_model_config": True, **special})
    if tokenizer_json is not None:
        atomic_write(folder / "tokenizer.json", tokenizer_json)
        token = _token_text(tokenizer_json, end_of_text)
        named = {} if token is None else {"bos_token": token, "eos_token": token}
        _write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": model.settings.context,
                "clean_up_tokenization_spaces": False,
                **named,
            },
        )
    if card is not None:
        atomic_write(folder / "README.md", card.encode())


def load(folder: str | Path) -> Transformer:
    """The model of a folder. Raises FormatError naming the file and the key or tensor that does not fit."""
    folder = Path(folder)
    model = Transformer(settings_of(folder))
    file = folder / "model.safetensors"
    try:
        tensors = load_tensors(file.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except Exception as error:  # safetensors' own error type is not public
        raise FormatError(f"is not a safetensors file: {error}", where=str(file)) from error
    found = _from_hf(tensors, model.settings)
    wanted = dict(model.named_parameters())
    # Folders of other writers may repeat a tied head, or hold buffers that are computed.
    found = {name: tensor for name, tensor in found.items() if not _is_surplus(name, model.settings)}
    for name in sorted(wanted.keys() ^ found.keys()):
        raise FormatError("the tensor is missing" if name in wanted else "unexpected tensor", where=str(file), key=name)
    with torch.no_grad():
        for name, parameter in wanted.items():
            if parameter.shape != found[name].shape:
                shapes = f"{list(found[name].shape)}, config.json says {list(parameter.shape)}"
                raise FormatError(f"the tensor has shape {shapes}", where=str(file), key=name)
            parameter.copy_(found[name])
    return model


def config(s: ModelSettings) -> dict[str, Any]:
    """config.json's content."""
    common = {
        "architectures": [_ARCHITECTURES[s.preset]],
        "model_type": s.preset,
        "vocab_size": s.vocab_size,
        "tie_word_embeddings": s.tied,
        "dtype": "float32",
        "torch_dtype": "float32",
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


def settings_of(folder: Path) -> ModelSettings:
    """The model's settings from config.json. Raises FormatError for an architecture that is not ours."""
    file = folder / "config.json"
    try:
        c = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise FormatError(f"cannot be read: {error}", where=str(file)) from error
    kind = c.get("model_type")
    try:
        if kind == "gpt2":
            return ModelSettings(
                preset="gpt2",
                vocab_size=c["vocab_size"],
                context=c["n_positions"],
                layers=c["n_layer"],
                width=c["n_embd"],
                heads=c["n_head"],
                ffn_width=c.get("n_inner") or 4 * c["n_embd"],
                tied=c.get("tie_word_embeddings", True),
                norm_eps=c["layer_norm_epsilon"],
            )
        if kind in ("llama", "qwen3"):
            rope = c.get("rope_parameters") or c.get("rope_scaling") or {}
            if rope.get("rope_type", "default") != "default":
                raise FormatError(f"rope_type {rope['rope_type']!r} is not read", where=str(file), key="rope_type")
            return ModelSettings(
                preset=kind,
                vocab_size=c["vocab_size"],
                context=c["max_position_embeddings"],
                layers=c["num_hidden_layers"],
                width=c["hidden_size"],
                heads=c["num_attention_heads"],
                kv_heads=c["num_key_value_heads"],
                head_width=c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"],
                ffn_width=c["intermediate_size"],
                tied=c.get("tie_word_embeddings", False),
                rope_theta=rope.get("rope_theta") or c.get("rope_theta", 10_000.0),
                norm_eps=c["rms_norm_eps"],
            )
    except KeyError as error:
        raise FormatError("the key is missing", where=str(file), key=str(error.args[0])) from error
    raise FormatError(f"model_type {kind!r} is not one of {sorted(_ARCHITECTURES)}", where=str(file), key="model_type")


def _to_hf(model: Transformer) -> dict[str, Tensor]:
    """Tensors under the names that transformers gives them; a tied head is left out."""
    own: dict[str, Tensor] = dict(model.named_parameters())
    if model.settings.is_gpt2:
        return _to_gpt2(own)
    if model.settings.normalise_embedding:
        table = own["embed_tokens.weight"]
        own["embed_tokens.weight"] = F.rms_norm(table, (table.shape[1],), eps=model.settings.norm_eps)
    return {name if name.startswith("lm_head") else f"model.{name}": tensor for name, tensor in own.items()}


def _from_hf(tensors: dict[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    if settings.is_gpt2:
        return _from_gpt2(tensors, settings)
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def _to_gpt2(own: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    top = {"embed_tokens": "transformer.wte", "embed_positions": "transformer.wpe", "norm": "transformer.ln_f"}
    for name, tensor in own.items():
        module, kind = name.rsplit(".", 1)
        if not module.startswith("layers."):
            out[f"{top.get(module, module)}.{kind}"] = tensor
            continue
        _, layer, inner = module.split(".", 2)
        prefix = f"transformer.h.{layer}"
        if inner == "self_attn.q_proj":
            parts = [own[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            out[f"{prefix}.attn.c_attn.{kind}"] = torch.cat(parts).T if kind == "weight" else torch.cat(parts)
        elif inner not in ("self_attn.k_proj", "self_attn.v_proj"):
            out[f"{prefix}.{_GPT2_NAMES[inner]}.{kind}"] = tensor.T if tensor.ndim == 2 else tensor
    return out


def _from_gpt2(tensors: dict[str, Tensor], settings: ModelSettings) -> dict[str, Tensor]:
    names = {theirs: ours for ours, theirs in _GPT2_NAMES.items()}
    top = {"wte": "embed_tokens", "wpe": "embed_positions", "ln_f": "norm"}
    out = {}
    for name, tensor in tensors.items():
        module, kind = name.removeprefix("transformer.").rsplit(".", 1)
        if not module.startswith("h."):
            out[f"{top.get(module, module)}.{kind}"] = tensor
            continue
        _, layer, inner = module.split(".", 2)
        straight = tensor.T.contiguous() if tensor.ndim == 2 else tensor
        if inner == "attn.c_attn":
            for x, part in zip("qkv", straight.split(settings.width), strict=True):
                out[f"layers.{layer}.self_attn.{x}_proj.{kind}"] = part
        else:
            out[f"layers.{layer}.{names.get(inner, inner)}.{kind}"] = straight
    return out


def _is_surplus(name: str, settings: ModelSettings) -> bool:
    tied_head = settings.tied and name == "lm_head.weight"
    return tied_head or name.endswith(("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"))


def _token_text(tokenizer_json: bytes, id: int | None) -> str | None:
    added = json.loads(tokenizer_json).get("added_tokens", [])
    return next((str(token["content"]) for token in added if token["id"] == id), None)


def _write_json(path: Path, value: Any) -> None:
    atomic_write(path, (json.dumps(value, indent=2) + "\n").encode())
