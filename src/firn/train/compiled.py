"""Compiling the model's blocks where that pays: measured at the start of a run, recorded, and kept on resume.

Blocks are compiled one by one, as torchtitan does: the layers are alike, so one compilation serves all of them.
Whatever is not training (validation, completions) runs as it is written, so that the shapes seen by the compiler, and
with them its choices, are those of the plan alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

#: Seconds of training below which a compilation, which takes about a minute, is not tried.
_WORTH = 180.0
#: Passes that are timed; the fastest counts.
_PASSES = 3
#: Shapes of a block that may be compiled: windows and micro-batches of all stages, kinds of layers.
_SHAPES = 64


@contextmanager
def plain() -> Iterator[None]:
    """Within it nothing runs compiled."""
    with torch.compiler.set_stance("force_eager"):
        yield


def turn_on(blocks: nn.ModuleList) -> None:
    """Let each block be compiled at its first call."""
    torch._dynamo.config.recompile_limit = max(_SHAPES, torch._dynamo.config.recompile_limit)
    for block in blocks:
        block.compile(dynamic=False)


def turn_off(blocks: nn.ModuleList) -> None:
    """Let each block run as it is written."""
    for block in blocks:
        block._compiled_call_impl = None


def choose(
    blocks: nn.ModuleList,
    once: Callable[[], None],
    passes: int,
    always: bool,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[bool, str]:
    """Whether the blocks are to be compiled, and a note on it; they then are, or are not.

    once: one pass forward and backward on the run's own shapes that changes nothing, and has run when it returns.
    passes: how many of these are ahead. always: do not measure, only see that it works. say: told before it compiles,
    which may take minutes.
    """
    once()
    before = 0.0 if always else min(_seconds(once) for _ in range(_PASSES))
    if not always and before * passes < _WORTH:
        return False, ""
    say("compiling the blocks" + ("" if always else f" to see whether that pays: {before:.3f} s a pass without"))
    turn_on(blocks)
    try:
        first = _seconds(once)
        after = 0.0 if always else min(_seconds(once) for _ in range(_PASSES))
    except Exception as error:  # of the compiler or of what it made: many kinds, from many libraries
        turn_off(blocks)
        return False, f"not compiled: it failed ({type(error).__name__}: {str(error).strip().splitlines()[0][:200]})"
    if always:
        return True, f"blocks are compiled (in {first:.0f} s)"
    times = f"{before:.3f} s without, {after:.3f} s with it, {first:.0f} s once"
    if first + after * passes < before * passes:
        return True, f"blocks are compiled ({times})"
    turn_off(blocks)
    return False, f"blocks are not compiled ({times})"


def _seconds(once: Callable[[], None]) -> float:
    began = time.perf_counter()
    once()
    return time.perf_counter() - began
