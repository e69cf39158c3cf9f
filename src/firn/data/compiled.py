"""Compiling the text kernels with numba: ahead of the first call, without the interpreter lock, kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types

from firn.data import ahead

Function = TypeVar("Function", bound=Callable[..., Any])

_CONFIG: Any = numba.config  # its names are made at import
_njit: Any = numba.njit  # its types leave out the options about wrappers

#: UTF-8 bytes of a text: uint8 [n], contiguous. Read-only, as Arrow's buffers are; writable arrays may be passed too.
TEXT = types.Array(types.uint8, 1, "C", readonly=True)
CLASSES = types.Array(types.uint16, 1, "C", readonly=True)
FOLDED = types.Array(types.uint32, 1, "C", readonly=True)


if not _CONFIG.CACHE_DIR:  # a folder that the user names (NUMBA_CACHE_DIR) is the user's
    with contextlib.suppress(RuntimeError):  # no home: numba keeps it beside the sources
        _CONFIG.CACHE_DIR = str(ahead.folder())


def kernel(*arguments: Any) -> Callable[[Function], Function]:
    """Compile a function for these argument types when it is defined, or load it as it was compiled before."""

    def compile_(function: Function) -> Function:
        try:
            compiled: Any = _njit(arguments, nogil=True, cache=True, no_cfunc_wrapper=True)(function)
        except (
            RuntimeError
        ):  # nowhere to keep the compiled code (a read-only installation without a home): compile anew
            compiled = _njit(arguments, nogil=True)(function)
        return cast(Function, compiled)

    return compile_


def helper(function: Function) -> Function:
    """Compile a function as part of the kernels that call it, and only so: Python cannot call it.

    Its wrappers for Python would take a tenth of the time that compiling takes. Another third is saved by compiling it
    once for a number that is written in the code and one that is computed, which numba takes for different types.
    """
    compiled: Any = _njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    by_types = compiled.get_call_template
    compiled.get_call_template = lambda arguments, named: by_types([types.unliteral(a) for a in arguments], named)
    return cast(Function, compiled)
