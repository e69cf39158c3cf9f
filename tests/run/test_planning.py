"""A plan foretells what a run then does, and leaves everything as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import tiny_recipe
from firn.core.errors import StoreError
from firn.core.store import Store
from firn.model.transformer import Transformer
from firn.run import pipeline, planning
from firn.run.folder import RunFolder
from firn.run.lookahead import Lookahead
from firn.run.planning import disk_needed, plan
from firn.run.recipe import Recipe, load

STAGES = ["read", "measure", "filter", "urls", "cluster", "dedup", "tokenizer", "tokens", "train"]


def recipe(tiny: Any, *overrides: str) -> Recipe:
    return load(tiny.folder / "tiny.yaml", overrides)


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_finished_run_has_nothing_to_do(tiny: Any) -> None:
    before = everything(tiny.folder)
    found = plan(recipe(tiny), tiny.runs)
    assert everything(tiny.folder) == before
    assert [stage.stage for stage in found.stages] == STAGES
    assert all(stage.todo == 0 and stage.there > 0 and stage.known for stage in found.stages)
    assert (found.seconds, found.disk, found.stays) == (0, 0, 0)
    flows = {(flow.source, flow.stage): flow for flow in tiny.outcome.flows}
    for stage in found.stages:
        left = [flow.left for (_, name), flow in flows.items() if name == stage.stage]
        if stage.stage != "train" and left:
            assert stage.documents == sum(left)
    assert found.tokens_known
    for use in found.mixture:
        [share] = [share for share in tiny.outcome.page.mixture if share.source == use.source]
        assert (use.available, use.tokens) == (share.tokens, share.drawn)
    json.dumps(found.to_json())


def test_without_a_store_all_is_foretold_and_nothing_is_written(tiny: Any, tmp_path: Path) -> None:
    found = plan(recipe(tiny), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    assert [stage.stage for stage in found.stages] == STAGES
    assert all(stage.there == 0 and stage.todo and not stage.known for stage in found.stages)
    assert not found.tokens_known
    assert all(stage.bytes > 0 and stage.seconds > 0 for stage in found.stages)
    assert found.disk == sum(stage.bytes for stage in found.stages)
    shards = {stage.stage: stage.todo for stage in found.stages}
    made = Store(tiny.runs / "store").manifests()
    assert shards["read"] == sum(manifest.stage == "read" for manifest in made)


def test_the_model_is_the_one_that_is_trained(tiny: Any) -> None:
    found = plan(recipe(tiny), tiny.runs)
    tokenizer = next(m for m in Store(tiny.runs / "store").manifests() if m.stage == "tokenizer")
    shape = recipe(tiny).model.model_copy(update={"vocab_size": tokenizer.notes["vocab_size"]})
    model = Transformer(shape)
    assert found.parameters == model.num_parameters()
    assert found.flops == model.flops_per_token(32) * 6 * 4 * 32
    assert found.tokens == 6 * 4 * 32


def test_what_one_more_crawl_file_costs(tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "grown"
    shutil.copytree(tiny.folder, folder)
    file = folder / "tiny.yaml"
    file.write_text(file.read_text().replace(str(tiny.folder), str(folder)))
    shutil.copy(folder / "raw" / "crawl-0.warc.gz", folder / "raw" / "crawl-9.warc.gz")
    with (folder / "raw" / "crawl-9.warc.gz").open("ab") as crawl:
        crawl.write(tiny_recipe.record("https://new.example/", tiny_recipe.page(500)))
    found = plan(load(file), folder / "runs")
    stages = {stage.stage: stage for stage in found.stages}
    assert [(stages[name].there, stages[name].todo) for name in ("read", "measure", "filter")] == [(3, 1)] * 3
    store = Store(folder / "runs" / "store")
    [like] = [m for m in store.manifests() if m.stage == "read" and m.label == "web/crawl-0.warc.gz"]
    both = [m for m in store.manifests() if m.stage == "read" and m.label.startswith("web/")]
    # As many bytes as the crawl files before it give for theirs.
    size = (folder / "raw" / "crawl-9.warc.gz").stat().st_size
    expected = sum(e.bytes for m in both for e in m.files.values()) / sum(m.observed["bytes_in"] for m in both) * size
    assert stages["read"].bytes == pytest.approx(expected, rel=0.01)
    assert stages["read"].bytes > sum(entry.bytes for entry in like.files.values()) / 2


def test_a_training_setting_leaves_training_alone_to_do(tiny: Any) -> None:
    found = plan(recipe(tiny, "train.optimizer.matrix_lr=0.01"), tiny.runs)
    assert [(stage.stage, stage.todo) for stage in found.stages if stage.todo] == [("train", 1)]
    assert found.disk == found.stages[-1].bytes > 0


def test_speed_is_that_of_earlier_steps_of_the_same_shape(tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny.runs, tmp_path / "runs")
    [metrics] = (tmp_path / "runs" / "tiny").glob("train-*/metrics-*.jsonl")
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    start = next(record for record in records if record["kind"] == "start")
    start["runtime"] = planning.choose("fp32").to_json()
    steps = [
        {"kind": "step", "step": n, "seconds": {"data": 0.0, "compute": 2.0, "optimizer": 0.5, "checkpoint": 9.0}}
        for n in range(20)
    ]
    metrics.write_text("\n".join(json.dumps(record) for record in [start, *steps]))
    found = plan(recipe(tiny, "train.steps=8"), tmp_path / "runs")
    assert "earlier steps" in found.device
    # 8 steps, and forward passes over the held-out text.
    assert 8 * 2.5 < found.stages[-1].seconds < 30 * 2.5
    other = plan(recipe(tiny, "train.steps=8", "model.width=48"), tmp_path / "runs")
    assert "matrix products" in other.device
    assert 0 < other.stages[-1].seconds < 60


def test_what_a_run_would_refuse_is_said(tiny: Any) -> None:
    often = plan(recipe(tiny, "train.steps=100000"), tiny.runs)
    assert [w for w in often.warnings if "code would be read about" in w and "run refuses it" in w]
    long = plan(recipe(tiny, "train.window=100000", "model.context=100000"), tiny.runs)
    assert [w for w in long.warnings if "one window takes 100,001" in w]


def test_what_does_not_fit_is_said(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.virtual_memory()._replace(total=1 << 20)
    monkeypatch.setattr(planning.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(planning, "free_bytes", lambda store: 1000)
    found = plan(recipe(tiny, "train.steps=7"), tiny.runs)
    assert [w for w in found.warnings if "set train.micro_batch" in w]
    assert [w for w in found.warnings if "the disk has" in w]


@pytest.mark.parametrize("retain", ["all", "needed", "final"])
def test_what_stays_is_what_retain_says(tiny: Any, tmp_path: Path, retain: str) -> None:
    found = plan(recipe(tiny, f"retain={retain}"), tmp_path)
    stages = {stage.stage: stage for stage in found.stages}
    assert found.disk == sum(stage.bytes for stage in stages.values())
    assert found.stays == sum(stage.stays for stage in stages.values())
    whole = {
        "all": set(STAGES),
        "needed": set(STAGES) - {"cluster", "urls"},
        "final": {"tokenizer", "tokens", "train"},
    }[retain]
    for name, stage in stages.items():
        assert (stage.stays == stage.bytes) == (name in whole)
        # Of what goes, the ledgers stay.
        assert (stage.stays > 0) == (name in whole or name in ("read", "filter", "urls", "dedup"))


def test_a_run_that_does_not_fit_is_refused_before_it_begins(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("firn.core.disk.free_bytes", lambda store: 1000)
    with pytest.raises(StoreError, match=r"needs about .* and the disk has .* left"):
        pipeline.run(recipe(tiny), tmp_path / "runs", mode="quiet")
    assert not (tmp_path / "runs" / "store").exists()


def test_disk_needed_is_nothing_where_all_is_done(tiny: Any, tmp_path: Path) -> None:
    store, folder = Store(tiny.runs / "store"), RunFolder(tiny.runs / "tiny")
    assert disk_needed(recipe(tiny), store, folder) == 0
    assert disk_needed(recipe(tiny), Store(tmp_path), folder) > disk_needed(recipe(tiny), store) > 0


def test_a_plan_computes_on_threads_as_it_found_them(tiny: Any) -> None:
    before = torch.get_num_threads()
    plan(recipe(tiny, "train.steps=7", "model.width=48"), tiny.runs)
    assert torch.get_num_threads() == before


def test_looking_ahead_makes_nothing_ready(tmp_path: Path) -> None:
    engine = Lookahead(Store(tmp_path), 1, "all")
    engine.ready(lambda workers, note: pytest.fail("kernels would be compiled for a plan"))
