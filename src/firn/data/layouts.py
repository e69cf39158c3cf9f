"""Which fields of a record hold what: as a recipe says, or as published corpora have them."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeVar

from firn.core.errors import InputError
from firn.core.settings import Settings
from firn.data import dates


class Fields(Settings):
    """Which keys of a JSON line, or columns of a table, hold what. `metadata.url` looks into an object.

    A key that a line lacks is null. A column that is named here and that a table lacks is an error.
    """

    text: str = "text"
    """The document; a record without it fails."""
    id: str | None = "id"
    """What names the record within its file; its number where there is none."""
    url: str | None = "url"
    """Where it was found."""
    published: str | None = None
    """When it was written: a timestamp, ISO 8601, RFC 822, a year, or seconds or milliseconds since 1970."""
    crawled: str | None = None
    """When it was fetched, in the same forms."""
    license: str | None = "license"
    """Under which licence it may be used."""
    group: str | None = None
    """What must stay together in training or in validation."""
    language: str | None = None
    """Its language, as the corpus names it."""
    language_score: str | None = None
    """How sure that is, from 0 to 1."""
    meta: dict[str, str] = {}
    """What else goes into the document's `meta`: name there -> key or column."""


#: Published corpora. None maps the date of a crawl, or a date that may be one, to `published`.
LAYOUTS: Mapping[str, Fields] = {
    # FineWeb, FineWeb-Edu and FineWeb-2: the columns that datatrove writes; `file_path` is the WARC's.
    "fineweb": Fields(
        crawled="date", license=None, language="language", language_score="language_score",
        meta={
            "dump": "dump", "warc": "file_path", "tokens": "token_count", "script": "language_script",
            "cluster_size": "minhash_cluster_size", "edu_score": "score",
        },
    ),
    # C4 and mC4: text, url, timestamp.
    "c4": Fields(id=None, crawled="timestamp", license=None),
    # Dolma: `created` is a best guess, and of web pages the crawl's date, so that it stays in `meta`.
    "dolma": Fields(
        url="metadata.url", crawled="added", license="metadata.license", language="metadata.language",
        language_score="metadata.language_score",
        meta={"created": "created", "title": "metadata.title", "collection": "source"},
    ),
    # RedPajama-1T: `meta` is an object, or one written as a string; its `timestamp` means another thing in each subset.
    "redpajama": Fields(
        id=None, url="meta.url", license="meta.license",
        meta={"collection": "meta.source", "subset": "red_pajama_subset", "timestamp": "meta.timestamp",
              "title": "meta.title", "arxiv": "meta.arxiv_id", "repository": "meta.repo_name", "path": "meta.path"},
    ),
    # RedPajama-V2: the documents as CCNet writes them.
    "redpajama-v2": Fields(
        text="raw_content", id="digest", crawled="date_download", license=None, language="language",
        language_score="language_score",
        meta={"title": "title", "perplexity": "perplexity", "bucket": "bucket", "warc": "cc_segment"},
    ),
}  # fmt: skip
# Longest object as Python prints it that is read, in characters.
_PRINTED = 64 << 10
# Made once: a union would be made anew wherever a value is looked at.
_NUMBERS = (int, float, str, Decimal)
_ATOMS = (str, int, float)
# fastText adds 1e-5 to what it takes the logarithm of (`std_log`), so that its scores may be as much above 1.
_ABOVE = 1.0001
T = TypeVar("T")
Layout = Literal["fineweb", "c4", "dolma", "redpajama", "redpajama-v2"]


class Found(NamedTuple):
    """What the fields of a record hold. text: None where there is none. unread: fields whose value is no date or score,
    and therefore null."""

    text: str | None
    id: str | None
    url: str | None
    group: str | None
    license: str | None
    meta: dict[str, Any]
    columns: dict[str, Any]
    unread: Sequence[str] = ()


def chosen(fields: Fields, layout: str | None) -> Fields:
    """The layout's fields, with those that a recipe itself names put over them."""
    if layout is None:
        return fields
    return LAYOUTS[layout].model_copy(update={key: getattr(fields, key) for key in fields.model_fields_set})


def columns_of(fields: Fields, explicit: Sequence[str], columns: Sequence[str], name: str) -> list[str]:
    """The columns of a table that the fields look into, in the table's order.

    explicit: fields that must be there, besides `text`. name: of the file. Raises InputError for one that is not.
    """
    paths = {**fields.model_dump(exclude={"meta"}), **{f"meta.{name}": path for name, path in fields.meta.items()}}
    if "meta" in explicit:
        explicit = [*explicit, *(f"meta.{name}" for name in fields.meta)]
    wanted = set()
    for field, path in paths.items():
        column = None if path is None else path if path in columns else path.split(".")[0]
        if column in columns:
            wanted.add(column)
        elif column is not None and (
            field == "text" or field in explicit or (field in fields.meta and "meta" in explicit)
        ):
            near = difflib.get_close_matches(path, columns, n=3, cutoff=0.4)
            listed = ", ".join(repr(c) for c in columns[:30])
            hint = f"nearest: {', '.join(map(repr, near))}" if near else f"there are: {listed}"
            mend = "name the column that holds it, or null where none does"
            if len(columns) == 1 and (sign := next((sign for sign in ";\t|," if sign in columns[0]), None)):
                mend = f"it has one column only; say what divides its cells: delimiter: {sign!r}"
            raise InputError(f"has no column {column!r}; {hint}", where=name, key=f"fields.{field}", mend=mend)
    return [column for column in columns if column in wanted]


def found(record: Any, fields: Fields) -> Found:
    """What a record, a JSON value or a table's row, holds."""
    text = _value(record, fields.text)
    unread: list[str] = []
    published = _read(dates.read, _value(record, fields.published), "published", unread)
    columns = {
        "crawled": _read(dates.read, _value(record, fields.crawled), "crawled", unread),
        "published": published,
        "date_method": "field" if published else None,
        "language": _string(_value(record, fields.language)),
        "language_score": _read(_share, _value(record, fields.language_score), "language_score", unread),
    }
    return Found(
        _text(text),
        _string(_value(record, fields.id)),
        _string(_value(record, fields.url)),
        _string(_value(record, fields.group)),
        _string(_value(record, fields.license)),
        {name: plain(_value(record, path)) for name, path in fields.meta.items()},
        columns,
        unread,
    )


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, _ATOMS):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _read(read: Callable[[Any], T | None], value: Any, field: str, unread: list[str]) -> T | None:
    """What a value says; None where it says nothing, or what the field is not for: then the field is `unread`."""
    if value is None:
        return None
    try:
        return read(value)
    except (ValueError, OverflowError):
        unread.append(field)
        return None


def _share(value: Any) -> float | None:
    """A number from 0 to 1; None for an empty string. Raises ValueError, OverflowError."""
    if value == "":
        return None
    if isinstance(value, _NUMBERS) and not isinstance(value, bool) and 0 <= (share := float(value)) <= _ABOVE:
        return min(share, 1.0)
    raise ValueError("no number from 0 to 1")


def _value(record: Any, path: str | None) -> Any:
    """What lies under `a.b` in nested objects; a key that holds dots itself comes first."""
    if path is None:
        return None
    if isinstance(record, dict) and (path in record or "." not in path):
        return record.get(path)
    if isinstance(record, str) and record.startswith("{"):
        record = _object(record)
    if not isinstance(record, dict):
        return None
    if path in record:
        return record[path]
    first, _, rest = path.partition(".")
    return _value(record.get(first), rest) if rest else None


def _object(text: str) -> Any:
    """An object that was written as a string, in JSON or as Python prints it (RedPajama's `meta`); None if neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text) if len(text) <= _PRINTED else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _string(value: Any) -> str | None:
    if not isinstance(value, _ATOMS):
        return None
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
