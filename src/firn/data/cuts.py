"""What edits cut, by their rules: the output `cuts` of the stage filter, and what its ledger and manifest say of edits.

`cuts` has a row for each span that an edit cut, or wrote anew, out of documents that stay and of those that go: row of
the document, start and end in UTF-8 bytes of its text before, rule of the edit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from firn.core.errors import FormatError
from firn.core.settings import Settings

#: Edits that fit the ledger's bitmap.
MAX_EDITS = 64

#: The output `cuts`.
CUTS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("end", pa.int32(), nullable=False),
        pa.field("rule", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ],
    metadata={"format": "firn.cuts", "format_version": "1"},
)


class EditRule(Settings):
    """An edit of the measurement, as the ledger names it."""

    rule: str
    """Its rule."""
    step: int
    """Its number among the steps of the measurement, which its cuts carry."""
    repairs: bool = False
    """Whether it writes lines anew and cuts none."""


class Cuts:
    """The cuts in a batch of documents, in the order of documents and of their text.

    column: `cuts` of the measurement. sizes: UTF-8 bytes by document and edit, int64 [documents, edits].
    """

    def __init__(self, column: pa.ChunkedArray, edits: Sequence[EditRule], where: str):
        lists = column.combine_chunks()
        spans = pc.list_flatten(lists)
        self.edits = edits
        self.rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        self.starts, self.ends, steps = (
            spans.field(name).to_numpy(zero_copy_only=False) for name in ("start", "end", "edit")
        )
        place = np.full(np.iinfo(np.int8).max + 1, -1)
        place[[edit.step for edit in edits]] = np.arange(len(edits))
        self.which = place[steps]
        if (self.which < 0).any():
            raise FormatError("the measurement made edits that the rules lack", where=where, mend="measure again")
        self.sizes = np.zeros((len(lists), len(edits)), np.int64)
        np.add.at(self.sizes, (self.rows, self.which), self.ends - self.starts)
        bits = np.uint64(1) << np.arange(len(edits), dtype=np.uint64)
        self._bitmaps = ((self.sizes > 0) * bits).sum(axis=1, dtype=np.uint64).tolist()
        self._borders = np.searchsorted(self.rows, np.arange(len(lists) + 1)).tolist()

    def rule(self, row: int) -> str:
        """The edit that cut most of a document that was cut; of equals the first."""
        return self.edits[int(self.sizes[row].argmax())].rule

    def bitmap(self, row: int) -> int:
        """Bit i: whether edit i cut something."""
        return int(self._bitmaps[row])

    def spans(self, row: int) -> list[tuple[int, int]]:
        """What was cut, from start to end."""
        ours = slice(self._borders[row], self._borders[row + 1])
        return list(zip(self.starts[ours].tolist(), self.ends[ours].tolist(), strict=True))

    def table(self, first: int) -> pa.Table:
        """The rows of `cuts`. first: number of the batch's first document in its shard."""
        rules = pa.DictionaryArray.from_arrays(
            pa.array(self.which, pa.int32()), pa.array([edit.rule for edit in self.edits], pa.string())
        )
        return pa.table([pa.array(self.rows + first, pa.int32()), self.starts, self.ends, rules], schema=CUTS)


class Sums:
    """Documents and bytes that each edit cut, added up over batches."""

    def __init__(self, edits: Sequence[EditRule]):
        self._edits = edits
        self._documents, self._bytes = np.zeros(len(edits), np.int64), np.zeros(len(edits), np.int64)

    def add(self, cuts: Cuts, stays: NDArray[np.bool_]) -> None:
        """One more batch. stays: which of its documents count."""
        sizes = cuts.sizes[stays]
        self._documents += (sizes > 0).sum(axis=0)
        self._bytes += sizes.sum(axis=0)

    def to_json(self) -> dict[str, dict[str, int]]:
        """Rule -> `documents` and `bytes`, of the edits that cut anything."""
        sums = zip(self._edits, self._documents.tolist(), self._bytes.tolist(), strict=True)
        return {edit.rule: {"documents": documents, "bytes": size} for edit, documents, size in sums if documents}
