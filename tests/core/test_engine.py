"""Runs that are killed, disturbed or doubled end with the bytes of one that was not."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.errors import ConservationError, EngineError, StoreError
from firn.core.hashing import hash_file
from firn.core.stage import Input, Stage, Task, Work, execute
from firn.core.store import Store

sys.path.insert(0, str(Path(__file__).parent))
import pipeline

PROGRAM = str(Path(pipeline.__file__))


def start(store: Path, *more: str, workers: int = 1, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, PROGRAM, str(store), str(workers), *more],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(process: subprocess.Popen[str]) -> list[list[str]]:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    found: list[list[str]] = json.loads(output)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    return outcome(start(tmp_path_factory.mktemp("undisturbed")))


def test_the_shuffle_counts_what_plain_python_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalEngine(store, 2) as engine:
        manifests = pipeline.run(engine)
    expected: Counter[str] = Counter()
    for manifest in manifests:
        if manifest.stage == "judge":
            for text in pq.read_table(store.local(manifest, "documents")).column("text").to_pylist():
                expected.update(text.split())
    assert expected["snow"] > 100
    assert pipeline.totals(store, manifests) == expected


def test_two_workers_give_the_shards_of_one(tmp_path: Path, undisturbed: list[list[str]]) -> None:
    assert outcome(start(tmp_path, workers=2)) == undisturbed


def test_fan_in_does_not_change_what_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalEngine(store, 1) as engine:
        assert len({tuple(sorted(pipeline.totals(store, pipeline.run(engine, fan_in=n)).items())) for n in (2, 9)}) == 1


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    with LocalEngine(Store(tmp_path), 1) as engine:
        first = pipeline.run(engine)
    files = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    with LocalEngine(Store(tmp_path), 1) as engine:
        second = pipeline.run(engine)
    assert first == second
    assert files == sorted(p for p in tmp_path.rglob("*") if p.is_file())


def broken(folder: Path, kind: str, action: str) -> list[tuple[str, int, str, int, str]]:
    """One run broken at each fault point in turn, and run again: place, status, complaint, status and output then."""
    program = [sys.executable, PROGRAM, "inject", str(folder), kind, action, "1"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=True)
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    # The last one had no more fault points to meet.
    assert runs[-1][1] == 0
    assert len(runs) > 15
    return [(f"{kind} {n}", status, complaint, then, out) for n, status, _, complaint, then, out, _ in runs[:-1]]


@pytest.mark.parametrize("kind", ["write", "fsync", "manifest"])
def test_killed_at_every_moment_and_run_again_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: list[list[str]], kind: str
) -> None:
    for place, status, _, then, output in broken(tmp_path, kind, "kill"):
        assert (place, status, then) == (place, -signal.SIGKILL, 0)
        assert (place, json.loads(output)) == (place, undisturbed)


def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_later(tmp_path: Path, undisturbed: list[list[str]]) -> None:
    for place, status, complaint, then, output in broken(tmp_path, "any", "enospc"):
        assert (place, status, then) == (place, StoreError.exit_code, 0)
        assert "cannot be written: No space left on device" in complaint, place
        assert "free some space" in complaint, place
        assert "Traceback" not in complaint, place
        assert (place, json.loads(output)) == (place, undisturbed)


def test_a_worker_that_dies_in_a_write_is_replaced(tmp_path: Path, undisturbed: list[list[str]]) -> None:
    disturbed = start(tmp_path / "s", FIRN_FAULT="write:9:exit", FIRN_FAULT_COUNTER=str(tmp_path / "c"))
    assert outcome(disturbed) == undisturbed


def test_two_runs_at_once_on_one_folder(tmp_path: Path, undisturbed: list[list[str]]) -> None:
    both = [start(tmp_path, workers=2), start(tmp_path, workers=1)]
    assert [outcome(process) for process in both] == [undisturbed, undisturbed]
    store = Store(tmp_path)
    for entry in (entry for manifest in store.manifests() for entry in manifest.files.values()):
        with open(store.files.path(entry.path), "rb") as file:
            assert hash_file(file) == entry.hash


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    process = start(tmp_path / "store")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == StoreError.exit_code
    assert "a file stands where a folder is needed" in errors


@pytest.mark.parametrize("kind", ["write", "manifest"])
def test_missing_permission_is_a_clear_error_and_the_run_goes_on_later(
    tmp_path: Path, undisturbed: list[list[str]], kind: str
) -> None:
    refused = start(tmp_path / "s", FIRN_FAULT=f"{kind}:2:eacces", FIRN_FAULT_COUNTER=str(tmp_path / "c"))
    _, errors = refused.communicate(timeout=120)
    assert refused.returncode == StoreError.exit_code
    assert "cannot be written: Permission denied" in errors
    assert "make the folder writable" in errors
    assert outcome(start(tmp_path / "s")) == undisturbed


def test_documents_that_kill_or_exhaust_their_worker_fail_alone(tmp_path: Path) -> None:
    first = outcome(start(tmp_path, "hostile", workers=2))
    store = Store(tmp_path)
    [judged] = [m for m in store.manifests() if m.stage == "judge" and m.counts["failed"]]
    assert judged.counts["failed"] == 5
    assert judged.counts["in"] == pipeline.DOCUMENTS
    rows = pq.read_table(store.local(judged, "ledger")).to_pylist()
    failed = {n: row["error"] for n, row in enumerate(rows) if row["verdict"] == "failed"}
    assert failed == {
        3: "ended its worker by signal SIGKILL",
        5: "ended its worker: exit 7",
        7: "took too much processor time",
        9: "took more than 4096 MiB of memory",
        11: "ValueError: cannot be judged",
    }
    # Without the shard, a rerun reads the quarantine list and never touches those documents again.
    for path in (tmp_path / "judge").rglob("*"):
        if path.is_file():
            path.unlink()
    assert outcome(start(tmp_path, "hostile", workers=2)) == first


def unreachable(work: Work) -> None:
    raise OSError(errno.EIO, "the connection broke", "https://example.org/a.gz")


def test_what_a_disk_or_server_did_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firn.core.engine.PAUSE", 0.0)
    task = Task(Stage("unreachable", 1, unreachable), None, (), "x")
    with LocalEngine(Store(tmp_path), workers=1) as engine, pytest.raises(EngineError) as given_up:
        engine.run([task])
    assert "the connection broke: 'https://example.org/a.gz'" in str(given_up.value)
    assert "Traceback" not in str(given_up.value)
    assert "the connection" in (given_up.value.mend or "")


def test_a_torn_manifest_and_a_cut_file_count_as_absent(tmp_path: Path) -> None:
    store = Store(tmp_path)
    task = Task(pipeline.MAKE, None, (), "made", {"seed": 1})
    made = execute(task, store)
    manifest = tmp_path / "make" / made.fingerprint[:2] / made.fingerprint / "manifest.json"
    whole = manifest.read_bytes()
    for torn in (b"", whole[: len(whole) // 2], whole.replace(b'"rows": 30', b'"rows": 31'), b"\xff" * 40, b"[]"):
        manifest.write_bytes(torn)
        assert store.lookup("make", made.fingerprint) is None
    manifest.write_bytes(whole)
    assert store.lookup("make", made.fingerprint) == made
    data = store.local(made, "documents")
    data.write_bytes(data.read_bytes()[:-1])
    assert store.lookup("make", made.fingerprint) is None
    assert execute(task, store).identity() == made.identity()


def lose(work: Work) -> None:
    documents = work.table()
    work.writer("documents", documents.schema).write(documents.slice(1))
    for id in documents.column("id").to_pylist()[1:]:
        work.ledger.kept(id)


def invent(work: Work) -> None:
    documents = work.table()
    out = work.writer("documents", documents.schema)
    out.write(documents)
    out.write(documents.slice(0, 1))
    for id in documents.column("id").to_pylist():
        work.ledger.kept(id)


@pytest.mark.parametrize("function", [lose, invent])
def test_a_stage_that_loses_or_invents_a_document_is_refused(tmp_path: Path, function: object) -> None:
    store = Store(tmp_path)
    made = execute(Task(pipeline.MAKE, None, (), "made", {"seed": 1}), store)
    task = Task(Stage("broken", 1, function, ledger=True), None, (Input(made, ("documents",)),), "x")  # type: ignore[arg-type]
    with pytest.raises(ConservationError, match="broken x"):
        execute(task, store)
    assert store.lookup("broken", task.fingerprint) is None
    assert not [p for p in (tmp_path / "broken").rglob("*") if p.is_file()]
