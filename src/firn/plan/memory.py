"""Memory of a training step and size of a checkpoint, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from firn.model.build import Shape


@dataclass(frozen=True)
class Memory:
    """Bytes. states: fp32 weights, gradients and optimizer moments. activations: kept for the backward pass."""

    states: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Sum of all parts; kernels and the allocator come on top."""
        return self.states + self.activations + self.logits


def training_memory(settings: Shape, parameters: int, windows: int, *, element: int = 2, chunk: int = 2048) -> Memory:
    """Estimate for a step of `windows` windows of the model's context on one device.

    parameters: of the model. element: bytes per element of activations (2 for bf16, 4 for fp32). chunk: rows of logits
    that exist at once. States are 16 bytes per parameter: fp32 weight, gradient and two moments (Rajbhandari et al.
    2020, section 3.1). Activations per token and layer are the tensors that the backward pass of our block reads:
    inputs of both norms and their outputs, q, k, v and the attention's output, and three of the feed-forward's width.
    """
    s = settings
    heads = (2 * s.heads + 2 * s.key_value_heads) * s.head_size
    per_layer = (4 * s.width + heads + 3 * s.hidden) * element
    tokens = windows * s.context
    return Memory(
        states=16 * parameters,
        activations=tokens * (s.layers * per_layer + 2 * s.width * element),
        # The logits, their softmax's gradient, and the fp32 copy.
        logits=min(tokens, chunk) * s.vocab_size * (4 + 4 + element),
    )


def checkpoint_bytes(parameters: int) -> int:
    """Bytes of a checkpoint: fp32 weights and two moments."""
    return 12 * parameters
