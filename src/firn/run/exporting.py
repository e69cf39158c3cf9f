"""Documents for other trainers: plain Parquet or JSON lines, with a README that says what they are.

    <folder>/<source>/00000.parquet      or 00000.jsonl.zst
    <folder>/README.md                   written last; a folder without it is not whole

What stands in a store is Parquet too; an exported folder has names of its own, columns that every reader knows (ids in
hexadecimal, no dictionaries) and nothing that belongs to firn alone.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

import firn
from firn.core.errors import InputError
from firn.core.files import Files, HashingFile
from firn.core.parquet import open_parquet, parquet_writer
from firn.core.store import Manifest, Store
from firn.run.recipe import Recipe

Kind = Literal["parquet", "jsonl"]

_SUFFIX = {"parquet": ".parquet", "jsonl": ".jsonl.zst"}
_ROWS = 1024
_README = "README.md"
_TIME = pa.timestamp("us", tz="UTC")

#: Columns of an exported document. id, parent: 32 hexadecimal digits. In JSON lines `meta` is an object.
EXPORTED = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("address", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("parent", pa.string()),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("crawled", _TIME),
        pa.field("published", _TIME),
        pa.field("date_method", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("license", pa.string()),
        pa.field("copies", pa.int32(), nullable=False),
        pa.field("meta", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Exported:
    """What was written. bytes: of the files; text: of the documents' text, in UTF-8."""

    folder: str
    kind: Kind
    files: int
    documents: int
    bytes: int
    text: int


def export(
    store: Store, shards: Mapping[str, Sequence[Manifest]], to: str | Path, kind: Kind, recipe: Recipe
) -> Exported:
    """Write the `documents` of these shards, by source, below `to`: a folder or fsspec URL. A file per shard.

    Raises InputError where the folder is not empty, StoreError where documents were let go or cannot be written.
    """
    folder = Files(to)
    if there := next(iter(folder.list()), None):
        raise InputError(f"is not empty: {there} is there", where=str(to), mend="name another folder, or empty it")
    totals: dict[str, list[int]] = {}
    for source, found in shards.items():
        counts = totals[source] = [0, 0, 0, 0]
        for number, manifest in enumerate(m for m in found if m.files["documents"].rows):
            with open_parquet(store.local(manifest, "documents")) as parquet:
                out = folder.create(f"{source}/{number:05}{_SUFFIX[kind]}")
                text = (_parquet if kind == "parquet" else _lines)(out, _tables(parquet))
                rows = parquet.metadata.num_rows
            counts[:] = [total + more for total, more in zip(counts, (1, rows, out.bytes, text), strict=True)]
    with folder.create(_README) as readme:
        readme.write(_readme(recipe, totals, kind).encode())
    files, documents, size, text = (sum(row[i] for row in totals.values()) for i in range(4))
    return Exported(str(to), kind, files, documents, size, text)


def _tables(parquet: Any) -> Iterator[pa.Table]:
    for batch in parquet.iter_batches(_ROWS):
        table = pa.Table.from_batches([batch])
        columns = {name: table.column(name) for name in EXPORTED.names}
        for name in ("id", "parent"):
            hexadecimal = [None if value is None else value.hex() for value in columns[name].to_pylist()]
            columns[name] = pa.array(hexadecimal, pa.string())
        yield pa.table([columns[field.name].cast(field.type) for field in EXPORTED], schema=EXPORTED)


def _parquet(out: HashingFile, tables: Iterator[pa.Table]) -> int:
    """Write Parquet; bytes of text."""
    text = 0
    buffer = io.BufferedWriter(out, buffer_size=1 << 20)
    with parquet_writer(pa.PythonFile(buffer, mode="w"), EXPORTED) as writer:
        for table in tables:
            writer.write_table(table)
            text += pc.sum(pc.binary_length(table.column("text"))).as_py() or 0
    buffer.close()
    return text


def _lines(out: HashingFile, tables: Iterator[pa.Table]) -> int:
    """Write JSON lines; bytes of text. What is null is left out, and times are ISO 8601."""
    text = 0
    with zstandard.ZstdCompressor(level=3).stream_writer(cast(BinaryIO, out), closefd=True) as packed:
        for table in tables:
            text += pc.sum(pc.binary_length(table.column("text"))).as_py() or 0
            for row in table.to_pylist():
                row["meta"] = json.loads(row["meta"])
                for name in ("crawled", "published"):
                    row[name] = row[name] and row[name].isoformat()
                line = {name: value for name, value in row.items() if value is not None}
                packed.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
    return text


def _readme(recipe: Recipe, totals: Mapping[str, Sequence[int]], kind: Kind) -> str:
    suffix = _SUFFIX[kind]
    rows = "\n".join(
        f"| {name} | {recipe.sources[name].kind}, rules {recipe.sources[name].rules.preset} "
        f"| {documents:,} | {text:,} | {files:,} |"
        for name, (files, documents, _, text) in totals.items()
    )
    read = {
        "parquet": 'datasets.load_dataset("parquet", data_files="SOURCE/*.parquet")',
        "jsonl": 'datasets.load_dataset("json", data_files="SOURCE/*.jsonl.zst")',
    }[kind]
    return f"""# {recipe.name}

Documents made by firn {firn.__version__}: read, filtered, deduplicated{_also(recipe)}. One folder per source, files
`*{suffix}`.

| source | kind | documents | bytes of text | files |
|---|---|---|---|---|
{rows}

| column | meaning |
|---|---|
| `id` | 32 hexadecimal digits; `firn show ID` and `firn why ID` tell a document's life |
| `text` | UTF-8, NFC |
| `source`, `url`, `address` | where it comes from; the address is enough to fetch the raw record again |
| `group` | what should stay together in training or in validation: host, book, repository |
| `part`, `parent` | of a record that gave several documents |
| `crawled` | when it was fetched; never the date of the content |
| `published`, `date_method` | when the content was written, and how that is known |
| `language`, `language_score`, `license` | as far as they are known |
| `copies` | how many documents of the corpus it stands for |
| `meta` | what else the source knows, as JSON |

Read it with `{read}`.

The recipe, with every default filled in:

```yaml
{recipe.to_yaml().rstrip()}
```
"""


def _also(recipe: Recipe) -> str:
    more = [("evaluation items cut out", recipe.decontaminate), ("personal data replaced", recipe.pii)]
    return "".join(f", {words}" for words, settings in more if settings is not None)
