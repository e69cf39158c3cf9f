"""Stage `tokens`: a shard of documents becomes two flat token files, training and validation, and their indexes.

A token file is nothing but little-endian uint16 (vocabularies up to 65,536) or uint32: `numpy.memmap` reads it. Each
document ends with one stored end-of-text token. The index leads from a position back to the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

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


class TokensSettings(Settings):
    """How documents become token shards."""

    split: SplitSettings = SplitSettings()
    """Which documents are held out."""


class SplitWriter:
    """The token file and the index of one split of a shard."""

    def __init__(self, file: BinaryIO, index: ShardWriter, tokenizer: Tokenizer, shard: str):
        self._file, self._index, self._tokenizer, self._shard = file, index, tokenizer, shard
        self.documents = self.tokens = self.bytes = 0

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

    def counts(self) -> dict[str, int]:
        """Documents, tokens (end-of-text included) and UTF-8 bytes so far."""
        return {"documents": self.documents, "tokens": self.tokens, "bytes": self.bytes}


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


STAGE = Stage("tokens", 1, run, libraries=("tiktoken", "tokenizers"), ledger=True)


def tasks(settings: TokensSettings, documents: Sequence[Manifest], tokenizer: Manifest) -> list[Task]:
    """One task per shard of deduplicated documents."""
    reader = Input(tokenizer, ("tokenizer",))
    return [Task(STAGE, settings, (Input(shard, ("documents",)), reader), shard.label) for shard in documents]
