"""The dense decoder: GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023), Qwen3 (Yang et al. 2025) and OLMo 2
(Walsh et al. 2025) in one file.

Shapes are in the names: B windows, T tokens, D width, H query heads, K key-value heads, E width of a head, V
vocabulary. Master weights are fp32; matrices are cast to `compute_dtype` where they are used, norms and the loss stay
fp32. Modules are named as transformers names Llama's, so that writing a Hugging Face folder is a renaming at most.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.model.attention import Cache, Documents, KeysValues, Mask, attend
from firn.model.config import ModelSettings
from firn.model.layers import ACTIVATIONS, Embedding, LayerNorm, Linear, RMSNorm, initialise
from firn.model.objective import Losses, softcapped, token_losses
from firn.model.rope import Turn, rotate, rotation


def norm(settings: ModelSettings) -> nn.Module:
    """The norm of the settings' shape over the residual stream."""
    kind = LayerNorm if settings.parts.norm == "layer" else RMSNorm
    return kind(settings.width, eps=settings.norm_eps)


class Attention(nn.Module):
    """Causal attention with grouped queries (Ainslie et al. 2023), over a sliding window where the layer has one."""

    def __init__(self, settings: ModelSettings, layer: int):
        super().__init__()
        self.H, self.K, self.E = settings.heads, settings.key_value_heads, settings.head_size
        self.before = settings.window(layer) - 1 if settings.window(layer) else None
        self.softcap = settings.attention_softcap
        bias, kind = settings.parts.attention_bias, settings.parts.qk_norm
        self.q_proj = Linear(settings.width, self.H * self.E, bias=bias)
        self.k_proj = Linear(settings.width, self.K * self.E, bias=bias)
        self.v_proj = Linear(settings.width, self.K * self.E, bias=bias)
        self.o_proj = Linear(self.H * self.E, settings.width, bias=bias)
        # QK-norm (Henry et al. 2020): over each head, or over all heads at once.
        self.q_width, self.k_width = (self.H * self.E, self.K * self.E) if kind == "all" else (self.E, self.E)
        self.q_norm = nn.Identity() if kind == "none" else RMSNorm(self.q_width, settings.norm_eps)
        self.k_norm = nn.Identity() if kind == "none" else RMSNorm(self.k_width, settings.norm_eps)

    def forward(
        self, x_BTD: Tensor, turn: Turn | None, past: KeysValues | None = None, documents: Documents | None = None
    ) -> Tensor:
        """[B, T, D] -> [B, T, D]. turn: of queries and keys, where positions are rotary. past: read and extended."""
        B, T, _ = x_BTD.shape
        q_BTHE = self.q_norm(self.q_proj(x_BTD).view(B, T, -1, self.q_width)).view(B, T, self.H, self.E)
        k_BTKE = self.k_norm(self.k_proj(x_BTD).view(B, T, -1, self.k_width)).view(B, T, self.K, self.E)
        v_BTKE = self.v_proj(x_BTD).view(B, T, self.K, self.E)
        q_BHTE, k_BKTE, v_BKTE = (x.transpose(1, 2) for x in (q_BTHE, k_BTKE, v_BTKE))
        if turn is not None:
            q_BHTE, k_BKTE = rotate(q_BHTE, turn), rotate(k_BKTE, turn)
        k_BKSE, v_BKSE = (k_BKTE, v_BKTE) if past is None else past.extend(k_BKTE, v_BKTE)
        y_BHTE = attend(q_BHTE, k_BKSE, v_BKSE, Mask(before=self.before, documents=documents), self.softcap)
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(B, T, self.H * self.E))


class FeedForward(nn.Module):
    """Two matrices with an activation between them, or three with a gate (SwiGLU, GeGLU: Shazeer 2020)."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        D, hidden, bias = settings.width, settings.hidden, settings.parts.ffn_bias
        self.activation = ACTIVATIONS[settings.parts.activation]
        self.gate_proj = Linear(D, hidden, bias=bias) if settings.is_gated else None
        self.up_proj = Linear(D, hidden, bias=bias)
        self.down_proj = Linear(hidden, D, bias=bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        up = self.up_proj(x_BTD)
        hidden = self.activation(up) if self.gate_proj is None else self.activation(self.gate_proj(x_BTD)) * up
        return self.down_proj(hidden)


class Block(nn.Module):
    """Attention and feed-forward, added to the residual stream; a norm before each, or behind each (OLMo 2)."""

    def __init__(self, settings: ModelSettings, layer: int):
        super().__init__()
        self.scale = settings.residual_scale
        # The names are transformers': what stands behind attention is in one shape its own norm, in the other the next.
        self.input_layernorm = None if settings.parts.post_norm else norm(settings)
        self.self_attn = Attention(settings, layer)
        self.post_attention_layernorm = norm(settings)
        self.mlp = FeedForward(settings)
        self.post_feedforward_layernorm = norm(settings) if settings.parts.post_norm else None

    def forward(
        self, x_BTD: Tensor, turn: Turn | None, past: KeysValues | None = None, documents: Documents | None = None
    ) -> Tensor:
        """The stream [B, T, D] after this block."""
        if self.input_layernorm is not None:
            x_BTD = self.add(x_BTD, self.self_attn(self.input_layernorm(x_BTD), turn, past, documents))
            return self.add(x_BTD, self.mlp(self.post_attention_layernorm(x_BTD)))
        assert self.post_feedforward_layernorm is not None
        x_BTD = self.add(x_BTD, self.post_attention_layernorm(self.self_attn(x_BTD, turn, past, documents)))
        return self.add(x_BTD, self.post_feedforward_layernorm(self.mlp(x_BTD)))

    def add(self, x_BTD: Tensor, y_BTD: Tensor) -> Tensor:
        """x + scale y."""
        return x_BTD + y_BTD if self.scale == 1.0 else x_BTD + self.scale * y_BTD


class Transformer(nn.Module):
    """A decoder-only language model. Weights are unset until `init_weights` or a checkpoint sets them."""

    def __init__(self, settings: ModelSettings):
        super().__init__()
        if settings.vocab_size < 1:
            raise ValueError("vocab_size is not set: take it from the tokenizer")
        self.settings = settings
        self.compute_dtype = torch.float32
        self.embed_tokens = Embedding(settings.vocab_size, settings.width)
        self.embed_positions = Embedding(settings.context, settings.width) if settings.learned_positions else None
        self.layers = nn.ModuleList(Block(settings, layer) for layer in range(settings.layers))
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

    def hidden(self, tokens_BT: Tensor, cache: Cache | None = None, documents: Documents | None = None) -> Tensor:
        """Final normed states [B, T, D]. `cache`, a list, is read and extended in place.

        documents: each is read as if it stood alone; None: a window is one text.
        Raises ValueError where the tokens and those in the cache are more than the context.
        """
        past = len(cache[0]) if cache else 0
        s, T = self.settings, tokens_BT.shape[1]
        if past + T > s.context:
            raise ValueError(f"{past + T} tokens in a context of {s.context}")
        positions_T = torch.arange(past, past + T, device=tokens_BT.device)
        x_BTD, turn = self.embed(tokens_BT), None
        if self.embed_positions is not None:
            # Rotated queries and keys know distances alone; a table of positions begins anew with each document.
            places = positions_T if documents is None else documents.positions(tokens_BT.device)
            x_BTD = x_BTD + self.embed_positions(places)
        else:
            cos_TE, sin_TE = rotation(positions_T, s.head_size, s.rope_theta, s.rope_scaling)
            turn = cos_TE.to(self.compute_dtype), sin_TE.to(self.compute_dtype)
        x_BTD = x_BTD.to(self.compute_dtype)
        if cache is not None and not cache:
            cache.extend(KeysValues() for _ in self.layers)
        for index, block in enumerate(self.layers):
            x_BTD = block(x_BTD, turn, cache[index] if cache else None, documents)
        return self.norm(x_BTD)

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """Logits [B, T, V], fp32, of final states."""
        return softcapped(self.lm_head(hidden_BTD).float(), self.settings.logit_softcap)

    def forward(self, tokens_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits [B, T, V], fp32. Pass an empty list as `cache` to start one, and the same list to go on."""
        return self.logits(self.hidden(tokens_BT, cache))

    def losses(self, tokens_BT: Tensor, targets_BT: Tensor, documents: Documents | None = None) -> Losses:
        """What to minimise, and the nats of every target; -1 where nothing is to be predicted."""
        s = self.settings
        hidden_BTD = self.hidden(tokens_BT, documents=documents)
        return token_losses(hidden_BTD, self.lm_head.weight, targets_BT, softcap=s.logit_softcap, z_loss=s.z_loss)

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor, documents: Documents | None = None) -> Tensor:
        """Sum of nats over the targets that are not -1: a scalar. Divide by their number over the whole batch."""
        return self.losses(tokens_BT, targets_BT, documents).total

    def init_weights(self, seed: int) -> None:
        """Set every parameter by a generator of its own, seeded with its name (`layers.initialise`). Works after
        `to_empty`, too. Raises ValueError for a name without a rule, and for a model still on the meta device.

        GPT-2: normal(0, 0.02), residual projections divided by sqrt(2 layers) (Radford et al. 2019, 2.3). Llama and
        Qwen3: matrices uniform with variance 1/fan_in, projections into the residual stream zero, so that each block
        begins as the identity (Zhang et al. 2019). OLMo 2: normal(0, 0.02) (Walsh et al. 2025, 3.2); with the norm
        behind them, zero matrices would get gradients of 1 / sqrt(eps). With a reference width, variances of matrices
        go as 1 / width, that of the head as 1 / width^2 (Yang et al. 2022, table 3).
        """
        self.tie()  # `to_empty` gives the head a tensor of its own
        initialise(self, self._initial, seed)

    def _initial(self, name: str, value: Tensor, generator: torch.Generator) -> Tensor | None:
        s = self.settings
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        if name.endswith(".bias"):
            return value.zero_()
        if name.endswith("norm.weight"):
            return value.fill_(1.0)
        if s.preset in ("gpt2", "olmo2") or s.parts.post_norm:
            depth = math.sqrt(2 * s.layers) if residual and not s.parts.post_norm else 1.0
            if name.startswith("embed_"):
                return value.normal_(0.0, 0.02, generator=generator)
            if name == "lm_head.weight":
                return value.normal_(0.0, 0.02 * s.narrowing, generator=generator)
            if name.endswith("proj.weight"):
                return value.normal_(0.0, 0.02 / depth * math.sqrt(s.narrowing), generator=generator)
            return None
        if name.startswith("embed_"):
            return value.normal_(0.0, 0.02 if s.tied else 1.0, generator=generator)
        if residual:
            return value.zero_()
        if name == "lm_head.weight":
            return value.normal_(0.0, 0.001 * s.narrowing, generator=generator)
        if name.endswith("proj.weight"):
            bound = math.sqrt(3.0 / value.shape[1])
            return value.uniform_(-bound, bound, generator=generator)
        return None

    def num_parameters(self, embeddings: bool = True) -> int:
        """Number of parameters, shared ones once; without the input tables (tokens, positions) if asked."""
        total = sum(parameter.numel() for parameter in self.parameters())
        if embeddings:
            return total
        tables = [self.embed_tokens, self.embed_positions]
        total -= sum(table.weight.numel() for table in tables if table is not None)
        return total + (self.lm_head.weight.numel() if self.settings.tied else 0)

    def flops_per_token(self, context: int | None = None) -> int:
        """Training FLOPs per token, forward and backward: 6 N_matmul + 12 H E T over all layers.

        N_matmul counts the matrices, the head included and the input tables not; attention is counted without the
        causal discount (Chowdhery et al. 2022, appendix B), in sliding windows by their length. context: T, default the
        model's.
        """
        s, T = self.settings, context or self.settings.context
        matmul = sum(m.weight.numel() for m in self.modules() if isinstance(m, Linear))
        seen = sum(min(T, s.window(layer) or T) for layer in range(s.layers))
        return 6 * matmul + 12 * s.heads * s.head_size * seen
