"""`firn quality`: a model is trained, evaluated, and refused where it cannot be."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from firn.cli.main import execute

sys.path.insert(0, str(Path(__file__).parents[1] / "data/quality"))
from made import text, write


def test_a_model_is_trained_and_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, True)
    write(tmp_path, False)
    sets = ["--positive", str(tmp_path / "good-*.jsonl"), "--negative", str(tmp_path / "bad-*.jsonl")]
    model = str(tmp_path / "model.safetensors")
    assert execute(["quality", "train", *sets, "--out", model, "--bits", "12"]) == 0
    out = capsys.readouterr().out
    assert "AUC 1.000" in out
    assert f"quality: {{file: {model}, keep: 0.1}}" in out

    rows = [{"body": text(good, n), "grade": "A" if good else "D"} for n in range(500, 520) for good in (True, False)]
    (tmp_path / "judged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = ["--labelled", str(tmp_path / "judged.jsonl"), "--label", "grade", "--good", "A", "--text", "body"]
    assert execute(["quality", "evaluate", model, *judged, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["documents"], found["good"], found["auc"]) == (40, 20, 1.0)
    assert [kept["precision"] for kept in found["kept"]] == [1.0] * 4
    assert execute(["quality", "evaluate", model, *sets]) == 0
    assert "Calibration" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "absent.safetensors", "--labelled", "rows.jsonl"], "absent.safetensors: cannot be read"),
        (["evaluate", "rows.jsonl", "--labelled", "rows.jsonl"], "is no quality model"),
        (["train", "--positive", "none/", "--negative", "rows.jsonl", "--out", "m"], "none/: holds no file"),
        (["train", "--positive", "rows.jsonl", "--negative", "rows.jsonl", "--out", "m"], "too few documents"),
        (["train", "--positive", "rows.jsonl", "--negative", "rows.jsonl", "--out", "m", "--text", "x"], "field 'x'"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "a text", "label": 1}\n')
    assert execute(["quality", *arguments]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "mend:" in err


def test_labels_that_nothing_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path / "m.safetensors")
    assert execute(["quality", "train", "--positive", *write(tmp_path, True, files=1), "--negative",
                    *write(tmp_path, False, files=1), "--out", model, "--bits", "10"]) == 0  # fmt: skip
    (tmp_path / "rows.jsonl").write_text('{"text": "a text", "label": 1}\n')
    assert execute(["quality", "evaluate", model, "--labelled", str(tmp_path / "rows.jsonl"), "--good", "yes"]) == 1
    assert "no row has the value 'yes' in the field 'label'" in capsys.readouterr().err


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("train", "evaluate"):
        assert execute(["quality", verb, "--help"]) == 0
        assert f"Example: firn quality {verb}" in capsys.readouterr().out
