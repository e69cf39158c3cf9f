"""Fill-in-the-middle (Bavarian et al. 2022): a document's middle moved to its end, to be learned from both sides.

A document P M S is read as

    PSM  <prefix> P <suffix> S <middle> M        (prefix, suffix, middle)
    SPM  <prefix> <suffix> S <middle> P M        (suffix first; the paper's variant 2)

A window keeps its length: M drops as many tokens as the three sentinels take. They are taken from a random place inside
M, not from an end, so that the model still learns to begin where P ends and to end where S begins; the token after the
gap is not to be predicted. Cuts are between tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from firn.core.errors import RecipeError
from firn.core.settings import Settings
from firn.tokens.draws import keys, uniform
from firn.tokens.tokenizer import Tokenizer

I64 = NDArray[np.int64]

#: Names of the sentinels in a tokenizer's special tokens, as StarCoder has them, and as Qwen2.5-Coder.
NAMES = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
)
_SENTINELS = 3
# A middle keeps a token on each side of what it drops.
_SHORTEST_MIDDLE = _SENTINELS + 2
_DRAWS = 5


class FimSettings(Settings):
    """Which documents are turned, and how."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of documents. At 0.5 plain prediction does not suffer (Bavarian et al. 2022, section 3)."""
    spm_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of these in the order suffix, prefix, middle."""
    sources: tuple[str, ...] = ()
    """Sources whose documents are turned (those of code); empty: all."""


class Sentinels(NamedTuple):
    """Ids of the tokens that stand before each part."""

    prefix: int
    suffix: int
    middle: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Sentinels:
        """A tokenizer's own. Raises RecipeError where it has none."""
        for names in NAMES:
            if set(names) <= tokenizer.special_tokens.keys():
                return cls(*(tokenizer.special_tokens[name] for name in names))
        raise RecipeError(
            "the tokenizer has no sentinels for fill-in-the-middle",
            key="train.fim",
            mend=f"put {', '.join(NAMES[1])} among tokenizer.special_tokens; a file with others cannot be used for it",
        )


def fill_in_the_middle(
    tokens: I64,
    starts: Sequence[Sequence[int]],
    settings: FimSettings,
    sentinels: Sentinels,
    *,
    end_of_text: int,
    seed: int,
    step: int,
    rows: ArrayLike,
) -> tuple[I64, NDArray[np.bool_]]:
    """Windows with some of their documents turned, int64 [B, N], and which of their tokens are not to be predicted.

    tokens: int64 [B, N], inputs and the last target. starts: by window, where documents begin, ascending from 0; what a
    window has of a document counts as one. end_of_text: the id at a document's end, which stays there. rows:
    `Batch.positions`. The same (seed, step, row) turns the same documents in the same way, whatever rank holds the row.
    """
    turned, silent = tokens.copy(), np.zeros(tokens.shape, np.bool_)
    for row, (key, begins) in enumerate(zip(keys("fim", seed, step, rows), starts, strict=True)):
        bounds = [*begins, tokens.shape[1]]
        drawn = uniform(
            key, np.array(bounds[:-1], np.uint64)[:, None] * np.uint64(_DRAWS) + np.arange(_DRAWS, dtype=np.uint64)
        )
        for start, stop, draws in zip(bounds[:-1], bounds[1:], drawn.tolist(), strict=True):
            if tokens[row, stop - 1] == end_of_text:
                stop -= 1
            if draws[0] < settings.rate and stop - start >= _SHORTEST_MIDDLE:
                is_spm = draws[1] < settings.spm_rate
                new, gap = _turn(tokens[row, start:stop], sentinels, is_spm, draws[2:])
                turned[row, start:stop] = new
                silent[row, start + gap] = True
    return turned, silent


def _turn(body: I64, sentinels: Sentinels, is_spm: bool, draws: Sequence[float]) -> tuple[I64, int]:
    """The turned document, and the index of the token after the gap."""
    room = len(body) - _SHORTEST_MIDDLE
    first, second = sorted(int(draw * (room + 1)) for draw in draws[:2])
    prefix, middle, suffix = np.split(body, [first, second + _SHORTEST_MIDDLE])
    kept = 1 + int(draws[2] * (len(middle) - _SHORTEST_MIDDLE + 1))
    middle = np.concatenate((middle[:kept], middle[kept + _SENTINELS :]))
    p, s, m = ([id] for id in sentinels)
    parts = (p, s, suffix, m, prefix, middle) if is_spm else (p, prefix, s, suffix, m, middle)
    return np.concatenate(parts).astype(np.int64), len(body) - len(middle) + kept
