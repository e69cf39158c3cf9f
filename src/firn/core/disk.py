"""Room on the disk: known before a run begins, so that it does not end in the middle."""

from __future__ import annotations

import os
import shutil

from firn.core.errors import StoreError
from firn.core.store import Store


def free_bytes(store: Store) -> int | None:
    """Bytes that can still be written where the store lies; None for a remote store, which has no such bound."""
    if not store.files.is_local:
        return None
    folder = store.files.root
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return shutil.disk_usage(folder).free


def require_room(store: Store, needed: int) -> None:
    """Raise StoreError where `needed` bytes do not fit."""
    free = free_bytes(store)
    if free is not None and free < needed:
        raise StoreError(
            f"needs about {_size(needed)} and the disk has {_size(free)} left",
            where=store.root,
            mend="free some space (`firn gc` takes away what no run needs), or name another folder with `store`",
        )


def _size(bytes: float) -> str:
    """Bytes as people read them, in the largest unit of which there is one: 37 kB, 2.5 GB."""
    for unit in ("bytes", "kB", "MB"):
        if bytes < 1000:
            return f"{bytes:,.0f} {unit}"
        bytes /= 1000
    return f"{bytes:,.1f} GB"
