"""One page of each URL within a run, and shards of which nothing is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.store import Store
from firn.run import graph
from firn.run.funnel import flows
from firn.run.recipe import load

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_recipe import make, page, record


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two crawls of the same eight pages beside a later one: of each of the two no document will be left."""
    folder = tmp_path_factory.mktemp("again")
    make(folder)
    for old in (folder / "raw").glob("crawl-*"):
        old.unlink()
    for crawl, day in enumerate(("2024-05-01", "2024-05-02", "2024-05-03")):
        pages = [record(f"https://site{n}.example/", page(100 * crawl + n), f"{day}T00:00:00Z") for n in range(8)]
        (folder / "raw" / f"crawl-{crawl}.warc.gz").write_bytes(b"".join(pages))
    return folder


def test_the_latest_of_each_url_stays_and_every_source_keeps_its_shards(raw: Path) -> None:
    recipe, store = load(raw / "tiny.yaml"), Store(raw / "store")
    with LocalEngine(store, 1) as engine:
        found = graph.documents(recipe, engine)
    rows = {(flow.source, flow.stage): flow for flow in flows(found.shards)}
    web = rows["web", "urls"]
    assert (web.entered, web.left, web.verdicts["merged"], web.rules) == (24, 8, 16, {"url.same": 16})
    # The two shards of which nothing is left have one content, so they are one to the stages after.
    assert [len(found.shards["web"][stage]) for stage in ("filter", "urls", "dedup", "tokens")] == [3, 3, 2, 2]
    assert rows["web", "dedup"].entered == 8
    assert rows["web", "tokens"].left == 8
    crawled = {
        time.day
        for manifest in found.shards["web"]["dedup"]
        for time in pq.read_table(store.local(manifest, "documents"))["crawled"].to_pylist()
    }
    assert crawled == {3}
    # Source files have no part in it.
    assert "urls" not in found.shards["code"]
    assert rows["code", "filter"].left == rows["code", "dedup"].entered > 0


def test_a_source_may_keep_all_versions(raw: Path) -> None:
    recipe = load(raw / "tiny.yaml", ["sources.web.same_url=false"])
    with LocalEngine(Store(raw / "store"), 1) as engine:
        found = graph.documents(recipe, engine)
    assert "urls" not in found.shards["web"]
    rows = {(flow.source, flow.stage): flow for flow in flows(found.shards)}
    assert rows["web", "dedup"].entered == 24
