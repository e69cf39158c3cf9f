"""The linear quality model: a weight for each hashed n-gram, in one safetensors file.

score = sigmoid(bias + mean of the weights of a text's n-grams): the chance that a text is of the positive set, were
positive and negative documents equally many. Two classes make fastText's classifier this very function, whatever the
width of its hidden layer.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numba import types
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from firn.core.errors import InputError
from firn.data.compiled import kernel
from firn.data.quality.features import features
from firn.data.quality.settings import MAX_BITS, FeatureSettings

FEATURES = types.Array(types.uint32, 1, "C", readonly=True)
WEIGHTS = types.Array(types.float32, 1, "C", readonly=True)

_METADATA = "firn.quality"
# A header holds a dozen numbers and how the model was trained.
_HEADER_BYTES = 1 << 20
_MEND = "give a file that `firn quality train` wrote"


class _Header(FeatureSettings):
    """What stands beside the weights."""

    version: Literal[1] = 1
    bias: float = Field(allow_inf_nan=False)
    trained: dict[str, Any] = {}


@kernel(FEATURES, WEIGHTS)
def mean_weight(features: NDArray[np.uint32], weights: NDArray[np.float32]) -> float:
    """Mean of the weights at these places; 0 where there is none."""
    total = 0.0
    for at in range(features.size):
        total += weights[features[at]]
    return total / max(1, features.size)


def sigmoid(value: Any) -> Any:
    """1 / (1 + exp(-value)), without overflow."""
    return 0.5 + 0.5 * np.tanh(np.asarray(value, np.float64) / 2)


@dataclass(frozen=True)
class LinearModel:
    """weights: float32 [2^bits], finite. trained: how, and on what, as plain data."""

    settings: FeatureSettings
    weights: NDArray[np.float32]
    bias: float
    trained: dict[str, Any] = field(default_factory=dict)

    def features(self, text: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The places of a text's n-grams (UTF-8, uint8 [n]) in `weights`."""
        return features(text, self.settings.ngrams, self.settings.bits, self.settings.bytes)

    def margin(self, text: NDArray[np.uint8]) -> float:
        """Log odds that the text is of the positive set."""
        return self.margin_of(self.features(text))

    def margin_of(self, features: NDArray[np.uint32]) -> float:
        """The same, of a text with these features."""
        return self.bias + float(mean_weight(features, self.weights))

    def score(self, text: NDArray[np.uint8]) -> float:
        """The chance of that, in [0, 1]. A text without words has that of the bias."""
        return float(sigmoid(self.margin(text)))

    def save(self, path: str | Path) -> None:
        """Write the model. Equal models give equal bytes. Raises InputError where it cannot be written."""
        from safetensors.numpy import save

        shared = {name: getattr(self.settings, name) for name in FeatureSettings.model_fields}
        header = _Header(**shared, bias=self.bias, trained=self.trained).model_dump(mode="json")
        data = save({"weights": self.weights}, {_METADATA: json.dumps(header, sort_keys=True)})
        partial = Path(path).with_name(f".{Path(path).name}.part")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except OSError as error:
            mend = "name a file in a folder that is there"
            raise InputError(f"cannot be written: {error.strerror}", where=str(path), mend=mend) from error


def load(path: str | Path) -> LinearModel:
    """The model in a file; read once, as long as the file stays as it is.

    Raises InputError where it is missing, too large, or not such a model. Nothing in it is run.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    return _load(str(path), status.st_size, status.st_mtime_ns)


@cache
def _load(path: str, size: int, changed: int) -> LinearModel:
    from safetensors import SafetensorError, safe_open

    most = (4 << MAX_BITS) + _HEADER_BYTES
    if size > most:
        raise InputError(f"is too large for a quality model: {size:,} bytes, at most {most:,}", where=path, mend=_MEND)
    try:
        with safe_open(path, framework="numpy") as file:
            header = _Header(**json.loads((file.metadata() or {})[_METADATA]))
            shape = file.get_slice("weights").get_shape()
            if file.keys() != ["weights"] or shape != [1 << header.bits]:
                raise ValueError(f"weights of shape {shape} for {header.bits} bits")
            weights = file.get_tensor("weights")
    except (OSError, SafetensorError, ValidationError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputError(f"is no quality model: {reason}", where=path, mend=_MEND) from error
    if weights.dtype != np.float32 or not np.isfinite(weights).all():
        raise InputError("is no quality model: weights must be finite float32", where=path, mend=_MEND)
    weights.setflags(write=False)
    settings = FeatureSettings(**{name: getattr(header, name) for name in FeatureSettings.model_fields})
    return LinearModel(settings, weights, header.bias, header.trained)
