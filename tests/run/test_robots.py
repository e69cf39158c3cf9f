"""robots.txt within a run: found in the crawl itself, foretold by a plan, told by `firn why`, and let go."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firn.cli.main import app
from firn.core.errors import RecipeError
from firn.run.cleaning import clean
from firn.run.looking import why
from firn.run.planning import plan
from firn.run.recipe import load

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_recipe import make, record

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "sources"))
from cc_server import CRAWL
from cc_server import make as make_crawl

PAGE = "https://site1.example/page9"
LINE = "not for GPTBot, by `Disallow: /page9`, line 3 of https://site1.example/robots.txt of 2024-05-17"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw data and recipe: the first crawl's site asks GPTBot to leave a page alone, another asks everybody."""
    folder = tmp_path_factory.mktemp("robots")
    recipe = make(folder)
    bodies = {
        "https://site1.example": b"# ours\nUser-agent: gptbot\nDisallow: /page9\n",
        "https://site2.example": b"User-agent: *\nDisallow: /\n",
        "http://site3.example": b"User-agent: *\nDisallow: /\n",
    }
    found = [record(f"{site}/robots.txt", body, "2024-05-17T00:00:00Z") for site, body in bodies.items()]
    (folder / "raw" / "crawl-robots.warc.gz").write_bytes(b"".join(found))
    recipe.write_text(recipe.read_text().replace("{preset: reference-docs}", "{preset: reference-docs, robots: {}}"))
    return folder


def test_robots_txt_of_the_crawl_itself_are_obeyed_and_why_tells_the_line(raw: Path) -> None:
    recipe, runs = load(raw / "tiny.yaml"), raw / "runs"
    foretold = {stage.stage: stage for stage in plan(recipe, runs).stages}
    assert foretold["robots"].todo
    left = {(flow.source, flow.stage): flow.left for flow in clean(recipe, runs, workers=2, mode="quiet").flows}
    # Of site1 page9 goes, of site2 its three pages.
    assert left["web", "robots"] == left["web", "filter"] - 4
    assert ("code", "robots") not in left

    last = why(PAGE, "tiny", runs)[-1]
    assert (last.stage, last.verdict, last.rule, last.error) == ("robots", "removed", "rights.robots", LINE)
    assert why("https://site2.example/page2", "tiny", runs)[-1].rule == "rights.robots"
    stays = why("https://site3.example/page11", "tiny", runs)
    assert [(c.stage, c.verdict) for c in stays if c.stage == "robots"] == [("robots", "kept")]
    printed = CliRunner().invoke(app, ["why", PAGE, "--run", "tiny", "--runs", str(runs)]).output
    assert "removed by rights.robots" in printed
    assert LINE in " ".join(printed.split())
    assert 'class="why">rights.robots' in (runs / "tiny" / "report.html").read_text()

    planned = {stage.stage: stage for stage in plan(recipe, runs).stages}
    assert (planned["robots"].todo, planned["robots"].known) == (0, True)
    assert planned["robots"].documents == left["web", "robots"]


def test_other_robots_measure_nothing_again_and_without_any_the_stage_is_not_there(raw: Path) -> None:
    other = load(raw / "tiny.yaml", ["sources.web.rules.robots={agents: [CCBot]}"])
    stages = {stage.stage: stage for stage in plan(other, raw / "runs").stages}
    assert stages["measure"].todo == stages["filter"].todo == 0
    assert stages["robots"].todo
    without = load(raw / "tiny.yaml", ["sources.web.rules.robots=null"])
    assert "robots" not in {stage.stage for stage in plan(without, raw / "runs").stages}


def test_a_source_that_holds_none_needs_to_be_told_where_they_are(raw: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(raw / "tiny.yaml", ["sources.code.rules.robots={}"])
    assert caught.value.key == "sources.code.rules.robots"
    assert "paths" in str(caught.value.mend)
    load(raw / "tiny.yaml", ["sources.code.rules.robots={paths: [robots/]}"])


def test_the_recipe_is_whole_when_it_is_resolved(raw: Path, tmp_path: Path) -> None:
    recipe = load(raw / "tiny.yaml")
    (tmp_path / "tiny.yaml").write_text(recipe.to_yaml())
    assert load(tmp_path / "tiny.yaml") == recipe


def test_a_plan_of_common_crawl_foretells_what_is_found_in_the_index(tmp_path: Path) -> None:
    make_crawl(tmp_path)
    part = f"cc-index/table/cc-main/warc/crawl={CRAWL}/subset=robotstxt/part-00000-b13edba3.c000.gz.parquet"
    (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / part).write_bytes(b"never read")
    recipe = tmp_path / "web.yaml"
    source = {"kind": "commoncrawl", "crawl": CRAWL, "files": 2, "base": str(tmp_path), "rules": {"robots": {}}}
    recipe.write_text(json.dumps({"sources": {"web": source}}))
    stages = {stage.stage: stage for stage in plan(load(recipe), tmp_path / "runs").stages}
    # Two shards of documents, their sites, and those of all, a part of the index: the least that there is to do.
    assert (stages["robots"].todo or 0) > 2 + 3 + 1
