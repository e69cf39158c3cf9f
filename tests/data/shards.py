"""Shards of documents for the tests of stages, and an engine that runs tasks in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from firn.core.hashing import document_id, fingerprint
from firn.core.progress import Progress
from firn.core.schema import DOCUMENT
from firn.core.stage import Task, execute
from firn.core.store import Manifest, Store


class Inline:
    """Runs tasks one after another in this process."""

    def __init__(self, store: Store):
        self.store = store
        self.made: list[str] = []
        self.progress = Progress("quiet")

    def run(self, tasks: Sequence[Task]) -> list[Manifest]:
        manifests = []
        for task in tasks:
            if self.store.lookup(task.stage.name, task.fingerprint) is None:
                self.made.append(task.stage.name)
            manifests.append(execute(task, self.store))
        return manifests


def row(name: str, text: str, **more: Any) -> dict[str, Any]:
    """A document row."""
    base = {"id": document_id(name, 0, text.encode()), "part": 0, "group": f"group of {name}", "text": text}
    return {**base, "source": "made", "address": name, "copies": 1, "meta": "{}", **more}


def shard(store: Store, rows: Sequence[dict[str, Any]], stage: str = "read") -> Manifest:
    """A shard of these documents, as an earlier stage leaves it."""
    name = fingerprint([{k: str(v) for k, v in r.items()} for r in rows])
    with store.attempt(stage, name) as attempt:
        attempt.writer("documents", DOCUMENT).write(list(rows))
        about = {
            "version": 1,
            "label": "made",
            "settings": None,
            "libraries": {},
            "inputs": [],
            "counts": {},
            "notes": {},
        }
        return attempt.commit(stage=stage, fingerprint=name, **about)


def read(store: Store, manifest: Manifest, file: str = "documents") -> pa.Table:
    """One of the shard's files."""
    return pq.read_table(store.local(manifest, file))
