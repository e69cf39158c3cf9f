"""Logistic regression by AdaGrad (Duchi, Hazan, Singer 2011), over one document's features after another's."""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

from firn.data.compiled import kernel


@kernel(
    types.uint32[::1],
    types.int64[::1],
    types.boolean[::1],
    types.float64[::1],
    types.int64[::1],
    types.float64,
    types.float32[::1],
)
def learn(
    features: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    labels: NDArray[np.bool_],
    importance: NDArray[np.float64],
    order: NDArray[np.int64],
    rate: float,
    weights: NDArray[np.float32],
) -> float:
    """Go through the documents in this order and change the weights; returns the bias.

    features, offsets: document i has features[offsets[i] : offsets[i + 1]]. importance: of each document.
    """
    squares = np.full(weights.size, 1e-12, np.float32)  # of the gradients so far, AdaGrad's G
    bias, bias_squares = 0.0, 1e-12
    for document in order:
        first, last = offsets[document], offsets[document + 1]
        if first == last:
            continue
        total = 0.0
        for at in range(first, last):
            total += weights[features[at]]
        chance = 1.0 / (1.0 + np.exp(-(bias + total / (last - first))))
        gradient = importance[document] * (chance - labels[document])
        bias_squares += gradient * gradient
        bias -= rate * gradient / np.sqrt(bias_squares)
        gradient /= last - first
        for at in range(first, last):
            place = features[at]
            squares[place] += np.float32(gradient * gradient)
            weights[place] -= np.float32(rate * gradient / np.sqrt(squares[place]))
    return bias
