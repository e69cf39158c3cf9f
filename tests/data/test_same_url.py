"""Of the documents of one URL one stays: which, and that order, sharding and repetition do not matter."""

from __future__ import annotations

import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firn.core.store import Store
from firn.data.same_url import RULE, SameUrlSettings, resolve
from firn.data.urls import canonical

sys.path.insert(0, str(Path(__file__).parent))
from shards import Inline, read, row, shard


def crawled(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


ROWS = [
    row("a", "first version", url="http://site.example/page", crawled=crawled(1)),
    row("b", "another page", url="http://site.example/other", crawled=crawled(1)),
    row("c", "second version, the longest of them all", url="https://www.site.example/page/", crawled=crawled(2)),
    row("d", "third version", url="http://SITE.example:80/page?utm_source=x#top", crawled=crawled(3)),
    row("e", "version of no date", url="http://site.example/page"),
    row("f", "no address", url=None),
    row("g", "no address", url=None),
    row("h", "a query is another page", url="http://site.example/page?id=2", crawled=crawled(9)),
]  # fmt: skip


def survivors(folder: Path, parts: list[list[dict[str, Any]]], keep: str = "latest") -> tuple[set[bytes], list[Any]]:
    store = Store(folder)
    engine = Inline(store)
    shards = [shard(store, part) for part in parts]
    manifests = resolve(engine, shards, SameUrlSettings(keep=keep))  # type: ignore[arg-type]
    ids = {id_ for manifest in manifests for id_ in read(store, manifest)["id"].to_pylist()}
    ledger = [entry for manifest in manifests for entry in read(store, manifest, "ledger").to_pylist()]
    return ids, ledger


@pytest.mark.parametrize(("keep", "stays"), [("latest", "d"), ("earliest", "a"), ("longest", "c")])
def test_one_of_each_url_stays(tmp_path: Path, keep: str, stays: str) -> None:
    ids, ledger = survivors(tmp_path, [ROWS[:3], ROWS[3:6], ROWS[6:]], keep)
    names = {r["id"]: name for r, name in zip(ROWS, "abcdefgh", strict=True)}
    assert {names[id_] for id_ in ids} == {"b", "f", "g", "h", stays}
    merged = [entry for entry in ledger if entry["verdict"] == "merged"]
    assert {names[entry["id"]] for entry in merged} == set("acde") - {stays}
    assert {(names[entry["into"]], entry["rule"]) for entry in merged} == {(stays, RULE)}
    assert len(ledger) == len(ROWS)


def test_order_and_shards_do_not_matter(tmp_path: Path) -> None:
    parts = [ROWS[:2], ROWS[2:5], ROWS[5:]]
    found = [survivors(tmp_path / str(n), list(order))[0] for n, order in enumerate(itertools.permutations(parts))]
    found.append(survivors(tmp_path / "whole", [ROWS])[0])
    found.append(survivors(tmp_path / "twice", [ROWS, ROWS])[0])
    assert all(ids == found[0] for ids in found)


def test_ties_go_to_the_smaller_id(tmp_path: Path) -> None:
    rows = [row(name, "text", url="http://x.example/", crawled=crawled(1)) for name in "abc"]
    assert survivors(tmp_path, [rows[:1], rows[1:]])[0] == {min(r["id"] for r in rows)}


def test_nothing_to_do(tmp_path: Path) -> None:
    ids, ledger = survivors(tmp_path, [[], [row("a", "text")]])
    assert len(ids) == len(ledger) == 1


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("http://a.example/x", "a.example/x"),
        ("https://WWW.a.example:443/x/#y", "a.example/x"),
        ("http://a.example:8080/X?b=1&utm_medium=z&a=2", "a.example:8080/X?b=1&a=2"),
        ("http://a.example/?gclid=1", "a.example"),
        ("http://[broken", "http://[broken"),
        ("http://a.example:port/", "http://a.example:port/"),
    ],
)
def test_canonical(url: str, same: str) -> None:
    assert canonical(url) == same


def test_parts_of_one_record_are_no_versions_of_each_other(tmp_path: Path) -> None:
    url = "http://book.example/"
    old = [row(f"old {n}", f"chapter {n}", part=n, url=url, crawled=crawled(1)) for n in range(3)]
    new = [row(f"new {n}", f"chapter {n}, revised", part=n, url=url, crawled=crawled(2)) for n in range(3)]
    assert survivors(tmp_path, [old, new])[0] == {r["id"] for r in new}
