"""What became of the documents: counts from manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from firn.core.store import Manifest
from firn.serve.page import Flow

#: Stages that keep a ledger, in the order in which a document meets them.
LEDGERS = ("read", "filter", "robots", "urls", "dedup", "quality", "decontaminate", "pii", "tokens")
_VERDICTS = ("kept", "changed", "split", "merged", "removed", "failed")

#: source -> stage -> its shards.
Shards = Mapping[str, Mapping[str, Sequence[Manifest]]]


def flows(shards: Shards) -> list[Flow]:
    """What each stage did, source by source. Reads nothing but the manifests."""
    return [
        flow(stage, source, stages[stage])
        for source, stages in shards.items()
        for stage in LEDGERS
        if stages.get(stage)
    ]


def flow(stage: str, source: str, manifests: Sequence[Manifest]) -> Flow:
    """The counts of these shards of one source, summed."""
    rules: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for manifest in manifests:
        rules.update(manifest.counts.get("rules", {}))
        edits = manifest.notes.get("edits")
        of = manifest.counts.get("changes", {}) if edits is None else {r: e["documents"] for r, e in edits.items()}
        changes.update(of)

    def total(key: str) -> int:
        return sum(int(manifest.counts.get(key, 0)) for manifest in manifests)

    verdicts = {verdict: total(verdict) for verdict in _VERDICTS}
    return Flow(
        stage, source, total("in"), total("out"), verdicts, dict(rules.most_common()), dict(changes.most_common())
    )
