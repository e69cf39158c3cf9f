"""Compiling the text kernels with numba: ahead of the first call, without the interpreter lock, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

Function = TypeVar("Function", bound=Callable[..., Any])

#: UTF-8 bytes of a text: uint8 [n], contiguous. Read-only, as Arrow's buffers are; writable arrays may be passed too.
TEXT = types.Array(types.uint8, 1, "C", readonly=True)
CLASSES = types.Array(types.uint16, 1, "C", readonly=True)
FOLDED = types.Array(types.uint32, 1, "C", readonly=True)


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these argument types when it is defined, or load it from numba's cache beside its file."""

    def compile_(function: Function) -> Function:
        try:
            compiled: Any = numba.njit(arguments, nogil=True, cache=True)(function)
        except (
            RuntimeError
        ):  # nowhere to keep the compiled code (a read-only installation without a home): compile anew
            compiled = numba.njit(arguments, nogil=True)(function)
        return cast(Function, compiled)

    return compile_


def helper(function: Function) -> Function:
    """Compile a function as part of the kernels that call it."""
    return cast(Function, numba.njit(nogil=True)(function))
