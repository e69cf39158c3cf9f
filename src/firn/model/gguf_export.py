"""GGUF files, which llama.cpp and what is built on it open: written from a model and its tokenizer.

Shapes: GPT-2, and Llama, Qwen3 and OLMo 2 as llama.cpp computes them. Needs the `gguf` package (`firn[gguf]`).
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from firn.core.errors import RecipeError
from firn.core.files import store_error, sync_folder
from firn.model.config import PARTS, ModelSettings
from firn.model.hf_config import architecture, unexportable
from firn.model.hf_names import folded
from firn.model.rope import frequencies
from firn.model.transformer import Transformer
from firn.tokens import splitting
from firn.tokens.tokenizer import Tokenizer, split_pattern

_TOP = {"embed_tokens": "token_embd", "embed_positions": "position_embd", "norm": "output_norm", "lm_head": "output"}
_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

#: llama.cpp's names of split patterns; smaug-bpe is Llama 3's without its habit of looking up whole words first.
_SPLITS = {splitting.GPT2: "gpt-2", splitting.pattern(1): "qwen2", splitting.pattern(3): "smaug-bpe"}
_NORMAL, _CONTROL, _UNUSED = 1, 3, 5


def save_gguf(
    model: Transformer,
    file: str | Path,
    tokenizer_json: bytes,
    *,
    end_of_text: int,
    name: str = "firn",
    dtype: Literal["f32", "f16", "bf16"] = "f16",
) -> None:
    """Write one GGUF file, tensor by tensor; it is whole or absent at any moment.

    tokenizer_json: a byte-level BPE. end_of_text: the id that ends a document; llama.cpp puts it before a text. name:
    what the file calls the model. dtype: of matrices; vectors are fp32.
    Raises RecipeError for a shape or tokenizer that llama.cpp does not have, or where `gguf` is missing; StoreError.
    """
    try:
        import gguf
    except ImportError as error:
        raise RecipeError("GGUF files need the gguf package", mend="pip install 'firn[gguf]'") from error
    s, file = model.settings, Path(file)
    kind = architecture(s)
    if (problem := unexportable(s) or _unlike_llama_cpp(s)) is not None:
        raise RecipeError(problem, key="model", mend="a GGUF file needs a shape that llama.cpp computes")
    writer = gguf.GGUFWriter(None, kind)
    writer.add_name(name)
    writer.add_file_type({"f32": 0, "f16": 1, "bf16": 32}[dtype])  # llama_ftype
    _add_shape(writer, s)
    _add_tokenizer(writer, tokenizer_json, s.vocab_size, end_of_text)
    matrices = gguf.GGMLQuantizationType[dtype.upper()]
    tensors = _tensors(dict(model.named_parameters()), s)
    for theirs, tensor in tensors.items():
        kept = gguf.GGMLQuantizationType.F32 if tensor.is_vector else matrices
        size = int(torch.Size(tensor.shape).numel()) * (4 if kept == gguf.GGMLQuantizationType.F32 else 2)
        # The dtype of numpy says nothing where the kind is given.
        writer.add_tensor_info(theirs, tensor.shape, np.dtype(np.float16), size, kept)
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(6)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        writer.write_header_to_file(temporary)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors.values():
            writer.write_tensor_data(_array(tensor, dtype))
        for stream in writer.fout or ():
            stream.flush()
            os.fsync(stream.fileno())
        writer.close()
        os.replace(temporary, file)
        sync_folder(str(file.parent))
    except OSError as error:
        raise store_error(error, str(file)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unlike_llama_cpp(s: ModelSettings) -> str | None:
    """What transformers computes and llama.cpp does not; None where both compute the same."""
    kind = architecture(s)
    if s.parts.activation != PARTS[kind].activation:
        return f"llama.cpp's {kind} has {PARTS[kind].activation} between its matrices, not {s.parts.activation}"
    if kind in ("qwen3", "olmo2") and s.parts.attention_bias:
        return f"llama.cpp's {kind} has no biases"
    return f"llama.cpp's {kind} has no sliding windows" if any(s.windows) else None


def _add_shape(writer: Any, s: ModelSettings) -> None:
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.width)
    writer.add_block_count(s.layers)
    writer.add_feed_forward_length(s.hidden)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.key_value_heads)
    writer.add_vocab_size(s.vocab_size)
    if s.learned_positions:
        writer.add_layer_norm_eps(s.norm_eps)
        return
    writer.add_layer_norm_rms_eps(s.norm_eps)
    writer.add_key_length(s.head_size)
    writer.add_value_length(s.head_size)
    writer.add_rope_dimension_count(s.head_size)
    writer.add_rope_freq_base(s.rope_theta)
    if s.rope_scaling is not None and s.rope_scaling.kind == "yarn":
        scaling = s.rope_scaling
        writer.add_string(f"{writer.arch}.rope.scaling.type", "yarn")
        writer.add_rope_scaling_factor(scaling.factor)
        writer.add_rope_scaling_orig_ctx_len(scaling.original_context)
        writer.add_rope_scaling_yarn_beta_fast(scaling.beta_fast)
        writer.add_rope_scaling_yarn_beta_slow(scaling.beta_slow)
        if scaling.attention_factor is not None:
            # llama.cpp multiplies its own 0.1 ln(factor) + 1 by this.
            writer.add_rope_scaling_attn_factors(scaling.attention_factor / (0.1 * math.log(scaling.factor) + 1))


class _Tensor(NamedTuple):
    """shape: as numpy has it. is_vector: kept in fp32. make: the values."""

    shape: tuple[int, ...]
    is_vector: bool
    make: Callable[[], Tensor]


def _tensors(own: dict[str, Tensor], s: ModelSettings) -> dict[str, _Tensor]:
    """By llama.cpp's names, in the order of ours."""
    kind, found = architecture(s), {}
    if s.rope_scaling is not None and s.rope_scaling.kind == "llama3":
        plain, slowed = (frequencies(s.head_size, s.rope_theta, scaling)[0] for scaling in (None, s.rope_scaling))
        found["rope_freqs.weight"] = _Tensor((s.head_size // 2,), True, lambda: plain / slowed)
    for name, value in own.items():
        module, part = name.rsplit(".", 1)
        if not module.startswith("layers."):
            found[f"{_TOP[module]}.{part}"] = _one(name, value, s)
            continue
        _, layer, inner = module.split(".", 2)
        theirs = f"blk.{layer}.{_BLOCK[inner]}.{part}"
        if kind == "gpt2" and inner in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
            if inner == "self_attn.q_proj":
                three = [own[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
                shape = (3 * value.shape[0], *value.shape[1:])
                found[f"blk.{layer}.attn_qkv.{part}"] = _Tensor(shape, part == "bias", partial(torch.cat, three))
        elif kind == "llama" and inner in ("self_attn.q_proj", "self_attn.k_proj"):
            make = partial(_interleaved, value, s.heads if inner == "self_attn.q_proj" else s.key_value_heads)
            found[theirs] = _Tensor(tuple(value.shape), value.ndim == 1, make)
        elif kind == "olmo2" and inner == "post_attention_layernorm":
            found[f"blk.{layer}.post_attention_norm.{part}"] = _one(name, value, s)
        else:
            found[theirs] = _one(name, value, s)
    return found


def _one(name: str, value: Tensor, s: ModelSettings) -> _Tensor:
    # llama.cpp adds positions in fp32.
    is_vector = value.ndim == 1 or name.startswith("embed_positions")
    return _Tensor(tuple(value.shape), is_vector, partial(folded, name, value, s))


def _interleaved(value: Tensor, heads: int) -> Tensor:
    """Rows of q or k in the order of llama.cpp's Llama, which turns neighbours (2e, 2e + 1) and not halves."""
    return value.view(heads, 2, -1, *value.shape[1:]).transpose(1, 2).reshape(value.shape)


def _array(tensor: _Tensor, dtype: str) -> Any:
    with torch.no_grad():
        value = tensor.make().detach().float().cpu()
        if tensor.is_vector or dtype == "f32":
            return value.contiguous().numpy()
        half = value.to(torch.float16 if dtype == "f16" else torch.bfloat16).contiguous()
        return half.view(torch.int16).numpy()


def _add_tokenizer(writer: Any, tokenizer_json: bytes, vocab_size: int, end_of_text: int) -> None:
    tokenizer = Tokenizer(tokenizer_json)  # raises FormatError unless it is a byte-level BPE
    spec = json.loads(tokenizer_json)
    model, pattern = spec["model"], split_pattern(spec)
    split = _SPLITS.get(pattern or "")
    if split is None:
        raise RecipeError(
            "llama.cpp has no name for the way in which this tokenizer cuts text",
            where="tokenizer.json",
            mend="train the tokenizer with digits one at a time or in groups of three",
        )
    if tokenizer.vocab_size > vocab_size:
        problem = f"the tokenizer has {tokenizer.vocab_size} tokens, the model {vocab_size}"
        raise RecipeError(problem, where="tokenizer.json", mend="give the tokenizer that the model was trained with")
    # llama.cpp wants a token for each row of the table.
    texts, types = [f"[PAD{id}]" for id in range(vocab_size)], [_UNUSED] * vocab_size
    for text, id in model["vocab"].items():
        texts[id], types[id] = text, _NORMAL
    for text, id in tokenizer.special_tokens.items():
        texts[id], types[id] = text, _CONTROL
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    writer.add_tokenizer_model("gpt2")  # byte-level BPE
    writer.add_tokenizer_pre("llama-bpe" if split == "smaug-bpe" and model.get("ignore_merges") else split)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end_of_text)
    writer.add_eos_token_id(end_of_text)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
