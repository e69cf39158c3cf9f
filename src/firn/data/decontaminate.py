"""Decontamination: evaluation items that are found in documents, and what is cut or removed for it.

1. `decontaminate-index` (one task): the word n-grams of all items (decontaminate_index).
2. `decontaminate-match` (one task per shard): which of them occur in the shard's documents, and where.
3. `decontaminate-common` (one task): n-grams that occur in many documents, which are no evidence.
4. `decontaminate` (one task per shard): items found, documents cut or removed, and the ledger.

The rule. An item is **found** in a document where at least `coverage` of its n-grams occur in it, or of those of its
first field, or of another field of more than a sentence; both of all of them and of those that are not common. The
13-gram, and 8 words as the least, are those of GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix C); that a share of
an item's n-grams decides, and the 70%, is PaLM's (Chowdhery et al. 2022, arXiv:2204.02311, section 8). A document that
cites a sentence which an item cites too holds only a share of the item. Of an item that is itself no more than a
sentence (fewer than twice `ngram` n-grams, so 38 words with 13) all n-grams must occur: "Who said: ..." is not found
where only that was said. An n-gram is **common** where it occurs in more than `common` documents, 10 as in GPT-3, where
most of such were found to be common phrases and legal boilerplate; unlike there, documents that hold an item of more
than a sentence do not count, for a test that was copied to a hundred pages does not become a saying by that. So an item
of one sentence that more than `common` documents cite is taken for a saying; raise `common` to find those too.

What goes. `spans`: what was found, with `margin` bytes on both sides; pieces of fewer than `least` bytes go too, and a
document that would come to more than `pieces` pieces goes as a whole (all as in GPT-3). `documents`: the document.

The outcome depends on the set of documents alone. A document is looked at again only where it is new or where an n-gram
became common.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, model_validator

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.schema import DOCUMENT
from firn.core.settings import Settings
from firn.core.stage import External, Input, Stage, Task, Work
from firn.core.store import Manifest, Store
from firn.data import decontaminate_index
from firn.data.characters import UNICODE
from firn.data.columns import texts
from firn.data.decontaminate_match import COMMON, MATCH, Index, MatchSettings, opened
from firn.data.sources.listing import Found, files_of, unique

S = TypeVar("S", bound=Settings)

#: Sets that fit the ledger's bitmap.
MAX_SETS = 64
_FORMS = re.compile(r"\.(?:jsonl|ndjson|json|parquet)(?:\.gz)?$", re.IGNORECASE)


class EvaluationSet(Settings):
    """Evaluation items: files of JSON lines, JSON lists or Parquet, gzipped or not."""

    paths: tuple[str, ...] = Field(min_length=1)
    """Files, folders or patterns, local or fsspec URLs. Of folders and patterns, the files with the endings of
    these forms."""
    fields: tuple[str, ...] | None = None
    """Fields of an item that must not be in training text, a.b for a field within a field; null: all that are text.
    Name a passage and its questions in two sets: what holds the questions only is found by the second."""


class IndexSettings(Settings):
    """What an item is known by."""

    ngram: int = Field(default=13, ge=2, le=64)
    """Words of an n-gram."""
    shortest: int = Field(default=8, ge=2, le=64)
    """A field of fewer words than an n-gram, and of at least so many, is an n-gram of its own."""
    formula: int = Field(default=100, ge=1)
    """N-grams of more items than this are a formula of the task, by which nothing is known."""


class CutSettings(MatchSettings):
    """What counts as found, and what becomes of a document with items in it."""

    remove: Literal["spans", "documents"] = "spans"
    """Whether what was found is cut out, or the document goes."""
    margin: int = Field(default=200, ge=0)
    """UTF-8 bytes cut on both sides of what was found."""
    least: int = Field(default=200, ge=0)
    """A piece of fewer UTF-8 bytes between two cuts, or beside one, goes too."""
    pieces: int = Field(default=10, ge=1)
    """A document of which more pieces would be left is removed."""


class DecontaminateSettings(IndexSettings, CutSettings):
    """Evaluation sets that are kept out of training, and how. Defaults: the module's docstring says from where."""

    sets: dict[str, EvaluationSet] = Field(min_length=1, max_length=MAX_SETS)
    """The evaluation sets, by a name of your own."""
    common: int = Field(default=10, ge=1)
    """N-grams in more documents than this, apart from documents that hold a whole item with them, are no evidence."""

    @model_validator(mode="after")
    def _shorter(self) -> DecontaminateSettings:
        if self.shortest > self.ngram:
            raise ValueError("shortest is more than ngram: no field would be looked for between them")
        return self

    def part(self, kind: type[S]) -> S:
        """What one of the stages needs to know of it."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})


#: An item that was found. field: 0: as a whole, else by this field alone (decontaminate_index). grams: it is known by;
#: found: of these in the document. start, end: from the first to the last
#: of them, UTF-8 bytes of the text before. set, file, line, label: of the item.
FOUND = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("url", pa.string()),
        pa.field("set", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("field", pa.int32(), nullable=False),
        pa.field("found", pa.int32(), nullable=False),
        pa.field("grams", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
    ],
    metadata={"format": "firn.contamination", "format_version": "1"},
)


def decontaminate(
    engine: LocalEngine, manifests: Sequence[Manifest], settings: DecontaminateSettings
) -> list[Manifest]:
    """Run all stages over the `documents` of these shards; the manifests of `decontaminate`, in their order.

    Raises InputError where evaluation items cannot be read, or where none has a field that is named.
    """
    index = engine.run([index_task(settings)])[0]
    grams, items = Input(index, ("grams",)), Input(index, ("grams", "items"))
    shards = [Input(manifest, ("documents",)) for manifest in manifests]
    match = settings.part(MatchSettings)
    matched = engine.run(
        [Task(MATCH, match, (shard, grams), shard.manifest.label, {"unicode": UNICODE}) for shard in shards]
    )
    # A shard that is there twice has its documents once.
    counts = {shard.identity: Input(made, ("elsewhere",)) for shard, made in zip(shards, matched, strict=True)}
    sums = tuple(counts[identity] for identity in sorted(counts))
    common = Input(engine.run([Task(COMMON, None, sums, "all", {"common": settings.common})])[0], ("common",))
    cut = settings.part(CutSettings)
    return engine.run(
        [
            Task(STAGE, cut, (shard, Input(made, ("matches",)), items, common), shard.manifest.label)
            for shard, made in zip(shards, matched, strict=True)
        ]
    )


def index_task(settings: DecontaminateSettings) -> Task:
    """The task that indexes the evaluation items. Raises InputError where a path holds nothing."""
    inputs: list[External] = []
    sets = []
    for name, given in sorted(settings.sets.items()):
        files = [file.external() for file in _files(name, given.paths)]
        places = list(range(len(inputs), len(inputs) + len(files)))
        inputs += files
        sets.append({"name": name, "fields": given.fields, "inputs": places})
    extra = {"sets": sets, "unicode": UNICODE}
    return Task(decontaminate_index.STAGE, settings.part(IndexSettings), tuple(inputs), "all", extra)


def _files(name: str, paths: Sequence[str]) -> list[Found]:
    """The evaluation files under the paths; what lies beside them in folders (README, LICENSE) is passed over."""
    found: list[Found] = []
    for path in paths:
        files = files_of(path)
        is_file = len(files) == 1 and os.path.basename(path) == os.path.basename(files[0].path)
        chosen = [file for file in files if is_file or _FORMS.search(file.name)]
        if not chosen:
            mend = "give JSON lines, a JSON list or Parquet, or the folder that holds them"
            raise InputError(f"holds no file of evaluation items for the set {name!r}", where=path, mend=mend)
        found += chosen
    return unique(found)


def run(work: Work) -> None:
    """Cut or remove what was found in one shard. Inputs: `documents`, its matches, the index, common n-grams."""
    settings: CutSettings = work.settings
    index = opened(str(work.local(2, "grams")))
    items = work.table(2, "items")
    names = sorted(set(items.column("set").to_pylist()))
    bit = {name: position for position, name in enumerate(names)}
    is_common = np.zeros(index.hashes.size, bool)
    is_common[work.table(3, "common").column("gram").to_numpy()] = True
    rare = np.bincount(index.owners[np.repeat(~is_common, np.diff(index.offsets))], minlength=index.totals.size)
    found_in, nothing = _by_row(work.table(1, "matches")), np.empty((0, 3), np.int32)

    documents, found_file, row = work.writer("documents", DOCUMENT), work.writer("found", FOUND), 0
    contaminated: dict[str, set[tuple[str, int]]] = {}
    for batch in work.batches():
        stays = np.ones(batch.num_rows, bool)
        cut: list[str | None] = [None] * batch.num_rows
        found_rows: list[dict[str, Any]] = []
        urls = batch.column("url").to_pylist()
        for at, (text, id_) in enumerate(zip(texts(batch.column("text")), batch.column("id").to_pylist(), strict=True)):
            matches = found_in.get(row, nothing)
            quarantined = matches.size and matches[0, 0] < 0
            if quarantined or not work.enter(row, id_):
                if quarantined:
                    work.ledger.failed(id_, "quarantined: looking for evaluation items in it killed or hung its worker")
                stays[at] = False
                row += 1
                continue
            held, spans = _found(index, matches, is_common, rare, settings) if matches.size else ([], [])
            if not held:
                work.ledger.kept(id_)
            else:
                about = {"row": row, "id": id_, "url": urls[at]}
                named = _named(held, items)
                found_rows += [{**item, **one._asdict(), **about} for one, item in named]
                for _, item in named:
                    contaminated.setdefault(item["set"], set()).add((item["file"], item["line"]))
                rules = sum(1 << bit[name] for name in {item["set"] for _, item in named})
                best, item = max(named, key=lambda pair: (pair[0].found / pair[1]["grams"], -pair[0].item))
                decided = {"value": best.found / item["grams"], "bound": settings.coverage, "rules": rules}
                left, gone = _pieces(text, spans, settings)
                if settings.remove == "documents" or not left or len(left) > settings.pieces:
                    work.ledger.removed(id_, f"contaminated.{item['set']}", **decided)
                    stays[at] = False
                else:
                    work.ledger.changed(id_, spans=gone, rule=f"contaminated.{item['set']}", **decided)
                    cut[at] = "\n\n".join(text[start:end].tobytes().decode().strip() for start, end in left)
            row += 1
        work.leave()
        if found_rows:
            columns = [pa.array([found[field.name] for found in found_rows], field.type) for field in FOUND]
            found_file.write(pa.table(columns, schema=FOUND))
        table = pa.Table.from_batches([batch]).select(DOCUMENT.names)
        if any(text is not None for text in cut):
            place = table.schema.get_field_index("text")
            new = pc.coalesce(pa.array(cut, pa.large_string()), table.column("text"))
            table = table.set_column(place, DOCUMENT.field("text"), new)
        documents.write(table.cast(DOCUMENT).filter(pa.array(stays)))
    work.note("items", {name: len(found) for name, found in sorted(contaminated.items())})
    whole = [item for item in items.select(["set", "field", "grams"]).to_pylist() if item["field"] == 0]
    work.note("sought", dict(sorted(Counter(item["set"] for item in whole if item["grams"]).items())))
    work.note("too_short", dict(sorted(Counter(item["set"] for item in whole if not item["grams"]).items())))


def _by_row(table: pa.Table) -> dict[int, NDArray[np.int32]]:
    """Row of a document -> its matches, int32 [n, 3]: n-gram, start, end."""
    rows = table.column("row").to_numpy()
    rest = np.stack([table.column(name).to_numpy() for name in ("gram", "start", "end")], 1)
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return {int(rows[a]): rest[a:b] for a, b in pairwise([*starts.tolist(), rows.size])}


def _named(held: list[_Found], items: pa.Table) -> list[tuple[_Found, dict[str, Any]]]:
    """What was found with its row of the index, each item once: as a whole, which comes first there, or by a field."""
    named: dict[tuple[str, str, int], tuple[_Found, dict[str, Any]]] = {}
    for one in held:
        item = items.slice(one.item, 1).to_pylist()[0]
        named.setdefault((item["set"], item["file"], item["line"]), (one, item))
    return list(named.values())


class _Found(NamedTuple):
    """An item in a document. found: its n-grams there. start, end: from the first to the last."""

    item: int
    found: int
    start: int
    end: int


def _found(
    index: Index,
    matches: NDArray[np.int32],
    is_common: NDArray[np.bool_],
    rare: NDArray[np.int64],
    settings: CutSettings,
) -> tuple[list[_Found], list[tuple[int, int]]]:
    """The items that a document holds, by its matches, and where their n-grams are.

    rare: n-grams of each item that are not common.
    """
    grams, which = np.unique(matches[:, 0], return_inverse=True)
    items, counts = index.per_item(grams)
    some, rare_counts = index.per_item(grams[~is_common[grams]])
    own = np.zeros(items.size, np.int64)
    own[np.searchsorted(items, some)] = rare_counts
    enough = (counts >= settings.needed(index.totals[items])) & (own >= settings.coverage * rare[items]) & (own > 0)
    held, found = items[enough], counts[enough]

    # By n-gram before by item, as one may occur many times and belong to many items.
    first, last = np.full(grams.size, np.iinfo(np.int32).max, np.int32), np.zeros(grams.size, np.int32)
    np.minimum.at(first, which, matches[:, 1])
    np.maximum.at(last, which, matches[:, 2])
    places, owners = index.holders(grams)
    ours = np.isin(owners, held)
    places, position = places[ours], np.searchsorted(held, owners[ours])
    starts, ends = np.full(held.size, np.iinfo(np.int32).max, np.int32), np.zeros(held.size, np.int32)
    np.minimum.at(starts, position, first[places])
    np.maximum.at(ends, position, last[places])
    spans = matches[np.isin(which, places), 1:]
    return (
        [_Found(*row) for row in zip(held.tolist(), found.tolist(), starts.tolist(), ends.tolist(), strict=True)],
        [(start, end) for start, end in spans.tolist()],
    )


def _pieces(
    text: NDArray[np.uint8], spans: list[tuple[int, int]], settings: CutSettings
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What is left of a text and what goes, in bytes, both in order; cuts lie between characters."""
    left, gone, done = [], [], 0
    for start, end in _joined(spans, settings.margin):
        start, end = _character(text, max(0, start), -1), _character(text, min(end, text.size), 1)
        if start - done >= max(1, settings.least):
            left.append((done, start))
            gone.append((start, end))
        elif gone:
            gone[-1] = (gone[-1][0], end)
        else:
            gone.append((0, end))
        done = end
    if text.size - done >= max(1, settings.least):
        left.append((done, text.size))
    else:
        gone[-1] = (gone[-1][0], text.size)
    return left, gone


def _joined(spans: list[tuple[int, int]], margin: int) -> Iterator[tuple[int, int]]:
    """The spans with margins, those that touch as one, in order."""
    first, last = -1, -1
    for start, end in sorted((start - margin, end + margin) for start, end in spans):
        if last >= start and last >= 0:
            last = max(last, end)
            continue
        if last >= 0:
            yield first, last
        first, last = start, end
    yield first, last


def _character(text: NDArray[np.uint8], at: int, step: int) -> int:
    """The nearest byte from `at` on, in the direction of `step`, at which a character begins, or the end."""
    while 0 < at < text.size and text[at] & 0xC0 == 0x80:
        at += step
    return at


def report(store: Store, manifests: Sequence[Manifest]) -> pa.Table:
    """Which items were found where: the rows of `found` of these shards of `decontaminate`, by set, file and line."""
    tables = [pq.read_table(store.local(manifest, "found")) for manifest in manifests]
    table = pa.concat_tables([FOUND.empty_table(), *tables])
    return table.sort_by([(name, "ascending") for name in ("set", "file", "line", "id")])


STAGE = Stage("decontaminate", 2, run, ledger=True)
