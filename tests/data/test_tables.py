"""Parquet and Arrow from outside: what is normal is read as pyarrow reads it, what is hostile in bounded memory."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firn.data import arrow_messages, parquet_pages, row_sizes, tables
from firn.data.compressed import Damaged
from firn.data.thrift import Reader

MIB = 1 << 20
#: What reading may take beyond what the process held before, in bytes.
BOUND = 640 * MIB
READ = """
import json, sys
from firn.core.memory import peak_memory, reset_peak_memory
from firn.data import tables

reset_peak_memory()
before = peak_memory()
rows, unread, why = 0, 0, set()
with open(sys.argv[1], "rb") as stream:
    try:
        for row in tables.rows(stream, sys.argv[2], list, 32 << 20, None):
            if isinstance(row, tables.Unread):
                unread += row.count
                why.add(row.error or "too large")
            else:
                rows += 1
    except tables.Damaged as error:
        why.add(f"damaged: {error}")
print(json.dumps({"rows": rows, "unread": unread, "why": " ".join(why), "taken": peak_memory() - before}))
"""


def read(data: bytes, form: str = "parquet", max_bytes: int = 1 << 20) -> list[tables.Row | tables.Unread]:
    return list(tables.rows(io.BytesIO(data), form, list, max_bytes, None))


def measured(path: Path) -> dict[str, Any]:
    """What reading a file gives, in a process of its own, whose memory must stay below the bound."""
    command = [sys.executable, "-c", READ, str(path), path.suffix[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["taken"] < BOUND, found
    return found


def parquet(data: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(data, target, **options)
    return target.getvalue()


def arrow(data: pa.Table, compression: str | None = None, rows: int | None = None) -> bytes:
    target = io.BytesIO()
    with pa.ipc.new_file(target, data.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(data, max_chunksize=rows)
    return target.getvalue()


@st.composite
def normal(draw: st.DrawFn) -> tuple[pa.Table, dict[str, Any]]:
    """A table, and how it is written."""
    count = draw(st.integers(0, 300))
    random = Random(draw(st.integers(0, 9)))

    def some(make: Callable[[], Any], nulls: float = 0.2) -> list[Any]:
        return [None if random.random() < nulls else make() for _ in range(count)]

    def text() -> str:
        return random.choice(["", "é", "one", "\U0001f600"]) * random.choice([1, 1, 1, 2000])

    table = pa.table(
        {
            "text": pa.array(some(text), draw(st.sampled_from([pa.string(), pa.large_string()]))),
            "again": pa.array(some(text, 0.0)).dictionary_encode(),
            "number": pa.array(some(lambda: random.randrange(-9, 9)), pa.int64()),
            "fixed": pa.array(some(lambda: random.randbytes(5)), pa.binary(5)),
            "list": pa.array(some(lambda: [text() for _ in range(random.randrange(4))]), pa.list_(pa.string())),
            "deep": pa.array(some(lambda: [[{"a": text(), "b": [1.5]}]]), pa.list_(pa.list_(
                pa.struct({"a": pa.string(), "b": pa.list_(pa.float64())})))),
            "map": pa.array(some(lambda: [("k", text())]), pa.map_(pa.string(), pa.string())),
            "object": pa.array(some(lambda: {"x": text(), "y": None}), pa.struct({"x": pa.string(), "y": pa.bool_()})),
            "none": pa.nulls(count),
        }
    )  # fmt: skip
    dictionary = draw(st.booleans())
    encodings = ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"]
    options = {
        "compression": draw(st.sampled_from(["none", "snappy", "gzip", "brotli", "zstd", "lz4"])),
        "row_group_size": draw(st.sampled_from([1, 7, 100, 1000])),
        "data_page_size": draw(st.sampled_from([100, 1 << 20])),
        "write_batch_size": draw(st.sampled_from([1, 10, 1024])),
        "dictionary_pagesize_limit": draw(st.sampled_from([10, 5000, 1 << 20])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "write_page_checksum": draw(st.booleans()),
        "use_dictionary": dictionary,
        "column_encoding": None if dictionary else {"text": draw(st.sampled_from(encodings))},
    }
    return table, options


@settings(max_examples=30, deadline=None)
@given(normal())
def test_normal_tables_are_read_as_pyarrow_reads_them(case: tuple[pa.Table, dict[str, Any]]) -> None:
    table, options = case
    data = parquet(table, **options)
    assert read(data) == pq.read_table(io.BytesIO(data)).to_pylist()
    assert read(arrow(table, "zstd" if options["use_dictionary"] else None, 50), "arrow") == table.to_pylist()


@settings(max_examples=30, deadline=None)
@given(normal())
def test_page_headers_say_what_the_footer_says(case: tuple[pa.Table, dict[str, Any]]) -> None:
    table, options = case
    data = parquet(table.drop_columns("none"), **options, write_statistics=False)
    metadata = pq.read_metadata(io.BytesIO(data))
    for group in range(metadata.num_row_groups):
        columns = parquet_pages.columns_of(metadata, group, table.column_names, len(data))
        for index, column in enumerate(columns):
            part = metadata.row_group(group).column(index)
            found = list(parquet_pages.pages(lambda at, size: data[at : at + size], column))
            assert sum(page.values for page in found if not page.dictionary) == part.num_values
            if not part.num_values:
                continue
            # The footer counts the headers too, which are of some tens of bytes.
            assert 0 <= part.total_uncompressed_size - sum(page.bytes for page in found) < 100 * len(found)


def test_rows_are_as_large_as_they_say() -> None:
    array = pa.array([["ab", "c"], None, [], ["d" * 100]])
    value, element = row_sizes.VALUE, row_sizes.ELEMENT
    expected = [2 * (value + element) + 3 + element, element, element, value + element + 100 + element]
    assert row_sizes.sizes(array).tolist() == expected
    assert row_sizes.sizes(array.slice(2)).tolist() == expected[2:]
    pairs = pa.array([{"a": "xyz", "b": 1}, None])
    assert row_sizes.sizes(pairs).tolist() == [element + 2 * value + 3 + 8, element + 2 * value + 8]
    words = pa.array(["long" * 100, "s", None, "s"])
    for same in (words.dictionary_encode(), words.cast(pa.string_view()), words.cast(pa.large_binary())):
        assert row_sizes.sizes(same).tolist() == row_sizes.sizes(words).tolist() == [value + n for n in (400, 1, 0, 1)]
        assert row_sizes.sizes(same.slice(1, 2)).tolist() == [value + 1, value]
    for array in (pa.array([[1]], pa.list_view(pa.int8())), pa.RunEndEncodedArray.from_arrays([9], ["x"])):
        with pytest.raises(Damaged, match="which is not read: write it as another"):
            read(arrow(pa.table({"a": array})), "arrow")


def noise(bytes: int) -> str:
    return Random(0).randbytes(bytes // 2).hex()


def repeated(value: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value]))


def lists(value: str, *counts: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *counts], dtype=np.int32)), repeated(value, sum(counts)))


def hostile() -> Iterator[Any]:
    """Name, suffix, content, rows that are read, rows that are not, why."""

    def case(
        name: str, suffix: str, make: Callable[[], bytes], rows: int, unread: int, why: str, slow: bool = True
    ) -> Any:
        return pytest.param(suffix, make, rows, unread, why, id=name, marks=[pytest.mark.slow] if slow else [])

    small = [f"text {number}" for number in range(5000)]
    large = "at most 402653184 are held: write smaller pages and row groups"
    plain = {"use_dictionary": False, "compression": "zstd"}
    delta = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "compression": "none"}
    yield case(
        "a cell of 200 MiB among small ones", "parquet",
        lambda: parquet(pa.table({"text": [*small, "x" * (200 * MIB), *small]}), **plain, row_group_size=6000,
                        max_rows_per_page=500, write_batch_size=500),
        5000 + 4001, 1000, large,
    )  # fmt: skip
    yield case(
        "a cell of 100 MiB", "parquet", lambda: parquet(pa.table({"text": ["a", noise(100 * MIB), "b"]}), **plain),
        2, 1, "too large", slow=False,
    )  # fmt: skip
    yield case(
        "a value of 39 MiB that many rows mean", "parquet",
        lambda: parquet(pa.table({"text": repeated(noise(39 * MIB), 20)}), compression="none"), 20, 0, "",
        slow=False,
    )  # fmt: skip
    yield case(
        "a value of 100 MiB that many rows mean", "parquet",
        lambda: parquet(pa.table({"text": repeated("x" * (100 * MIB), 1_000)}), compression="none"), 0, 1_000, large,
    )  # fmt: skip
    yield case(
        "prefixes of 39 MiB", "parquet", lambda: parquet(pa.table({"text": [noise(39 * MIB)] * 9}), **delta), 9, 0, "",
    )  # fmt: skip
    yield case(
        "prefixes of 80 MiB", "parquet", lambda: parquet(pa.table({"text": [noise(80 * MIB)] * 3}), **delta),
        0, 3, large,
    )  # fmt: skip
    yield case(
        "a page that unpacks to 300 MiB", "parquet",
        lambda: parquet(pa.table({"text": ["x" * (300 * MIB)]}), **plain), 0, 1, large,
    )  # fmt: skip
    yield case(
        "large pages of many columns", "parquet",
        lambda: parquet(pa.table({f"{number}": ["x" * (60 * MIB)] for number in range(8)}), **plain), 0, 1, large,
    )  # fmt: skip
    yield case(
        "a list of a million long strings", "parquet",
        lambda: parquet(pa.table({"text": ["a"] * 3, "list": lists("y" * 10_000, 1, 999_998, 1)})), 2, 1, "too large",
        slow=False,
    )  # fmt: skip
    yield case(
        "a list of twenty million", "parquet",
        lambda: parquet(pa.table({"text": ["a"], "list": lists("y", 20_000_000)})), 0, 1, large, slow=False,
    )  # fmt: skip
    yield case(
        "a record batch that unpacks to 512 MiB", "arrow",
        lambda: arrow(pa.table({"text": ["a", "x" * (512 * MIB)]}), "zstd", rows=1),
        1, 0, "that unpacks to 536870920; at most 402653184 are read, both together: write smaller record batches",
    )  # fmt: skip
    yield case(
        "a dictionary of 100 MiB", "arrow",
        lambda: arrow(pa.table({"text": repeated("x" * (100 * MIB), 100_000)}), "zstd"), 0, 100_000, "too large",
        slow=False,
    )  # fmt: skip
    yield case(
        "a list of a hundred million", "arrow",
        lambda: arrow(pa.table({"list": pa.ListArray.from_arrays([0, 10**8], pa.array(np.zeros(10**8, np.int8)))})),
        0, 1, "too large", slow=False,
    )  # fmt: skip


@pytest.mark.parametrize(("suffix", "make", "rows", "unread", "why"), list(hostile()))
def test_hostile_tables_take_bounded_memory(
    tmp_path: Path, suffix: str, make: Callable[[], bytes], rows: int, unread: int, why: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(make())
    found = measured(path)
    assert (found["rows"], found["unread"]) == (rows, unread), found
    assert why in found["why"]
    assert bool(why) == bool(found["why"])


@settings(max_examples=40, deadline=None)
@given(normal(), st.sampled_from([300, 2_000, 6_000, 30_000]))
def test_no_row_is_lost_or_read_twice_where_pages_are_too_large(
    case: tuple[pa.Table, dict[str, Any]], held: int
) -> None:
    table, options = case
    data = parquet(table, **options)
    expected = pq.read_table(io.BytesIO(data)).to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_pages, "HELD", held)
        at = 0
        for row in read(data):
            if isinstance(row, tables.Unread):
                assert f"at most {held} are held" in (row.error or "")
                at += row.count
            else:
                assert row == expected[at]
                at += 1
    assert at == len(expected)


@settings(max_examples=30, deadline=None)
@given(normal(), st.lists(st.integers(0, 40_000), max_size=4))
def test_parts_of_a_file_are_the_file(case: tuple[pa.Table, dict[str, Any]], cuts: list[int]) -> None:
    table, options = case
    data = parquet(table, **options)
    bounds = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    found: dict[int, tables.Row] = {}
    for part in pairwise(bounds):
        at = 0
        for row in tables.rows(io.BytesIO(data), "parquet", list, 1 << 20, None, part):
            if isinstance(row, tables.Unread):
                assert row.elsewhere
                at += row.count
            else:
                assert at not in found
                found[at] = row
                at += 1
        assert at == table.num_rows
    assert [found[at] for at in range(table.num_rows)] == read(data)


def test_rows_before_a_page_that_is_too_large_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["a"] * 70 + ["b" * 50_000] + ["c"] * 30
    data = parquet(
        pa.table({"text": texts * 2}), row_group_size=101, use_dictionary=False, compression="none", write_batch_size=7,
        max_rows_per_page=7,
    )  # fmt: skip
    monkeypatch.setattr(parquet_pages, "HELD", 50_000)
    first, second = read(data)[70], read(data)[141]
    assert first == second
    assert isinstance(first, tables.Unread)
    assert first.count == 31
    assert "a page of the column 'text' that takes 150120 bytes" in (first.error or "")
    assert [row["text"] for row in read(data) if isinstance(row, dict)] == ["a"] * 140


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_flipped_bytes_are_damage_and_nothing_else(form: str) -> None:
    table = pa.table({"text": [f"text {n % 7}" for n in range(200)], "list": [[str(n)] for n in range(200)]})
    data = parquet(table, write_page_checksum=True) if form == "parquet" else arrow(table, "zstd", 50)
    random = Random(0)
    for _ in range(400):
        wrong = bytearray(data)
        for _ in range(random.choice([1, 1, 3])):
            wrong[random.randrange(len(wrong))] = random.randrange(256)
        with contextlib.suppress(Damaged):
            read(bytes(wrong[: random.choice([len(wrong), random.randrange(len(wrong))])]), form)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def test_structures_that_lie_are_refused() -> None:
    i32, binary, struct_ = 0x15, 0x18, 0x1C
    assert Reader(bytes([i32, 0x05, i32, 0x06, 0])).struct() == {1: -3, 2: 3}
    assert Reader(bytes([struct_, i32, 2, 0, binary, 2, 65, 66, 0x11, 0])).struct() == {1: {1: 1}, 2: None, 3: None}
    for wrong, why in (
        (bytes([i32, 2, 0x05, 2, 4, 0]), "damaged"),  # one field twice
        (bytes([struct_]) * 40 + bytes(41), "too deep"),
        (bytes([0x19, 0xFC]) + varint(1 << 40) + bytes(100_000), "too much memory"),  # a list of empty structures
        (bytes([i32]) + varint(1 << 40) + b"\0", "too large"),
        (b"\x15" + b"\xff" * 12, "too large"),
    ):
        with pytest.raises(ValueError, match=why):
            Reader(wrong).struct()
    with pytest.raises(IndexError):
        Reader(bytes([binary]) + varint(1 << 40) + b"x").struct()


def test_a_footer_is_looked_at_before_it_is_read() -> None:
    structures = bytes([0x49, 0xFC]) + varint(1_000_000) + bytes(1_000_000) + b"\0"  # row groups, of nothing
    for footer, size, why in (
        (structures, len(structures), "takes too much memory"),
        (b"", 1 << 20, "cut off"),
        (bytes(parquet_pages.FOOTER + 1), parquet_pages.FOOTER + 1, "write larger row groups"),
    ):
        with pytest.raises(Damaged, match=why):
            read(b"PAR1" + footer + struct.pack("<I", size) + b"PAR1")
    many = parquet(pa.table({f"c{n}": [n] for n in range(3000)}), row_group_size=1)
    assert len(read(many)) == 1  # a footer that is large because there is much to say


def test_schemas_whose_parts_lie_upon_each_other_are_refused() -> None:
    good = pa.schema([pa.field("a", pa.list_(pa.struct({"b": pa.timestamp("s", "UTC")})), metadata={"k": "v"})])
    arrow_messages.check_message(good.serialize().to_pybytes())
    count = 1000  # of fields, all of them the one that stands behind them
    offsets = [20 + 4 * count + 4 - (20 + 4 * n) for n in range(count)]
    data = (
        struct.pack("<4HiII", 8, 8, 0, 4, 8, 4, count)
        + struct.pack(f"<{count}I", *offsets)
        + struct.pack("<HHi", 4, 4, 4)
    )
    with pytest.raises(ValueError, match="lie upon each other"):
        arrow_messages.check_schema(arrow_messages.Table(data, 8))
