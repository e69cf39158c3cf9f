"""Other people's models and their training, for the benchmarks beside this file.

`plain_gpt2` is written here, in nanoGPT's way: learned positions, pre-norm blocks without biases, GELU, embeddings tied
to the head. `transformers` and litgpt are the libraries; litgpt is left out where it is not installed (it wants a torch
of its own choice: `pip install --no-deps --target FOLDER litgpt lightning lightning_utilities torchmetrics`, and
PYTHONPATH=FOLDER).
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Precision = Literal["fp32", "autocast", "bf16"]


@dataclass(frozen=True)
class Size:
    """Of a model. hidden: width of a Llama's feed-forward layer; GPT-2's is 4 width."""

    layers: int
    width: int
    heads: int
    window: int
    vocabulary: int
    hidden: int = 0


class PlainBlock(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm."""

    def __init__(self, size: Size):
        super().__init__()
        D = size.width
        self.heads = size.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(D, bias=False), nn.LayerNorm(D, bias=False)
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 4 * D, bias=False), nn.Linear(4 * D, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        B, T, D = x.shape
        q, k, v = self.qkv(self.before_attention(x)).view(B, T, 3, self.heads, D // self.heads).unbind(2)
        y = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)), is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, D))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class PlainGPT2(nn.Module):
    """Logits of token ids."""

    def __init__(self, size: Size):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(size.vocabulary, size.width), nn.Embedding(size.window, size.width)
        self.blocks = nn.Sequential(*(PlainBlock(size) for _ in range(size.layers)))
        self.norm, self.head = nn.LayerNorm(size.width, bias=False), nn.Linear(size.width, size.vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * size.layers) if last else 0.02)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, T] -> [B, T, V]."""
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1], device=inputs.device))
        return self.head(self.norm(self.blocks(x)))


class Trained:
    """A model under AdamW as nanoGPT has it: betas (0.9, beta2), decay 0.1 on matrices, gradients clipped at 1, a
    warm-up and a cosine down to a tenth.

    logits: of the model; None: the model itself. compiled: by torch.compile, as a whole.
    """

    def __init__(
        self,
        model: nn.Module,
        logits: Callable[[Tensor], Tensor] | None = None,
        *,
        steps: int = 1000,
        rate: float = 1e-3,
        warmup: int = 50,
        beta2: float = 0.95,
        precision: Precision = "fp32",
        compiled: bool = False,
    ):
        self.model, self.steps, self.rate, self.warmup, self.step_number = model, steps, rate, warmup, 0
        self.precision = precision
        if precision == "bf16":
            model.bfloat16()
        call = logits or model
        self.logits = torch.compile(call, dynamic=False) if compiled else call
        parameters = list(model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        is_fused = parameters[0].is_cuda  # nanoGPT's rule
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, beta2), fused=is_fused)

    def num_parameters(self) -> int:
        """Shared ones once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def loss(self, inputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
        """Nats per target, or their sum."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "autocast"):
            logits = self.logits(inputs)
            return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction=reduction)

    def step(self, inputs: Tensor, targets: Tensor) -> None:
        """One update."""
        done = min(1.0, max(0.0, (self.step_number - self.warmup) / max(1, self.steps - self.warmup)))
        factor = min(1.0, (self.step_number + 1) / (self.warmup + 1)) * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self.loss(inputs, targets).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step_number += 1


def plain_gpt2(size: Size, device: str = "cpu", **how: object) -> Trained:
    """A GPT-2 as nanoGPT has it. how: of `Trained`."""
    torch.manual_seed(0)
    return Trained(PlainGPT2(size).to(device), **how)  # type: ignore[arg-type]


def transformers_gpt2(size: Size, device: str = "cpu", **how: object) -> Trained:
    """transformers' GPT2LMHeadModel without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "bos_token_id": 0, "eos_token_id": 0}
    shape = {"n_positions": size.window, "n_embd": size.width, "n_layer": size.layers, "n_head": size.heads}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=size.vocabulary, **shape, **none)).to(device)
    return Trained(model, lambda inputs: model(input_ids=inputs).logits, **how)  # type: ignore[arg-type]


def transformers_llama(size: Size, device: str = "cpu", **how: object) -> Trained:
    """transformers' LlamaForCausalLM, head and embedding apart."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=size.window,
    )
    model = LlamaForCausalLM(config).to(device)
    return Trained(model, lambda inputs: model(input_ids=inputs).logits, **how)  # type: ignore[arg-type]


def litgpt_llama(size: Size, device: str = "cpu", **how: object) -> Trained | None:
    """litgpt's model in Llama's shape; None where litgpt is not installed."""
    if importlib.util.find_spec("litgpt") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from litgpt import GPT, Config
    torch.manual_seed(0)
    config = Config(
        block_size=size.window,
        vocab_size=size.vocabulary,
        padded_vocab_size=size.vocabulary,
        n_layer=size.layers,
        n_head=size.heads,
        n_embd=size.width,
        intermediate_size=size.hidden,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
    )
    return Trained(GPT(config).to(device), **how)  # type: ignore[arg-type]
