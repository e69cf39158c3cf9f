"""Stage `tokens`: a shard of documents becomes two flat token files, training and validation, and their indexes.

A token file is nothing but little-endian uint16 (vocabularies up to 65,536) or uint32: `numpy.memmap` reads it. Each
document ends with one stored end-of-text token. The index leads from a position back to the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from firn.core.errors import FormatError
from firn.core.schema import DOCUMENT, FORMAT_VERSION
from firn.core.settings import Settings
from firn.core.split import SplitSettings, is_validation
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import Manifest, ShardWriter
from firn.tokens.tokenizer import Tokenizer, Tokens, load

SPLITS = ("train", "validation")
#: Columns of a document whose range the notes of a shard give.
DATES = ("crawled", "published")

# Columns of the index that are the document's own, and their names there.
_CARRIED = {
    "id": "id",
    "source": "source",
    "group": "group",
    "date": "published",
    "language": "language",
    "license": "license",
    "copies": "copies",
    "url": "url",
    "address": "address",
}

#: start, length: in tokens, from the start of the token file; the length counts the end-of-text token. shard, row:
#: where the document lies: identity (content) of the shard's `documents`, and the row in it. date: when it was
#: written. quality: null until a quality model scores it. bytes: of the text in UTF-8. The rest is the document's.
INDEX = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("length", pa.int64(), nullable=False),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        *(
            DOCUMENT.field(_CARRIED[name]).with_name(name)
            for name in ("source", "group", "date", "language", "license")
        ),
        pa.field("quality", pa.float32()),
        DOCUMENT.field("copies"),
        pa.field("bytes", pa.int64(), nullable=False),
        DOCUMENT.field("url"),
        DOCUMENT.field("address"),
    ],
    metadata={"format": "firn.token_index", "format_version": str(FORMAT_VERSION)},
)


@dataclass(frozen=True)
class Dates:
    """Days on which documents were crawled, or published. documents: how many have such a date. first, last: the
    earliest and the latest day, YYYY-MM-DD; None where none has one."""

    documents: int = 0
    first: str | None = None
    last: str | None = None

    @classmethod
    def of(cls, column: pa.Array) -> Dates:
        """Of a column of timestamps."""
        if not (documents := len(column) - column.null_count):
            return cls()
        ends = pc.min_max(column.cast(pa.int64())).as_py()
        first, last = (str(np.datetime64(ends[end], "us").astype("datetime64[D]")) for end in ("min", "max"))
        return cls(documents, first, last)

    def __add__(self, other: Dates) -> Dates:
        first = min(filter(None, (self.first, other.first)), default=None, key=np.datetime64)
        last = max(filter(None, (self.last, other.last)), default=None, key=np.datetime64)
        return Dates(self.documents + other.documents, first, last)


class TokensSettings(Settings):
    """How documents become token shards."""

    split: SplitSettings = SplitSettings()
    """Which documents are held out."""


class SplitWriter:
    """The token file and the index of one split of a shard."""

    def __init__(self, file: BinaryIO, index: ShardWriter, tokenizer: Tokenizer, shard: str):
        self._file, self._index, self._tokenizer, self._shard = file, index, tokenizer, shard
        self.documents = self.tokens = self.bytes = 0
        self.dates = {name: Dates() for name in DATES}

    def write(self, batch: pa.RecordBatch, rows: Sequence[int], first_row: int, encoded: Sequence[Tokens]) -> None:
        """Append documents `rows` of `batch`, whose own first row is row `first_row` of the shard."""
        if not rows:
            return
        chosen = batch.take(pa.array(rows, pa.int32()))
        sizes = pc.cast(pc.binary_length(chosen.column("text")), pa.int64())
        lengths = np.array([len(tokens) + 1 for tokens in encoded], dtype=np.int64)
        ends = np.cumsum(lengths)
        flat = np.full(ends[-1], self._tokenizer.end_of_text, dtype=self._tokenizer.dtype)
        for tokens, end in zip(encoded, ends.tolist(), strict=True):
            flat[end - 1 - len(tokens) : end - 1] = tokens
        self._file.write(flat.tobytes())
        columns = {name: chosen.column(column) for name, column in _CARRIED.items()} | {
            "start": pa.array(self.tokens + ends - lengths),
            "length": pa.array(lengths),
            "shard": pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), [self._shard]),
            "row": pa.array([first_row + row for row in rows], pa.int64()),
            "quality": pa.nulls(len(rows), pa.float32()),
            "bytes": sizes,
        }
        self._index.write(pa.table([columns[name] for name in INDEX.names], schema=INDEX))
        self.documents += len(rows)
        self.tokens += int(ends[-1])
        self.bytes += int(pc.sum(sizes).as_py())
        self.dates = {name: dates + Dates.of(chosen.column(name)) for name, dates in self.dates.items()}

    def counts(self) -> dict[str, Any]:
        """Documents, tokens (end-of-text included) and UTF-8 bytes so far, and the dates of the documents."""
        dates = {name: asdict(dates) for name, dates in self.dates.items()}
        return {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes, **dates}


def run(work: Work) -> None:
    """Write `train`, `train_index`, `validation` and `validation_index`; empty documents are removed."""
    settings: TokensSettings = work.settings
    tokenizer = load(work.local(1, "tokenizer"))
    shard = work.inputs[0].identity
    writers = {
        split: SplitWriter(work.open(split), work.writer(f"{split}_index", INDEX), tokenizer, shard) for split in SPLITS
    }
    sources: set[str] = set()
    first_row = 0
    for batch in work.batches(0):
        rows: dict[str, list[int]] = {split: [] for split in SPLITS}
        encoded: dict[str, list[Tokens]] = {split: [] for split in SPLITS}
        sources.update(pc.unique(batch.column("source")).to_pylist())
        columns = (batch.column(name).to_pylist() for name in ("id", "group", "text"))
        for row, (id, group, text) in enumerate(zip(*columns, strict=True)):
            if not work.enter(first_row + row, id):
                continue
            if not text:
                work.ledger.removed(id, "tokens.empty", value=0.0, bound=1.0)
                continue
            split = SPLITS[is_validation(group, settings.split.validation)]
            encoded[split].append(tokenizer.encode(text))
            rows[split].append(row)
            work.ledger.kept(id)
        work.leave()
        for split, writer in writers.items():
            writer.write(batch, rows[split], first_row, encoded[split])
        first_row += batch.num_rows
    if len(sources) > 1:
        raise FormatError(
            f"a shard holds documents of several sources: {', '.join(sorted(sources))}",
            where=work.label,
            mend="read each source by itself; the mixture draws from sources by shard",
        )
    work.rows_out = sum(writer.documents for writer in writers.values())
    work.note("source", next(iter(sources), None))
    for split, writer in writers.items():
        work.note(split, writer.counts())


STAGE = Stage("tokens", 2, run, libraries=("tiktoken", "tokenizers"), ledger=True)


def tasks(settings: TokensSettings, documents: Sequence[Manifest], tokenizer: Manifest) -> list[Task]:
    """One task per shard of deduplicated documents."""
    reader = Input(tokenizer, ("tokenizer",))
    return [Task(STAGE, settings, (Input(shard, ("documents",)), reader), shard.label) for shard in documents]
