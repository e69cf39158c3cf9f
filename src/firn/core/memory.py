"""Memory of this process: how much it takes, the most it took, and a bound beyond which it fails."""

from __future__ import annotations

import contextlib
import os
import resource
import sys

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LINUX = sys.platform.startswith("linux")


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


class MemoryBound:
    """Address space that this process may take beyond what it holds when `set` is called (Linux; elsewhere nothing)."""

    def __init__(self, allowed: int):
        self.allowed = allowed
        self._hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        self._statm = os.open("/proc/self/statm", os.O_RDONLY) if _LINUX else None

    def set(self) -> None:
        """What would take more than `allowed` bytes from here on gets a MemoryError."""
        if self._statm is None:
            return
        bound = int(os.pread(self._statm, 64, 0).split()[0]) * _PAGE + self.allowed
        if self._hard != resource.RLIM_INFINITY:
            bound = min(bound, self._hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, self._hard))

    def lift(self) -> None:
        """No bound but the system's."""
        if self._statm is not None:
            resource.setrlimit(resource.RLIMIT_AS, (self._hard, self._hard))
