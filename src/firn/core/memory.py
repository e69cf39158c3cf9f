"""Memory of this process: how much it takes, the most it took, and a bound beyond which it fails."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LINUX = sys.platform.startswith("linux")
# glibc's malloc.h: how much free memory at the end of the heap is kept, how many blocks may lie outside of it.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def reset_peak_memory() -> None:
    """Let `peak_memory` count from here on (Linux; elsewhere it counts from the start of the process)."""
    if _LINUX:
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak_memory() -> int:
    """Largest resident size since `reset_peak_memory`, in bytes."""
    if _LINUX:
        with contextlib.suppress(OSError), open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within it, memory that is freed stays with the process (glibc; elsewhere nothing changes).

    A training step needs the same large blocks as the one before. By default the C library gives them back to the
    system, which hands them out again page by page, cleared: a tenth to a third of a step of a small model.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_MAX, 65_536)  # glibc's own defaults
        libc.mallopt(_M_TRIM_THRESHOLD, 128 << 10)
        libc.malloc_trim(0)


@contextlib.contextmanager
def memory_within(allowed: int) -> Iterator[None]:
    """Within it, what takes more than `allowed` bytes of address space beyond what is held now fails (Linux).

    In Python's code that is a MemoryError; a library in C may end the process instead, which the engine accounts for.
    """
    if not _LINUX:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        bound = int(file.read().split()[0]) * _PAGE + allowed
    resource.setrlimit(resource.RLIMIT_AS, (bound if soft == resource.RLIM_INFINITY else min(bound, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


class MemoryBound:
    """Address space that this process may take beyond what it holds when `set` is called (Linux; elsewhere nothing)."""

    def __init__(self, allowed: int):
        self.allowed = allowed
        self._hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        self._bound: int | None = None  # as the system has it
        self._statm = os.open("/proc/self/statm", os.O_RDONLY) if _LINUX else None

    def set(self) -> None:
        """What would take more than `allowed` bytes from here on gets a MemoryError."""
        if self._statm is None:
            return
        bound = int(os.pread(self._statm, 64, 0).split()[0]) * _PAGE + self.allowed
        if self._hard != resource.RLIM_INFINITY:
            bound = min(bound, self._hard)
        if bound != self._bound:
            resource.setrlimit(resource.RLIMIT_AS, (bound, self._hard))
            self._bound = bound

    def lift(self) -> None:
        """No bound but the system's."""
        if self._statm is not None:
            resource.setrlimit(resource.RLIMIT_AS, (self._hard, self._hard))
            self._bound = None
