"""The stages of quality: documents are scored, a threshold is found where a share is to be kept, and it is decided.

1. `quality-score` (one task per shard): the score of each document, row by row beside the documents, and how many have
   which score. Another threshold or share does not score again.
2. `quality-threshold` (one task, where `keep` is given): the score from which on that share of all documents lies.
3. `quality` (one task per shard): the documents that stay, and the ledger, where the others are `removed` by the rule
   `quality.score` with their score and the threshold.

They come after deduplication, as in DCLM: a text with a thousand copies is scored once, and counts once in the share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from firn.core.engine import LocalEngine
from firn.core.hashing import fingerprint
from firn.core.inputs import External, external
from firn.core.schema import DOCUMENT
from firn.core.settings import Settings
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.characters import UNICODE
from firn.data.columns import texts
from firn.data.quality import classifier
from firn.data.quality.settings import ClassifierSettings, DecisionSettings, QualitySettings

S = TypeVar("S", bound=Settings)

RULE = "quality.score"

_NO_SCORE = "no score: the model gave no number for it, or it killed or hung its worker and is quarantined"

#: Row i is that of document i. score: null where there is none.
SCORES = pa.schema(
    [pa.field("id", pa.binary(16), nullable=False), pa.field("score", pa.float32())],
    metadata={"format": "firn.quality", "format_version": "1"},
)
#: documents: how many have a score of `place`, a number that rises with the score. least: the least of their scores.
HISTOGRAM = pa.schema(
    [
        pa.field("place", pa.int32(), nullable=False),
        pa.field("least", pa.float32(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
    ],
    metadata={"format": "firn.quality_histogram", "format_version": "1"},
)
_THRESHOLD = pa.schema(
    [pa.field("at_least", pa.float64())], metadata={"format": "firn.quality_threshold", "format_version": "1"}
)

# Of a score's 32 bits so many count in its place: sign, exponent and 13 of the mantissa, 6e-5 below a score of 1.
_BITS = 22


def judge(engine: LocalEngine, manifests: Sequence[Manifest], settings: QualitySettings) -> list[Manifest]:
    """Run all stages over the `documents` of these shards; the manifests of `quality`, in their order.

    Raises InputError where the model is missing or none, RecipeError where one of its labels must be named.
    """
    shards = [Input(manifest, ("documents",)) for manifest in manifests]
    scored = engine.run(score_tasks(shards, settings))
    scores = [Input(made, ("scores",)) for made in scored]
    limit: tuple[Input, ...] = ()
    if settings.keep is not None:
        counts = sorted((Input(made, ("histogram",)) for made in scored), key=lambda input: input.identity)
        found = engine.run([Task(THRESHOLD, None, tuple(counts), "all", {"keep": settings.keep})])[0]
        limit = (Input(found, ("threshold",)),)
    decision = _part(settings, DecisionSettings)
    return engine.run(
        [
            Task(STAGE, decision, (shard, score, *limit), shard.manifest.label)
            for shard, score in zip(shards, scores, strict=True)
        ]
    )


def score_tasks(shards: Sequence[Input], settings: QualitySettings) -> list[Task]:
    """The tasks that score the documents of these shards."""
    if settings.model == "linear":
        assert settings.file is not None
        model = external(settings.file)
        # Known by its content: another name is no other model.
        inputs, extra = [replace(model, name="model")], {"unicode": UNICODE}
        return [Task(SCORE, None, (shard, *inputs), shard.manifest.label, extra) for shard in shards]
    assert settings.folder is not None
    own = _part(settings, ClassifierSettings)
    classifier.output(settings.folder, own)
    inputs, stage = classifier.files(settings.folder), replace(SCORE, libraries=classifier.LIBRARIES)
    return [Task(stage, own, (shard, *inputs), shard.manifest.label) for shard in shards]


def _part(settings: Settings, kind: type[S]) -> S:
    return kind(**{name: getattr(settings, name) for name in kind.model_fields})


def score(work: Work) -> None:
    """Score the documents of one shard. Inputs: `documents`, and the model's file or files."""
    scorer = _classifier(work) if isinstance(work.settings, ClassifierSettings) else _linear(work)
    writer, counts, row = work.writer("scores", SCORES), dict[int, tuple[np.float32, int]](), 0
    for batch in work.batches(columns=["id", "text"]):
        found: list[Any] = []
        for text in texts(batch.column("text")):
            found.append(scorer.read(text) if work.enter(row) else None)
            row += 1
        work.leave()
        values = scorer.scores([one for one in found if one is not None])
        column = np.full(batch.num_rows, np.nan, np.float32)
        column[[one is not None for one in found]] = values
        finite = np.isfinite(column)
        writer.write(pa.table([batch.column("id"), pa.array(column, mask=~finite)], schema=SCORES))
        _count(counts, column[finite])
    histogram = [[place, least, documents] for place, (least, documents) in sorted(counts.items())]
    columns = list(zip(*histogram, strict=True)) or [(), (), ()]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, HISTOGRAM, strict=True)]
    work.writer("histogram", HISTOGRAM).write(pa.table(arrays, schema=HISTOGRAM))
    work.note("scored", sum(documents for _, documents in counts.values()))


class _Scorer:
    """read: what the model needs of a text, whose fault it is where that goes wrong. scores: float32 [n] of such."""

    def __init__(self, read: Callable[[Any], Any], scores: Callable[[list[Any]], NDArray[np.float32]]):
        self.read, self.scores = read, scores


def _linear(work: Work) -> _Scorer:
    from firn.data.quality.linear import load  # numba takes long to import, and the driver never needs it

    return _Scorer(load(work.local(1)).score, lambda values: np.array(values, np.float32))


def _classifier(work: Work) -> _Scorer:
    files = [file for file in work.inputs[1:] if isinstance(file, External)]
    identity = fingerprint([[file.name, file.identity] for file in files])
    model = classifier.opened(str(Path(files[0].path).parent), identity, work.settings)
    return _Scorer(model.encode, model.scores)


def places(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """A number for each score that is no less where the score is no less: the first _BITS bits of its float32.

    Floats are ordered as sign and magnitude, so negative ones are turned round.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # -0 becomes 0
    ordered = np.where(bits < 0, np.int32(-(2**31)) - bits - np.int32(1), bits)
    found: NDArray[np.int32] = ordered >> np.int32(32 - _BITS)
    return found


def _count(counts: dict[int, tuple[np.float32, int]], scores: NDArray[np.float32]) -> None:
    """Count scores by their place."""
    order = np.argsort(scores, kind="stable")
    found, first, number = np.unique(places(scores[order]), return_index=True, return_counts=True)
    for place, at, documents in zip(found.tolist(), first.tolist(), number.tolist(), strict=True):
        least, so_far = counts.get(place, (np.float32(math.inf), 0))
        counts[place] = min(least, scores[order[at]]), so_far + documents


def threshold(work: Work) -> None:
    """The highest score from which on at least the share `keep` lies. Inputs: `histogram`s.

    Scores of one place are not told apart. In memory: two numbers for each of the 2^22 places.
    """
    documents = np.zeros(1 << _BITS, np.int64)
    least = np.full(1 << _BITS, np.inf, np.float32)
    for index in range(len(work.inputs)):
        table = work.table(index, "histogram")
        at = table.column("place").to_numpy() + (1 << (_BITS - 1))
        documents[at] += table.column("documents").to_numpy()
        least[at] = np.minimum(least[at], table.column("least").to_numpy())
    above = np.cumsum(documents[::-1])[::-1]  # documents of each place and those above it
    total = int(above[0])
    needed = math.ceil(work.extra["keep"] * total - 1e-9 * total)
    at_least = None
    if total:
        place = int(np.flatnonzero((above >= needed) & (documents > 0))[-1])
        at_least = float(least[place])
        work.note("kept", int(above[place]))
    work.writer("threshold", _THRESHOLD).write([{"at_least": at_least}])
    work.note("scored", total)
    work.note("at_least", at_least)


def run(work: Work) -> None:
    """Decide about the documents of one shard. Inputs: `documents`, its `scores`, the `threshold` if there is one."""
    limit: float | None = work.settings.at_least
    if len(work.inputs) > 2:
        limit = work.table(2, "threshold").column("at_least")[0].as_py()
    scores = work.table(1, "scores").column("score").to_pylist()
    writer, row = work.writer("documents", DOCUMENT), 0
    for batch in work.batches():
        stays = np.ones(batch.num_rows, bool)
        for index, id_ in enumerate(batch.column("id").to_pylist()):
            value = scores[row]
            if value is None:
                work.ledger.failed(id_, _NO_SCORE)
            elif limit is not None and value < limit:
                work.ledger.removed(id_, RULE, value=value, bound=limit, rules=1)
            else:
                work.ledger.kept(id_)
            stays[index] = value is not None and (limit is None or value >= limit)
            row += 1
        writer.write(pa.Table.from_batches([batch]).select(DOCUMENT.names).filter(pa.array(stays)))


SCORE = Stage("quality-score", 1, score)
THRESHOLD = Stage("quality-threshold", 1, threshold)
STAGE = Stage("quality", 1, run, ledger=True)
