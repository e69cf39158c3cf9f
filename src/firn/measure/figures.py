"""What is said of held-out text: the figures of a decoder and of an encoder, and what people call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Name in records and results -> name for people. The first one that a model has is its held-out figure.
FIGURES = {
    "bits_per_byte": "bits per byte",
    "masked_nats": "nats per hidden token",
    "masked_accuracy": "share of hidden tokens guessed",
}


def figures(validation: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """figure -> source -> value, of source -> what was measured."""
    return {
        figure: {source: found[figure] for source, found in validation.items() if figure in found}
        for figure in FIGURES
        if any(figure in found for found in validation.values())
    }


def held_out(record: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """The held-out figure of figure -> source -> value: its name and the values; bits per byte where there is none."""
    return next(((figure, dict(record[figure])) for figure in FIGURES if record.get(figure)), (next(iter(FIGURES)), {}))
