"""What the tokens that a model was trained on are made of: by licence, or by language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

import pyarrow as pa

from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, usage

#: Values of a file that are told apart, those with most tokens: a page may say anything of its licence.
_MOST = 1000
OTHERS = "others"


def composition(corpus: Corpus, plan: BatchPlan, column: Literal["license", "language"]) -> dict[str | None, float]:
    """Value -> share of the tokens drawn, the largest first; None: documents without one.

    Of the training documents by their tokens, each source weighted by how often the plan reads it.
    """
    shares: Counter[str | None] = Counter()
    for use in usage(corpus, plan):
        tokens: Counter[str | None] = Counter()
        for table in corpus.index(use.source, columns=("length", column)):
            tokens.update(dict(_tokens(table, column)))
        for value, count in tokens.items():
            shares[value] += use.share * count / use.available  # type: ignore[assignment]  # shares, not counts
    return dict(sorted(shares.items(), key=_largest_first))


def _tokens(table: pa.Table, column: str) -> Iterator[tuple[str | None, int]]:
    """Value -> tokens of one file."""
    values = table.column(column).cast(pa.string())
    sums = (
        pa.table({"value": values, "length": table.column("length")}).group_by("value").aggregate([("length", "sum")])
    )
    found = dict(zip(sums.column("value").to_pylist(), sums.column("length_sum").to_pylist(), strict=True))
    rows = sorted(found.items(), key=_largest_first)
    yield from rows[:_MOST]
    if rest := sum(tokens for _, tokens in rows[_MOST:]):
        yield OTHERS, rest


def _largest_first(pair: tuple[str | None, float]) -> tuple[float, str]:
    return -pair[1], pair[0] or ""
