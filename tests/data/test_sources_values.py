"""The source `files`: dates, times and scores of records, also those that Python cannot hold."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core.store import Store
from firn.data import read
from firn.data.extract import ExtractSettings
from firn.data.fetch import raw
from firn.data.layouts import Fields
from firn.data.sources import FilesSource

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline
from shards import read as table

FIELDS = Fields(published="date", language_score="score", meta={"date": "date"})


def run(tmp_path: Path, path: Path, fields: Fields = FIELDS) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Documents, all of them kept, and what the shard's manifest notes."""
    engine = Inline(Store(tmp_path / "store"))
    source = FilesSource(paths=(str(path),), fields=fields)
    (manifest,) = engine.run(read.tasks("mine", source, ExtractSettings(), engine))  # type: ignore[arg-type]
    assert {row["verdict"] for row in table(engine.store, manifest, "ledger").to_pylist()} == {"kept"}
    return table(engine.store, manifest).to_pylist(), dict(manifest.notes)


def write(path: Path, values: pa.Array) -> None:
    columns = {"text": [f"text {n}" for n in range(len(values))], "date": values, "score": [0.5] * len(values)}
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        with pa.ipc.new_stream(str(path), pa.table(columns).schema) as writer:
            writer.write_table(pa.table(columns))


NOVEMBER = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
SECONDS = 1_700_000_000
# Values of the column, the first documents' `published`, and how many cannot be dates.
COLUMNS: dict[str, tuple[pa.Array, list[datetime | None], int]] = {
    "beyond 9999": (pa.array([SECONDS, 10**12, -(10**12), None], pa.timestamp("s")), [NOVEMBER, None, None, None], 2),
    "days": (pa.array([19675, 2**31 - 1], pa.int32()).view(pa.date32()), [datetime(2023, 11, 14, tzinfo=UTC), None], 1),
    "largest": (pa.array([2**63 - 1, -(2**63) + 1], pa.timestamp("ms")), [None, None], 2),
    "nanoseconds": (pa.array([SECONDS * 10**9 + 1, None], pa.timestamp("ns")), [NOVEMBER, None], 0),
    "zone": (pa.array([SECONDS * 1000], pa.timestamp("ms", "America/New_York")), [NOVEMBER], 0),
    "last hour": (pa.array([253_402_300_799_000], pa.timestamp("ms", "America/New_York")),
                  [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)], 0),
    "unknown zone": (pa.array([SECONDS * 1000], pa.timestamp("ms", "Mars/Phobos")), [NOVEMBER], 0),
    "time of day": (pa.array([5, 86_399_999_999_999], pa.time64("ns")), [None, None], 2),
    "long duration": (pa.array([2**62, 5], pa.duration("s")), [None, None], 2),
    "dictionary": (pa.array([SECONDS * 10**9 + 1], pa.timestamp("ns")).dictionary_encode(), [NOVEMBER], 0),
    "year": (pa.array([2020, None]), [datetime(2020, 1, 1, tzinfo=UTC), None], 0),
    "month": (pa.array(["2024-05", "soon"]), [datetime(2024, 5, 1, tzinfo=UTC), None], 1),
}  # fmt: skip


@pytest.mark.parametrize("form", ["parquet", "arrow"])
@pytest.mark.parametrize("name", COLUMNS)
def test_times_of_a_column(name: str, form: str, tmp_path: Path) -> None:
    values, expected, unread = COLUMNS[name]
    path = tmp_path / f"a.{form}"
    write(path, values)
    documents, notes = run(tmp_path, path)
    assert [document["published"] for document in documents] == expected
    assert notes == ({"unread": {"published": unread}} if unread else {})
    # What is no date is there to be looked at.
    assert ["date" in json.loads(document["meta"]) for document in documents] == values.is_valid().to_pylist()
    source = FilesSource(paths=(str(path),))
    for number in range(1, len(values) + 1):
        assert json.loads(raw(f"a.{form}#row={number}", source).data)["text"] == f"text {number - 1}"


def test_times_within_objects_and_lists(tmp_path: Path) -> None:
    inside = pa.struct([("when", pa.timestamp("ns", "Europe/Paris")), ("link", pa.string())])
    about = [{"when": SECONDS * 10**9 + 1, "link": "http://x.org/"}, {"when": None, "link": None}]
    lists = pa.array([[10**12, SECONDS], []], pa.list_(pa.timestamp("s")))
    data = {"text": ["one", "two"], "about": pa.array(about, inside), "times": lists}
    pq.write_table(pa.table(data), tmp_path / "a.parquet")
    fields = Fields(published="about.when", url="about.link", meta={"times": "times"})
    (first, second), notes = run(tmp_path, tmp_path / "a.parquet", fields)
    assert (first["published"], first["url"], second["published"]) == (NOVEMBER, "http://x.org/", None)
    assert json.loads(first["meta"])["times"] == ["1000000000000000 timestamp[ms]", "2023-11-14 22:13:20"]
    assert notes == {}


def test_scores_are_from_0_to_1(tmp_path: Path) -> None:
    scores = ["0.25", "1", "1.00001", '"0.5"', "null", '""', "1" + "0" * 400, "NaN", "Infinity", "true", "-0.1", "97.5"]
    lines = (f'{{"text": "t{n}", "score": {score}}}\n' for n, score in enumerate(scores))
    (tmp_path / "a.jsonl").write_text("".join(lines))
    documents, notes = run(tmp_path, tmp_path / "a.jsonl")
    found = [document["language_score"] for document in documents]
    assert found == [0.25, 1.0, 1.0, 0.5] + [None] * 8
    assert notes == {"unread": {"language_score": 6}}


def test_dates_of_lines_are_counted_where_they_are_none(tmp_path: Path) -> None:
    values = [1700000000, "2024-05", "Fri, 17 May 2024 10:00:00 GMT", "soon", None, "", {"a": 1}]
    lines = (json.dumps({"text": f"t{n}", "date": value}) + "\n" for n, value in enumerate(values))
    (tmp_path / "a.jsonl").write_text("".join(lines))
    documents, notes = run(tmp_path, tmp_path / "a.jsonl")
    assert [document["published"] is not None for document in documents] == [True] * 3 + [False] * 4
    assert {document["date_method"] for document in documents} == {"field", None}
    assert notes == {"unread": {"published": 2}}
