"""A quality model within a run: where it stands in the graph, what it leaves alone, that a plan foretells it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from firn.core.engine import LocalEngine
from firn.core.errors import RecipeError
from firn.core.store import Store
from firn.data.quality.linear import LinearModel
from firn.data.quality.settings import FeatureSettings
from firn.run import graph
from firn.run.funnel import flows
from firn.run.pipeline import run
from firn.run.planning import plan
from firn.run.recipe import Recipe, load

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_recipe import make


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data, and a model of random weights: what it likes is as good as anything here."""
    folder = tmp_path_factory.mktemp("quality")
    recipe = make(folder)
    settings = FeatureSettings(bits=10)
    weights = np.random.default_rng(0).normal(0, 10, 1 << settings.bits).astype(np.float32)
    LinearModel(settings, weights, 0.0).save(folder / "model.safetensors")
    quality = {"file": str(folder / "model.safetensors"), "keep": 0.5}
    recipe.write_text(recipe.read_text() + f"quality: {json.dumps(quality)}\n")
    return folder


def test_half_of_all_documents_stay(raw: Path) -> None:
    recipe, store = load(raw / "tiny.yaml"), Store(raw / "store")
    with LocalEngine(store, 2) as engine:
        found = graph.documents(recipe, engine)
    assert list(found.shards["web"]) == ["read", "measure", "filter", "urls", "dedup", "quality", "tokens"]
    rows = [flow for flow in flows(found.shards) if flow.stage == "quality"]
    entered, left = sum(flow.entered for flow in rows), sum(flow.left for flow in rows)
    assert left == -(-entered // 2) < entered
    assert sum(flow.rules.get("quality.score", 0) for flow in rows) == entered - left
    assert [m.inputs[0]["stage"] for m in found.tokens] == ["quality"] * len(found.tokens)
    # One bound for both sources, between what stays and what goes.
    [bound] = {
        value
        for stages in found.shards.values()
        for manifest in stages["quality"]
        for value in pq.read_table(store.local(manifest, "ledger"))["bound"].drop_null().to_pylist()
    }
    assert 0 < bound < 1


def test_a_source_may_be_left_alone(raw: Path) -> None:
    recipe, store = load(raw / "tiny.yaml", ["sources.code.quality=false"]), Store(raw / "store")
    with LocalEngine(store, 2) as engine:
        found = graph.documents(recipe, engine)
    rows = {(flow.source, flow.stage): flow for flow in flows(found.shards)}
    assert "quality" not in found.shards["code"]
    assert rows["code", "dedup"].left == rows["code", "tokens"].entered
    assert rows["web", "quality"].left == -(-rows["web", "dedup"].left // 2) == rows["web", "tokens"].entered


def test_a_run_shows_it_and_a_plan_foretells_it(raw: Path) -> None:
    alone = "sources.code.quality=false"
    recipe = load(raw / "tiny.yaml", ["report.ladder=false", alone])
    before = {stage.stage: stage for stage in plan(recipe, raw / "runs").stages}
    assert before["quality"].todo
    outcome = run(recipe, raw / "runs", workers=2, mode="quiet")
    assert "quality.score" in Path(outcome.report).read_text()
    [removed] = [sample for sample in outcome.page.removed if sample.rule == "quality.score"]
    assert removed.text
    assert removed.value is not None
    assert removed.bound is not None
    assert removed.value < removed.bound
    assert Recipe.model_validate(recipe.resolved()) == recipe
    after = {stage.stage: stage for stage in plan(recipe, raw / "runs").stages}
    assert (after["quality"].todo, after["quality"].known) == (0, True)
    assert after["quality"].documents == sum(flow.left for flow in outcome.flows if flow.stage == "quality")
    # Another bound reads the scores that are there.
    changed = plan(load(raw / "tiny.yaml", ["quality.keep=null", "quality.at_least=0.4", alone]), raw / "runs")
    decided = next(stage for stage in changed.stages if stage.stage == "quality")
    assert decided.todo == len([m for m in Store(raw / "runs" / "store").manifests() if m.stage == "quality-score"])


def test_a_recipe_that_names_no_model_says_so(raw: Path) -> None:
    with pytest.raises(RecipeError, match="needs `folder`"):
        load(raw / "tiny.yaml", ["quality={model: hf}"])
