"""The stage `filter`: what was measured against the rules in force; kept documents, and a ledger of every decision.

A document that edits cut and no rule removes is `changed`: its rule is the edit that cut most of it, and bit i of its
bitmap stands for edit i of the settings. What each edit cut, of removed documents too, is in the output `cuts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from firn.core.errors import FormatError, RecipeError
from firn.core.schema import DOCUMENT
from firn.core.settings import Settings
from firn.core.stage import Stage, Work
from firn.data.cuts import CUTS, MAX_EDITS, Cuts, EditRule, Sums
from firn.data.rights import Rights, declared

#: Rules that fit the ledger's bitmap.
MAX_BOUNDS = 64


#: What a rule allows: a number, languages, or numbers by language beside the number for all.
Limit = float | tuple[str, ...] | dict[str, float]


class Bound(Settings):
    """A rule: what a signal must be for a document to stay. One of the three limits is set; all are inclusive."""

    rule: str
    """Name of the rule, as the ledger has it."""
    signal: str
    """`<point>/<signal>`, `language` or `language_score`."""
    at_least: float | None = None
    """The signal must not be less."""
    at_most: float | None = None
    """The signal must not be more."""
    among: tuple[str, ...] | None = None
    """The languages of which `language` must be one."""
    by_language: dict[str, float] = {}
    """Other limits, on the same side, for documents in these languages."""

    @model_validator(mode="after")
    def _one_limit(self) -> Bound:
        if (self.at_least, self.at_most, self.among).count(None) != 2:
            raise ValueError("exactly one of at_least, at_most and among is needed")
        if (self.among is not None) != (self.signal == "language"):
            raise ValueError("among is for the signal language, at_least and at_most are for the others")
        if self.by_language and self.among is not None:
            raise ValueError("by_language is for at_least and at_most")
        return self

    @property
    def limit(self) -> float | None:
        """The number that the signal is compared with; None for languages."""
        return self.at_most if self.at_least is None else self.at_least

    def limit_for(self, language: str | None) -> float | None:
        """The same, for documents in this language."""
        return self.by_language.get(language or "", self.limit) if self.among is None else None

    def moved(self, limit: Limit, where: str | None = None) -> Bound:
        """The rule with another limit, or with others by language. Raises RecipeError for a limit of another kind."""
        if (self.among is not None) != isinstance(limit, tuple):
            need = "a list of languages, as [en, fr]" if self.among is not None else "a number"
            problem = f"the limit is {limit!r}, expected {need}"
            raise RecipeError(problem, where=where, key=self.rule, mend=f"give {need}")
        if isinstance(limit, dict):
            return self.model_copy(update={"by_language": {**self.by_language, **limit}})
        kind = "among" if self.among is not None else "at_least" if self.at_least is not None else "at_most"
        return self.model_copy(update={kind: limit, "by_language": {}})

    def fails(self, column: pa.ChunkedArray, languages: pa.ChunkedArray | None = None) -> NDArray[np.bool_]:
        """Which values of the signal break the rule; null and NaN do. languages: of the same documents."""
        if self.among is not None:
            inside = pc.is_in(column.cast(pa.string()), value_set=pa.array(self.among, pa.string()))
        else:
            limits: Any = pa.scalar(self.limit, pa.float64())
            if self.by_language and languages is not None:
                names = pa.array(self.by_language, pa.string())
                own = pa.array(self.by_language.values(), pa.float64())
                limits = pc.fill_null(own.take(pc.index_in(languages.cast(pa.string()), names)), self.limit)
            compare = pc.greater_equal if self.at_least is not None else pc.less_equal
            inside = compare(column.cast(pa.float64()), limits)
        result: NDArray[np.bool_] = ~pc.fill_null(inside, False).to_numpy()
        return result


class FilterSettings(Settings):
    """The rules in force."""

    bounds: tuple[Bound, ...] = Field(default=(), max_length=MAX_BOUNDS)
    """The rules, in order: the first that fails is the one that removes. Bit i of the ledger's bitmap is rule i."""
    rights: Rights = Rights()
    """Opt-outs and licences, which come before the rules and have no bit."""
    edits: tuple[EditRule, ...] = Field(default=(), max_length=MAX_EDITS)
    """The edits of the measurement, in order. Bit i of the bitmap of a document that they changed is edit i."""


def run(work: Work) -> None:
    """Decide about the documents of one shard. Inputs: `documents` of read, `signals` of measure."""
    settings: FilterSettings = work.settings
    wanted = dict.fromkeys(["language", "language_score", "error", *(bound.signal for bound in settings.bounds)])
    present = work.schema(1, "signals").names
    if missing := [name for name in wanted if name not in present]:
        raise FormatError(f"the measurement lacks {missing}", where=work.label, mend="run the stage measure again")
    signals = work.table(1, "signals", list(wanted))
    fails = np.zeros((len(settings.bounds), signals.num_rows), bool)
    spoken, scores = signals.column("language"), signals.column("language_score")
    for index, bound in enumerate(settings.bounds):
        fails[index] = bound.fails(signals.column(bound.signal), spoken)
    failed = signals.column("error").is_valid().to_numpy()
    keeps = ~(fails.any(axis=0) | failed)
    bits = np.uint64(1) << np.arange(len(settings.bounds), dtype=np.uint64)
    bitmaps = (fails * bits[:, None]).sum(axis=0, dtype=np.uint64).tolist()
    first = fails.argmax(axis=0).tolist() if settings.bounds else []

    texts = _Rows(work.batches(1, "signals", ["edited", "cuts"]))
    languages = [_language(signals.column(name), DOCUMENT.field(name).type) for name in ("language", "language_score")]
    writer, done = work.writer("documents", DOCUMENT), 0
    cut_writer, sums = work.writer("cuts", CUTS), Sums(settings.edits)
    for batch in work.batches(0, "documents"):
        after = texts.take(batch.num_rows)
        rights = settings.rights.of(batch)
        edited, cuts = after.column("edited"), Cuts(after.column("cuts"), settings.edits, work.label)
        for index, id_ in enumerate(batch.column("id").to_pylist()):
            row = done + index
            if failed[row]:
                work.ledger.failed(id_, signals.column("error")[row].as_py())
            elif (rule := rights[index]) is not None:
                keeps[row] = False
                license, meta = (batch.column(name)[index].as_py() for name in ("license", "meta"))
                work.ledger.removed(id_, rule, rules=bitmaps[row], error=declared(rule, license, meta))
            elif not keeps[row]:
                bound = settings.bounds[first[row]]
                value = None if bound.among is not None else signals.column(bound.signal)[row].as_py()
                limit = bound.limit_for(spoken[row].as_py())
                found = None if bound.among is None else _told(spoken[row].as_py(), scores[row].as_py())
                work.ledger.removed(id_, bound.rule, value=value, bound=limit, rules=bitmaps[row], error=found)
            elif edited[index].is_valid:
                work.ledger.changed(id_, spans=cuts.spans(index), rule=cuts.rule(index), rules=cuts.bitmap(index))
            else:
                work.ledger.kept(id_)
        columns: dict[str, Any] = {field.name: batch.column(field.name) for field in DOCUMENT}
        columns["text"] = pc.coalesce(edited, batch.column("text"))
        told, score = (column.slice(done, batch.num_rows) for column in languages)
        # Without a score it is what the source said, or a file's, which is no language of people.
        columns["language"] = pc.if_else(score.is_valid(), told, pa.chunked_array([batch.column("language")]))
        columns["language_score"] = score
        rows = pa.table([columns[field.name] for field in DOCUMENT], schema=DOCUMENT)
        stays = keeps[done : done + batch.num_rows]
        writer.write(rows.filter(pa.array(stays)))
        if cuts.rows.size:
            cut_writer.write(cuts.table(done))
            sums.add(cuts, stays)
        done += batch.num_rows
    if done != signals.num_rows:
        raise FormatError(
            f"{done} documents and {signals.num_rows} measurements",
            where=work.label,
            mend="run the stage measure again",
        )
    work.note("edits", sums.to_json())


STAGE = Stage("filter", 4, run, ledger=True)


def _told(language: str | None, score: float | None) -> str:
    """The language of a document in words."""
    if language is None:
        return "no language is told"
    return f"the language is {language}" + ("" if score is None else f", score {score:.2f}")


def _language(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column.cast(pa.string()).dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column


class _Rows:
    """Rows of consecutive batches, taken in other numbers than they come in."""

    def __init__(self, batches: Iterator[pa.RecordBatch]):
        self._batches = batches
        self._left: list[pa.RecordBatch] = []

    def take(self, rows: int) -> pa.Table:
        """The next `rows` rows, or what is left of them."""
        taken = []
        while rows > 0:
            batch = self._left.pop() if self._left else next(self._batches, None)
            if batch is None:
                break
            taken.append(batch.slice(0, rows))
            if batch.num_rows > rows:
                self._left.append(batch.slice(rows))
            rows -= taken[-1].num_rows
        return pa.Table.from_batches(taken)
