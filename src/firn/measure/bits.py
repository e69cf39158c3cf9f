"""Bits per byte: what a model pays to write held-out text down. Comparable over tokenizers and compressors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from firn.core.errors import FormatError, InputError
from firn.model.transformer import Transformer
from firn.tokens.corpus import Corpus
from firn.tokens.validation import validation_windows

_WINDOWS = 8


@torch.no_grad()
def bits_per_byte(
    model: Transformer,
    corpus: Corpus,
    source: str,
    *,
    window: int | None = None,
    stride: int | None = None,
    tokens: int | None = None,
) -> dict[str, float]:
    """Bits that `model` pays per UTF-8 byte of the source's held-out text.

    Every byte counts, and so do the end-of-text tokens, which have no bytes: sum of nats / (ln 2 x bytes), summed in
    float64. Windows overlap, so that all but the first `stride` tokens are predicted from at least window - stride
    tokens of context. window: tokens, default the model's context. stride: tokens, default half a window. tokens: stop
    after about so many; None reads all.

    Returns bits_per_byte, nats, bytes, tokens. Raises InputError where the source has no held-out text, FormatError
    where its tokens spell another number of bytes than its documents had.
    """
    window = window or model.settings.context
    stream = corpus.sources[source].validation
    if not stream.bytes:
        raise InputError(
            "the source has no held-out text",
            key=source,
            mend="hold out more (split.validation), or give the source more documents",
        )
    sizes = corpus.token_bytes()
    windows = validation_windows(corpus, source, window, stride or max(1, window // 2))
    nats, spelled, scored = 0.0, 0, 0
    for inputs, targets in _stacked(windows):
        if tokens is not None and scored >= tokens:
            break
        kept = targets >= 0
        nats += _nats(model, inputs, targets)
        spelled += int(sizes[targets[kept]].sum())
        scored += int(kept.sum())
    if tokens is None and spelled != stream.bytes:
        raise FormatError(
            f"the tokens spell {spelled} bytes, the documents have {stream.bytes}",
            key=source,
            mend="run the tokens stage again",
        )
    return {
        "bits_per_byte": nats / math.log(2) / spelled if spelled else math.nan,
        "nats": nats,
        "bytes": spelled,
        "tokens": scored,
    }


def _stacked(windows: Iterator[tuple[Any, Any]]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    while group := list(itertools.islice(windows, _WINDOWS)):
        yield np.stack([inputs for inputs, _ in group]), np.stack([targets for _, targets in group])


def _nats(model: Transformer, inputs_BT: NDArray[np.int64], targets_BT: NDArray[np.int64]) -> float:
    """Sum of -ln p over the targets that are not -1. Logits are made for these alone."""
    device = model.lm_head.weight.device
    targets_BT_ = torch.from_numpy(targets_BT).to(device)
    hidden_ND = model.hidden(torch.from_numpy(inputs_BT).to(device))[targets_BT_ >= 0]
    targets_N = targets_BT_[targets_BT_ >= 0]
    total = 0.0
    # At most 64 M logits at once, whatever the vocabulary.
    rows = max(1, (1 << 26) // model.settings.vocab_size)
    for start in range(0, len(targets_N), rows):
        logits_NV = model.logits(hidden_ND[start : start + rows])
        nats_N = F.cross_entropy(logits_NV, targets_N[start : start + rows], reduction="none")
        total += float(nats_N.cpu().double().sum())
    return total
