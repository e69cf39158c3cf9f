"""`firn show`: the life of one document in one view, from its raw record to its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firn.core.errors import FirnError, InputError
from firn.core.parquet import open_parquet
from firn.core.stage import Input
from firn.core.store import Manifest, Store
from firn.data.fetch import raw as fetch_raw
from firn.run.chapter import Chapter
from firn.run.examples import row_of
from firn.run.folder import RunFolder
from firn.run.looking import addresses, latest, why
from firn.run.recipe import Recipe
from firn.serve.redact import escaped, excerpt, locator, shown, visible
from firn.tokens import tokenizer
from firn.tokens.encode import SPLITS

_OWN = ("id", "url", "address", "group", "part", "crawled", "published", "date_method", "license", "copies", "meta")
# Of `signals`: what is no measurement.
_NO_SIGNAL = {"edited", "cuts", "error"}


@dataclass(frozen=True)
class Limit:
    """A rule on a signal. limit: in words. holds: whether the document is within it."""

    rule: str
    limit: str
    holds: bool


@dataclass(frozen=True)
class Signal:
    """What was measured. limits: the rules on it; most signals have none."""

    name: str
    value: float | str | None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Tokens:
    """A document's tokens. split: train or validation. start: place of the first in the shard's file. first: those of
    the beginning of the text, personal data replaced, as text."""

    split: str
    count: int
    bytes: int
    start: int
    first: tuple[str, ...]


@dataclass(frozen=True)
class Life:
    """A document's life. Texts are excerpts: personal data is replaced and control characters are spelled out.
    Addresses stand whole, so that they can be asked for again.

    raw: its raw record, fetched again; raw_error: why it could not be. about: what the document knows of itself. text:
    as it was extracted; left: as it left the last stage, where that is another. missing: what was let go (`retain`).
    """

    query: str
    source: str
    address: str
    raw: str | None
    raw_where: str | None
    raw_bytes: int | None
    raw_error: str | None
    about: Mapping[str, Any]
    text: str | None
    left: str | None
    signals: tuple[Signal, ...]
    chapters: tuple[Chapter, ...]
    tokens: Tokens | None
    missing: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def show(
    query: str, run: str | Path | None = None, runs: str | Path = "runs", *, characters: int = 800, fetch: bool = True
) -> Life:
    """The life of a document. query: as for `why`. run: the latest of `runs` where none is named.

    characters: of each excerpt. fetch: whether to fetch the raw record again. Raises InputError where no ledger of the
    run knows the document.
    """
    folder = latest(runs) if run is None else RunFolder.open(run, runs)
    chapters = why(query, folder.path)
    first = next((c for c in chapters if _is(c, query, folder)), chapters[0])
    own = [c for c in chapters if c.id == first.id or c is first]
    store, recipe = folder.store, Recipe.model_validate(folder.state["recipe"])
    missing: list[str] = []
    row, last = _read(folder, own, missing)
    address = next((c.address for c in own if c.address), None) or (row["address"] if row else "")
    raw = None
    raw_error = None if fetch else "not asked for"
    if fetch and address:
        try:
            raw = fetch_raw(address, recipe.raw_source(first.source), store)
        except (FirnError, KeyError) as error:
            raw_error = str(error)
    text, left = (row["text"] if row else None), (last["text"] if last else None)
    return Life(
        query=query,
        source=first.source,
        address=locator(address),
        raw=escaped(raw.data, characters) if raw else None,
        raw_where=locator(raw.where) if raw else None,
        raw_bytes=len(raw.data) if raw else None,
        raw_error=raw_error,
        about=_about(last or row),
        text=None if text is None else _excerpt(text, characters),
        left=_excerpt(left, characters) if left is not None and left != text else None,
        signals=_signals(folder, own, missing),
        chapters=tuple(_safe(chapters)),
        tokens=_tokens(folder, own, left or text or "", missing),
        missing=tuple(missing),
    )


def raw_of(query: str, run: str | Path | None = None, runs: str | Path = "runs") -> bytes:
    """The bytes of a document's raw record, as they are. Raises InputError where it is not known or cannot be had."""
    folder = latest(runs) if run is None else RunFolder.open(run, runs)
    chapters = why(query, folder.path)
    found = next((c for c in chapters if c.address and _is(c, query, folder)), None)
    found = found or next((c for c in chapters if c.address), None)
    if found is None or found.address is None:
        raise InputError("its address is not known", where=query, mend="ask for a document that was read in this run")
    recipe = Recipe.model_validate(folder.state["recipe"])
    return fetch_raw(found.address, recipe.raw_source(found.source), folder.store).data


def _is(chapter: Chapter, query: str, folder: RunFolder) -> bool:
    """Whether it is of the document that is asked for, and not of one that stands for it."""
    names = {query, *addresses(query, folder.state["recipe"])}
    return not names.isdisjoint((chapter.id, chapter.url, chapter.address))


def _safe(chapters: Sequence[Chapter]) -> list[Chapter]:
    """Chapters without personal data in what they say."""

    def said(text: str | None, fit: Callable[[str], str] = shown) -> str | None:
        return None if text is None else fit(text)

    return [replace(c, url=said(c.url), address=said(c.address, locator), error=said(c.error)) for c in chapters]


def _excerpt(text: str, characters: int) -> str:
    return excerpt(visible(text[: 4 * characters + 10_000]), characters)


def _about(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    about: dict[str, Any] = {"id": row["id"].hex()}
    for name in _OWN[1:]:
        value = row[name]
        value = value.isoformat() if hasattr(value, "isoformat") else value
        fit = locator if name == "address" else shown
        about[name] = fit(value) if isinstance(value, str) else value
    if row["language"]:
        about["language"] = row["language"]
        about["language_score"] = row["language_score"]
    about["bytes"] = len(row["text"].encode())
    return {name: value for name, value in about.items() if value is not None}


# Rows.


def _read(
    folder: RunFolder, own: Sequence[Chapter], missing: list[str]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The document's row as it was read, and as it left the last stage that it left."""
    found: list[dict[str, Any] | None] = []
    for chapter in own:
        manifest = _manifest(folder, chapter)
        if manifest is None or "documents" not in manifest.files:
            continue
        if chapter.verdict not in ("kept", "changed", "split"):
            break
        if folder.store.holds(manifest, "documents"):
            found.append(row_of(folder.store, manifest, _out(folder.store, manifest, chapter), None))
        else:
            missing.append(f"the documents of the stage {chapter.stage}")
            found.append(None)
    return (found[0], found[-1]) if found else (None, None)


def _manifest(folder: RunFolder, chapter: Chapter) -> Manifest | None:
    return folder.store.lookup(chapter.stage, chapter.shard, released=True)


def _out(store: Store, manifest: Manifest, chapter: Chapter) -> int:
    """The row of a stage's documents that its input row became."""
    with open_parquet(store.local(manifest, "ledger")) as ledger:
        became = ledger.read(columns=["rows"]).column("rows").slice(0, chapter.row)
    first = int(pc.sum(became).as_py() or 0)
    if chapter.verdict == "split" and chapter.id is not None:
        with open_parquet(store.local(manifest, "documents")) as documents:
            ids = documents.read(columns=["id"]).column("id").slice(first).to_pylist()
        return first + ids.index(bytes.fromhex(chapter.id)) if bytes.fromhex(chapter.id) in ids else first
    return first


# What was measured.


def _signals(folder: RunFolder, own: Sequence[Chapter], missing: list[str]) -> tuple[Signal, ...]:
    read = next((c for c in own if c.stage == "read" and c.verdict in ("kept", "changed", "split")), None)
    decided = next((c for c in own if c.stage == "filter"), None)
    if read is None or decided is None:
        return ()
    filtered, documents = _manifest(folder, decided), _manifest(folder, read)
    if filtered is None or documents is None:
        return ()
    identity = Input(documents, ("documents",)).identity
    measures = folder.funnel()[read.source].get("measure", ())
    measured = next((m for m in measures if m.inputs[0].get("identity") == identity), None)
    if measured is None or not folder.store.holds(measured, "signals"):
        missing.append("what was measured")
        return ()
    with open_parquet(folder.store.local(measured, "signals")) as parquet:
        names = [name for name in parquet.schema_arrow.names if name not in _NO_SIGNAL]
        row = parquet.read(columns=names).slice(decided.row, 1).to_pylist()[0]
    bounds = (filtered.settings or {}).get("bounds", [])
    broken = set(decided.broken)
    found = []
    for name in names:
        rules = [bound for bound in bounds if bound["signal"] == name]
        limits = (Limit(b["rule"], _limit(b, row["language"]), b["rule"] not in broken) for b in rules)
        found.append(Signal(name, row[name], tuple(limits)))
    return tuple(found)


def _limit(bound: Mapping[str, Any], language: str | None) -> str:
    """A bound in words, for documents in this language."""
    if bound.get("among") is not None:
        return f"one of {', '.join(bound['among'])}"
    kind = "at_least" if bound.get("at_least") is not None else "at_most"
    limit = (bound.get("by_language") or {}).get(language or "", bound[kind])
    return f"{kind.replace('_', ' ')} {limit:g}"


def _tokens(folder: RunFolder, own: Sequence[Chapter], text: str, missing: list[str]) -> Tokens | None:
    chapter = next((c for c in own if c.stage == "tokens" and c.verdict == "kept"), None)
    manifest = _manifest(folder, chapter) if chapter else None
    if manifest is None or chapter is None or chapter.id is None:
        return None
    for split in SPLITS:
        if not folder.store.holds(manifest, f"{split}_index"):
            missing.append("its tokens")
            return None
        table = pq.read_table(
            folder.store.local(manifest, f"{split}_index"),
            columns=["id", "start", "length", "bytes"],
            filters=pc.field("id") == pa.scalar(bytes.fromhex(chapter.id), pa.binary(16)),
        )
        for row in table.to_pylist()[:1]:
            reader = folder.store.lookup("tokenizer", str(manifest.inputs[1]["fingerprint"]), released=True)
            first: list[str] = []
            if reader is not None and folder.store.holds(reader, "tokenizer"):
                made = tokenizer.load(folder.store.local(reader, "tokenizer"))
                first = [visible(made.decode([token])) for token in made.encode(_excerpt(text, 120))[:32]]
            return Tokens(split, row["length"], row["bytes"], row["start"], tuple(first))
    return None
