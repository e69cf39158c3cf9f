"""Shards that let files go: they count as done, are found, kept and counted, and are made again where they are read."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from firn.core import faults
from firn.core.engine import LocalEngine
from firn.core.errors import EngineError, StoreError
from firn.core.gc import find_garbage, remove
from firn.core.progress import Progress
from firn.core.stage import Input, Task
from firn.core.store import MARKER, Manifest, Store
from firn.core.why import build, find

sys.path.insert(0, str(Path(__file__).parent))
import merging
import pipeline

LATER = 7200


def made(store: Store) -> list[Manifest]:
    with LocalEngine(store, 1) as engine:
        return pipeline.run(engine)


def marker(store: Store, manifest: Manifest) -> Path:
    return Path(store.root) / store.folder(manifest.stage, manifest.fingerprint) / MARKER


def of(manifests: list[Manifest], stage: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest.stage == stage]


def texts(shards: list[Manifest]) -> list[Task]:
    return [Task(pipeline.TEXT, None, (Input(m, ("documents",)),), m.label) for m in shards]


def test_a_released_shard_keeps_its_ledger_and_its_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shard = of(made(store), "judge")[0]
    bytes = {name: entry.bytes for name, entry in shard.files.items()}
    assert store.release(shard) == bytes["documents"]
    assert store.lookup("judge", shard.fingerprint) is None
    assert store.lookup("judge", shard.fingerprint, released=True) == shard
    assert pq.read_table(store.local(shard, "ledger")).num_rows == pipeline.DOCUMENTS
    with pytest.raises(StoreError, match="'documents' of this shard was let go"):
        store.local(shard, "documents")
    assert store.holds(shard, "ledger")
    assert not store.holds(shard)
    before = marker(store, shard).stat().st_mtime_ns
    assert store.release(shard) == 0
    assert marker(store, shard).stat().st_mtime_ns == before
    # A file that went by itself is a damaged shard, whatever the marker says of others.
    Path(store.files.path(shard.files["ledger"].path)).unlink()
    assert store.lookup("judge", shard.fingerprint, released=True) is None
    assert store.release(shard, ()) == 0


def test_more_may_be_let_go_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    shard = of(made(store), "judge")[0]
    assert store.release(shard, keep=("documents",)) == shard.files["ledger"].bytes
    assert store.release(shard, keep=()) == shard.files["documents"].bytes
    assert store.lookup("judge", shard.fingerprint, released=True) == shard


@pytest.mark.parametrize("torn", [b"", b"{", b"[1]", b'{"files": 3}', b'{"files": [[]]}'])
def test_a_torn_marker_lets_nothing_go(tmp_path: Path, torn: bytes) -> None:
    store = Store(tmp_path)
    shard = of(made(store), "judge")[0]
    store.release(shard)
    marker(store, shard).write_bytes(torn)
    assert store.lookup("judge", shard.fingerprint, released=True) is None
    assert pipeline.hashes(made(store))[3] == ("judge", shard.fingerprint, shard.identity())


@pytest.mark.parametrize("kind", ["write", "fsync", "manifest", "remove"])
def test_broken_off_anywhere_a_shard_is_whole_or_released(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    shards = of(made(store), "judge")
    monkeypatch.setenv("FIRN_FAULT_COUNTER", str(tmp_path / "counter"))
    monkeypatch.setattr(faults, "_FAULT", f"{kind}:2:eio")
    with pytest.raises((StoreError, OSError)):
        _ = [store.release(shard, keep=()) for shard in shards]
    monkeypatch.setattr(faults, "_FAULT", "")
    found = [store.lookup("judge", shard.fingerprint, released=True) for shard in shards]
    assert found == shards
    for shard in shards:
        store.release(shard, keep=())
    assert not any(store.holds(shard, name) for shard in shards for name in shard.files)


def test_a_second_run_over_released_shards_makes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = made(store)
    for manifest in first:
        store.release(manifest)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert made(store) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


def test_what_a_new_stage_reads_is_made_again_and_said_to_be(tmp_path: Path) -> None:
    store, whole = Store(tmp_path / "released"), Store(tmp_path / "whole")
    for manifest in made(store):
        store.release(manifest)
    said = Console(file=io.StringIO(), width=200)
    with LocalEngine(store, 2, Progress("plain", said)) as engine:
        manifests = pipeline.run(engine)
        one = engine.run(texts(of(manifests, "judge")[:1]))
        after = said.file.getvalue()  # type: ignore[attr-defined]
        all = engine.run(texts(of(manifests, "judge")))
    with LocalEngine(whole, 1) as engine:
        expected = engine.run(texts(of(pipeline.run(engine), "judge")))
    assert pipeline.hashes(all) == pipeline.hashes(expected)
    assert all[0] == one[0]
    for stage in ("make", "judge"):
        assert f"{stage:<10}  1 shard to be made again" in after
    assert all_held(store, of(manifests, "make")) == [True] * 3
    # What nothing reads was not made again.
    counts = [manifest for manifest in of(manifests, "count-reduce") if manifest.files]
    assert all_held(store, counts) == [False] * len(counts)


def all_held(store: Store, manifests: list[Manifest]) -> list[bool]:
    return [store.lookup(m.stage, m.fingerprint) is not None for m in manifests]


def test_a_ledger_is_read_without_anything_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalEngine(store, 1) as engine:
        ledgers = [*engine.run([Task(merging.READ, None, (), "crawl")])]
        ledgers += engine.run([Task(merging.DEDUP, None, (Input(ledgers[0], ("documents",)),), "crawl")])
        stages = ["read", "filter", "dedup"]
        expected = find(store, build(engine, ledgers), "https://made.example/4", stages)
    for manifest in store.manifests():
        store.release(manifest, keep=("ledger",))
    released = [store.lookup(m.stage, m.fingerprint, released=True) for m in ledgers]
    with LocalEngine(store, 1) as engine:
        # The index was released too, and nobody knows how to make it again but who asks for it.
        index = build(engine, [m for m in released if m is not None])
        with pytest.raises(StoreError, match="let go"):
            find(store, index, "https://made.example/4", stages)
    with LocalEngine(store, 1, whole=lambda stage: stage.startswith("why-")) as engine:
        index = build(engine, [m for m in released if m is not None])
        assert find(store, index, "https://made.example/4", stages) == expected
    assert not any(all_held(store, ledgers))


def test_a_stage_that_must_be_whole_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = made(store)
    for manifest in first:
        store.release(manifest)
    with LocalEngine(store, 1, whole=lambda stage: stage == "judge") as engine:
        assert pipeline.hashes(pipeline.run(engine)) == pipeline.hashes(first)
    assert all_held(store, of(first, "judge")) == [True] * 3
    assert not any(all_held(store, [m for m in first if m.stage.startswith("count")]))


def test_a_shard_that_nobody_here_can_make_is_a_clear_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    judged = of(made(store), "judge")
    store.release(judged[0])
    with LocalEngine(store, 1) as engine, pytest.raises(StoreError, match="mend: run the recipe again"):
        engine.run(texts(judged))


def test_a_stage_that_is_not_pure_is_found_out(tmp_path: Path) -> None:
    store, task = Store(tmp_path), Task(pipeline.UNSTABLE, None, (), "x")

    def echoed(engine: LocalEngine) -> list[Manifest]:
        [shard] = engine.run([task])
        return engine.run([Task(pipeline.ECHO, None, (Input(shard, ("data",)),), "x")])

    with LocalEngine(store, 1) as engine:
        [shard] = engine.run([task])
        store.release(shard)
    with LocalEngine(store, 1) as engine, pytest.raises(EngineError, match="not what it was"):
        echoed(engine)
    with LocalEngine(store, 1) as engine:
        assert echoed(engine)


def test_garbage_leaves_released_shards_and_their_markers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = made(store)
    for manifest in first:
        store.release(manifest)
    keep = {(m.stage, m.fingerprint) for m in first if m.stage != "judge"}
    everything = {(m.stage, m.fingerprint) for m in first}
    assert {(m.stage, m.fingerprint) for m in store.manifests()} >= everything
    everything |= {(m.stage, m.fingerprint) for m in store.manifests()}
    later = time.time() + LATER
    assert find_garbage(store, everything, now=later).paths == ()
    with LocalEngine(store, 1) as engine:
        engine.run(texts(of(pipeline.run(engine), "judge")))
    # The ledgers of shards that were made again lie there twice.
    everything |= {(m.stage, m.fingerprint) for m in store.manifests()}
    old = {m.files["ledger"].path for m in of(first, "judge")}
    assert set(find_garbage(store, everything, now=later).paths) == old
    remove(store, find_garbage(store, keep, now=later))
    assert {(m.stage, m.fingerprint) for m in store.manifests()} == keep
    assert not list((tmp_path / "judge").rglob("*.json"))


def test_release_on_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = Store("memory://bucket/released")
    with store.attempt("s", "e" * 32) as attempt:
        attempt.open("data").write(b"snow")
        shard = attempt.commit(
            stage="s", version=1, fingerprint="e" * 32, label="x", settings=None, libraries={}, inputs=[], counts={},
            notes={},
        )  # fmt: skip
    assert store.release(shard) == 4
    assert store.lookup("s", "e" * 32) is None
    assert store.lookup("s", "e" * 32, released=True) == shard
    assert list(store.manifests()) == [shard]
    assert json.loads(store.files.read(f"s/ee/{'e' * 32}/{MARKER}") or "") == {"files": [shard.files["data"].path]}
