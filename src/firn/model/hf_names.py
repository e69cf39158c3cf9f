"""Which tensors of a Hugging Face folder hold which of our parameters.

Llama, Qwen3 and OLMo 2 have our names. GPT-2 keeps q, k and v side by side in one matrix and stores matrices [in, out];
ModernBERT stacks q, k and v, and gate and up. Factors that only we have are folded into the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from firn.model.config import ModelSettings
from firn.model.tensor_files import Made


@dataclass(frozen=True)
class Stored:
    """A stored tensor: our parameters one below the other, transposed where GPT-2 stores [in, out]."""

    name: str
    ours: tuple[str, ...]
    is_transposed: bool = False

    def shape(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Its shape, from those of our parameters."""
        parts = [shapes[name] for name in self.ours]
        shape = (sum(part[0] for part in parts), *parts[0][1:])
        return shape[::-1] if self.is_transposed else shape

    def join(self, own: Mapping[str, Tensor]) -> Tensor:
        """The stored tensor, from our parameters."""
        parts = [own[name] for name in self.ours]
        tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
        return tensor.T if self.is_transposed else tensor

    def split(self, tensor: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Our parameters, from the stored tensor."""
        straight = tensor.T if self.is_transposed else tensor
        parts = straight.split([shapes[name][0] for name in self.ours])
        return dict(zip(self.ours, parts, strict=True))


#: GPT-2's names, by ours.
_GPT2_TOP = {"embed_tokens": "wte", "embed_positions": "wpe", "norm": "ln_f"}
_GPT2_BLOCK = {
    "input_layernorm": "ln_1",
    "self_attn.q_proj": "attn.c_attn",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}


def stored(architecture: str, names: list[str]) -> dict[str, Stored]:
    """The tensors of a folder of this architecture, by name. names: of our parameters, shared ones once."""
    rename = _gpt2 if architecture == "gpt2" else _llama
    return {tensor.name: tensor for tensor in map(rename, names) if tensor is not None}


def _llama(name: str) -> Stored:
    return Stored(name if name.startswith("lm_head") else f"model.{name}", (name,))


def _gpt2(name: str) -> Stored | None:
    module, kind = name.rsplit(".", 1)
    if not module.startswith("layers."):
        return Stored(f"transformer.{_GPT2_TOP[module]}.{kind}" if module in _GPT2_TOP else name, (name,))
    _, layer, inner = module.split(".", 2)
    if inner in ("self_attn.k_proj", "self_attn.v_proj"):
        return None  # with q
    ours = tuple(name.replace("q_proj", f"{x}_proj") for x in "qkv") if inner == "self_attn.q_proj" else (name,)
    is_matrix = kind == "weight" and inner.endswith("proj")
    return Stored(f"transformer.h.{layer}.{_GPT2_BLOCK[inner]}.{kind}", ours, is_matrix)


def folded(name: str, value: Tensor, s: ModelSettings) -> Tensor:
    """The parameter with what only we compute folded into it, so that others compute the same without."""
    if s.normalise_embedding and name == "embed_tokens.weight":
        return F.rms_norm(value, (s.width,), eps=s.norm_eps)
    # What adds to the residual stream last: the norm behind each half of a block, or else its last matrix.
    last = ("post_attention_layernorm", "post_feedforward_layernorm") if s.parts.post_norm else ("o_proj", "down_proj")
    return value * s.residual_scale if name.rsplit(".", 1)[0].endswith(last) else value


def made(tensors: Mapping[str, Stored], own: Mapping[str, Tensor], settings: ModelSettings | None) -> dict[str, Made]:
    """The tensors to be written, each computed when its turn comes."""
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}

    def make(tensor: Stored) -> Tensor:
        parts = {name: own[name] if settings is None else folded(name, own[name], settings) for name in tensor.ours}
        return tensor.join(parts)

    return {name: Made(tensor.shape(shapes), partial(make, tensor)) for name, tensor in tensors.items()}
