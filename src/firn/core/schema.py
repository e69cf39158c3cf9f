"""The document: one Arrow row, and the check that every stage makes when it reads one."""

from __future__ import annotations

import pyarrow as pa

from firn.core.errors import FormatError

FORMAT_VERSION = 1

_NAME = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("us", tz="UTC")

#: id: xxh3-128 of canonical locator, part and raw payload. part, parent: a record may give several documents.
#: group: what must stay together (host, book, repository, module). text: UTF-8, NFC.
#: source: the recipe's name for the collection. address: enough to fetch the raw record again.
#: crawled: when it was fetched, never the date of the content. published, date_method: when the content was
#: written and how we know. copies: how many documents the survivor of deduplication stands for.
#: meta: JSON, whatever else the source knows.
DOCUMENT = pa.schema(
    [
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("part", pa.int32(), nullable=False),
        pa.field("parent", pa.binary(16)),
        pa.field("group", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("source", _NAME, nullable=False),
        pa.field("url", pa.string()),
        pa.field("address", pa.string(), nullable=False),
        pa.field("crawled", _TIME),
        pa.field("published", _TIME),
        pa.field("date_method", _NAME),
        pa.field("language", _NAME),
        pa.field("language_score", pa.float32()),
        pa.field("license", pa.string()),
        pa.field("copies", pa.int32(), nullable=False),
        pa.field("meta", pa.string(), nullable=False),
    ],
    metadata={"format": "firn.document", "format_version": str(FORMAT_VERSION)},
)


def check(found: pa.Schema, expected: pa.Schema, where: str) -> None:
    """Raise FormatError unless `found` has the format, version, columns and types of `expected`."""
    want, have = expected.metadata or {}, found.metadata or {}
    for key in (b"format", b"format_version"):
        if key in want and have.get(key) != want[key]:
            got = have.get(key, b"none").decode(errors="replace")
            raise FormatError(
                f"{key.decode()} is {got}, this firn reads {want[key].decode()}",
                where=where,
                key=key.decode(),
                mend="run the recipe again with this version of firn; the shard will be written anew",
            )
    for field in expected:
        index = found.get_field_index(field.name)
        if index < 0:
            raise FormatError("the column is missing", where=where, key=field.name, mend="run the stage again")
        if found.field(index).type != field.type:
            raise FormatError(
                f"the column has type {found.field(index).type}, expected {field.type}",
                where=where,
                key=field.name,
                mend="run the stage again",
            )
