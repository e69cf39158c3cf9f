"""The encoder: ModernBERT (Warner et al. 2024). Every token sees both sides; most layers only a window of them.

Shapes are in the names, as in transformer.py. Pre-norm without biases, GeGLU, rotary positions of one base in local and
of another in global layers, and a norm on the embedding in place of the first layer's. What is predicted are the tokens
that `firn.tokens.masked` hides.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.model.attention import Documents, Mask, attend
from firn.model.encoder_config import EncoderSettings
from firn.model.layers import Embedding, LayerNorm, Linear, initialise
from firn.model.objective import Losses, token_losses
from firn.model.rope import Turn, rotate, rotation


def norm(settings: EncoderSettings) -> LayerNorm:
    """LayerNorm with a weight and no bias."""
    return LayerNorm(settings.width, eps=settings.norm_eps, bias=False)


class Attention(nn.Module):
    """Attention to both sides."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.H, self.E = settings.heads, settings.width // settings.heads
        self.q_proj = Linear(settings.width, settings.width, bias=False)
        self.k_proj = Linear(settings.width, settings.width, bias=False)
        self.v_proj = Linear(settings.width, settings.width, bias=False)
        self.o_proj = Linear(settings.width, settings.width, bias=False)

    def forward(self, x_BTD: Tensor, turn: Turn, mask: Mask) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        B, T, D = x_BTD.shape
        q_BHTE, k_BHTE, v_BHTE = (
            projection(x_BTD).view(B, T, self.H, self.E).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        y_BHTE = attend(rotate(q_BHTE, turn), rotate(k_BHTE, turn), v_BHTE, mask)
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(B, T, D))


class FeedForward(nn.Module):
    """GeGLU (Shazeer 2020), with the exact GELU."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.gate_proj = Linear(settings.width, settings.ffn_width, bias=False)
        self.up_proj = Linear(settings.width, settings.ffn_width, bias=False)
        self.down_proj = Linear(settings.ffn_width, settings.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        return self.down_proj(F.gelu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, settings: EncoderSettings, layer: int):
        super().__init__()
        # What enters the first layer is normed already.
        self.attn_norm = norm(settings) if layer else nn.Identity()
        self.attn = Attention(settings)
        self.mlp_norm = norm(settings)
        self.mlp = FeedForward(settings)

    def forward(self, x_BTD: Tensor, turn: Turn, mask: Mask) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        x_BTD = x_BTD + self.attn(self.attn_norm(x_BTD), turn, mask)
        return x_BTD + self.mlp(self.mlp_norm(x_BTD))


class Head(nn.Module):
    """From final states to what the table of embeddings is compared with, and a bias for each token."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.dense_proj = Linear(settings.width, settings.width, bias=False)
        self.norm = norm(settings)
        self.bias = nn.Parameter(torch.empty(settings.vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return self.norm(F.gelu(self.dense_proj(x)))


class Encoder(nn.Module):
    """A bidirectional language model. Weights are unset until `init_weights` or a checkpoint sets them."""

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        if settings.vocab_size < 1:
            raise ValueError("vocab_size is not set: take it from the tokenizer")
        self.settings = settings
        self.compute_dtype = torch.float32
        self.embed_tokens = Embedding(settings.vocab_size, settings.width)
        self.embed_norm = norm(settings)
        self.layers = nn.ModuleList(Block(settings, layer) for layer in range(settings.layers))
        self.final_norm = norm(settings)
        self.head = Head(settings)

    def hidden(self, tokens_BT: Tensor, documents: Documents | None = None) -> Tensor:
        """Final normed states [B, T, D]: what embeddings and classifiers are built on.

        documents: each is read as if it stood alone; None: a window is one text. Raises ValueError where a window is
        longer than the context.
        """
        s, T = self.settings, tokens_BT.shape[1]
        if s.context < T:
            raise ValueError(f"{T} tokens in a context of {s.context}")
        positions_T = torch.arange(T, device=tokens_BT.device)
        reach = s.local_window // 2  # to each side, itself not counted
        ways = {
            True: (self.turn(positions_T, s.rope_theta), Mask(after=None, documents=documents)),
            False: (self.turn(positions_T, s.local_rope_theta), Mask(reach, reach, documents)),
        }
        x_BTD = self.embed_norm(self.embed_tokens(tokens_BT)).to(self.compute_dtype)
        for layer, block in enumerate(self.layers):
            x_BTD = block(x_BTD, *ways[s.is_global(layer)])
        return self.final_norm(x_BTD)

    def turn(self, positions_T: Tensor, theta: float) -> Turn:
        """Cosines and sines of the positions, in the dtype of computation."""
        cos_TE, sin_TE = rotation(positions_T, self.settings.width // self.settings.heads, theta)
        return cos_TE.to(self.compute_dtype), sin_TE.to(self.compute_dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V], fp32, of final states."""
        states = self.head(hidden)
        return F.linear(states, self.embed_tokens.weight.to(states.dtype)).float() + self.head.bias

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits [B, T, V], fp32."""
        return self.logits(self.hidden(tokens_BT))

    def losses(self, tokens_BT: Tensor, targets_BT: Tensor, documents: Documents | None = None) -> Losses:
        """What to minimise, and the nats of every target; -1 where nothing is hidden. The head computes these alone."""
        hidden_BTD = self.hidden(tokens_BT, documents)
        wanted_BT = targets_BT >= 0
        states_ND = self.head(hidden_BTD[wanted_BT])
        found = token_losses(states_ND, self.embed_tokens.weight, targets_BT[wanted_BT], bias_V=self.head.bias)
        nats_BT = torch.zeros(targets_BT.shape, dtype=torch.float32, device=targets_BT.device)
        nats_BT[wanted_BT] = found.nats
        return Losses(found.total, nats_BT)

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor, documents: Documents | None = None) -> Tensor:
        """Sum of nats over the targets that are not -1: a scalar."""
        return self.losses(tokens_BT, targets_BT, documents).total

    def init_weights(self, seed: int) -> None:
        """Set every parameter, each by a generator of its own (`layers.initialise`).

        Tables and matrices are normal with deviation 0.02, cut at two of them, what adds to the residual stream and the
        head divided by sqrt(2 layers), as in the released configuration. Raises ValueError for a name without a rule,
        and for a model still on the meta device.
        """
        initialise(self, self._initial, seed)

    def _initial(self, name: str, value: Tensor, generator: torch.Generator) -> Tensor | None:
        if name.endswith("norm.weight"):
            return value.fill_(1.0)
        if name == "head.bias":
            return value.zero_()
        if name.endswith(("proj.weight", "embed_tokens.weight")):
            is_last = name.endswith(("o_proj.weight", "down_proj.weight", "dense_proj.weight"))
            deviation = 0.02 / (2 * self.settings.layers) ** 0.5 if is_last else 0.02
            return nn.init.trunc_normal_(value, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
        return None

    def num_parameters(self, embeddings: bool = True) -> int:
        """Number of parameters; without the input table if asked, which is the output's too."""
        return sum(parameter.numel() for parameter in self.parameters())

    def flops_per_token(self, context: int | None = None, predicted: float = 1.0) -> int:
        """Training FLOPs per token, forward and backward: 6 N_matmul + 12 D over the keys of all layers.

        context: T, default the model's. predicted: share of tokens that the head is computed for.
        """
        s, T = self.settings, context or self.settings.context
        matmul = sum(m.weight.numel() for m in self.layers.modules() if isinstance(m, Linear))
        head = s.width * s.width + s.vocab_size * s.width
        seen = sum(T if s.is_global(layer) else min(T, s.local_window + 1) for layer in range(s.layers))
        return 6 * matmul + round(6 * head * predicted) + 12 * s.width * seen
