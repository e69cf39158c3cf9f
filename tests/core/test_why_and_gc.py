"""Stories are found by id and URL and follow a merge; garbage is what nothing needs, and nothing else."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from firn.core.engine import LocalEngine
from firn.core.errors import InputError
from firn.core.gc import find_garbage, remove
from firn.core.stage import Input, Task
from firn.core.store import Manifest, Store
from firn.core.why import build, find

sys.path.insert(0, str(Path(__file__).parent))
import merging
import pipeline
from merging import id_of

STAGES = ["read", "filter", "dedup"]


def stages(engine: LocalEngine) -> tuple[list[Manifest], list[Manifest]]:
    [made] = engine.run([Task(merging.READ, None, (), "crawl")])
    ledgers = [made, *engine.run([Task(merging.DEDUP, None, (Input(made, ("documents",)),), "crawl")])]
    return ledgers, build(engine, ledgers)


def test_a_story_by_url_and_by_id_follows_the_merge(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalEngine(store, 1) as engine:
        _, index = stages(engine)
    by_url = find(store, index, "https://made.example/4", STAGES)
    assert by_url == find(store, index, id_of(4).hex(), STAGES)
    told = [(c.stage, c.entry["verdict"], c.entry["id"]) for c in by_url]
    assert told == [
        ("read", "kept", id_of(3)),
        ("read", "kept", id_of(4)),
        ("dedup", "kept", id_of(3)),
        ("dedup", "merged", id_of(4)),
    ]
    [removed] = find(store, index, "https://made.example/10", STAGES)
    assert (removed.stage, removed.row, removed.entry["rule"]) == ("read", 10, "warc.status")
    with pytest.raises(InputError, match="no ledger of this run knows it"):
        find(store, index, "https://made.example/100", STAGES)
    assert find(store, index, "nothing", STAGES, ["nothing either", "https://made.example/10"]) == [removed]


def test_garbage_is_what_no_kept_shard_names(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with LocalEngine(store, 1) as engine:
        pipeline.run(engine)
        manifests = list(store.manifests())
        name = f"make/00/{'0' * 32}/documents-{'a' * 12}.parquet"
        orphan = tmp_path / name
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_bytes(b"left by a killed attempt")
        foreign = tmp_path / "make" / "my-thesis.txt"
        foreign.write_text("not firn's")
        (tmp_path / "quarantine" / "judge").mkdir(parents=True)
        (tmp_path / "quarantine" / "judge" / "x.json").write_text("{}")
        later = time.time() + 7200
        everything = {(m.stage, m.fingerprint) for m in manifests}
        assert find_garbage(store, everything).paths == ()
        assert find_garbage(store, everything, now=later).paths == (name,)
        kept = {(m.stage, m.fingerprint) for m in manifests if not m.stage.startswith("count")}
        garbage = find_garbage(store, kept, now=later)
        assert garbage.bytes > 0
        remove(store, garbage)
        assert {(m.stage, m.fingerprint) for m in store.manifests()} == kept
        assert not orphan.exists()
        assert foreign.exists()
        assert find_garbage(store, kept, now=later).paths == ()
        pipeline.run(engine)
        assert {(m.stage, m.fingerprint) for m in store.manifests()} == everything
