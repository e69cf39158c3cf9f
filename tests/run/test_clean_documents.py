"""Decontamination and placeholders within a run: where they stand in the graph, and that a plan foretells them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.store import Store
from firn.run import graph
from firn.run.funnel import flows
from firn.run.planning import plan
from firn.run.recipe import load

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_recipe import make, page


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data and recipe; the second sentence of a page is an evaluation item."""
    folder = tmp_path_factory.mktemp("clean")
    recipe = make(folder)
    item = page(5).split("<p>")[2].split("</p>")[0]
    (folder / "quiz.jsonl").write_text(json.dumps({"id": "five", "question": item}))
    sets = {"quiz": {"paths": [str(folder / "quiz.jsonl")]}}
    recipe.write_text(recipe.read_text() + f"pii: {{}}\ndecontaminate: {json.dumps({'sets': sets, 'margin': 0})}\n")
    return folder


def test_documents_are_clean_before_they_are_tokens(raw: Path) -> None:
    recipe, store = load(raw / "tiny.yaml"), Store(raw / "runs" / "store")
    with LocalEngine(store, 2) as engine:
        found = graph.documents(recipe, engine)
    assert list(found.shards["web"]) == ["read", "measure", "filter", "urls", "dedup", "decontaminate", "pii", "tokens"]
    web = {flow.stage: flow for flow in flows(found.shards) if flow.source == "web"}
    assert {**web["decontaminate"].changes, **web["decontaminate"].rules} == {"contaminated.quiz": 1}
    assert (web["pii"].changes, web["pii"].rules) == ({"pii.email": 1}, {})
    texts = [
        text
        for manifest in found.shards["web"]["pii"]
        for text in pq.read_table(store.local(manifest, "documents"))["text"].to_pylist()
    ]
    question = json.loads((raw / "quiz.jsonl").read_text())["question"]
    assert any("Write to [e-mail]." in text for text in texts)
    assert not any("jane.roe" in text or question in text for text in texts)
    assert [m.inputs[0]["stage"] for m in found.tokens] == ["pii"] * len(found.tokens)


def test_a_plan_foretells_them(raw: Path, tmp_path: Path) -> None:
    stages = {stage.stage: stage for stage in plan(load(raw / "tiny.yaml"), tmp_path).stages}
    assert {"decontaminate", "pii"} <= set(stages)
    assert stages["pii"].documents == stages["decontaminate"].documents != 0


def test_without_them_nothing_changes(raw: Path) -> None:
    asked, without = load(raw / "tiny.yaml"), load(raw / "tiny.yaml", ["pii=null", "decontaminate=null"])
    store = Store(raw / "runs" / "store")
    with LocalEngine(store, 2) as engine:
        both = [graph.documents(recipe, engine).shards["web"] for recipe in (asked, without)]
    assert "pii" not in both[1]
    one, two = ([m.fingerprint for m in shards["dedup"]] for shards in both)
    assert one == two
    assert load(raw / "tiny.yaml").resolved()["pii"]["email"] == "[e-mail]"
