"""The ledger: every document that enters a stage is accounted for.

Row i of a shard's ledger speaks of input row i. The law: in = kept + changed + split + merged + removed + failed, and
the stage's documents are kept + changed + the rows of every split. `execute` checks it before a shard counts as done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from firn.core.errors import ConservationError
from firn.core.parquet import ShardWriter, from_tuples
from firn.core.schema import FORMAT_VERSION

VERDICTS = ("kept", "changed", "split", "merged", "removed", "failed")

_NAME = pa.dictionary(pa.int32(), pa.string())
SPAN = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32())])

#: rows: how many rows the document became. into: the survivor it was merged into. rule: the first rule it failed, or
#: that changed most of it; rules: bitmap of all such, bit i being rule i of the stage's list. value, bound: what that
#: rule measured and allowed. spans: UTF-8 byte ranges cut from the input text, or written anew. error: why it failed or
#: went, in words. url, address: filled by the stage that reads raw records, which have no document row of their own.
LEDGER = pa.schema(
    [
        pa.field("id", pa.binary(16)),
        pa.field("verdict", _NAME, nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("into", pa.binary(16)),
        pa.field("rule", _NAME),
        pa.field("rules", pa.uint64(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("bound", pa.float64()),
        pa.field("spans", pa.list_(SPAN)),
        pa.field("error", pa.string()),
        pa.field("url", pa.string()),
        pa.field("address", pa.string()),
    ],
    metadata={"format": "firn.ledger", "format_version": str(FORMAT_VERSION)},
)


# Rows held as Python objects before they become Arrow, and tables of as many rows before they are written.
_CHUNK = 4096
_CHUNKS = 64


class LedgerWriter:
    """Collects a shard's verdicts, one call per input row, in the order of the input.

    `url` and `address` are filled by the stage that reads raw records, which have no document row of their own.
    open_: where the rows are written that are too many to be held; None: all are held. ids: whether `ids` is wanted.
    """

    def __init__(self, open_: Callable[[], ShardWriter] | None = None, ids: bool = True) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._chunks: list[pa.Table] = []
        self._ids: list[pa.Array] = []  # of rows that are written
        self._open, self._wants_ids = open_, ids
        self._file: ShardWriter | None = None
        self.verdicts: Counter[str] = Counter(dict.fromkeys(VERDICTS, 0))
        self.rules: Counter[str] = Counter()  # that took documents out
        self.changes: Counter[str] = Counter()  # that changed some
        self.out = 0

    def __len__(self) -> int:
        return self.verdicts.total()

    def _row(
        self,
        verdict: str,
        rows: int,
        id: bytes | None,
        *,
        into: bytes | None = None,
        rule: str | None = None,
        rules: int = 0,
        value: float | None = None,
        bound: float | None = None,
        spans: Sequence[Mapping[str, int]] | None = None,
        error: str | None = None,
        url: str | None = None,
        address: str | None = None,
    ) -> None:
        # In the order of LEDGER.
        self._rows.append((id, verdict, rows, into, rule, rules, value, bound, spans, error, url, address))
        self.verdicts[verdict] += 1
        self.out += rows
        if rule:
            (self.changes if verdict == "changed" else self.rules)[rule] += 1
        if len(self._rows) == _CHUNK:
            self._chunk()
            if self._open is not None and len(self._chunks) == _CHUNKS:
                self._write()

    def _chunk(self) -> None:
        self._chunks.append(from_tuples(self._rows, LEDGER))
        self._rows.clear()

    def kept(self, id: bytes | None, *, url: str | None = None, address: str | None = None) -> None:
        """The document goes on as it is."""
        self._row("kept", 1, id, url=url, address=address)

    def changed(
        self,
        id: bytes | None,
        *,
        spans: Sequence[tuple[int, int]] | None = None,
        rule: str | None = None,
        value: float | None = None,
        bound: float | None = None,
        rules: int = 0,
        url: str | None = None,
        address: str | None = None,
    ) -> None:
        """The document goes on with another text; `spans` are the UTF-8 byte ranges cut from the old one."""
        cut = None if spans is None else [{"start": start, "end": end} for start, end in spans]
        self._row(
            "changed", 1, id, rule=rule, rules=rules, value=value, bound=bound, spans=cut, url=url, address=address
        )

    def split(self, id: bytes | None, rows: int, *, url: str | None = None, address: str | None = None) -> None:
        """The record gave `rows` documents."""
        self._row("split", rows, id, url=url, address=address)

    def merged(
        self, id: bytes | None, into: bytes, rule: str, *, url: str | None = None, address: str | None = None
    ) -> None:
        """The document is a copy of `into`, which stands for it from here on."""
        self._row("merged", 0, id, into=into, rule=rule, url=url, address=address)

    def removed(
        self,
        id: bytes | None,
        rule: str,
        *,
        value: float | None = None,
        bound: float | None = None,
        rules: int = 0,
        error: str | None = None,
        url: str | None = None,
        address: str | None = None,
    ) -> None:
        """The document ends here: `rule` measured `value` against `bound`; error: what it found, in words."""
        self._row(
            "removed", 0, id, rule=rule, rules=rules, value=value, bound=bound, error=error, url=url, address=address
        )

    def failed(
        self,
        id: bytes | None,
        error: str,
        *,
        rule: str | None = None,
        url: str | None = None,
        address: str | None = None,
    ) -> None:
        """The document could not be processed, and this is why."""
        self._row("failed", 0, id, error=error, rule=rule, url=url, address=address)

    def table(self) -> pa.Table:
        """The rows that are held, in LEDGER's schema."""
        self._chunk()
        return pa.concat_tables(self._chunks)

    def ids(self) -> pa.ChunkedArray:
        """The id of each row so far."""
        return pa.chunked_array([*self._ids, *self.table().column("id").chunks], pa.binary(16))

    def finish(self) -> None:
        """Write what is held."""
        self._chunk()
        self._write()

    def _write(self) -> None:
        if self._file is None and self._open is not None:
            self._file = self._open()
        if self._file is not None:
            table = pa.concat_tables(self._chunks)
            if self._wants_ids:
                self._ids += table.column("id").chunks
            self._file.write(table)
            self._chunks.clear()

    def counts(self) -> dict[str, Any]:
        """Counts for the manifest: in, out, one per verdict, per rule that took out, and per rule that changed."""
        return {
            "in": len(self),
            "out": self.out,
            **{verdict: self.verdicts[verdict] for verdict in VERDICTS},
            "rules": dict(sorted(self.rules.items())),
            "changes": dict(sorted(self.changes.items())),
        }


def check_conservation(
    ledger: LedgerWriter, rows_in: int, rows_out: int, where: str, ids: pa.ChunkedArray | None = None
) -> None:
    """Raise ConservationError unless every input row has one verdict and the output is what the verdicts say.

    rows_in: rows that entered the stage. rows_out: rows of its `documents`. ids: those of the input, where it has some.
    """
    mend = "this is a fault of the stage, not of the data; please report it with the recipe"
    if len(ledger) != rows_in:
        problem = f"{rows_in} documents went in and {len(ledger)} are accounted for"
        raise ConservationError(problem, where=where, mend=mend)
    if ledger.out != rows_out:
        problem = f"the ledger says {ledger.out} documents came out, {rows_out} were written"
        raise ConservationError(problem, where=where, mend=mend)
    if ids is not None and pc.all(pc.equal(ids, ledger.ids())).as_py() is False:
        raise ConservationError("the ledger's rows are not those of the input, in its order", where=where, mend=mend)
