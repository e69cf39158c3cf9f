"""What a stage makes of its input, and how long it takes: as observed in shards that are there, else by a table.

`predict` writes the manifest that a shard would have, so that a whole run can be walked through before it runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from firn.core.hashing import canonical
from firn.core.stage import Input, Task
from firn.core.store import FileEntry, Manifest
from firn.data.sources.files import FilesReading, records_told


@dataclass(frozen=True)
class Rate:
    """Of one stage.

    bytes: output file -> bytes per byte of input. rows: output file -> rows per row of input, or of raw files per byte.
    seconds: of one worker, per byte of input. A stage without input counts as one of one byte. measured: whether all
    this comes from shards in the store.
    """

    bytes: Mapping[str, float]
    rows: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    measured: bool = False


# The parts of clusters' verdicts are named for the shards they speak of; a rate has all of them under this name.
_VERDICTS = ("verdicts-", "goes-")

#: Stage -> rate where the store holds no shard that tells; `read` by the class of its settings, else as any. Measured
#: on 2 cores (x86-64, AVX-512) and rounded up: `pydocs` and `stdlib:` of Python 3.11 through `reference-docs` and
#: `code`, and 38 WARC files of 40 MB with news pages from Common Crawl through `fineweb`; any `read`, files, `urls` and
#: merge rounds, which so small a corpus has not, are set beside them. Sizes hold within a factor of two or three,
#: seconds on processors of this kind.
DEFAULTS: dict[str, Rate] = {
    "pydocs": Rate({"crawl": 10e6}, seconds=6.0),
    "crawl-index": Rate({"selection": 1e-5}, {"selection": 1e-6}, 2e-9),
    "read": Rate({"documents": 0.5, "ledger": 0.01}, {"documents": 5e-5}, 3e-7),
    "read WarcReading": Rate({"documents": 0.1, "ledger": 0.006}, {"documents": 3e-5}, 4e-7),
    "read CodeSettings": Rate({"documents": 0.25, "ledger": 0.003}, {"documents": 5e-5}, 4e-8),
    "read FilesReading": Rate({"documents": 0.5, "ledger": 0.006}, {"documents": 5e-5}, 1e-7),
    "measure": Rate({"signals": 1.3}, {"signals": 1.0}, 1e-6),
    "filter": Rate({"documents": 0.8, "ledger": 0.03}, {"documents": 0.8}, 2e-7),
    "robots-read": Rate({"robots": 0.3}, {"robots": 1e-4}, 2e-7),
    "robots-sites": Rate({"sites": 0.01}, seconds=1e-8),
    "robots-index": Rate({"selection": 1e-3}, {"selection": 1e-5}, 1e-8),
    "robots-fetch": Rate({"robots": 3.0}, {"robots": 1.0}, 1e-3),
    "robots-map": Rate({"runs": 0.03}, seconds=1e-7),
    "robots-merge": Rate({"runs": 1.0}, seconds=1e-7),
    "robots-reduce": Rate({"verdicts": 0.03}, seconds=2e-6),
    "robots-verdicts": Rate({"verdicts-": 1.0}, seconds=1e-7),
    "robots": Rate({"documents": 0.9, "ledger": 0.03}, {"documents": 0.9}, 1e-7),
    "cluster-map": Rate({"runs": 0.06}, seconds=4e-7),
    "cluster-merge": Rate({"runs": 1.0}, seconds=1e-7),
    "cluster-reduce": Rate({"groups": 0.1}, seconds=1e-7),
    "cluster": Rate({"verdicts-": 2.0}, seconds=1e-6),
    "urls-map": Rate({"runs": 0.03}, seconds=1e-7),
    "urls-merge": Rate({"runs": 1.0}, seconds=1e-7),
    "urls-reduce": Rate({"goes": 0.1}, seconds=1e-7),
    "urls-verdicts": Rate({"goes-": 1.0}, seconds=1e-7),
    "urls": Rate({"documents": 1.0, "ledger": 0.03}, {"documents": 1.0}, 1e-7),
    "dedup": Rate({"documents": 1.0, "ledger": 0.03}, {"documents": 0.95}, 1e-7),
    "quality-score": Rate({"scores": 0.02, "histogram": 0.005}, {"scores": 1.0}, 3e-8),
    "quality-score ClassifierSettings": Rate({"scores": 0.02, "histogram": 0.005}, {"scores": 1.0}, 1e-4),
    "quality-threshold": Rate({"threshold": 0.01}, seconds=1e-7),
    "quality": Rate({"documents": 0.5, "ledger": 0.03}, {"documents": 0.5}, 1e-7),
    "decontaminate-index": Rate({"items": 0.2, "grams": 1.0}, seconds=1e-6),
    "decontaminate-match": Rate({"matches": 0.01, "elsewhere": 0.01}, seconds=1e-7),
    "decontaminate-common": Rate({"common": 0.1}, seconds=1e-7),
    "decontaminate": Rate({"documents": 1.0, "ledger": 0.03, "found": 0.01}, {"documents": 1.0}, 1e-7),
    "pii": Rate({"documents": 1.0, "ledger": 0.03, "found": 0.01}, {"documents": 1.0}, 3e-7),
    "tokenizer": Rate({"tokenizer": 0.1}, seconds=6e-7),
    "tokens": Rate(
        {"train": 1.7, "train_index": 0.05, "validation": 0.03, "validation_index": 0.01, "ledger": 0.02},
        {"train_index": 0.98, "validation_index": 0.02},
        1e-6,
    ),
}

# Of a stage that the table does not know: it passes documents on.
_ANY = Rate({"documents": 1.0, "ledger": 0.03}, {"documents": 1.0}, 1e-6)


def observed(manifests: Sequence[Manifest]) -> Rate:
    """The rate of shards that are there, all of one stage; at least one, with bytes of input."""
    sizes = [m.observed["bytes_in"] or 1 for m in manifests]
    bytes_in = sum(sizes)
    rows_in = sum(m.observed.get("rows_in", 0) for m in manifests)
    bytes, rows = defaultdict[str, int](int), defaultdict[str, int](int)
    for manifest in manifests:
        for name, entry in manifest.files.items():
            bytes[next((part for part in _VERDICTS if name.startswith(part)), name)] += entry.bytes
            if entry.rows is not None:
                rows[name] += entry.rows
    return Rate(
        bytes={name: total / bytes_in for name, total in bytes.items()},
        rows={name: total / (rows_in or bytes_in) for name, total in rows.items()},
        seconds=_median([m.observed["seconds"] / size for m, size in zip(manifests, sizes, strict=True)], sizes),
        measured=True,
    )


def _median(values: Sequence[float], weights: Sequence[int]) -> float:
    """The weighted median. A mean would take what a worker's first shard spends on starting for the shards' own."""
    ordered = sorted(zip(values, weights, strict=True))
    below = accumulate(weight for _, weight in ordered)
    return next(value for (value, _), so_far in zip(ordered, below, strict=True) if 2 * so_far >= sum(weights))


def rate(task: Task, known: Sequence[Manifest]) -> Rate:
    """The rate at which `task` will go. known: shards of its stage, of which those most like it count.

    Alike are shards of the same source and settings, else of the same settings, else of the same kind of settings.
    """
    settings, source = canonical(task.settings), _source(task.label)
    fields = set(type(task.settings).model_fields) if task.settings is not None else set()
    same = [m for m in known if canonical(m.settings) == settings]
    for alike in (
        [m for m in same if _source(m.label) == source],
        same,
        [m for m in known if set(m.settings or ()) == fields],
    ):
        if alike:
            return observed(alike)
    stage = task.stage.name
    return DEFAULTS.get(f"{stage} {type(task.settings).__name__}") or DEFAULTS.get(stage) or _ANY


def predict(task: Task, rate: Rate) -> Manifest:
    """The manifest that the task's shard would have; no file is of the content of one that is there."""
    size = task.bytes or 1
    rows_in = task.rows if _has_rows(task) else _bytes_of_records(task, rate)
    names = {name: share * size for name, share in rate.bytes.items() if name not in _VERDICTS}
    for part in set(_VERDICTS) & set(rate.bytes):
        shards = task.extra["shards"]
        names |= {f"{part}{shard}": rate.bytes[part] * size / len(shards) for shard in shards}
    files = {
        name: FileEntry(
            path="",
            bytes=round(length),
            hash=f"expected {task.fingerprint} {name}",
            rows=round(rate.rows[name] * rows_in) if name in rate.rows else None,
        )
        for name, length in names.items()
    }
    return Manifest(
        stage=task.stage.name,
        version=task.stage.version,
        fingerprint=task.fingerprint,
        label=task.label,
        settings=None,
        libraries={},
        inputs=[i.describe() for i in task.inputs],
        files=files,
        counts={},
        notes={},
        observed={"seconds": rate.seconds * size},
    )


def _bytes_of_records(task: Task, rate: Rate) -> float:
    """The bytes of a task that reads raw files; for files that say how many records they have, what so many take."""
    size = task.bytes or 1
    # The ledger has a row for each, while not all become documents.
    per_byte = rate.rows.get("ledger", rate.rows.get("documents", 0.0))
    if not isinstance(task.settings, FilesReading) or not per_byte:
        return size
    records, told = records_told(task)
    return size - told + records / per_byte


def is_expected(manifest: Manifest) -> bool:
    """Whether `predict` made it."""
    return any(entry.hash.startswith("expected ") for entry in manifest.files.values())


def _has_rows(task: Task) -> bool:
    first = task.inputs[0] if task.inputs else None
    return isinstance(first, Input) and first.manifest.files[first.files[0]].rows is not None


def _source(label: str) -> str:
    return label.partition("/")[0]
