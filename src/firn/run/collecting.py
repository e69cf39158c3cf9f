"""`firn collect`: the reading stage alone, source by source as it happens, and what the next stage will see."""

from __future__ import annotations

import heapq
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from firn.core.disk import require_room
from firn.core.hashing import fingerprint, hash64
from firn.core.inputs import External
from firn.core.progress import Making, Mode, Progress
from firn.core.store import Manifest, Store
from firn.data import read
from firn.run import graph
from firn.run.examples import ids_of, row_of
from firn.run.graph import Shards
from firn.run.lookahead import Lookahead, bytes_written
from firn.run.partway import partway
from firn.run.recipe import Recipe
from firn.serve.numbers import count, size
from firn.serve.redact import excerpt, locator, shown, visible

#: Kinds of errors that are told apart, per source.
_KINDS = 20
#: Characters of each, enough for how it may be mended.
_KIND = 200
#: Source, shard and row of a document.
Place = tuple[str, Manifest, int]
_NUMBER = re.compile(r"\b0x[0-9a-fA-F]+|\d+")
_PAGE = re.compile(r" \(page .*\)$")


@dataclass
class Tally:
    """What was read of one source.

    made: shards that were made now; the others were there. records: raw records, each of which is a row of the ledger.
    documents: that came of them. bytes: of the raw files, as they lie. seconds: of work, summed over shards. gone:
    records that are no documents, by rule. errors: records that could not be read, by kind. unread: records of which a
    field could not be read, by field.
    """

    source: str
    shards: int = 0
    made: int = 0
    records: int = 0
    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0
    gone: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def add(self, store: Store, manifest: Manifest, made: bool) -> None:
        """One more shard."""
        counts = manifest.counts
        self.shards += 1
        self.made += made
        self.records += counts["in"]
        self.documents += counts["out"]
        self.bytes += manifest.observed.get("bytes_in", 0)
        self.seconds += manifest.observed.get("seconds", 0.0)
        self.gone.update(counts.get("rules", {}))
        self.unread.update(manifest.notes.get("unread", {}))
        if counts["failed"]:
            self.errors.update(_errors(store, manifest))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        errors = dict(self.errors.most_common(_KINDS))
        return {**vars(self), "gone": dict(self.gone), "errors": errors, "unread": dict(self.unread)}


@dataclass(frozen=True)
class ToRead:
    """What would be read of one source. files, bytes: raw, as they lie, whether or not they were read already; None
    where an earlier stage finds or makes them. shards: that there would be; cached: of these, that are there."""

    source: str
    files: int | None
    bytes: int | None
    shards: int
    cached: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Document:
    """A document as the next stage will see it, personal data replaced. text: its beginning."""

    id: str
    source: str
    url: str | None
    address: str
    published: str | None
    date_method: str | None
    language: str | None
    license: str | None
    group: str
    characters: int
    meta: str
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Collected:
    """What came of reading. name, folder: of the run. seconds: that it took now."""

    name: str
    folder: str
    sources: list[Tally]
    sample: list[Document]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "folder": self.folder,
            "seconds": round(self.seconds, 3),
            "sources": [tally.to_json() for tally in self.sources],
            "sample": [document.to_json() for document in self.sample],
        }


def collect(
    recipe: Recipe,
    runs: str | Path = "runs",
    *,
    sample: int = 0,
    seed: int = 0,
    characters: int = 600,
    workers: int | None = None,
    mode: Mode = "auto",
) -> Collected:
    """Read the sources of a recipe, and nothing else. What is there already is not read again.

    sample: documents to be shown, spread over sources and shards, the same for the same `seed`. characters: of each.
    Raises the rooms' FirnErrors.
    """
    store = Store(recipe.store or Path(runs) / "store")
    display, started = Display(store, mode), time.monotonic()
    with partway(recipe, runs, "collected", display, workers) as part:
        require_room(part.engine.store, bytes_written(recipe, part.engine.store, graph.collect))
        part.shards = graph.collect(recipe, part.engine)
    tallies = [display.tally(source) for source in part.shards]
    documents = [document(store, *place, characters) for place in drawn(store, part.shards, sample, seed)]
    return Collected(recipe.name, str(part.folder.path), tallies, documents, time.monotonic() - started)


def dry_run(recipe: Recipe, runs: str | Path = "runs") -> list[ToRead]:
    """What `collect` would read, source by source; nothing is read but lists of files and what they are known by.

    Raises InputError as `collect` does.
    """
    engine = Lookahead(Store(recipe.store or Path(runs) / "store"), recipe.engine.workers, recipe.retain)
    found = []
    for name in recipe.sources:
        tasks = read.tasks(name, recipe.raw_source(name), recipe.extract, engine)
        inputs = [input for task in tasks for input in task.inputs]
        raw = [input for input in inputs if isinstance(input, External)]
        told = len(raw) == len(inputs)
        files, bytes = (len({file.path for file in raw}), sum(file.bytes for file in raw)) if told else (None, None)
        found.append(ToRead(name, files, bytes, len(tasks), len(engine.find(tasks))))
    return found


def _errors(store: Store, manifest: Manifest) -> Iterator[str]:
    """Kinds of the errors of a shard: the rule, or the message without its numbers and what is particular."""
    ledger = pq.read_table(store.local(manifest, "ledger"), columns=["verdict", "rule", "error"])
    for row in ledger.filter(pc.equal(ledger["verdict"], "failed")).to_pylist():
        message = _PAGE.sub("", shown((row["error"] or "").split("\n")[0]))
        message = _NUMBER.sub("N", message)[:_KIND]
        yield row["rule"] or message or "unknown"


# The table.


class Display(Progress):
    """Progress of reading: a table with a line per source, alive on a terminal. store: that of the run."""

    def __init__(self, store: Store, mode: Mode = "auto", console: Console | None = None):
        super().__init__(mode, console)
        self._store = store
        self._tallies: dict[str, Tally] = {}
        self._under_way: list[Making] = []
        self._live: Live | None = None

    def begin(self, stage: str, **facts: Any) -> None:
        """Of the reading stage the table takes the place of the bar."""
        if stage != "read" or self.mode != "auto" or not self.console.is_terminal:
            super().begin(stage, **facts)
            return
        self._live = Live(console=self.console, transient=True, refresh_per_second=4, get_renderable=self.table)
        self._live.start()

    def shard(self, manifest: Manifest) -> None:
        """A shard was made."""
        if manifest.stage == "read":
            self.tally(manifest.label).add(self._store, manifest, made=True)

    def there(self, manifests: Sequence[Manifest]) -> None:
        """Shards that need not be made."""
        for manifest in manifests:
            if manifest.stage == "read":
                self.tally(manifest.label).add(self._store, manifest, made=False)

    def making(self, shards: Sequence[Making]) -> None:
        """The shards in the making."""
        self._under_way = list(shards)

    def advance(self, stage: str, **facts: Any) -> None:
        """Bars of other stages move; the table looks for itself."""
        if stage != "read" or self._live is None:
            super().advance(stage, **facts)

    def end(self, stage: str, manifests: Sequence[Manifest], cached: int, seconds: float) -> None:
        """The table goes, and the stage's line stays."""
        self._stop()
        super().end(stage, manifests, cached, seconds)

    def abandon(self, stage: str, *, interrupted: bool = False) -> None:
        """The stage ends in an error, or because a person stopped it."""
        self._stop()
        super().abandon(stage, interrupted=interrupted)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tally(self, label: str) -> Tally:
        """What is finished of a source, or of that of a shard with this label."""
        source = label.partition("/")[0]
        return self._tallies.setdefault(source, Tally(source))

    def table(self) -> Table:
        """What is read so far, that of shards under way too."""
        for shard in self._under_way:
            self.tally(shard.label)
        so_far = {source: replace(tally) for source, tally in self._tallies.items()}
        for shard in self._under_way:
            tally = so_far[shard.label.partition("/")[0]]
            tally.records += shard.rows
            tally.documents += shard.documents
            tally.bytes += shard.bytes
            tally.seconds += shard.seconds
        return sources_table(list(so_far.values()))


def sources_table(tallies: Sequence[Tally]) -> Table:
    """A line per source. Rates are those of one worker."""
    table = Table(title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (
        ("source", "left"), ("shards", "right"), ("records", "right"), ("documents", "right"), ("raw", "right"),
        ("records/s", "right"), ("raw/s", "right"), ("errors", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, header_style="dim")  # type: ignore[arg-type]
    for tally in tallies:
        cached = tally.shards - tally.made
        shards = count(tally.shards) + (f" ({count(cached)} cached)" if cached else "")
        errors = ", ".join(f"{kind} {count(n)}" for kind, n in tally.errors.most_common(3))
        seconds = tally.seconds
        rates = (count(tally.records / seconds), size(tally.bytes / seconds)) if seconds else ("", "")
        amounts = (count(tally.records), count(tally.documents), size(tally.bytes))
        table.add_row(*map(escape, (tally.source, shards, *amounts, *rates, errors)))
    return table


# A sample.


def drawn(store: Store, shards: Shards, most: int, seed: int) -> list[Place]:
    """Places of `most` documents, as many of each source as there are, by turns; likewise of each
    source's shards. Which, a hash of `seed` and the document's id says."""
    queues = []
    for source, stages in shards.items():
        there = [m for m in stages["read"] if m.counts["out"] and store.holds(m, "documents")]
        there.sort(key=lambda m: fingerprint([seed, m.fingerprint]))
        queues.append(_by_turns([_few(store, source, manifest, most, seed) for manifest in there[:most]]))
    order = {source: number for number, source in enumerate(shards)}
    return sorted(_by_turns(queues)[:most], key=lambda place: order[place[0]])


def _few(store: Store, source: str, manifest: Manifest, most: int, seed: int) -> list[Place]:
    salt = seed.to_bytes(8, "little", signed=True)
    keys = ((hash64(salt + id), row) for row, id in enumerate(ids_of(store, manifest)))
    return [(source, manifest, row) for _, row in heapq.nsmallest(most, keys)]


def _by_turns(lists: Sequence[list[Place]]) -> list[Place]:
    longest = max(map(len, lists), default=0)
    return [found[turn] for turn in range(longest) for found in lists if turn < len(found)]


def document(store: Store, source: str, manifest: Manifest, row: int, characters: int) -> Document:
    """One of a shard's documents, fit to be shown."""
    found = row_of(store, manifest, row, None)
    published = found["published"]
    return Document(
        id=found["id"].hex(),
        source=source,
        url=None if found["url"] is None else shown(found["url"]),
        address=locator(found["address"]),
        published=published.isoformat() if published else None,
        date_method=found["date_method"],
        language=found["language"],
        license=found["license"],
        group=shown(found["group"]),
        characters=len(found["text"]),
        meta=shown(found["meta"]),
        text=excerpt(visible(found["text"][: 4 * characters + 10_000]), characters),
    )
