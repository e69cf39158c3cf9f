"""Deduplication as stages: what is merged into what, conservation, and what does not run again."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from firn.core.engine import LocalEngine
from firn.core.split import SplitSettings, is_validation
from firn.core.store import Manifest, Store
from firn.data.dedup import DedupSettings, MinHashSettings, deduplicate

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, read, row, shard

NO_SPLIT = DedupSettings(split=SplitSettings(validation=0.0))
HALF = SplitSettings(validation=0.5)
TRAIN = next(g for g in map(str, range(99)) if not is_validation(g, 0.5))
HELD_OUT = next(g for g in map(str, range(99)) if is_validation(g, 0.5))


def prose(seed: int, words: int = 200) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(words))


def fates(store: Store, manifests: list[Manifest]) -> dict[bytes, tuple[str, str | None, bytes | None]]:
    """id -> verdict, rule, into."""
    ledgers = pa.concat_tables([read(store, m, "ledger") for m in manifests]).to_pylist()
    return {entry["id"]: (entry["verdict"], entry["rule"], entry["into"]) for entry in ledgers}


def copies(store: Store, manifests: list[Manifest]) -> dict[bytes, int]:
    rows = pa.concat_tables([read(store, m) for m in manifests]).to_pylist()
    return {entry["id"]: entry["copies"] for entry in rows}


def test_what_is_merged_into_what(tmp_path: Path) -> None:
    store = Store(tmp_path)
    long, other = prose(1), prose(2)
    original = row("original", long)
    copy = row("copy", long.replace(" ", "\n"), published=datetime(2020, 1, 1, tzinfo=UTC))
    near = row("near", long.replace(long.split()[50], "changed").upper(), copies=3)
    longest = row("longest", long + " " + prose(3, 3))
    alone = row("alone", other)
    empty = [row("empty", ""), row("blank", " \n")]
    one, two = shard(store, [original, alone, empty[0]]), shard(store, [near, longest, copy, empty[1]])
    results = deduplicate(Inline(store), [one, two], NO_SPLIT)  # type: ignore[arg-type]
    assert fates(store, results) == {
        longest["id"]: ("kept", None, None),
        near["id"]: ("merged", "minhash", longest["id"]),
        original["id"]: ("merged", "minhash", longest["id"]),
        copy["id"]: ("merged", "minhash", longest["id"]),
        alone["id"]: ("kept", None, None),
        empty[1]["id"]: ("kept", None, None),  # longer by its white space
        empty[0]["id"]: ("merged", "exact", empty[1]["id"]),
    }
    assert copies(store, results) == {longest["id"]: 6, alone["id"]: 1, empty[1]["id"]: 2}


def test_of_exact_copies_the_earliest_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = [row(str(n), "the same words", published=d) for n, d in enumerate([None, datetime(2021, 5, 1, tzinfo=UTC)])]
    rows.append(row("2", "the same words", published=datetime(2019, 5, 1, tzinfo=UTC)))
    results = deduplicate(Inline(store), [shard(store, [r]) for r in rows], NO_SPLIT)  # type: ignore[arg-type]
    assert copies(store, results) == {rows[2]["id"]: 3}
    assert {f[1] for f in fates(store, results).values()} == {None, "exact"}


def test_training_documents_near_validation_leave_and_never_the_reverse(tmp_path: Path) -> None:
    store = Store(tmp_path)
    text = prose(5)
    train = row("train", text + " and more text, so that it is longer", group=TRAIN)
    held_out = [row(name, text, group=HELD_OUT) for name in ("a", "b")]
    results = deduplicate(Inline(store), [shard(store, [train, *held_out])], DedupSettings(split=HALF))  # type: ignore[arg-type]
    found = fates(store, results)
    kept = [id for id, fate in found.items() if fate[0] == "kept"]
    assert len(kept) == 1
    assert kept[0] in {r["id"] for r in held_out}
    assert found[train["id"]] == ("merged", "near_validation", kept[0])
    assert copies(store, results) == {kept[0]: 3}


def test_one_id_met_twice_is_one_document(tmp_path: Path) -> None:
    store = Store(tmp_path)
    twice = row("the same record", "some words here")
    results = deduplicate(Inline(store), [shard(store, [twice, twice, row("x", "y")]), shard(store, [twice])], NO_SPLIT)  # type: ignore[arg-type]
    assert copies(store, results)[twice["id"]] == 3
    assert sum(read(store, m).num_rows for m in results) == 2


def test_a_shard_given_twice_is_one_shard(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = shard(store, [row("a", prose(1))])
    results = deduplicate(Inline(store), [one, one], NO_SPLIT)  # type: ignore[arg-type]
    assert len(results) == 1
    assert list(copies(store, results).values()) == [1]


def corpus(seed: int) -> list[dict[str, object]]:
    """Originals, near copies of several degrees, exact copies, empty and tiny documents."""
    rng = random.Random(seed)
    rows = []
    for n in range(60):
        words = prose(rng.randrange(25), 60).split()
        for _ in range(rng.choice([0, 0, 1, 4, 30])):
            words[rng.randrange(60)] = "changed"
        text = rng.choice(["", "tiny", " ".join(words), " ".join(words)])
        rows.append(row(f"{seed}/{n}", text, group=str(n % 7), copies=rng.randrange(1, 4)))
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_the_outcome_depends_on_the_set_of_documents_alone(tmp_path: Path, seed: int) -> None:
    rows = corpus(seed)
    rng = random.Random(seed)
    outcomes, settings = [], DedupSettings(split=HALF)
    for cut in (len(rows), 7, 23):
        store = Store(tmp_path / str(cut))
        manifests = [shard(store, rows[at : at + cut]) for at in range(0, len(rows), cut)]
        rng.shuffle(manifests)
        results = deduplicate(Inline(store), manifests, settings)  # type: ignore[arg-type]
        outcomes.append((fates(store, results), copies(store, results)))
        rng.shuffle(rows)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert sum(outcomes[0][1].values()) == sum(int(str(r["copies"])) for r in rows)


def test_it_is_settled_in_one_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = deduplicate(Inline(store), [shard(store, corpus(1))], NO_SPLIT)  # type: ignore[arg-type]
    second = deduplicate(Inline(store), first, NO_SPLIT)  # type: ignore[arg-type]
    assert copies(store, first) == copies(store, second)
    assert second[0].counts["merged"] == 0


def test_a_new_shard_leaves_alone_what_it_does_not_touch(tmp_path: Path) -> None:
    store, engine = Store(tmp_path), Inline(Store(tmp_path))
    shards = [shard(store, [row(f"{n}{m}", prose(10 * n + m)) for m in range(4)]) for n in range(3)]
    deduplicate(engine, shards, NO_SPLIT)  # type: ignore[arg-type]
    engine.made.clear()
    deduplicate(engine, shards, NO_SPLIT)  # type: ignore[arg-type]
    assert engine.made == []
    new = shard(store, [row("copy", prose(11)), row("new", prose(99))])  # a copy of a document in shards[1]
    deduplicate(engine, [new, *shards], NO_SPLIT)  # type: ignore[arg-type]
    assert engine.made.count("cluster-map") == 1
    assert engine.made.count("dedup") == 2


def test_two_workers_give_the_shards_of_one(tmp_path: Path) -> None:
    outcomes = []
    for workers in (1, 2):
        store = Store(tmp_path / str(workers))
        manifests = [shard(store, corpus(seed)) for seed in range(3)]
        with LocalEngine(store, workers) as engine:
            results = deduplicate(engine, manifests, DedupSettings(split=HALF))
        outcomes.append([(m.fingerprint, m.identity(), m.counts) for m in results])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0][2]["merged"] > 5


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        (DedupSettings(exact=False, minhash=None, split=HALF), set()),
        (DedupSettings(minhash=None, split=SplitSettings(validation=0.0)), {"exact"}),
        (DedupSettings(exact=False, minhash=MinHashSettings(), split=SplitSettings(validation=0.0)), {"minhash"}),
    ],
)
def test_each_kind_can_be_left_out(tmp_path: Path, settings: DedupSettings, rules: set[str]) -> None:
    store = Store(tmp_path)
    results = deduplicate(Inline(store), [shard(store, corpus(2))], settings)  # type: ignore[arg-type]
    assert {fate[1] for fate in fates(store, results).values()} - {None} == rules


def test_nothing_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert deduplicate(Inline(store), [], NO_SPLIT) == []  # type: ignore[arg-type]
    assert read(store, deduplicate(Inline(store), [shard(store, [])], NO_SPLIT)[0]).num_rows == 0  # type: ignore[arg-type]


def test_known_near_duplicates_are_merged(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    folder, store = shared_data("dedup/minhash-articles"), Store(tmp_path)
    articles = dict(line.split(" ", 1) for line in (folder / "articles_1000.train").read_text().splitlines())
    truth = [set(line.split()) for line in (folder / "articles_1000.truth").read_text().splitlines() if line]
    rows = {name: row(name, text) for name, text in articles.items()}
    names = {r["id"]: name for name, r in rows.items()}
    listed = list(rows.values())
    results = deduplicate(Inline(store), [shard(store, listed[:400]), shard(store, listed[400:])], NO_SPLIT)  # type: ignore[arg-type]
    merged = [
        {names[id], names[fate[2]]} for id, fate in fates(store, results).items() if fate[0] == "merged" and fate[2]
    ]
    assert sorted(map(sorted, merged)) == sorted(map(sorted, truth))
