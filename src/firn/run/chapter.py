"""What one stage did with a document, in full: its ledger row, and what the stage wrote of it beside the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core import why
from firn.core.store import Manifest, Store


@dataclass(frozen=True)
class Edited:
    """What an edit did to a text. spans, bytes: places that it cut, or that it wrote anew where it `repairs`, and UTF-8
    bytes of the text before in them."""

    rule: str
    spans: int
    bytes: int
    repairs: bool


@dataclass(frozen=True)
class Item:
    """An evaluation item that was found. found: of the `grams` n-grams by which it is known. start, end: from the first
    to the last of them, in UTF-8 bytes of the text before. file, line, label: which it is of its set."""

    set: str
    file: str
    line: int
    label: str | None
    found: int
    grams: int
    start: int
    end: int


@dataclass(frozen=True)
class Chapter:
    """What one stage did with a document.

    verdict: the ledger's. rule, value, bound: why it went, or what changed most of it. broken: all rules that it broke.
    edits: what the rules' edits did to its text, also of one that was removed. cut: bytes of text cut out, or replaced
    where they were personal data. personal: how many of each kind of these were found. items: evaluation items found.
    into: id of the document that stands for it. error: why it failed or went, in words.
    """

    stage: str
    source: str
    verdict: str
    rule: str | None
    value: float | None
    bound: float | None
    broken: tuple[str, ...]
    cut: int
    into: str | None
    error: str | None
    id: str | None
    url: str | None
    address: str | None
    shard: str
    row: int
    edits: tuple[Edited, ...] = ()
    personal: Mapping[str, int] = field(default_factory=dict)
    items: tuple[Item, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def chapter(store: Store, found: why.Chapter, manifest: Manifest, source: str) -> Chapter:
    """A chapter of a story, told in full. manifest: of the shard that it is of."""
    entry, row = found.entry, found.row
    edits = _edits(store, manifest, row)
    spans = sum(span["end"] - span["start"] for span in entry["spans"] or ())
    return Chapter(
        stage=found.stage,
        source=source,
        verdict=entry["verdict"],
        rule=entry["rule"],
        value=entry["value"],
        bound=entry["bound"],
        broken=_broken(manifest, entry),
        cut=spans - sum(edit.bytes for edit in edits if edit.repairs) if spans else 0,
        into=entry["into"].hex() if entry["into"] else None,
        error=entry["error"],
        id=entry["id"].hex() if entry["id"] else None,
        url=entry["url"],
        address=entry["address"],
        shard=found.shard,
        row=row,
        edits=edits,
        personal=_personal(store, manifest, row),
        items=_items(store, manifest, row),
    )


def _broken(manifest: Manifest, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The bounds of the filter that a removed document broke."""
    if manifest.stage != "filter" or entry["verdict"] != "removed":
        return ()
    bounds = (manifest.settings or {}).get("bounds", [])
    return tuple(bound["rule"] for i, bound in enumerate(bounds) if entry["rules"] >> i & 1)


def _edits(store: Store, manifest: Manifest, row: int) -> tuple[Edited, ...]:
    """What edits did to a document of the filter, the one that did most first."""
    spans: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for span in _rows(store, manifest, "cuts", row):
        spans[span["rule"]] += 1
        sizes[span["rule"]] += span["end"] - span["start"]
    rules = (manifest.settings or {}).get("edits", []) if sizes else []
    found = [
        Edited(edit["rule"], spans[edit["rule"]], sizes[edit["rule"]], edit["repairs"])
        for edit in rules
        if edit["rule"] in sizes
    ]
    return tuple(sorted(found, key=lambda edit: -edit.bytes))


def _personal(store: Store, manifest: Manifest, row: int) -> dict[str, int]:
    """How many of each kind of personal data were found, those found most often first."""
    if manifest.stage != "pii":
        return {}
    return dict(Counter(found["kind"] for found in _rows(store, manifest, "found", row)).most_common())


def _items(store: Store, manifest: Manifest, row: int) -> tuple[Item, ...]:
    """The evaluation items that were found in a document."""
    if manifest.stage != "decontaminate":
        return ()
    rows = _rows(store, manifest, "found", row)
    items = [Item(**{name: found[name] for name in Item.__dataclass_fields__}) for found in rows]
    return tuple(sorted(items, key=lambda item: (item.set, item.file, item.line)))


def _rows(store: Store, manifest: Manifest, file: str, row: int) -> list[dict[str, Any]]:
    """What a stage wrote of one document in a file beside the ledger; its rows are sorted by documents'."""
    if file not in manifest.files or not store.holds(manifest, file):
        return []
    found: list[dict[str, Any]] = pq.read_table(store.local(manifest, file), filters=pc.field("row") == row).to_pylist()
    return found
