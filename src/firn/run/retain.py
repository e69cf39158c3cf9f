"""What stays of a run's shards once it is finished, as its recipe's `retain` says.

Manifests and ledgers stay whatever it says, so that a second run does nothing, the funnel is drawn and `firn why`
answers; what a changed recipe needs of the rest is made again.
"""

from __future__ import annotations

import os

from firn.core.store import Store
from firn.run.folder import RunFolder, every

#: The files of a shard that always stay: its ledger, and what was cut out of its documents and found in them.
ACCOUNTS = ("ledger", "cuts", "found")
# How the names of stages begin: steps between documents and documents, and what a finished run is looked into with.
_BETWEEN = ("cluster", "robots-", "urls-", "quality-threshold", "decontaminate-match", "decontaminate-common")
_FINAL = ("accounts", "tokenizer", "tokens", "why-")


def stays(retain: str, stage: str) -> bool:
    """Whether all files of a stage's shards stay, and not only ACCOUNTS."""
    if retain == "final":
        return stage.startswith(_FINAL)
    return retain == "all" or not stage.startswith(_BETWEEN)


def let_go(folder: RunFolder, retain: str) -> tuple[int, int]:
    """Release the shards of a finished run that it need not keep: how many, and the bytes that became free.

    What another run beside it needs is left alone: a finished run what its own `retain` says, any other all of its
    shards. Raises StoreError, FormatError for a run.json that cannot be read.
    """
    now = RunFolder.open(folder.path)
    if now.status == "running" and now.state["process"]["id"] != os.getpid():
        return 0, 0  # another process works on this very run, and does it when it is done
    store, needed = folder.store, _needed_elsewhere(folder)
    shards = freed = 0
    for stage, prints in folder.state["shards"].items():
        for print in prints if not stays(retain, stage) else ():
            if (stage, print) not in needed:
                bytes = _release(store, stage, print)
                shards, freed = shards + (bytes > 0), freed + bytes
    return shards, freed


def _release(store: Store, stage: str, print: str) -> int:
    manifest = store.lookup(stage, print, released=True)
    return store.release(manifest, ACCOUNTS) if manifest is not None else 0


def _needed_elsewhere(folder: RunFolder) -> set[tuple[str, str]]:
    """(stage, fingerprint) of the shards that other runs of the same folder keep in the same store."""
    others = [RunFolder.open(path) for path in every(folder.path.parent) if path.name != folder.path.name]
    return {
        (stage, print)
        for other in others
        if other.store.files.root == folder.store.files.root
        for stage, prints in other.state.get("shards", {}).items()
        if other.status != "finished" or stays(other.state["recipe"].get("retain", "all"), stage)
        for print in prints
    }
