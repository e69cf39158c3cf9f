"""The shape of a decoder: one settings class, and what each preset means by its parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings

Preset = Literal["gpt2", "llama", "qwen3", "olmo2"]
Activation = Literal["gelu", "relu2", "swiglu", "geglu"]


class RopeScaling(Settings):
    """Rotary frequencies stretched for a context longer than the one first trained on."""

    kind: Literal["llama3", "yarn"]
    """llama3: slow frequencies divided by `factor`, fast ones kept (Grattafiori et al. 2024). yarn: the same by a ramp
    over dimensions, and attention sharpened (Peng et al. 2023)."""
    factor: float = Field(gt=0)
    """How many times longer the context becomes."""
    original_context: int = Field(ge=1)
    """Context of the first training, in tokens."""
    low: float = Field(default=1.0, gt=0)
    """llama3: what turns fewer times than this in the original context is divided by `factor`."""
    high: float = Field(default=4.0, gt=0)
    """llama3: what turns more often than this is kept; between `low` and `high` the two are mixed."""
    beta_fast: float = Field(default=32.0, gt=0)
    """yarn: turns in the original context above which a frequency is kept."""
    beta_slow: float = Field(default=1.0, gt=0)
    """yarn: turns below which it is divided by `factor`."""
    attention_factor: float | None = Field(default=None, gt=0)
    """yarn: factor on rotated queries and keys; None: 0.1 ln(factor) + 1 (Peng et al. 2023, equation 22)."""


class ModelSettings(Settings):
    """A dense decoder. The preset fixes the shape's kind; the numbers give its size.

    Fields of the parts (`norm` to `ffn_bias`) are for shapes that no preset has; None means the preset's.
    """

    preset: Preset = "qwen3"
    """gpt2: learned positions, LayerNorm, GELU, biases. llama: rotary, RMSNorm, SwiGLU. qwen3: llama with QK-norm.
    olmo2: llama with each block's norms behind attention and feed-forward, and QK-norm over all heads."""
    vocab_size: int = Field(default=0, ge=0)
    """Rows of the embedding table; 0 lets the run take it from the tokenizer."""
    context: int = Field(default=256, ge=1)
    """Longest window, in tokens."""
    layers: int = Field(default=6, ge=1)
    """Transformer blocks."""
    width: int = Field(default=384, ge=1)
    """Width of the residual stream (d_model)."""
    heads: int = Field(default=6, ge=1)
    """Query heads."""
    kv_heads: int = Field(default=0, ge=0)
    """Key and value heads (grouped-query attention); 0 means as many as query heads."""
    head_width: int = Field(default=0, ge=0)
    """Width of one head; 0 means width / heads."""
    ffn_width: int = Field(default=0, ge=0)
    """Hidden width of the feed-forward layer; 0 means 4 width, and where it is gated 8/3 width rounded up to a multiple
    of 64."""
    tied: bool = False
    """Whether the output head shares the embedding table. GPT-2 as published ties them."""
    normalise_embedding: bool = False
    """RMSNorm without weight on the embedding's output (rotary shapes). Folded into the table at export."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    """Base of the rotary frequencies."""
    rope_scaling: RopeScaling | None = None
    """Stretched rotary frequencies, for a longer context."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to the variance in every norm."""
    norm: Literal["layer", "rms"] | None = None
    """LayerNorm or RMSNorm."""
    post_norm: bool | None = None
    """Whether each block's norms stand behind attention and feed-forward (OLMo 2) and not before them."""
    qk_norm: Literal["none", "head", "all"] | None = None
    """RMSNorm on queries and keys: over each head (Qwen3), or over all heads at once (OLMo 2)."""
    activation: Activation | None = None
    """Of the feed-forward layer. swiglu and geglu are gated: three matrices. relu2: squared ReLU (So et al. 2021)."""
    attention_bias: bool | None = None
    """Biases on q, k, v and o."""
    ffn_bias: bool | None = None
    """Biases in the feed-forward layer."""
    windows: tuple[int, ...] = ()
    """Sliding windows by layer, the pattern repeated: how many tokens each one sees, itself included; 0: all before
    it. (256, 256, 256, 0) is three local layers for each global one. Empty: every layer sees all."""
    attention_softcap: float | None = Field(default=None, gt=0)
    """Attention scores s become cap tanh(s / cap) (Gemma 2, Riviere et al. 2024)."""
    logit_softcap: float | None = Field(default=None, gt=0)
    """The same for logits."""
    residual_scale: float = Field(default=1.0, gt=0)
    """Factor on what each block adds to the residual stream. Folded into the weights at export."""
    reference_width: int | None = Field(default=None, ge=1)
    """The width at which learning rates were found. Initial weights and rates of a wider model then follow from it, so
    that these rates stay the best (muP, Yang et al. 2022, arXiv 2203.03466, table 3). None: alike at every width."""
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the mean squared log of the softmax's denominator in the training loss: 1e-4 in PaLM (Chowdhery et al.
    2022), 1e-5 in OLMo 2. Keeps logits from drifting."""

    def model_post_init(self, _: Any) -> None:
        if not self.head_width and self.width % self.heads:
            raise RecipeError(
                f"width {self.width} is not a multiple of heads {self.heads}",
                key="model.heads",
                mend="choose heads that divide width, or give head_width",
            )
        if self.heads % self.key_value_heads:
            raise RecipeError(
                f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}",
                key="model.kv_heads",
                mend="choose kv_heads that divide heads",
            )
        if self.preset == "gpt2" and (self.key_value_heads != self.heads or self.head_size * self.heads != self.width):
            raise RecipeError(
                "GPT-2 has as many key-value heads as heads, and heads x head_width = width",
                key="model.preset",
                mend="leave kv_heads and head_width out, or take the llama or qwen3 preset",
            )
        if self.preset == "gpt2" and self.normalise_embedding:
            raise RecipeError(
                "GPT-2 adds positions to the embedding, so its norm cannot be folded into the table at export",
                key="model.normalise_embedding",
                mend="leave it off, or take the llama or qwen3 preset",
            )
        if self.tied and self.normalise_embedding:
            raise RecipeError(
                "a tied head would be normalised with the table at export",
                key="model.normalise_embedding",
                mend="set tied: false, or normalise_embedding: false",
            )
        if self.tied and self.reference_width is not None:
            raise RecipeError(
                "a head that is the embedding cannot have a rate and a size of its own, as reference_width wants it",
                key="model.reference_width",
                mend="set tied: false, or leave reference_width out",
            )
        if self.preset != "gpt2" and self.head_size % 2:
            raise RecipeError(
                f"rotary positions need an even head_width, not {self.head_size}",
                key="model.head_width",
                mend="choose an even one",
            )
        if self.preset == "gpt2" and self.rope_scaling is not None:
            raise RecipeError(
                "GPT-2 has learned positions, nothing that could be stretched",
                key="model.rope_scaling",
                mend="leave it out, or take a rotary preset",
            )
        if any(window < 0 for window in self.windows):
            raise RecipeError(
                f"a window of {min(self.windows)} tokens",
                key="model.windows",
                mend="give numbers of tokens, 0 for a layer that sees all",
            )

    @property
    def head_size(self) -> int:
        """Width of one head, resolved."""
        return self.head_width or self.width // self.heads

    @property
    def key_value_heads(self) -> int:
        """Key and value heads, resolved."""
        return self.kv_heads or self.heads

    @property
    def hidden(self) -> int:
        """Width of the feed-forward layer, resolved."""
        if self.ffn_width:
            return self.ffn_width
        return -(-8 * self.width // 3 // 64) * 64 if self.is_gated else 4 * self.width

    @property
    def learned_positions(self) -> bool:
        """A table of positions, added to the embedding; else queries and keys are rotated."""
        return self.preset == "gpt2"

    @property
    def parts(self) -> Parts:
        """What the blocks are made of: the preset's parts, and the settings' own where they name one."""
        own = {name: getattr(self, name) for name in Parts.model_fields}
        return PARTS[self.preset].model_copy(update={name: part for name, part in own.items() if part is not None})

    @property
    def is_gated(self) -> bool:
        """Whether the feed-forward layer has a gate, and so three matrices."""
        return self.parts.activation in ("swiglu", "geglu")

    @property
    def narrowing(self) -> float:
        """reference_width / width: what learning rates and initial weights follow; 1 where there is no reference."""
        return 1.0 if self.reference_width is None else self.reference_width / self.width

    @property
    def only_ours(self) -> str | None:
        """Why no other program can load such a model, whatever its numbers; None for the dense decoder."""
        return None

    def window(self, layer: int) -> int:
        """How many tokens each token of this layer sees, itself included; 0: all before it."""
        return self.windows[layer % len(self.windows)] if self.windows else 0


class Parts(Settings):
    """What the blocks of a decoder are made of; fields as in ModelSettings."""

    norm: Literal["layer", "rms"] = "rms"
    post_norm: bool = False
    qk_norm: Literal["none", "head", "all"] = "none"
    activation: Activation = "swiglu"
    attention_bias: bool = False
    ffn_bias: bool = False


PARTS: dict[Preset, Parts] = {
    "gpt2": Parts(norm="layer", activation="gelu", attention_bias=True, ffn_bias=True),
    "llama": Parts(),
    "qwen3": Parts(qk_norm="head"),
    "olmo2": Parts(post_norm=True, qk_norm="all"),
}
