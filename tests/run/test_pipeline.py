"""A whole run: done once, done again, changed, killed, disturbed; its page and what it is asked afterwards."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tiny_recipe
from firn.core.errors import InputError, RecipeError, StoreError
from firn.run import looking
from firn.run.folder import RunFolder
from firn.run.pipeline import run
from firn.run.recipe import load
from firn.run.status import overview, status
from firn.run.words import Writer
from firn.study.compare import compare
from tiny_recipe import copied, make, run_tiny, shards

PROGRAM = Path(tiny_recipe.__file__)


@pytest.fixture
def copy(tiny: Any, tmp_path: Path) -> Path:
    """A copy of the finished run's folder of runs, to change it."""
    return copied(tiny.runs, tmp_path)


def stages(found: dict[str, list[str]]) -> Counter[str]:
    return Counter(name.split("/")[0] for name in found)


def test_every_document_is_accounted_for(tiny: Any) -> None:
    flows = {(flow.source, flow.stage): flow for flow in tiny.outcome.flows}
    web = flows["web", "read"]
    assert web.entered == len(tiny_recipe.pages())
    assert flows["code", "read"].entered == 16
    for flow in flows.values():
        assert flow.entered == sum(flow.verdicts.values()), flow
    filtered = flows["web", "filter"]
    assert filtered.rules.get("language.accepted") == 1
    assert filtered.verdicts["removed"] >= 2
    assert flows["web", "dedup"].verdicts["merged"] == 1


def test_a_second_run_does_nothing(tiny: Any, copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (copy / "store").rglob("*")}
    again = run_tiny(tiny.folder, copy)
    assert tiny.outcome.made > 0
    assert again.made == 0
    assert again.weights == tiny.outcome.weights
    assert {path: path.stat().st_mtime_ns for path in (copy / "store").rglob("*")} == before


def test_a_training_setting_runs_training_alone(tiny: Any, copy: Path) -> None:
    before = shards(copy)
    again = run_tiny(tiny.folder, copy, "train.optimizer.matrix_lr=0.01")
    assert shards(copy) == before
    assert again.made == 1
    assert again.weights != tiny.outcome.weights


def test_a_bound_measures_nothing_again(tiny: Any, copy: Path) -> None:
    before = shards(copy)
    # Another page falls to this bound, so that what comes after the filter is made again too.
    run_tiny(tiny.folder, copy, "sources.web.rules.bounds={gopher.min_words: 200}")
    made = stages({name: files for name, files in shards(copy).items() if name not in before})
    assert made["filter"] == 2
    assert made["dedup"] >= 1
    assert not made["read"]
    assert not made["measure"]


def test_a_bound_that_changes_no_decision_stops_at_the_filter(tiny: Any, copy: Path) -> None:
    before = shards(copy)
    again = run_tiny(tiny.folder, copy, "sources.web.rules.bounds={gopher.min_words: 49}")
    made = stages({name: files for name, files in shards(copy).items() if name not in before})
    assert made == {"filter": 2, "accounts": 1}  # of one shard the ledger has another bound
    assert again.weights == tiny.outcome.weights


def test_a_new_crawl_file_reads_only_itself(tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "grown"
    shutil.copytree(tiny.folder, folder)
    make_again = folder / "tiny.yaml"
    make_again.write_text(make_again.read_text().replace(str(tiny.folder), str(folder)))
    before = shards(folder / "runs")
    extra = tiny_recipe.record("https://new.example/", tiny_recipe.page(500))
    (folder / "raw" / "crawl-9.warc.gz").write_bytes(extra)
    run_tiny(folder, folder / "runs")
    made = stages({name: files for name, files in shards(folder / "runs").items() if name not in before})
    assert (made["read"], made["measure"], made["filter"]) == (1, 1, 1)


def test_one_worker_and_two_give_the_same_bytes_whatever_the_hash_seed(tiny: Any, tmp_path: Path) -> None:
    expected = [tiny.outcome.weights, shards(tiny.runs)]
    alone = run_tiny(tiny.folder, tmp_path / "one", workers=1)
    assert alone.weights == expected[0]
    card = "README.md"
    assert Path(alone.model, card).read_bytes() == Path(tiny.outcome.model, card).read_bytes()
    assert shards(tmp_path / "one") == expected[1]
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    command = [sys.executable, str(PROGRAM), str(tiny.folder), str(tmp_path / "seeded")]
    found = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stderr.decode()
    assert json.loads(found.stdout) == expected


def broken(tiny: Any, tmp_path: Path, action: str, step: int) -> list[tuple[int, int, str, int, str]]:
    """What happened at each fault: its number; status and output of the run it broke, and of the next one."""
    command = [sys.executable, str(PROGRAM), "inject", str(tiny.folder), action, str(step)]
    (tmp_path / "raw").symlink_to(tiny.folder / "raw")
    shutil.copy(tiny.folder / "tiny.yaml", tmp_path)
    command[3] = str(tmp_path)
    found = subprocess.run(command, capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()
    return [tuple(json.loads(line)) for line in found.stdout.decode().splitlines()]


def whole(tiny: Any, output: str) -> None:
    assert json.loads(output.splitlines()[-1]) == [tiny.outcome.weights, shards(tiny.runs)]


def test_killed_anywhere_the_next_run_ends_with_the_same_bytes(tiny: Any, tmp_path: Path) -> None:
    found = broken(tiny, tmp_path, "kill", 23)
    assert len(found) > 6
    assert sum(status != 0 for _, status, *_ in found) >= len(found) - 1
    for _, _, _, status_, output in found:
        assert status_ == 0, output
        whole(tiny, output)


@pytest.mark.slow
def test_killed_at_every_write_fsync_and_manifest(tiny: Any, tmp_path: Path) -> None:
    for _, _, _, status_, output in broken(tiny, tmp_path, "kill", 1):
        assert status_ == 0, output
        whole(tiny, output)


def test_a_full_disk_is_a_clear_error_and_the_run_goes_on(tiny: Any, tmp_path: Path) -> None:
    found = broken(tiny, tmp_path, "enospc", 61)
    assert sum(status != 0 for _, status, *_ in found) >= len(found) - 1
    for _, status_, complaint, next_status, output in found:
        if status_:
            assert "No space left on device" in complaint
            assert "mend: free some space" in complaint
        assert next_status == 0, output
        whole(tiny, output)


def test_two_runs_in_one_folder_end_with_the_same_bytes(tiny: Any, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tiny.folder), str(tmp_path / "runs")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        output, complaint = process.communicate()
        assert process.returncode == 0, complaint.decode()
        whole(tiny, output.decode())


def test_an_unwritable_folder_is_a_clear_error(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        run_tiny(tiny.folder, tmp_path / "file")


def test_raw_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    with pytest.raises(InputError, match="nowhere"):
        run(load(recipe, ["sources.web.paths=[nowhere/crawl.warc.gz]"]), tmp_path / "runs", mode="quiet")


def test_hostile_raw_data_ends_in_rows_and_the_run_ends_well(tmp_path: Path) -> None:
    recipe = make(tmp_path)
    raw = tmp_path / "raw"
    good = tiny_recipe.record("https://good.example/", tiny_recipe.page(300))
    deep = tiny_recipe.record("https://deep.example/", "<div>" * 100_000 + "snow" + "</div>" * 100_000)
    huge = tiny_recipe.record("https://huge.example/", b"<p>" + b"snow and ice " * (100_000_000 // 13))
    latin = "<html><head><meta charset='utf-16'></head><body>" + "<p>Le ch\xe2teau est ferm\xe9.</p>" * 30
    wrong = tiny_recipe.record("https://wrong.example/", latin.encode("latin-1"))
    noise = random.Random(1).randbytes(100_000)
    hostile = {"cut": good + good[: len(good) // 2], "empty": b"", "noise": noise, "rest": deep + huge + wrong + good}
    for name, content in hostile.items():
        (raw / f"crawl-{name}.warc.gz").write_bytes(content)
    outcome = run(load(recipe), tmp_path / "runs", mode="quiet", workers=2)
    [read] = [flow for flow in outcome.flows if (flow.source, flow.stage) == ("web", "read")]
    assert read.entered == sum(read.verdicts.values())

    def verdict(url: str) -> tuple[str, str | None]:
        chapter = looking.why(url, "tiny", tmp_path / "runs")[0]
        return chapter.verdict, chapter.rule

    assert verdict("https://deep.example/")[0] in ("removed", "failed")
    assert verdict("https://huge.example/")[0] in ("removed", "failed")
    assert verdict("https://wrong.example/") == ("kept", None)
    assert verdict("https://good.example/") == ("kept", None)
    # The ordinary pages, the good page twice and the one whose character set is not the one it names.
    assert read.verdicts["kept"] == len(tiny_recipe.pages()) + 3
    # The cut record and the noise are rows too; nothing is in the empty file.
    assert read.entered >= len(tiny_recipe.pages()) + 7


def test_a_single_document_trains_a_model_whose_learning_nobody_can_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    (tmp_path / "book.txt").write_text(" ".join(tiny_recipe.page(n) for n in range(20)))
    recipe = tmp_path / "single.yaml"
    text = (tmp_path / "tiny.yaml").read_text()
    recipe.write_text(
        f"sources: {{book: {{kind: files, paths: ['{tmp_path}/book.txt']}}}}\n" + text[text.index("split:") :]
    )
    outcome = run(load(recipe), tmp_path / "runs", mode="plain", workers=1)
    assert "no text is held out" in capsys.readouterr().out.replace("\n", " ")
    assert outcome.held_out == {}
    assert Path(outcome.report).is_file()
    assert Writer.open(outcome.model).model.num_parameters() > 0
    assert run(load(recipe), tmp_path / "runs", mode="quiet").made == 0


def test_the_page_is_safe_and_names_what_was_removed(tiny: Any) -> None:
    page = Path(tiny.outcome.report).read_text()
    assert "jane.roe" not in page
    assert "<script" not in page
    assert "language.accepted" in page
    assert "order-5" in page


def test_the_model_goes_on_from_a_prompt(tiny: Any) -> None:
    writer = Writer.open("tiny", tiny.runs)
    text = "".join(writer.write("def ", max_tokens=8, seed=1))
    assert text == "".join(writer.write("def ", max_tokens=8, seed=1))
    again = Writer.open(tiny.outcome.model)
    assert text == "".join(again.write("def ", max_tokens=8, seed=1))


def test_why_tells_a_documents_story(copy: Path) -> None:
    french = looking.why("https://fr.example/", "tiny", copy)
    assert [(chapter.stage, chapter.verdict) for chapter in french] == [("read", "kept"), ("filter", "removed")]
    assert french[1].rule == "language.accepted"
    twins = [looking.why(url, "tiny", copy) for url in ("https://copy.example/", "https://site3.example/page3")]
    for story in twins:
        assert story[-1].stage == "tokens"  # a merged document's story goes on with its survivor's
    assert sorted(any(chapter.verdict == "merged" for chapter in story) for story in twins) == [False, True]
    kept = twins[0][0]
    assert kept.address
    assert kept.id
    assert looking.why(kept.id, "tiny", copy)
    with pytest.raises(InputError, match="no ledger of this run knows it"):
        looking.why("https://elsewhere.example/", "tiny", copy)


def test_a_batch_names_its_documents(copy: Path) -> None:
    parts = looking.batch("tiny", 3, copy)
    assert {part.row for part in parts} == set(range(4))
    assert {part.source for part in parts} <= {"web", "code"}
    for part in parts:
        assert part.url or part.address
        story = looking.why(part.document, "tiny", copy)
        assert story[-1].stage == "tokens"
    with pytest.raises(RecipeError):
        looking.batch("tiny", 6, copy)


def test_status_of_a_finished_and_of_a_killed_run(tiny: Any, copy: Path) -> None:
    assert [row.name for row in overview(tiny.runs)] == ["tiny"]
    row = status("tiny", tiny.runs)
    assert (row.status, row.training.step if row.training else None) == ("finished", 6)
    assert set(row.held_out) == {"web", "code"}
    folder = RunFolder.open("tiny", copy)
    folder.update(status="running", process={**folder.state["process"], "id": 2**22, "born": 0.0})
    assert status("tiny", copy).status == "interrupted"
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        status("tini", tiny.runs)


def test_two_runs_are_compared(tiny: Any, copy: Path) -> None:
    run_tiny(tiny.folder, copy, "name=other", "train.steps=4", "sources.web.rules.bounds={gopher.min_words: 200}")
    found = compare("tiny", "other", copy)
    assert ("train.steps", 6, 4) in found.recipe
    assert any(rule.startswith("web: gopher.min_words") for rule, *_ in found.rules)
    assert ("steps", 6, 4) in found.results
    assert {row.source for row in found.funnel} == {"web", "code"}
    assert compare("tiny", "tiny", copy).recipe == []
