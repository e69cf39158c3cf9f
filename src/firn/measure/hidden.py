"""What an encoder knows of held-out text: nats and accuracy on tokens that are hidden from it.

Bits per byte do not apply: an encoder gives no probability to a text. The figure is a pseudo-loss; it depends on how
much is hidden, so that is the same for every model, whatever it was trained with.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from firn.core.errors import InputError
from firn.model.encoder import Encoder
from firn.tokens.corpus import Corpus
from firn.tokens.masked import MaskingSettings, hide
from firn.tokens.objectives import mask_token
from firn.tokens.validation import validation_windows

#: What is hidden: BERT's share, all of it behind the mask token.
HELD_OUT = MaskingSettings(rate=0.15)
_WINDOWS = 8


@torch.no_grad()
def hidden_tokens(model: Encoder, corpus: Corpus, source: str, *, tokens: int | None = None) -> dict[str, float]:
    """How well `model` guesses hidden tokens of the source's held-out text, in windows of its context side by side.

    15 % of the tokens are hidden, the same ones at every call. tokens: stop after about so many that are read; None
    reads all. Returns masked_nats (mean of -ln p of the hidden tokens), masked_accuracy (share of them that is the
    likeliest), nats (their sum), tokens (how many were hidden). Raises InputError where no text is held out.
    """
    window, stream = model.settings.context, corpus.sources[source].validation
    if not stream.bytes:
        raise InputError(
            "the source has no held-out text",
            key=source,
            mend="hold out more (split.validation), or give the source more documents",
        )
    mask, device = mask_token(corpus.tokenizer), model.embed_tokens.weight.device
    nats, right, asked = 0.0, 0, 0
    group: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    last = min(len(stream), tokens or len(stream))
    for number, (inputs, _) in enumerate(validation_windows(corpus, source, window)):
        group.append(inputs)
        is_last = (number + 1) * window >= last
        if len(group) < _WINDOWS and not is_last:
            continue
        seen, targets = hide(
            np.stack(group),
            HELD_OUT,
            mask=mask,
            vocab_size=corpus.vocab_size,
            special=[corpus.end_of_text],
            seed=0,
            step=0,
            rows=np.arange(number + 1 - len(group), number + 1),
        )
        wanted = targets >= 0
        hidden_BTD = model.hidden(torch.from_numpy(seen).to(device))
        logits_NV = model.logits(hidden_BTD[torch.from_numpy(wanted).to(device)])
        targets_N = torch.from_numpy(targets[wanted]).to(device)
        chances_N = logits_NV.log_softmax(-1).gather(1, targets_N[:, None])
        nats -= float(chances_N.cpu().double().sum())
        right += int((logits_NV.argmax(-1) == targets_N).sum())
        asked += len(targets_N)
        group = []
        if is_last:
            break
    return {
        "masked_nats": nats / asked if asked else math.nan,
        "masked_accuracy": right / asked if asked else math.nan,
        "nats": nats,
        "tokens": asked,
    }
