"""Arrow columns as the kernels read them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def texts(column: pa.Array) -> Iterator[NDArray[np.uint8]]:
    """The UTF-8 bytes of each row of a large_string column without nulls, uint8 [n], nothing copied."""
    if not len(column):
        return
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1].tolist()
    everything = np.frombuffer(data, np.uint8) if data is not None and data.size else np.empty(0, np.uint8)
    for start, end in pairwise(bounds):
        yield everything[start:end]
