"""The dense decoder: GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023) and Qwen3 (Yang et al. 2025) in one file.

Shapes are in the names: B windows, T tokens, D width, H query heads, K key-value heads, E width of a head, V
vocabulary. Master weights are fp32; matrices are cast to `compute_dtype` where they are used, norms and the loss stay
fp32. Modules are named as transformers names Llama's, so that writing a Hugging Face folder is a renaming at most.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.core.hashing import hash64
from firn.model.config import ModelSettings
from firn.model.objective import next_token_loss

#: Per layer, keys and values [B, K, S, E] of the tokens so far.
Cache = list[tuple[Tensor, Tensor]]


class Linear(nn.Linear):
    """A matrix kept in fp32 and used in the dtype of its input."""

    def reset_parameters(self) -> None:
        """Nothing: torch would draw from the global generator here, time and a hidden seed for nothing."""

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Embedding(nn.Embedding):
    """A table of fp32 rows."""

    def reset_parameters(self) -> None:
        """Nothing, as in Linear."""


class LayerNorm(nn.LayerNorm):
    """LayerNorm in fp32."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in fp32 (Zhang and Sennrich 2019)."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (x.shape[-1],), self.weight, self.eps).to(x.dtype)


def norm(settings: ModelSettings) -> nn.Module:
    """The norm of the settings' shape over the residual stream."""
    kind = LayerNorm if settings.is_gpt2 else RMSNorm
    return kind(settings.width, eps=settings.norm_eps)


def rotation(settings: ModelSettings, positions_T: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, E] of rotary positions (Su et al. 2021), halves repeated as Llama lays them out."""
    size = settings.head_size
    inverse = settings.rope_theta ** -(torch.arange(0, size, 2, device=positions_T.device, dtype=torch.float32) / size)
    angles_TE = torch.outer(positions_T.float(), inverse).repeat(1, 2)
    return angles_TE.cos(), angles_TE.sin()


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    """Turn each pair (e, e + E/2) of a head by its position's angle."""
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_TE + torch.cat((-second, first), dim=-1) * sin_TE


class Attention(nn.Module):
    """Causal attention with grouped queries (Ainslie et al. 2023)."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        self.H, self.K, self.E = settings.heads, settings.key_value_heads, settings.head_size
        bias = settings.is_gpt2
        self.q_proj = Linear(settings.width, self.H * self.E, bias=bias)
        self.k_proj = Linear(settings.width, self.K * self.E, bias=bias)
        self.v_proj = Linear(settings.width, self.K * self.E, bias=bias)
        self.o_proj = Linear(self.H * self.E, settings.width, bias=bias)
        self.q_norm = RMSNorm(self.E, settings.norm_eps) if settings.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.E, settings.norm_eps) if settings.qk_norm else nn.Identity()

    def forward(
        self, x_BTD: Tensor, turn: tuple[Tensor, Tensor] | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Output [B, T, D] and the keys and values of all tokens so far."""
        B, T, _ = x_BTD.shape
        q_BHTE = self.q_norm(self.q_proj(x_BTD).view(B, T, self.H, self.E)).transpose(1, 2)
        k_BKTE = self.k_norm(self.k_proj(x_BTD).view(B, T, self.K, self.E)).transpose(1, 2)
        v_BKTE = self.v_proj(x_BTD).view(B, T, self.K, self.E).transpose(1, 2)
        if turn is not None:
            q_BHTE, k_BKTE = rotate(q_BHTE, *turn), rotate(k_BKTE, *turn)
        if past is not None:
            k_BKTE, v_BKTE = torch.cat((past[0], k_BKTE), dim=2), torch.cat((past[1], v_BKTE), dim=2)
        y_BHTE = F.scaled_dot_product_attention(
            q_BHTE,
            k_BKTE,
            v_BKTE,
            attn_mask=causal_mask(T, k_BKTE.shape[2], x_BTD.device) if past is not None and T > 1 else None,
            is_causal=past is None,
            enable_gqa=self.H != self.K,
        )
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(B, T, self.H * self.E)), (k_BKTE, v_BKTE)


def causal_mask(new: int, total: int, device: torch.device) -> Tensor:
    """[new, total] bool: the last `new` tokens of `total` see themselves and what came before."""
    return torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020), or GPT-2's two matrices with GELU (tanh approximation)."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        D, hidden, bias = settings.width, settings.hidden, settings.is_gpt2
        self.gate_proj = None if settings.is_gpt2 else Linear(D, hidden, bias=bias)
        self.up_proj = Linear(D, hidden, bias=bias)
        self.down_proj = Linear(hidden, D, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        up = self.up_proj(x_BTD)
        hidden = F.gelu(up, approximate="tanh") if self.gate_proj is None else F.silu(self.gate_proj(x_BTD)) * up
        return self.down_proj(hidden)


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        self.input_layernorm = norm(settings)
        self.self_attn = Attention(settings)
        self.post_attention_layernorm = norm(settings)
        self.mlp = FeedForward(settings)

    def forward(
        self, x_BTD: Tensor, turn: tuple[Tensor, Tensor] | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The stream after this block, and this layer's keys and values."""
        y_BTD, present = self.self_attn(self.input_layernorm(x_BTD), turn, past)
        x_BTD = x_BTD + y_BTD
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD)), present


class Transformer(nn.Module):
    """A decoder-only language model. Weights are unset until `init_weights` or a checkpoint sets them."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        if settings.vocab_size < 1:
            raise ValueError("vocab_size is not set: take it from the tokenizer")
        self.settings = settings
        self.compute_dtype = torch.float32
        self.embed_tokens = Embedding(settings.vocab_size, settings.width)
        self.embed_positions = Embedding(settings.context, settings.width) if settings.is_gpt2 else None
        self.layers = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = norm(settings)
        self.lm_head = Linear(settings.width, settings.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Let the head share the embedding table where the settings say so, as it must again after `to_empty`."""
        if self.settings.tied:
            self.lm_head.weight = self.embed_tokens.weight

    def embed(self, tokens_BT: Tensor) -> Tensor:
        """Token embeddings [B, T, D], normalised where the settings say so."""
        x_BTD = self.embed_tokens(tokens_BT)
        if self.settings.normalise_embedding:
            x_BTD = F.rms_norm(x_BTD, (self.settings.width,), eps=self.settings.norm_eps)
        return x_BTD

    def hidden(self, tokens_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """Final normed states [B, T, D]. `cache`, a list, is read and extended in place.

        Raises ValueError where the tokens and those in the cache are more than the context.
        """
        past = cache[0][0].shape[2] if cache else 0
        if past + tokens_BT.shape[1] > self.settings.context:
            raise ValueError(f"{past + tokens_BT.shape[1]} tokens in a context of {self.settings.context}")
        positions_T = torch.arange(past, past + tokens_BT.shape[1], device=tokens_BT.device)
        x_BTD, turn = self.embed(tokens_BT), None
        if self.embed_positions is not None:
            x_BTD = x_BTD + self.embed_positions(positions_T)
        else:
            cos_TE, sin_TE = rotation(self.settings, positions_T)
            turn = cos_TE.to(self.compute_dtype), sin_TE.to(self.compute_dtype)
        x_BTD = x_BTD.to(self.compute_dtype)
        presents: Cache = []
        for index, block in enumerate(self.layers):
            x_BTD, present = block(x_BTD, turn, cache[index] if cache else None)
            presents.append(present)
        if cache is not None:
            cache[:] = presents
        return self.norm(x_BTD)

    def forward(self, tokens_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits [B, T, V], fp32. Pass an empty list as `cache` to start one, and the same list to go on."""
        return self.lm_head(self.hidden(tokens_BT, cache)).float()

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Sum of nats over the targets that are not -1: a scalar. Divide by their number over the whole batch."""
        return next_token_loss(self.hidden(tokens_BT), self.lm_head.weight, targets_BT)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Set every parameter. Each is drawn on the CPU by a generator of its own, seeded with its name, so that
        neither order nor device enters. Works after `to_empty`, too. Raises ValueError for a name without a rule.

        GPT-2: normal(0, 0.02), residual projections divided by sqrt(2 layers) (Radford et al. 2019, 2.3). Llama and
        Qwen3: matrices uniform with variance 1/fan_in, projections into the residual stream zero, so that each block
        begins as the identity (Zhang et al. 2019).
        """
        self.tie()  # `to_empty` gives the head a tensor of its own
        for name, parameter in self.named_parameters():
            generator = torch.Generator().manual_seed(hash64(name.encode(), seed) >> 1)
            parameter.copy_(self._initial(name, torch.empty(parameter.shape), generator))

    def _initial(self, name: str, value: Tensor, generator: torch.Generator) -> Tensor:
        gpt2 = self.settings.is_gpt2
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        if name.endswith(".bias"):
            return value.zero_()
        if name.endswith("norm.weight"):
            return value.fill_(1.0)
        if name.startswith("embed_"):
            return value.normal_(0.0, 0.02 if gpt2 or self.settings.tied else 1.0, generator=generator)
        if gpt2 and name.endswith(("proj.weight", "lm_head.weight")):
            depth = math.sqrt(2 * self.settings.layers) if residual else 1.0
            return value.normal_(0.0, 0.02 / depth, generator=generator)
        if residual:
            return value.zero_()
        if name == "lm_head.weight":
            return value.normal_(0.0, 0.001, generator=generator)
        if name.endswith("proj.weight"):
            bound = math.sqrt(3.0 / value.shape[1])
            return value.uniform_(-bound, bound, generator=generator)
        raise ValueError(f"init_weights has no rule for {name}")

    def num_parameters(self, embeddings: bool = True) -> int:
        """Number of parameters, shared ones once; without the input tables (tokens, positions) if asked."""
        total = sum(parameter.numel() for parameter in self.parameters())
        if embeddings:
            return total
        tables = [self.embed_tokens, self.embed_positions]
        total -= sum(table.weight.numel() for table in tables if table is not None)
        return total + (self.lm_head.weight.numel() if self.settings.tied else 0)

    def flops_per_token(self, context: int | None = None) -> int:
        """Training FLOPs per token, forward and backward: 6 N_matmul + 12 L H E T.

        N_matmul counts the matrices, the head included and the input tables not; attention is counted without the
        causal discount (Chowdhery et al. 2022, appendix B). context: T, default the model's.
        """
        matmul = sum(m.weight.numel() for m in self.modules() if isinstance(m, Linear))
        s = self.settings
        return 6 * matmul + 12 * s.layers * s.heads * s.head_size * (context or s.context)
