"""The index of evaluation items: which word n-grams they are made of.

Outputs of the stage: `items` (a row for each item, and after it for each of its fields that is looked for alone: set,
file, line from 1, label, field, words, n-grams it is known by) and `grams` (one row per n-gram, sorted by hash: hash,
length in words, the rows of `items` that hold it).

An item is known by the n-grams of its fields; a shorter field of at least `shortest` words is one n-gram of its own
length. Its first such field is looked for alone too, since a test leaks as often without its answers, and so is any
that is more than a sentence (twice `ngram` n-grams). Where no field is long enough, the fields one after another are
taken, as they stand in a task's prompt, each once, with n-grams of `shortest` words.

Items that are too short even so, or made of the set's formula only, are known by nothing: they are counted in the notes
and have 0 in `grams`. N-grams of more than `formula` items are such a formula ("Choose the best answer ..."), and no
item is known by them.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from firn.core.errors import InputError
from firn.core.stage import Stage, Work
from firn.data import characters

ITEMS = pa.schema(
    [
        pa.field("set", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("line", pa.int32(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("field", pa.int32(), nullable=False),  # from 1; 0: the item
        pa.field("words", pa.int32(), nullable=False),
        pa.field("grams", pa.int32(), nullable=False),
    ],
    metadata={"format": "firn.evaluation_items", "format_version": "1"},
)
GRAMS = pa.schema(
    [
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("length", pa.uint8(), nullable=False),
        pa.field("items", pa.list_(pa.int32()), nullable=False),
    ],
    metadata={"format": "firn.evaluation_grams", "format_version": "1"},
)
# Keys that name an item, where it has one of them.
_LABELS = ("id", "task_id", "qid", "question_id", "idx", "name")
_LABEL = 200  # characters of a label that are kept
_DEPTH = 16  # of nested values that are looked into


def run(work: Work) -> None:
    """Index the evaluation files. Inputs: the files; extra: `sets`, each with its name, fields and inputs."""
    from firn.data.decontaminate_kernels import ngrams

    settings = work.settings
    rows: dict[str, list[Any]] = {name: [] for name in ITEMS.names}
    hashes, lengths, owners = [], [], []
    for found in work.extra["sets"]:
        met: set[str] = set()
        for index in found["inputs"]:
            source = work.inputs[index]
            name = source.name
            with work.stream(index) as stream:
                for line, item in records(stream, name):
                    texts = strings(item, found["fields"], met)
                    for field, (parts, ngram) in enumerate(_parts([_words(text) for text in texts], settings)):
                        number = len(rows["set"])
                        for words in parts:
                            length = min(words.size, ngram)
                            grams = np.unique(ngrams(words, length))
                            hashes.append(grams)
                            lengths.append(np.full(grams.size, length, np.uint8))
                            owners.append(np.full(grams.size, number, np.int32))
                        size = sum(words.size for words in parts)
                        values = (found["name"], name, line, _label(item), field, size, 0)
                        for column, value in zip(rows.values(), values, strict=True):
                            column.append(value)
        if missing := [field for field in found["fields"] or () if field not in met]:
            raise InputError(
                f"no item has the field {missing[0]!r}",
                where=found["name"],
                key="fields",
                mend="name fields that its items have, a.b for a field within a field",
            )
    whole = np.array(rows["field"], np.int32) == 0
    table, per_row = _postings(hashes, lengths, owners, np.cumsum(whole), settings.formula)
    rows["grams"] = per_row.tolist()
    work.writer("items", ITEMS).write(pa.table(rows, schema=ITEMS))
    work.writer("grams", GRAMS).write(table)
    items = [(name, count) for name, count, is_item in zip(rows["set"], rows["grams"], whole, strict=True) if is_item]
    work.note("items", dict(sorted(Counter(name for name, _ in items).items())))
    work.note("not_checked", dict(sorted(Counter(name for name, count in items if not count).items())))


def _words(text: str) -> NDArray[np.uint64]:
    from firn.data.decontaminate_kernels import words

    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    hashes: NDArray[np.uint64] = words(data, characters.folded())[0]
    return hashes


def _parts(fields: list[NDArray[np.uint64]], settings: Any) -> list[tuple[list[NDArray[np.uint64]], int]]:
    """Word hashes by which an item and then some fields of it are known, and the length of their n-grams."""
    known = [field for field in fields if field.size >= settings.shortest]
    if not known:
        once = {field.tobytes(): field for field in fields}  # an answer repeats one of the choices
        joined = np.concatenate([np.empty(0, np.uint64), *once.values()])
        return [([joined] if joined.size >= settings.shortest else [], settings.shortest)]
    alone = [field for at, field in enumerate(known) if at == 0 or field.size >= 3 * settings.ngram - 1]
    parts = [known, *([field] for field in alone if len(known) > 1)]
    return [(part, settings.ngram) for part in parts]


def _postings(
    hashes: list[NDArray[np.uint64]],
    lengths: list[NDArray[np.uint8]],
    owners: list[NDArray[np.int32]],
    item_of: NDArray[np.int64],
    formula: int,
) -> tuple[pa.Table, NDArray[np.int32]]:
    """The table `grams`, and how many n-grams each row of `items` is known by. item_of: the item of each row."""
    hash_ = np.concatenate([np.empty(0, np.uint64), *hashes])
    length = np.concatenate([np.empty(0, np.uint8), *lengths])
    owner = np.concatenate([np.empty(0, np.int32), *owners])
    order = np.lexsort((owner, hash_))
    hash_, length, owner = hash_[order], length[order], owner[order]
    new = np.ones(hash_.size, bool)  # an item's n-gram counts once, in however many of its fields it is
    new[1:] = (hash_[1:] != hash_[:-1]) | (owner[1:] != owner[:-1])
    hash_, length, owner = hash_[new], length[new], owner[new]
    unique, first, counts = np.unique(hash_, return_index=True, return_counts=True)
    other = np.ones(hash_.size, bool)
    other[1:] = (hash_[1:] != hash_[:-1]) | (item_of[owner[1:]] != item_of[owner[:-1]])
    stays = np.bincount(np.repeat(np.arange(unique.size), counts), other, minlength=unique.size) <= formula
    owner = owner[np.repeat(stays, counts)]
    offsets = np.concatenate([[0], np.cumsum(counts[stays])]).astype(np.int32)
    columns = [
        pa.array(unique[stays], pa.uint64()),
        pa.array(length[first][stays], pa.uint8()),
        pa.ListArray.from_arrays(offsets, pa.array(owner, pa.int32())),
    ]
    return pa.table(columns, schema=GRAMS), np.bincount(owner, minlength=item_of.size).astype(np.int32)


def records(stream: BinaryIO, name: str) -> Iterator[tuple[int, Any]]:
    """(line or place, item) of a file: JSON lines, a JSON list, or Parquet; gzipped or not. Raises InputError."""
    try:
        head = stream.read(2)
        stream.seek(0)
        opened: Any = gzip.GzipFile(fileobj=stream) if head == b"\x1f\x8b" else stream
        if name.endswith(".parquet"):
            yield from enumerate(pq.read_table(pa.py_buffer(opened.read())).to_pylist(), 1)
            return
        first = opened.readline()
        if first.lstrip().startswith(b"["):
            yield from enumerate(json.loads(first + opened.read()), 1)
            return
        line = 1
        while first:
            if first.strip():
                yield line, json.loads(first)
            first, line = opened.readline(), line + 1
    except (OSError, EOFError, ValueError, RecursionError, pa.ArrowInvalid) as error:
        problem = f"holds no evaluation items that can be read: {error}"
        raise InputError(problem, where=name, mend="give JSON lines, a JSON list or Parquet") from error


def strings(item: Any, fields: list[str] | None, met: set[str]) -> list[str]:
    """The strings of an item: those in its fields, a.b for b within a; None: all but labels.

    met: is told which fields it has.
    """
    if fields is None:
        content = {key: item[key] for key in item if key not in _LABELS} if isinstance(item, dict) else item
        return list(_strings(content, _DEPTH))
    found: list[str] = []
    for field in fields:
        value = item
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            met.add(field)
            found += _strings(value, _DEPTH)
    return found


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and depth:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner, depth - 1)


def _label(item: Any) -> str | None:
    if isinstance(item, dict):
        return next((str(item[key])[:_LABEL] for key in _LABELS if isinstance(item.get(key), str | int)), None)
    return None


STAGE = Stage("decontaminate-index", 1, run)
