"""What is foretold of a shard is what shards like it came to; without any, what the table says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firn.core.inputs import External
from firn.core.settings import Settings
from firn.core.stage import Input, Stage, Task, Work
from firn.core.store import FileEntry, Manifest
from firn.data.extract import ExtractSettings
from firn.data.sources import FilesSource, files
from firn.plan.rates import DEFAULTS, is_expected, observed, predict, rate


class Cut(Settings):
    at: int = 1


def function(work: Work) -> None:
    raise AssertionError("a forecast runs nothing")


READ, FILTER = Stage("read", 1, function), Stage("filter", 1, function)


def shard(stage: str, label: str, bytes_in: int, rows_in: int, seconds: float, at: int = 1, **rows: int) -> Manifest:
    """A shard each of whose files has 10 bytes per row."""
    return Manifest(
        stage=stage,
        version=1,
        fingerprint=f"{label}{at}",
        label=label,
        settings={"at": at},
        libraries={},
        inputs=[],
        files={name: FileEntry(name, 10 * n, f"hash of {label}", n) for name, n in rows.items()},
        counts={},
        notes={},
        observed={"bytes_in": bytes_in, "rows_in": rows_in, "seconds": seconds},
    )


def raw(bytes: int) -> External:
    return External("/raw", "raw", "identity", bytes)


def test_raw_bytes_become_rows_and_bytes_as_before() -> None:
    known = [shard("read", "web/a", 1000, 0, 2.0, documents=20), shard("read", "web/b", 3000, 0, 6.0, documents=60)]
    expected = predict(Task(READ, Cut(), (raw(500),), "web/c"), observed(known))
    assert (expected.files["documents"].rows, expected.files["documents"].bytes) == (10, 100)
    assert expected.observed["seconds"] == pytest.approx(1.0)
    assert is_expected(expected)
    assert not is_expected(known[0])


def test_rows_follow_rows_and_a_chain_of_forecasts_adds_up() -> None:
    read = predict(Task(READ, Cut(), (raw(500),), "web/c"), observed([shard("read", "w", 50, 0, 1.0, documents=10)]))
    kept = predict(
        Task(FILTER, Cut(), (Input(read, ("documents",)),), "web/c"),
        observed([shard("filter", "w", 200, 20, 4.0, documents=15)]),
    )
    assert (read.files["documents"].rows, kept.files["documents"].rows) == (100, 75)
    assert kept.files["documents"].bytes == read.files["documents"].bytes * 150 / 200
    assert kept.inputs[0]["fingerprint"] == read.fingerprint


def test_a_first_shard_that_started_the_worker_does_not_set_the_pace() -> None:
    known = [shard("read", "w", 1000, 0, 9.0, documents=1), *[shard("read", "w", 1000, 0, 1.0, documents=1)] * 3]
    assert observed(known).seconds == pytest.approx(1e-3)


def test_the_shards_most_like_it_count() -> None:
    task = Task(FILTER, Cut(at=1), (raw(100),), "web/new")
    mine = shard("filter", "web/a", 100, 0, 1.0, documents=1)
    other_source = shard("filter", "code/a", 100, 0, 2.0, documents=1)
    other_settings = shard("filter", "web/a", 100, 0, 3.0, at=2, documents=1)
    everything = [other_settings, other_source, mine]
    assert [rate(task, everything[:n]).seconds for n in (1, 2, 3)] == [0.03, 0.02, 0.01]
    assert rate(task, []) is DEFAULTS["filter"]


def test_a_kind_of_source_that_the_table_does_not_name_is_read_as_any() -> None:
    task = Task(READ, Cut(), (raw(10**6),), "papers/a")
    assert rate(task, []) is DEFAULTS["read"]
    assert set(predict(task, rate(task, [])).files) == {"documents", "ledger"}
    assert set(predict(Task(Stage("mine", 1, function), Cut(), (raw(10),), "x"), rate(task, [])).files) >= {"documents"}


def test_files_named_for_other_shards_are_foretold_by_their_names() -> None:
    known = shard("urls-verdicts", "all", 1000, 100, 1.0, **{"goes-1": 30, "goes-2": 20})
    task = Task(Stage("urls-verdicts", 1, function), Cut(), (raw(2000),), "all", {"shards": [7, 8]})
    expected = predict(task, rate(task, [known]))
    assert {name: entry.bytes for name, entry in expected.files.items()} == {"goes-7": 500, "goes-8": 500}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_table_foretells_every_stage(name: str) -> None:
    extra: dict[str, Any] = {"shards": ["a", "b"]} if name in ("cluster", "robots-verdicts", "urls-verdicts") else {}
    expected = predict(Task(Stage(name, 1, function), None, (raw(10**9),), "x/y", extra), DEFAULTS[name])
    assert sum(entry.bytes for entry in expected.files.values()) > 0
    assert expected.observed["seconds"] > 0


def foretold(paths: list[Path], known: list[Manifest] | None = None) -> list[int | None]:
    """Documents of each shard of a source of these files."""
    tasks = files.tasks("texts", FilesSource(paths=tuple(map(str, paths))), ExtractSettings())
    return [predict(task, observed(known) if known else rate(task, [])).files["documents"].rows for task in tasks]


def test_files_that_say_how_many_documents_they_have_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = pa.table({"text": [f"a short text of {number}" for number in range(1020)]})
    pq.write_table(many, tmp_path / "many.parquet", row_group_size=100)
    assert foretold([tmp_path]) == [1020]
    for number in range(7):
        (tmp_path / f"{number}.md.gz").write_bytes(b"x" * 10_000)
    assert foretold([tmp_path]) == [1027]
    (tmp_path / "page.html").write_text("<p>a page")
    (tmp_path / "page.pdf").write_text("no document")
    assert foretold([tmp_path]) == [1027, 1]
    # Lines do not say how many they are.
    (tmp_path / "lines.jsonl").write_bytes(b"x" * 1_000_000)
    share = DEFAULTS["read FilesReading"].rows["documents"]
    assert foretold([tmp_path / "[0-9l-m]*"]) == [1027 + round(1_000_000 * share)]
    # A quarter of the records before them became no documents.
    known = [shard("read", "texts/a", 1000, 0, 1.0, ledger=40, documents=30)]
    assert foretold([tmp_path / "*.parquet"], known) == [765]
    # Each part of a large file has the row groups that begin in it.
    monkeypatch.setattr(files, "PART_BYTES", (tmp_path / "many.parquet").stat().st_size // 3)
    parts = foretold([tmp_path / "*.parquet"])
    assert len(parts) == 4
    assert sum(count or 0 for count in parts) == 1020


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1" + b"\xff" * 1000 + b"\x64\0\0\0PAR1"])
def test_of_a_damaged_footer_nothing_is_known(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(damage)
    (tmp_path / "b.txt").write_text("one text")
    assert foretold([tmp_path]) == [1]
