"""The command line: what it prints, for people and for scripts, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer.main

from firn.cli.main import app, execute
from tiny_recipe import copied

VERBS = sorted(typer.main.get_group(app).commands)


@pytest.fixture
def runs(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of the finished run, which every verb finds by itself."""
    runs = copied(tiny.runs, tmp_path)
    monkeypatch.setenv("FIRN_RUNS", str(runs))
    monkeypatch.setenv("COLUMNS", "160")
    return runs


def lines(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Example: firn {verb}" in shown
    assert len(shown.splitlines()) > 8


def test_the_verbs_that_a_user_is_promised_are_there() -> None:
    promised = {"run", "status", "generate", "plan", "why", "show-batch", "compare", "gc", "schema", "report"}
    assert promised <= set(VERBS)


def test_a_wrong_key_is_named_with_the_right_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "wrong.yaml"
    recipe.write_text("sources:\n  notes: {kind: files, paths: [notes]}\ntrain:\n  stpes: 5\n")
    assert execute(["run", str(recipe)]) == 2
    complaint = capsys.readouterr().err
    assert "wrong.yaml:4" in complaint
    assert "train.stpes" in complaint
    assert "did you mean 'steps'" in complaint


def test_what_is_not_there_is_an_error(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", "nowhere.yaml"]) == 1
    assert execute(["status", "nobody"]) == 1
    assert execute(["generate", "nobody", "The"]) == 1
    assert execute(["no-such-verb"]) == 2
    assert execute(["show-batch", "tiny", "--step", "6"]) == 2
    assert "mend:" in capsys.readouterr().err


def test_a_finished_run_says_that_there_is_nothing_to_do(
    tiny: Any, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["run", str(tiny.folder / "tiny.yaml")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert execute(["run", str(tiny.folder / "tiny.yaml"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert execute(["run", str(tiny.folder / "tiny.yaml"), "--json"]) == 0
    events = lines(capsys.readouterr().out)
    assert events[-1]["event"] == "done"
    assert events[-1]["made"] == 0
    assert events[-1]["weights"] == tiny.outcome.weights


def test_status_for_people_and_scripts(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["status"]) == 0
    assert "tiny" in capsys.readouterr().out
    assert execute(["status", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert "finished" in shown
    assert "language.accepted" in shown
    assert execute(["status", "tiny", "--json"]) == 0
    [row] = lines(capsys.readouterr().out)
    assert row["training"]["step"] == row["training"]["steps"] == 6


def test_generation_is_seeded(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "tiny", "def ", "--max-tokens", "6", "--seed", "3"]
    assert execute(command) == 0
    once = capsys.readouterr().out
    assert once.startswith("def ")
    assert execute(command) == 0
    assert capsys.readouterr().out == once
    assert execute([*command, "-n", "2", "--json"]) == 0
    found = lines(capsys.readouterr().out)
    assert [sample["seed"] for sample in found] == [3, 4]
    assert "def " + found[0]["text"] == once.rstrip("\n") or found[0]["text"] in once


def test_plan_of_a_finished_run_has_nothing_to_do(tiny: Any, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["plan", str(tiny.folder / "tiny.yaml"), "--json"]) == 0
    [plan] = lines(capsys.readouterr().out)
    assert plan["steps"] == 6
    assert plan["tokens_known"]
    assert all(stage["todo"] == 0 for stage in plan["stages"])
    assert execute(["plan", str(tiny.folder / "tiny.yaml"), "model.layers=2"]) == 0
    assert "parameters" in capsys.readouterr().out


def test_why_and_show_batch(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["why", "https://fr.example/"]) == 0
    shown = capsys.readouterr().out
    assert "removed by language.accepted" in shown
    assert execute(["why", "https://fr.example/", "--json"]) == 0
    assert [chapter["verdict"] for chapter in lines(capsys.readouterr().out)] == ["kept", "removed"]
    assert execute(["show-batch", "tiny", "--step", "2", "--json"]) == 0
    parts = lines(capsys.readouterr().out)
    assert {part["row"] for part in parts} == {0, 1, 2, 3}
    assert execute(["show-batch", "tiny", "--step", "2"]) == 0
    assert "window 3" in capsys.readouterr().out


def test_rules_tells_what_another_limit_would_keep(tiny: Any, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["rules", str(tiny.folder / "tiny.yaml"), "--try", "web:gopher.min_words=200"]
    assert execute([*command, "--json"]) == 0
    [trial] = lines(capsys.readouterr().out)
    web = [row for row in trial["counts"] if row["source"] == "web" and row["language"] == "en"]
    assert sum(row["kept_then"] for row in web) < sum(row["kept_now"] for row in web)
    assert execute(command) == 0
    shown = capsys.readouterr().out
    assert "goes; gopher.min_words measures" in shown
    assert "https://" in shown
    assert execute(["rules", str(tiny.folder / "tiny.yaml"), "--try", "gopher.min_wrods=9"]) == 2
    assert "did you mean 'gopher.min_words'" in capsys.readouterr().err


def test_collect_shows_what_was_read_and_a_sample(tiny: Any, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["collect", str(tiny.folder / "tiny.yaml"), "--sample", "4", "--characters", "80"]
    assert execute(command) == 0
    shown = capsys.readouterr().out
    assert "records/s" in shown
    assert shown.count("  id ") == 4
    assert execute([*command, "--json"]) == 0
    *_, done = lines(capsys.readouterr().out)
    assert [source["records"] for source in done["sources"]] == [28, 16]
    assert len(done["sample"]) == 4
    assert execute([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_clean_shows_the_funnel_and_exports(
    tiny: Any, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["clean", str(tiny.folder / "tiny.yaml"), "--export", str(tmp_path / "out"), "--format", "jsonl"]
    assert execute(command) == 0
    shown = capsys.readouterr().out
    for words in ("Funnel", "gopher.min_words", "By language", "By domain", "exported", "Parquet files"):
        assert words in shown
    assert execute(command) == 1
    assert "is not empty" in capsys.readouterr().err
    assert execute([*command[:2], "--json"]) == 0
    *_, done = lines(capsys.readouterr().out)
    assert done["made"] == 0
    assert done["cleaning"]["counted"]
    assert execute([*command[:2], "--format", "csv"]) == 2


def test_show_prints_a_life_and_writes_raw_bytes(
    tiny: Any, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["show", "https://fr.example/", "--characters", "90"]) == 0
    shown = capsys.readouterr().out
    for words in ("Raw record", "WARC/1.0", "language.accepted", "breaks it", "removed by language.accepted"):
        assert words in shown
    assert execute(["show", "library/module2.py", "--json"]) == 0
    [life] = lines(capsys.readouterr().out)
    assert life["tokens"]["count"] > 0
    assert execute(["show", "library/module2.py", "--raw", str(tmp_path / "raw.py")]) == 0
    assert (tmp_path / "raw.py").read_bytes() == (tiny.folder / "raw" / "library" / "module2.py").read_bytes()
    assert execute(["show", "library/nobody.py"]) == 1


def test_contamination_of_a_run_without_evaluation_sets(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["contamination", "tiny"]) == 1
    assert "decontaminate.sets" in capsys.readouterr().err


def test_compare_gc_and_report(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["compare", "tiny", "tiny"]) == 0
    assert "The recipes are the same." in capsys.readouterr().out
    assert execute(["gc", "--dry-run", "--json"]) == 0
    [store] = lines(capsys.readouterr().out)
    assert store["files"] == 0
    assert execute(["report", "tiny"]) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_the_schema_describes_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"sources", "model", "train"} <= set(schema["properties"])
    sections = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{section.get('title', 'recipe')}.{key}"
        for section in sections
        for key, value in section.get("properties", {}).items()
        if not value.get("description") and "const" not in value
    ]
    assert undescribed == []
