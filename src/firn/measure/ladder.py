"""The ladder: what compressors and character models pay for the held-out text that a transformer is measured on.

Every rung is in bits per UTF-8 byte of one source's held-out text, all bytes counted:

- `zlib`, `xz`: the text alone, documents one after the other, at level 9;
- `xz_primed`: what the text adds to the end of the source's training text, for xz;
- `order_0` to `order_5`: byte models trained on the training text of all sources, order n seeing n bytes before.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firn.measure.counts import follow
from firn.tokens.corpus import Corpus

ORDERS = 6
#: Training text that xz is primed with: its dictionary at preset 9 holds 64 MiB, and it reads about 3 MB/s.
PRIME_BYTES = 4 << 20

Bytes = NDArray[np.uint8]


def ladder(corpus: Corpus) -> dict[str, dict[str, float]]:
    """source -> rung -> bits per byte, for every source with held-out text; empty where none has any."""
    train = {source: list(corpus.texts(source, "train")) for source in corpus.sources}
    held = {source: list(corpus.texts(source, "validation")) for source in corpus.sources}
    held = {source: texts for source, texts in held.items() if any(texts)}
    if not held:
        return {}
    with ThreadPoolExecutor(2) as pool:
        # xz and the counting both run outside the interpreter's lock.
        squeezed = {source: pool.submit(compressors, train[source], texts) for source, texts in held.items()}
        by_order = character_models([text for texts in train.values() for text in texts], held)
        return {source: squeezed[source].result() | by_order[source] for source in held}


def compressors(train: Sequence[bytes], held: Sequence[bytes]) -> dict[str, float]:
    """zlib, xz and xz_primed on the held-out texts, in bits per byte."""
    text = b"".join(held)
    before = b"".join(train)[-PRIME_BYTES:]
    bits = 8 / len(text)
    return {
        "zlib": bits * len(zlib.compress(text, 9)),
        "xz": bits * len(lzma.compress(text, preset=9)),
        "xz_primed": bits * (len(lzma.compress(before + text, preset=9)) - len(lzma.compress(before, preset=9))),
    }


def character_models(train: Sequence[bytes], held: dict[str, list[bytes]]) -> dict[str, dict[str, float]]:
    """source -> `order_n` -> bits per byte of its held-out texts under byte models of the training texts.

    Witten and Bell's interpolation (1991, method C of Bell, Cleary and Witten): after a context c seen C times with T
    different bytes following, p_n(b | c) = (count(c b) + T p_{n-1}(b)) / (C + T), down to p_{-1} = 1/256. Contexts
    begin anew with each document; where fewer than n bytes came before, the longest context there is counts.
    """
    text, starts = _joined(train)
    names = list(held)
    asked, asked_starts = _joined([document for name in names for document in held[name]])
    ends = np.cumsum([sum(map(len, held[name])) for name in names])
    p = np.full(len(asked), 1 / 256)
    with ThreadPoolExecutor(2) as pool:
        counted = pool.map(lambda order: follow(text, starts, asked, asked_starts, order), range(ORDERS))
        result: dict[str, dict[str, float]] = {name: {} for name in names}
        for order, (context, kinds, both) in enumerate(counted):
            seen = context > 0
            p[seen] = (both[seen] + kinds[seen] * p[seen]) / (context[seen] + kinds[seen])
            bits = np.add.reduceat(-np.log2(p), np.concatenate(([0], ends[:-1])))
            for name, total, size in zip(names, bits, np.diff(ends, prepend=0), strict=True):
                result[name][f"order_{order}"] = float(total / size)
    return result


def _joined(texts: Sequence[bytes]) -> tuple[Bytes, NDArray[np.int64]]:
    """All texts in one array, and where each begins; the last entry is the end."""
    lengths: list[Any] = [0, *map(len, texts)]
    return np.frombuffer(b"".join(texts), np.uint8), np.cumsum(lengths, dtype=np.int64)
