"""The speedrun variant: a decoder with what the fastest published runs have and nobody else can load.

It does not export: `hf.save` writes a folder that only firn opens and whose config.json says so. Apart from the parts
below it is `firn.model.transformer`, with whose training, generation and checkpoints it works.

- Weighted residuals: before layer l the stream x becomes a x + b x0, x0 the embedding (modded-nanogpt, 2024).
- Value embeddings: some layers add a table's row for each token to its values (Zhou et al. 2024; modded-nanogpt).
- Norms without weights throughout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from firn.model.attention import Cache, Documents, KeysValues, Mask, attend
from firn.model.config import ModelSettings
from firn.model.layers import Embedding, Linear
from firn.model.rope import Turn, rotate, rotation
from firn.model.speedrun_config import SpeedrunSettings
from firn.model.transformer import FeedForward, Transformer


def build(settings: ModelSettings) -> Transformer:
    """The decoder that the settings describe, its weights unset."""
    return Speedrun(settings) if isinstance(settings, SpeedrunSettings) else Transformer(settings)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """x / rms(x) over the last axis, in fp32."""
    return F.rms_norm(x.float(), (x.shape[-1],), eps=eps).to(x.dtype)


class Norm(nn.Module):
    """RMSNorm without a weight."""

    def __init__(self, eps: float):
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.eps)


class Attention(nn.Module):
    """Causal attention with normed queries and keys, and values that know their token."""

    def __init__(self, settings: SpeedrunSettings, layer: int):
        super().__init__()
        self.settings, self.window = settings, settings.window(layer)
        self.H, self.K, self.E = settings.heads, settings.key_value_heads, settings.head_size
        self.q_proj = Linear(settings.width, self.H * self.E, bias=False)
        self.k_proj = Linear(settings.width, self.K * self.E, bias=False)
        self.v_proj = Linear(settings.width, self.K * self.E, bias=False)
        self.o_proj = Linear(self.H * self.E, settings.width, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        turn: Turn,
        past: KeysValues | None,
        documents: Documents | None,
        value_BTF: Tensor | None,
    ) -> Tensor:
        """[B, T, D] -> [B, T, D]. value_BTF: what is added to the values. past: read and extended."""
        B, T, _ = x_BTD.shape
        s = self.settings
        q_BHTE = rms_norm(self.q_proj(x_BTD).view(B, T, self.H, self.E), s.norm_eps).transpose(1, 2)
        k_BKTE = rms_norm(self.k_proj(x_BTD).view(B, T, self.K, self.E), s.norm_eps).transpose(1, 2)
        v_BTF = self.v_proj(x_BTD) if value_BTF is None else self.v_proj(x_BTD) + value_BTF
        v_BKTE = v_BTF.view(B, T, self.K, self.E).transpose(1, 2)
        q_BHTE, k_BKTE = rotate(q_BHTE, turn), rotate(k_BKTE, turn)
        k_BKSE, v_BKSE = (k_BKTE, v_BKTE) if past is None else past.extend(k_BKTE, v_BKTE)
        mask = Mask(before=self.window - 1 if self.window else None, documents=documents)
        y_BHTE = attend(q_BHTE, k_BKSE, v_BKSE, mask, s.attention_softcap)
        return self.o_proj(y_BHTE.transpose(1, 2).reshape(B, T, self.H * self.E))


class Block(nn.Module):
    """Attention and feed-forward behind norms, on a stream that remembers the embedding."""

    def __init__(self, settings: SpeedrunSettings, layer: int):
        super().__init__()
        self.eps = settings.norm_eps
        self.self_attn = Attention(settings, layer)
        self.mlp = FeedForward(settings)
        #: Weights of the stream, of the embedding, and of the value embedding.
        self.mix = nn.Parameter(torch.empty(3))

    def forward(
        self,
        x_BTD: Tensor,
        x0_BTD: Tensor,
        turn: Turn,
        past: KeysValues | None,
        documents: Documents | None,
        value_BTF: Tensor | None,
    ) -> Tensor:
        """The stream [B, T, D] after this block."""
        stream, embedding, value = self.mix.to(x_BTD.dtype)
        x_BTD = stream * x_BTD + embedding * x0_BTD
        added_BTF = None if value_BTF is None else value * value_BTF
        x_BTD = x_BTD + self.self_attn(rms_norm(x_BTD, self.eps), turn, past, documents, added_BTF)
        return x_BTD + self.mlp(rms_norm(x_BTD, self.eps))


class Speedrun(Transformer):
    """The variant. Weights are unset until `init_weights` or a checkpoint sets them."""

    settings: SpeedrunSettings

    def __init__(self, settings: SpeedrunSettings):
        super().__init__(settings)
        self.layers = nn.ModuleList(Block(settings, layer) for layer in range(settings.layers))
        self.norm = Norm(settings.norm_eps)
        self.embed_values = nn.ModuleDict(
            {
                str(layer): Embedding(settings.vocab_size, settings.key_value_heads * settings.head_size)
                for layer in range(settings.layers)
                if settings.has_value_embedding(layer)
            }
        )

    def hidden(self, tokens_BT: Tensor, cache: Cache | None = None, documents: Documents | None = None) -> Tensor:
        """Final normed states [B, T, D], as in Transformer."""
        past = len(cache[0]) if cache else 0
        s, T = self.settings, tokens_BT.shape[1]
        if past + T > s.context:
            raise ValueError(f"{past + T} tokens in a context of {s.context}")
        positions_T = torch.arange(past, past + T, device=tokens_BT.device)
        cos_TE, sin_TE = rotation(positions_T, s.head_size, s.rope_theta, s.rope_scaling)
        turn = cos_TE.to(self.compute_dtype), sin_TE.to(self.compute_dtype)
        x_BTD = x0_BTD = self.embed(tokens_BT).to(self.compute_dtype)
        if cache is not None and not cache:
            cache.extend(KeysValues() for _ in self.layers)
        tables = dict(self.embed_values.items())
        for index, block in enumerate(self.layers):
            table = tables.get(str(index))
            value_BTF = None if table is None else table(tokens_BT).to(self.compute_dtype)
            x_BTD = block(x_BTD, x0_BTD, turn, cache[index] if cache else None, documents, value_BTF)
        return self.norm(x_BTD)

    def _initial(self, name: str, value: Tensor, generator: torch.Generator) -> Tensor | None:
        if name.endswith(".mix"):
            # Each block begins as it is in Transformer, but for a tenth of the embedding (nanochat).
            return value.copy_(torch.tensor([1.0, 0.1, 1.0]))
        if name.startswith("embed_values."):
            bound = (3.0 / self.settings.width) ** 0.5  # as large as what v_proj gives
            return value.uniform_(-bound, bound, generator=generator)
        return super()._initial(name, value, generator)

    def num_parameters(self, embeddings: bool = True) -> int:
        """Number of parameters, shared ones once; without the input tables (tokens, values) if asked."""
        tables = sum(table.numel() for table in self.embed_values.parameters())
        return super().num_parameters(embeddings) - (0 if embeddings else tables)
