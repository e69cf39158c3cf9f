"""Hugging Face folders: written so that transformers, vLLM and llama.cpp open them, and read back.

Only safetensors are read, never pickles, and tensor by tensor: a model is never in memory twice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from firn.core.errors import FormatError
from firn.core.files import atomic_write
from firn.model.hf_config import MAX_LAYERS, architecture, read_config, to_config, unexportable
from firn.model.hf_names import Stored, made, stored
from firn.model.speedrun import build
from firn.model.tensor_files import TensorFiles, write_tensors
from firn.model.transformer import Transformer

#: Largest file of weights: what transformers writes by default.
SHARD_BYTES = 5 * 10**9

#: Buffers that older writers stored and everyone computes.
_BUFFERS = ("rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


def save(
    model: Transformer,
    folder: str | Path,
    tokenizer_json: bytes | None = None,
    card: str | None = None,
    *,
    end_of_text: int | None = None,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write config.json, the weights, generation_config.json, and tokenizer and README.md where given.

    end_of_text: the token id that ends a document, and so begins and ends a text for those who read the folder.
    dtype: fp32, bf16 or fp16. shard_bytes: largest file of weights; a larger model is several files and an index.
    What only we compute (a normalised embedding, a residual scale) is folded into the weights, so that `load` gives a
    model that computes the same without. A shape that transformers does not compute is written under our own names,
    config.json says why, and only `load` reads it. Each file is whole or absent at any moment; the weights come first.
    Raises StoreError.
    """
    folder, s = Path(folder), model.settings
    own = dict(model.named_parameters())
    if unexportable(s) is None:
        tensors = made(stored(architecture(s), list(own)), own, s)
    else:
        tensors = made(_own(own), own, None)
    with torch.no_grad():
        write_tensors(folder, tensors, dtype, shard_bytes)
    config = to_config(s, str(dtype).removeprefix("torch."))
    special = {} if end_of_text is None else {"bos_token": end_of_text, "eos_token": end_of_text}
    write_beside(folder, config, tokenizer_json, card, special, s.context)
    ids = {f"{name}_id": id for name, id in special.items()}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **ids})


def write_beside(
    folder: Path,
    config: dict[str, Any],
    tokenizer_json: bytes | None,
    card: str | None,
    special: dict[str, int],
    context: int,
) -> None:
    """What lies beside the weights: config.json, tokenizer, model card. Raises StoreError.

    special: token ids by the names that transformers gives such tokens ("eos_token").
    """
    write_json(folder / "config.json", {**config, **{f"{name}_id": id for name, id in special.items()}})
    if tokenizer_json is not None:
        atomic_write(folder / "tokenizer.json", tokenizer_json)
        added = {token["id"]: token["content"] for token in json.loads(tokenizer_json).get("added_tokens", [])}
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": context,
                "clean_up_tokenization_spaces": False,
                **{name: added[id] for name, id in special.items() if id in added},
            },
        )
    if card is not None:
        atomic_write(folder / "README.md", card.encode())


def load(folder: str | Path) -> Transformer:
    """The model of a folder, in fp32. Raises FormatError naming the file and the key or tensor that does not fit.

    The folder may come from anywhere: no memory is taken for weights that its files do not hold.
    """
    folder = Path(folder)
    config = folder / "config.json"
    kind, settings = read_config(config)
    files = TensorFiles(folder)
    check_layers(settings.layers, len(files.entries), config)
    try:
        with torch.device("meta"):
            model = build(settings)
    except (RuntimeError, OverflowError, TypeError) as error:  # what torch makes of sizes beyond all memory
        raise FormatError("describes a model that cannot be", where=str(config)) from error
    _fill(model, files, kind)
    model.tie()
    return model


def load_into(model: Transformer, folder: str | Path) -> None:
    """Set the parameters of a model, wherever they lie, to those of a folder of its shape. Raises FormatError as `load`
    does."""
    kind, _ = read_config(Path(folder) / "config.json")
    _fill(model, TensorFiles(Path(folder)), kind)


def _fill(model: Transformer, files: TensorFiles, kind: str | None) -> None:
    names = [name for name, _ in model.named_parameters()]
    tensors = _own(names) if kind is None else stored(kind, names)
    fill(model, files, tensors, shared={"lm_head.weight": "embed_tokens.weight"} if model.settings.tied else {})


def check_layers(layers: int, tensors: int, config: Path) -> None:
    """Raises FormatError where there are more layers than tensors, before anything is built for them."""
    if layers > min(tensors, MAX_LAYERS):
        raise FormatError(
            f"{layers} layers, but {tensors} tensors beside it", where=str(config), key="num_hidden_layers"
        )


def fill(model: nn.Module, files: TensorFiles, tensors: dict[str, Stored], shared: dict[str, str]) -> None:
    """Set a model from files; one on the meta device is given memory on the CPU. Nothing is read before all fits.

    shared: stored tensors that need not be there, and the parameter whose values they have where they are.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found: dict[str, str] = {}
    for name, entry in files.entries.items():
        # Folders of a model without its head leave the first part of the names out.
        full = next((n for n in (name, f"model.{name}", f"transformer.{name}") if n in tensors), None)
        if full is None:
            if name in shared:
                files.check(name, shapes[shared[name]])
                continue
            if name.endswith(_BUFFERS):
                continue
            raise FormatError("unexpected tensor", where=str(entry.file), key=name)
        if full in found:
            raise FormatError(f"the tensor is there as {found[full]}, too", where=str(entry.file), key=name)
        files.check(name, tensors[full].shape(shapes))
        found[full] = name
    for full in tensors:
        if full not in found:
            raise FormatError("the tensor is missing", where=str(next(iter(files.entries.values())).file), key=full)
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device="cpu")
    parameters: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for full, name in found.items():
            for own, value in tensors[full].split(files.read(name), shapes).items():
                parameters[own].copy_(value)
        for name, own in shared.items():
            if name in files.entries and not torch.equal(files.read(name).to(parameters[own]), parameters[own]):
                problem = "the tensor is another than the embedding, which config.json says it shares"
                raise FormatError(problem, where=str(files.entries[name].file), key=name)


def _own(names: Any) -> dict[str, Stored]:
    return {name: Stored(name, (name,)) for name in names}


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read, whole or not at all. Raises StoreError."""
    atomic_write(path, (json.dumps(value, indent=2) + "\n").encode())
