"""Documents that kill or exhaust their worker: kept on a list that reruns read as input."""

from __future__ import annotations

import json

from firn.core.stage import Task
from firn.core.store import Store

#: Beyond this many in one shard the fault is the stage's, not the documents'.
MOST_PER_SHARD = 32
#: The folder of the lists, below the store's root.
FOLDER = "quarantine"


def _name(task: Task) -> str:
    return f"{FOLDER}/{task.stage.name}/{task.fingerprint}.json"


def load(store: Store, task: Task) -> dict[int, str]:
    """Row -> reason, for the rows of this task's input that must not be touched again."""
    data = store.files.read(_name(task))
    return {int(row): reason for row, reason in json.loads(data).items()} if data else {}


def add(store: Store, task: Task, row: int, reason: str) -> dict[int, str]:
    """Put a row on the list and return the list. Raises StoreError."""
    rows = {**load(store, task), row: reason}
    store.files.replace(_name(task), json.dumps({str(r): rows[r] for r in sorted(rows)}, indent=1).encode())
    return rows


def forget(store: Store, task: Task) -> None:
    """Take the list away: the stage was to blame, and a mended one must see every document."""
    store.files.remove(_name(task))
