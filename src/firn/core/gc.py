"""What nothing needs any more: files that no manifest names, and shards that no run keeps."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import dataclass

from firn.core.store import MARKER, Store

#: Files younger than this may belong to an attempt that is still being written, in this run or another. Where one is
#: taken that was older, nothing is wrong afterwards: its shard counts as absent and is made anew.
YOUNG_SECONDS = 3600.0

# stage/<fp[:2]>/<fp>/ and manifest or marker, what a killed writer of it left, or <file>-<attempt>.<suffix>
_OURS = re.compile(
    r"[^/]+/[0-9a-f]{2}/[0-9a-f]{32}/((manifest|released)\.json(\.[0-9a-f]{12}\.tmp)?|[^/]+-[0-9a-f]{12}(\.[^/]*)?)"
)


@dataclass(frozen=True)
class Garbage:
    """Files of a store that may go. paths: relative to its root. bytes: what they take."""

    paths: tuple[str, ...]
    bytes: int


def find_garbage(
    store: Store, keep: Collection[tuple[str, str]], *, now: float | None = None, young: float = YOUNG_SECONDS
) -> Garbage:
    """Files that neither a kept shard names nor a running attempt can be writing.

    keep: (stage, fingerprint) of the shards to keep. now: seconds since 1970, default the clock's; young: age in
    seconds below which nothing is touched. What is not named as a shard's files are is not ours and stays, and so do
    quarantine lists, which reruns read.
    """
    needed: set[str] = set()
    for manifest in store.manifests():
        if (manifest.stage, manifest.fingerprint) in keep:
            folder = store.folder(manifest.stage, manifest.fingerprint)
            needed.update((f"{folder}/manifest.json", f"{folder}/{MARKER}"))
            needed.update(entry.path for entry in manifest.files.values())
    oldest = (time.time() if now is None else now) - young
    garbage = {
        name: size
        for name, (size, changed) in store.files.list().items()
        if _OURS.fullmatch(name) and name not in needed and changed is not None and changed < oldest
    }
    return Garbage(tuple(garbage), sum(garbage.values()))


def remove(store: Store, garbage: Garbage) -> None:
    """Delete the files, manifests first, so that no manifest ever names a file that is gone."""
    for path in sorted(garbage.paths, key=lambda path: (not path.endswith("manifest.json"), path)):
        store.files.remove(path)
