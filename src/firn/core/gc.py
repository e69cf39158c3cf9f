"""What nothing needs any more: files that no manifest names, and shards that no run keeps."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass

from firn.core.store import Store

#: Files younger than this may belong to an attempt that is still being written, in this run or another.
YOUNG_SECONDS = 3600.0


@dataclass(frozen=True)
class Garbage:
    """Files of a local store that may go. paths: relative to its root. bytes: what they take."""

    paths: tuple[str, ...]
    bytes: int


def find_garbage(
    store: Store, keep: Collection[tuple[str, str]], *, now: float | None = None, young: float = YOUNG_SECONDS
) -> Garbage:
    """Files that neither a kept shard names nor a running attempt can be writing.

    keep: (stage, fingerprint) of the shards to keep. now: seconds since 1970, default the clock's; young: age in
    seconds below which nothing is touched. Quarantine lists always stay: reruns read them.
    """
    needed = set()
    for manifest in store.manifests():
        if (manifest.stage, manifest.fingerprint) in keep:
            needed.add(f"{store.folder(manifest.stage, manifest.fingerprint)}/manifest.json")
            needed.update(entry.path for entry in manifest.files.values())
    oldest = (time.time() if now is None else now) - young
    paths, total = [], 0
    for folder, _, names in os.walk(store.files.root):
        inside = os.path.relpath(folder, store.files.root).replace(os.sep, "/")
        if inside.split("/")[0] == "quarantine":
            continue
        for name in names:
            info = os.stat(os.path.join(folder, name))
            path = name if inside == "." else f"{inside}/{name}"
            if path not in needed and info.st_mtime < oldest:
                paths.append(path)
                total += info.st_size
    return Garbage(tuple(sorted(paths)), total)


def remove(store: Store, garbage: Garbage) -> None:
    """Delete the files, manifests first, so that no manifest ever names a file that is gone."""
    for path in sorted(garbage.paths, key=lambda path: (not path.endswith("manifest.json"), path)):
        store.files.remove(path)
