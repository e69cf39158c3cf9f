"""Pages that robots.txt keeps from robots: every document's URL against the file that its site had when it was fetched.

1. `robots-read` (one task per file, firn.data.robots.read), or for Common Crawl firn.data.robots.crawl: robots.txt
   become tables.
2. `robots-map`, `robots-reduce` (core.shuffle): documents and robots.txt of one site come together; documents that are
   not to be fetched are written down, with the robot and the line.
3. `robots-verdicts` (one task): which rows go, one file per document shard.
4. `robots` (one task per shard): the documents that stay, and the ledger, where the others are removed by
   `rights.robots`, with that line in words. The shard's notes have how many documents' robots.txt are known, and how
   many each robot may not have.

Each authority (scheme, host and port) has a robots.txt of its own. Of its copies the one counts that was fetched last
before the page, or else first after it, or else one of which no time is known. 2xx: its rules. 3xx: followed up to five
times, with or without `www.`, to another scheme or port of the same host; where it leads elsewhere, or nowhere, nothing
is known. 4xx: there is none, and all may be fetched (RFC 9309, section 2.3.1.3). Server errors, and answers that cannot
be understood, are passed over where there is another copy; where there is none the setting `unreachable` decides. The
RFC has crawlers wait in that case (2.3.1.4), but these pages were fetched all the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.schema import DOCUMENT
from firn.core.shuffle import shuffle
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest
from firn.data.robots import crawl, read
from firn.data.robots.rules import Robots, place
from firn.data.robots.settings import RobotsRules, RobotsSettings
from firn.data.sources import CommonCrawlSource, Source

RULE = "rights.robots"

# Redirects that are followed (RFC 9309, section 2.3.1.2).
_HOPS = 5
_COPY, _DOCUMENT = 0, 1
# Documents that are looked at at a time.
_DOCUMENTS = 1024

#: What comes together. body: of a copy its rules, of a document its path. Times in microseconds.
_MEET = pa.schema(
    [
        pa.field("key", pa.uint64()),
        pa.field("kind", pa.int8()),
        pa.field("authority", pa.string()),
        pa.field("time", pa.int64()),
        pa.field("status", pa.int16()),
        pa.field("redirect", pa.string()),
        pa.field("body", pa.large_binary()),
        pa.field("shard", pa.uint64()),
        pa.field("row", pa.int32()),
    ]
)

#: A document that goes: its row, the robot (null where the robots.txt could not be had), and why in words. A row of
#: the table without `row` says of how many documents of the shard the robots.txt is known.
_VERDICT = pa.schema(
    [
        pa.field("shard", pa.uint64()),
        pa.field("row", pa.int32()),
        pa.field("known", pa.int64()),
        pa.field("agent", pa.string()),
        pa.field("why", pa.string()),
    ],
    metadata={"format": "firn.robots_verdicts", "format_version": "1"},
)


def obey(engine: LocalEngine, manifests: Sequence[Manifest], rules: RobotsRules, source: Source) -> list[Manifest]:
    """Run all stages over the `documents` of these shards of a source; the manifests of `robots`, in their order.

    Raises InputError where there is no robots.txt where the rules say, RecipeError where they say nothing.
    """
    settings = RobotsSettings(agents=rules.agents, unreachable=rules.unreachable)
    shards = list({i.identity: i for i in (Input(manifest, ("documents",)) for manifest in manifests)}.values())
    if rules.paths is None and isinstance(source, CommonCrawlSource):
        found = crawl.tables(engine, shards, source)
    else:
        found = engine.run([read.task(file, rules.paths is None) for file in read.files(rules, source)])
    tables = [Input(manifest, ("robots",)) for manifest in found]
    groups = shuffle(
        engine,
        name="robots",
        version=3,
        settings=settings,
        inputs=[(each,) for each in (*shards, *tables)],
        map=meet,
        reduce=judge,
        # Of robots.txt there are many alike, which Parquet writes once.
        bytes_per_partition=64 << 20,
        libraries=("zstandard",),
    )
    parts = tuple(Input(manifest, ("verdicts",)) for manifest in groups if "verdicts" in manifest.files)
    extra = {
        "shards": sorted(_number(shard) for shard in shards),
        "robots": sum(table.manifest.files["robots"].rows or 0 for table in tables),
    }
    verdicts = engine.run([Task(VERDICTS, settings, parts, "all", extra)])[0]
    return engine.run(
        [
            Task(STAGE, settings, (shard, Input(verdicts, (f"verdicts-{_number(shard)}",))), shard.manifest.label)
            for shard in shards
        ]
    )


def _number(shard: Input) -> int:
    return int(shard.identity[:16], 16)


def meet(work: Work) -> Iterable[pa.Table]:
    """Map: the copies of robots.txt in a table of them, or the URLs of a shard of documents."""
    shard = work.inputs[0]
    assert isinstance(shard, Input)
    if shard.files == ("robots",):
        for batch in work.batches(0, "robots"):
            authorities = batch.column("authority").to_pylist()
            rows = batch.num_rows
            yield pa.table(
                [
                    pa.array([read.site(authority) for authority in authorities], pa.uint64()),
                    pa.repeat(pa.scalar(_COPY, pa.int8()), rows),
                    batch.column("authority"),
                    batch.column("fetched").cast(pa.int64()),
                    batch.column("status"),
                    batch.column("redirect"),
                    batch.column("rules").cast(pa.large_binary()),
                    pa.nulls(rows, pa.uint64()),
                    pa.nulls(rows, pa.int32()),
                ],
                schema=_MEET,
            )
    else:
        yield from _urls(work, _number(shard))


def _urls(work: Work, shard: int) -> Iterator[pa.Table]:
    first = 0
    for batch in work.batches(columns=["url", "crawled"]):
        places = [place(url) if url else None for url in batch.column("url").to_pylist()]
        rows = [index for index, found in enumerate(places) if found]
        known = [found for found in places if found]
        yield pa.table(
            [
                pa.array([read.site(authority) for authority, _ in known], pa.uint64()),
                pa.repeat(pa.scalar(_DOCUMENT, pa.int8()), len(rows)),
                pa.array([authority for authority, _ in known], pa.string()),
                batch.column("crawled").cast(pa.int64()).take(pa.array(rows, pa.int64())),
                pa.nulls(len(rows), pa.int16()),
                pa.nulls(len(rows), pa.string()),
                pa.array([path for _, path in known], pa.large_binary()),
                pa.repeat(pa.scalar(shard, pa.uint64()), len(rows)),
                pa.array([first + row for row in rows], pa.int32()),
            ],
            schema=_MEET,
        )
        first += batch.num_rows


def judge(work: Work, table: pa.Table) -> None:
    """Reduce: of rows sorted by site, copies before documents, the documents that are not to be fetched."""
    settings: RobotsSettings = work.settings
    # One at a time is enough: documents come in the order of authority and time.
    robots = lru_cache(4)(lambda rules: Robots(read.unpack(rules), settings.agents))
    writer, known = work.writer("verdicts", _VERDICT), Counter[int]()
    for copies, documents in _sites(table):
        for batch in documents.to_batches(_DOCUMENTS):
            writer.write([gone for row in batch.to_pylist() if (gone := _judged(row, copies, settings, robots, known))])
    writer.write([{"shard": shard, "known": count} for shard, count in sorted(known.items())])


def _judged(
    row: Mapping[str, Any],
    copies: _Copies,
    settings: RobotsSettings,
    robots: Callable[[bytes], Robots],
    known: Counter[int],
) -> dict[str, Any] | None:
    """The row of _VERDICT of a document that goes; known is counted up where its robots.txt is."""
    if (copy := copies.of(row["authority"], row["time"])) is None:
        return None
    gone = {"shard": row["shard"], "row": row["row"]}
    if copy.rules is None:
        why = f"nobody could have {copy}: status {copy.status}"
        return {**gone, "why": why} if settings.unreachable == "remove" else None
    known[row["shard"]] += 1
    if not copy.rules or (refused := robots(copy.rules).disallows(row["body"])) is None:
        return None
    agent, rule = refused
    return {**gone, "agent": agent, "why": f"not for {agent}, by `{rule.text}`, line {rule.line} of {copy}"}


def _sites(table: pa.Table) -> Iterator[tuple[_Copies, pa.Table]]:
    """The copies and the documents of each site that has both."""
    key, kind = table.column("key").to_numpy(), table.column("kind").to_numpy()
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.array([], np.int64)
    for start, end in pairwise([*starts.tolist(), len(key)]):
        first = start + int(np.searchsorted(kind[start:end], _DOCUMENT))
        if start < first < end:
            yield _Copies(table.slice(start, first - start).to_pylist()), table.slice(first, end - first)


@dataclass(frozen=True)
class _Copy:
    """rules: None where the server made an error, empty where there is no robots.txt."""

    authority: str
    time: int | None
    status: int
    redirect: str | None
    rules: bytes | None

    def __str__(self) -> str:
        url = f"{self.authority}/robots.txt"
        if self.time is None:
            return url
        return f"{url} of {(_EPOCH + timedelta(microseconds=self.time)).date().isoformat()}"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Copies:
    """The copies of a site's robots.txt, by authority and time."""

    def __init__(self, rows: Iterable[dict[str, Any]]):
        dated: dict[str, list[_Copy]] = {}
        self._undated: dict[str, _Copy] = {}
        self._errors: dict[str, _Copy] = {}
        for row in rows:
            status, rules = row["status"], row["body"]
            if 300 <= status < 400 and row["redirect"] is None:
                continue  # leads where nothing is known
            if 400 <= status < 500:
                rules = b""
            copy = _Copy(row["authority"], row["time"], status, row["redirect"], rules)
            if rules is None and copy.redirect is None:
                self._errors[copy.authority] = copy
            elif copy.time is None:
                self._undated[copy.authority] = copy
            else:
                dated.setdefault(copy.authority, []).append(copy)
        self._dated = {authority: sorted(copies, key=_time) for authority, copies in dated.items()}

    def of(self, authority: str, time: int | None, hops: int = 0) -> _Copy | None:
        """The copy that counts for a page fetched then; None where none is known."""
        copy = self._undated.get(authority)
        if dated := self._dated.get(authority):
            # Of a page of unknown time the last copy counts.
            copy = dated[max(bisect_right(dated, time, key=_time) - 1, 0)] if time is not None else dated[-1]
        if copy is None:
            return self._errors.get(authority)
        if copy.redirect is None:
            return copy
        return self.of(copy.redirect, time, hops + 1) if hops < _HOPS else None


def _time(copy: _Copy) -> int:
    return copy.time or 0


def verdicts(work: Work) -> None:
    """One file per shard: its rows that go."""
    if not work.extra["robots"]:
        mend = "give files that hold robots.txt as rules.robots.paths, or leave rules.robots out"
        raise InputError("no robots.txt was found", where="rules.robots", mend=mend)
    tables = [work.table(index, "verdicts") for index in range(len(work.inputs))]
    table = pa.concat_tables([_VERDICT.empty_table(), *tables])
    for shard in work.extra["shards"]:
        own = table.filter(pc.equal(table.column("shard"), pa.scalar(shard, pa.uint64())))
        work.writer(f"verdicts-{shard}", _VERDICT).write(own.sort_by([("row", "ascending"), ("known", "ascending")]))


def run(work: Work) -> None:
    """The documents of one shard that stay. Inputs: its `documents`, and its rows that go."""
    found = work.table(1, work.inputs[1].files[0])  # type: ignore[union-attr]
    gone = found.filter(pc.is_valid(found.column("row")))
    reasons = dict(zip(gone.column("row").to_pylist(), gone.column("why").to_pylist(), strict=True))
    writer, row = work.writer("documents", DOCUMENT), 0
    for batch in work.batches():
        stays = np.ones(batch.num_rows, bool)
        for index, id_ in enumerate(batch.column("id").to_pylist()):
            if (why := reasons.get(row)) is None:
                work.ledger.kept(id_)
            else:
                work.ledger.removed(id_, RULE, error=why)
                stays[index] = False
            row += 1
        writer.write(pa.Table.from_batches([batch]).select(DOCUMENT.names).filter(pa.array(stays)))
    work.note("robots_known", pc.sum(found.column("known")).as_py() or 0)
    work.note("agents", dict(sorted(Counter(a for a in gone.column("agent").to_pylist() if a).items())))


VERDICTS = Stage("robots-verdicts", 1, verdicts)
STAGE = Stage("robots", 1, run, ledger=True)
