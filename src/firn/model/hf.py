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
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor

from firn.core.errors import FormatError
from firn.core.files import atomic_write
from firn.model.config import ModelSettings
from firn.model.hf_config import read_config, to_config
from firn.model.transformer import Transformer

#: GPT-2's names, by ours. Matrices are stored [in, out]; q, k and v side by side.
_GPT2_TOP = {"embed_tokens": "transformer.wte", "embed_positions": "transformer.wpe", "norm": "transformer.ln_f"}
_GPT2_NAMES = {
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}

#: Buffers that older writers stored and everyone computes.
_BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


def save(
    model: Transformer,
    folder: str | Path,
    tokenizer_json: bytes | None = None,
    card: str | None = None,
    *,
    end_of_text: int | None = None,
) -> None:
    """Write config.json, model.safetensors (fp32), generation_config.json, and tokenizer and README.md where given.

    end_of_text: the token id that ends a document, and so begins and ends a text for those who read the folder.
    A normalised embedding is folded into its table, so that `load` gives a model that computes the same without the
    norm. Each file is whole or absent at any moment; the weights come first. Raises StoreError.
    """
    folder = Path(folder)
    with torch.no_grad():
        tensors = {name: tensor.cpu().float().contiguous() for name, tensor in _to_hf(model).items()}
    atomic_write(folder / "model.safetensors", save_tensors(tensors, metadata={"format": "pt"}))
    special = {} if end_of_text is None else {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    _write_json(folder / "config.json", {**to_config(model.settings), **special})
    _write_json(folder / "generation_config.json", {"_from_model_config": True, **special})
    if tokenizer_json is not None:
        atomic_write(folder / "tokenizer.json", tokenizer_json)
        text = _token_text(tokenizer_json, end_of_text)
        named = {} if text is None else {"bos_token": text, "eos_token": text}
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
    """The model of a folder, in fp32. Raises FormatError naming the file and the key or tensor that does not fit.

    The folder may come from anywhere: no memory is taken for weights that its files do not hold.
    """
    folder = Path(folder)
    settings = read_config(folder / "config.json")
    tensors, files = _read(folder)
    if settings.layers > len(tensors):
        raise FormatError(
            f"{settings.layers} layers, but {len(tensors)} tensors beside it",
            where=str(folder / "config.json"),
            key="num_hidden_layers",
        )
    try:
        with torch.device("meta"):
            model = Transformer(settings)
    except (RuntimeError, OverflowError, TypeError) as error:  # what torch makes of sizes beyond all memory
        raise FormatError("describes a model that cannot be", where=str(folder / "config.json")) from error
    wanted = _to_hf(model)
    found = {}
    for name, tensor in tensors.items():
        # Folders of a model without its head leave the first part of the names out.
        full = next((n for n in (name, f"model.{name}", f"transformer.{name}") if n in wanted), None)
        if full is not None:
            _check(tensor, wanted[full], files[name], name)
            found[full] = tensor
        elif not name.endswith(_BUFFERS) and not (settings.tied and name == "lm_head.weight"):
            raise FormatError("unexpected tensor", where=str(files[name]), key=name)
    for name in wanted:
        if name not in found:
            raise FormatError("the tensor is missing", where=str(next(iter(files.values()))), key=name)
    model.to_empty(device="cpu").tie()
    with torch.no_grad():
        own = _from_hf(found, settings)
        for name, parameter in model.named_parameters():
            parameter.copy_(own[name])
    return model


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Path]]:
    """Tensors by name, and the file that each came from: model.safetensors, or the files that its index names."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.exists():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"is not an index of tensors: {error}", where=str(index)) from error
        for name in names:
            if not isinstance(name, str) or name != Path(name).name:
                raise FormatError(f"names a file outside its folder: {name!r}", where=str(index), key="weight_map")
    tensors: dict[str, Tensor] = {}
    files: dict[str, Path] = {}
    for name in names:
        file = folder / name
        try:
            part = load_file(file)
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror or error}", where=str(file)) from error
        except SafetensorError as error:
            raise FormatError(f"is not a safetensors file: {error}", where=str(file)) from error
        tensors |= part
        files |= dict.fromkeys(part, file)
    if not tensors:
        raise FormatError("holds no tensors", where=str(folder / names[0]) if names else str(index))
    return tensors, files


def _check(tensor: Tensor, wanted: Tensor, file: Path, name: str) -> None:
    if tensor.shape != wanted.shape:
        shapes = f"{list(tensor.shape)}, config.json says {list(wanted.shape)}"
        raise FormatError(f"the tensor has shape {shapes}", where=str(file), key=name)
    if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise FormatError(f"the tensor is quantised or no number: {tensor.dtype}", where=str(file), key=name)


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
    for name, tensor in own.items():
        module, kind = name.rsplit(".", 1)
        if not module.startswith("layers."):
            out[f"{_GPT2_TOP.get(module, module)}.{kind}"] = tensor
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
    top = {theirs: ours for ours, theirs in _GPT2_TOP.items()}
    names = {theirs: ours for ours, theirs in _GPT2_NAMES.items()}
    out = {}
    for name, tensor in tensors.items():
        module, kind = name.rsplit(".", 1)
        if not module.startswith("transformer.h."):
            out[f"{top.get(module, module)}.{kind}"] = tensor
            continue
        layer, inner = module.removeprefix("transformer.h.").split(".", 1)
        straight = tensor.T if tensor.ndim == 2 else tensor
        if inner == "attn.c_attn":
            for x, part in zip("qkv", straight.split(settings.width), strict=True):
                out[f"layers.{layer}.self_attn.{x}_proj.{kind}"] = part
        else:
            out[f"layers.{layer}.{names[inner]}.{kind}"] = straight
    return out


def _token_text(tokenizer_json: bytes, id: int | None) -> str | None:
    added = json.loads(tokenizer_json).get("added_tokens", [])
    return next((str(token["content"]) for token in added if token["id"] == id), None)


def _write_json(path: Path, value: Any) -> None:
    atomic_write(path, (json.dumps(value, indent=2) + "\n").encode())
