"""Fault injection: make the n-th write, fsync, manifest or removal fail, to prove that a run survives it.

Off and free unless the environment holds FIRN_FAULT="<kind>:<n>:<action>" with kind one of `write`, `fsync`,
`manifest`, `remove` (of a released shard's file) or `any`, n counting from 1, and action one of

- `kill`: SIGKILL to the driver's whole process group, as a power cut would,
- `exit`: this process alone ends, as a worker killed for memory would,
- the name of an error (`enospc`, `eacces`): OSError with it, as a full disk or a folder without permission would.

FIRN_FAULT_COUNTER names a file that gets one byte per hit, so that hits count over all processes of a run.
"""

from __future__ import annotations

import errno
import os
import signal

_FAULT = os.environ.get("FIRN_FAULT", "")


def hit(kind: str) -> None:
    """Called just before each write, fsync, manifest and release of the store."""
    if _FAULT:
        _count(kind)


def _count(kind: str) -> None:
    wanted, nth, action = _FAULT.split(":")
    if wanted not in ("any", kind):
        return
    counter = os.open(os.environ["FIRN_FAULT_COUNTER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(counter, b".")
        # In append mode the position after a write is the number of hits up to and including this one.
        hits = os.lseek(counter, 0, os.SEEK_CUR)
    finally:
        os.close(counter)
    if hits != int(nth):
        return
    if action == "kill":
        os.killpg(os.getpgrp(), signal.SIGKILL)
    elif action == "exit":
        os._exit(70)
    else:
        number = getattr(errno, action.upper())
        raise OSError(number, os.strerror(number))
