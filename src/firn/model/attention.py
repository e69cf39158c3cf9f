"""Attention: one function for every mask, and the kernel that suits the device.

Shapes: B windows, T queries, S keys, H query heads, K key-value heads, E width of a head. The T queries are the last
of the S tokens; more keys than queries come from a cache.

    sdpa     torch's fused kernel, called once per document and per stretch of a sliding window. Exact everywhere. On a
             CPU faster than a dense mask, because what is not seen is not computed.
    varlen   flash attention over documents of unequal length: CUDA, 16-bit; flex where the GPU or torch is too old.
    flex     FlexAttention: CUDA, whatever the other two cannot do (soft-caps, fp32). On a CPU forward only.
    blocks   firn's own for training on a CPU in bf16, where torch's kernel is two to three times slower.
    dense    a matrix of what sees what: the definition that the others are tested against; also for the few queries
             that a cache is asked for at once.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from firn.model.blocks import causal_attention
from firn.model.precision import native_bf16

Backend = Literal["sdpa", "varlen", "flex", "blocks", "dense"]

#: Queries of one stretch of a sliding window, at least. Shorter ones are not worth a call.
_STRETCH = 128


@dataclass(frozen=True)
class Documents:
    """Where documents begin in a batch of windows of `length` tokens.

    starts: by window, ascending positions, the first of them 0. Made where the batch is made, from the index of
    documents, never from token ids: a text may contain the id that ends one.
    """

    starts: tuple[tuple[int, ...], ...]
    length: int

    @classmethod
    def of(cls, starts: Sequence[Sequence[int]], length: int) -> Documents:
        """Checked: raises ValueError where the starts of a window do not begin at 0 and ascend below `length`."""
        rows = tuple(tuple(int(start) for start in row) for row in starts)
        for row in rows:
            if not row or row[0] != 0 or row[-1] >= length or any(a >= b for a, b in pairwise(row)):
                raise ValueError(f"starts of documents must ascend from 0 below {length}, not {row}")
        return cls(rows, length)

    def spans(self) -> list[list[tuple[int, int]]]:
        """By window, the documents' [start, stop)."""
        return [list(zip(row, (*row[1:], self.length), strict=True)) for row in self.starts]

    def ids(self, device: torch.device | str = "cpu") -> Tensor:
        """[B, T]: number of each token's document within its window."""
        rows = [[n for n, (start, stop) in enumerate(row) for _ in range(start, stop)] for row in self.spans()]
        return torch.tensor(rows, device=device)

    def positions(self, device: torch.device | str = "cpu") -> Tensor:
        """[B, T]: each token's position within its document, counted from the document's first token here."""
        rows = [[n for start, stop in row for n in range(stop - start)] for row in self.spans()]
        return torch.tensor(rows, device=device)

    def offsets(self, device: torch.device | str = "cpu") -> Tensor:
        """[documents + 1] int32: where each begins in the windows laid end to end, and the end of the last."""
        flat = [row * self.length + start for row, starts in enumerate(self.starts) for start in starts]
        return torch.tensor([*flat, len(self.starts) * self.length], dtype=torch.int32, device=device)


@dataclass(frozen=True)
class Mask:
    """Which tokens a token sees: itself, so many before and after it (None: all), and of its own document alone."""

    before: int | None = None
    after: int | None = 0
    documents: Documents | None = None

    def near(self, queries_T: Tensor, keys_S: Tensor) -> Tensor:
        """[T, S] bool: which keys are near enough to which queries, by their positions."""
        distance_TS = keys_S - queries_T[:, None]
        near_TS = torch.ones_like(distance_TS, dtype=torch.bool)
        if self.after is not None:
            near_TS &= distance_TS <= self.after
        if self.before is not None:
            near_TS &= distance_TS >= -self.before
        return near_TS

    def allowed(self, T: int, S: int, device: torch.device) -> Tensor:
        """[T, S] bool, or [B, 1, T, S] where there are documents; the queries are the last T of S tokens."""
        near_TS = self.near(torch.arange(S - T, S, device=device), torch.arange(S, device=device))
        if self.documents is None:
            return near_TS
        ids_BT = self.documents.ids(device)
        return near_TS & (ids_BT[:, None, :, None] == ids_BT[:, None, None, :])


class KeysValues:
    """What a layer keeps of the tokens so far: keys and values [B, K, S, E]."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.keys is None else self.keys.shape[2]

    def extend(self, k_BKTE: Tensor, v_BKTE: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of new tokens; returns all."""
        if self.keys is None or self.values is None:
            self.keys, self.values = k_BKTE, v_BKTE
        else:
            self.keys = torch.cat((self.keys, k_BKTE), dim=2)
            self.values = torch.cat((self.values, v_BKTE), dim=2)
        return self.keys, self.values


#: By layer. An empty list becomes the cache of the first model that it is given to.
Cache = list[KeysValues]


def attend(
    q_BHTE: Tensor,
    k_BKSE: Tensor,
    v_BKSE: Tensor,
    mask: Mask,
    softcap: float | None = None,
    backend: Backend | None = None,
) -> Tensor:
    """softmax(q k^T / sqrt(E)) v over what the mask lets each query see: [B, H, T, E].

    softcap: scores s become cap tanh(s / cap). backend: None chooses. Raises ValueError for documents with a cache.
    """
    if mask.documents is not None and q_BHTE.shape[2] != k_BKSE.shape[2]:
        raise ValueError("documents in a window and a cache of earlier tokens exclude each other")
    kernel = _KERNELS[backend or choose(q_BHTE, k_BKSE, mask, softcap)]
    return kernel(q_BHTE, k_BKSE, v_BKSE, mask, softcap)


def choose(q_BHTE: Tensor, k_BKSE: Tensor, mask: Mask, softcap: float | None) -> Backend:
    """The back-end for this device, dtype and mask."""
    _, _, T, E = q_BHTE.shape
    S = k_BKSE.shape[2]
    if T != S:
        return "dense" if T > 1 or softcap is not None else "sdpa"
    is_cut = mask.documents is not None or _is_within(mask.before, S) or mask.after not in (0, None)
    is_trained_in_16_bits = q_BHTE.requires_grad and q_BHTE.dtype == torch.bfloat16
    is_plain = softcap is None and not is_cut and mask.after == 0
    if q_BHTE.device.type == "cpu" and is_trained_in_16_bits and is_plain:
        return "blocks"
    if q_BHTE.device.type != "cuda" or (softcap is None and not is_cut):
        return "sdpa"
    if softcap is None and q_BHTE.dtype in (torch.bfloat16, torch.float16) and E <= 256 and E % 8 == 0:
        return "varlen"
    return "flex"


def _is_within(bound: int | None, S: int) -> bool:
    return bound is not None and bound < S - 1


def _dense(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    allowed = mask.allowed(q_BHTE.shape[2], k_BKSE.shape[2], q_BHTE.device)
    return _masked(q_BHTE, k_BKSE, v_BKSE, allowed, softcap)


def _masked(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, allowed: Tensor, softcap: float | None) -> Tensor:
    H, K, E = q_BHTE.shape[1], k_BKSE.shape[1], q_BHTE.shape[3]
    if softcap is None:
        return F.scaled_dot_product_attention(q_BHTE, k_BKSE, v_BKSE, attn_mask=allowed, enable_gqa=H != K)
    k_BHSE, v_BHSE = k_BKSE.repeat_interleave(H // K, dim=1), v_BKSE.repeat_interleave(H // K, dim=1)
    scores_BHTS = softcap * torch.tanh((q_BHTE @ k_BHSE.transpose(-1, -2)).float() / math.sqrt(E) / softcap)
    return scores_BHTS.masked_fill(~allowed, -torch.inf).softmax(-1).to(v_BHSE.dtype) @ v_BHSE


def _sdpa(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    if mask.documents is not None:
        return _by_document(q_BHTE, k_BKSE, v_BKSE, mask, softcap)
    T, S = q_BHTE.shape[2], k_BKSE.shape[2]
    if T == 1:  # the last of a cache: it sees the end of the cache, and nothing is masked
        seen = S if mask.before is None else min(S, mask.before + 1)
        k_BKSE, v_BKSE, mask = k_BKSE[:, :, -seen:], v_BKSE[:, :, -seen:], Mask(after=None)
    elif _is_within(mask.before, S) or mask.after not in (0, None):
        return _by_stretch(q_BHTE, k_BKSE, v_BKSE, mask, softcap)
    if softcap is not None:
        return _dense(q_BHTE, k_BKSE, v_BKSE, mask, softcap)
    gqa = q_BHTE.shape[1] != k_BKSE.shape[1]
    return F.scaled_dot_product_attention(q_BHTE, k_BKSE, v_BKSE, is_causal=mask.after == 0, enable_gqa=gqa)


def _by_blocks(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    is_plain = softcap is None and mask.documents is None and mask.after == 0
    if not is_plain or _is_within(mask.before, k_BKSE.shape[2]):
        raise ValueError("attention by blocks is causal and nothing else")
    groups = q_BHTE.shape[1] // k_BKSE.shape[1]
    return causal_attention(
        q_BHTE, *(x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in (k_BKSE, v_BKSE))
    )


@torch.compiler.disable  # a compiled graph would be one for this batch's documents
def _by_document(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    """One call per document."""
    assert mask.documents is not None
    inside, rows = replace(mask, documents=None), []
    for row, spans in enumerate(mask.documents.spans()):
        q, k, v = (tensor[row : row + 1] for tensor in (q_BHTE, k_BKSE, v_BKSE))
        parts = [attend(q[:, :, a:b], k[:, :, a:b], v[:, :, a:b], inside, softcap) for a, b in spans]
        rows.append(torch.cat(parts, dim=2))
    return torch.cat(rows)


def _by_stretch(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    """One call per stretch of queries, over the keys that any of them sees: T x window products instead of T x T."""
    T = q_BHTE.shape[2]
    before, after = T if mask.before is None else mask.before, T if mask.after is None else mask.after
    positions_T = torch.arange(T, device=q_BHTE.device)
    size, parts = max(_STRETCH, before + after), []
    for start in range(0, T, size):
        first, stop = max(0, start - before), min(T, start + size)
        last = min(T, stop + after)
        near = mask.near(positions_T[start:stop], positions_T[first:last])
        seen = k_BKSE[:, :, first:last], v_BKSE[:, :, first:last], near
        parts.append(_masked(q_BHTE[:, :, start:stop], *seen, softcap))
    return torch.cat(parts, dim=2)


@torch.compiler.disable  # as by document
def _varlen_attention(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    if softcap is not None:
        raise ValueError("the varlen kernel has no soft-cap")
    kernel = _varlen()
    if kernel is None or not native_bf16(q_BHTE.device):  # flash attention needs what came with bf16
        return _flex(q_BHTE, k_BKSE, v_BKSE, mask, softcap)
    B, H, T, E = q_BHTE.shape
    documents = mask.documents or Documents(((0,),) * B, T)
    offsets = _offsets(documents, q_BHTE.device)
    q_NHE, k_NKE, v_NKE = (x.transpose(1, 2).reshape(B * T, -1, E) for x in (q_BHTE, k_BKSE, v_BKSE))
    y_NHE = kernel(
        q_NHE,
        k_NKE,
        v_NKE,
        offsets,
        offsets,
        T,
        T,
        window_size=tuple(-1 if bound is None else bound for bound in (mask.before, mask.after)),
        enable_gqa=k_BKSE.shape[1] != H,
    )
    return y_NHE.view(B, T, H, E).transpose(1, 2)


@cache
def _varlen() -> Callable[..., Any] | None:
    """torch's kernel for documents of unequal length, where this torch has one with windows and grouped queries."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if {"window_size", "enable_gqa"} <= set(inspect.signature(varlen_attn).parameters) else None


@lru_cache(maxsize=8)
def _offsets(documents: Documents, device: torch.device) -> Tensor:
    return documents.offsets(device)


@torch.compiler.disable  # as by document; the kernel is compiled as it is
def _flex(q_BHTE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, mask: Mask, softcap: float | None) -> Tensor:
    B, H, T, _ = q_BHTE.shape
    capped = None
    if softcap is not None:
        capped = lambda score, b, h, q, k: softcap * torch.tanh(score / softcap)
    blocks = _blocks(mask, B, T, k_BKSE.shape[2], q_BHTE.device)
    kernel = _flex_kernel(q_BHTE.device.type)
    return kernel(q_BHTE, k_BKSE, v_BKSE, score_mod=capped, block_mask=blocks, enable_gqa=k_BKSE.shape[1] != H)


@cache
def _flex_kernel(device: str) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Any = flex_attention
    # Only compiled is it fused; on a CPU it is there for comparison alone.
    return torch.compile(kernel, dynamic=False) if device == "cuda" else kernel


@lru_cache(maxsize=8)
def _blocks(mask: Mask, B: int, T: int, S: int, device: torch.device) -> Any:
    """FlexAttention's block mask; the layers of one forward pass share it."""
    from torch.nn.attention.flex_attention import create_block_mask

    ids_BT = None if mask.documents is None else mask.documents.ids(device)

    def sees(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        distance = k - q - (S - T)
        allowed = distance <= (S if mask.after is None else mask.after)
        allowed = allowed & (distance >= -(S if mask.before is None else mask.before))
        return allowed if ids_BT is None else allowed & (ids_BT[b, q] == ids_BT[b, k])

    return create_block_mask(sees, None if ids_BT is None else B, None, T, S, device=str(device))


_KERNELS: dict[Backend, Callable[[Tensor, Tensor, Tensor, Mask, float | None], Tensor]] = {
    "sdpa": _sdpa,
    "varlen": _varlen_attention,
    "flex": _flex,
    "blocks": _by_blocks,
    "dense": _dense,
}
