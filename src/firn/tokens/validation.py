"""Windows over held-out text in which every token is scored exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firn.core.errors import RecipeError
from firn.tokens.corpus import Corpus


def validation_windows(
    corpus: Corpus, source: str, window: int, stride: int | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(inputs, targets) over the source's concatenated validation stream, int64 [window] each.

    Every token of the stream is a target once, the first one predicted from end-of-text; -1 stands where a token is
    context only, or where the stream is shorter than a window. Windows start `stride` tokens apart (default: `window`),
    and each scores what the one before left unscored, so that all but the first window's targets have at least
    `window - stride` tokens of context.

    Raises RecipeError unless 1 <= stride <= window.
    """
    stride = window if stride is None else stride
    if not 1 <= stride <= window:
        raise RecipeError(f"the stride is {stride}, it must be from 1 to the window's {window}", key="stride")
    stream = corpus.sources[source].validation
    scored = 0
    for begin in range(0, len(stream), stride):
        end = min(begin + window, len(stream))
        inputs = np.full(window, corpus.end_of_text, np.int64)
        targets = np.full(window, -1, np.int64)
        # Input k is the token before target k; before the very first one stands end-of-text.
        first = 1 if begin == 0 else 0
        inputs[first : end - begin] = stream.read(begin - 1 + first, end - begin - first)
        targets[scored - begin : end - begin] = stream.read(scored, end - scored)
        scored = end
        yield inputs, targets
        if end == len(stream):
            return
