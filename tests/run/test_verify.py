"""`firn verify-resume` says that resuming is bitwise where it is, and where it first differs where it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import Finished
from firn.core.errors import RecipeError
from firn.run import verify
from firn.run.folder import RunFolder
from firn.run.recipe import load
from tiny_recipe import copied


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and date of all files."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    "overrides",
    [(), ("train.precision=bf16", "train.seed=1", "tokenizer.vocab_size=600")],
)
def test_a_recipe_resumes_to_the_same_bits_and_the_run_is_not_touched(
    tiny: Finished, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    runs = copied(tiny.runs, tmp_path)
    before = everything(runs / "tiny")
    recipe = load(tiny.folder / "tiny.yaml", (f"store={runs / 'store'}", *overrides))
    found = verify.verify_resume(recipe, runs, steps=4, quiet=True)
    assert found.same
    assert (found.steps, found.killed, found.first_step, found.tensors) == (4, 2, None, [])
    assert found.runtime["precision"] == ("bf16" if overrides else "fp32")
    assert set(found.hashes) == {"model", "state"}
    assert everything(runs / "tiny") == before
    assert {path.name for path in runs.iterdir()} == {"store", "tiny"}


def test_what_differs_is_named(tiny: Finished, tmp_path: Path) -> None:
    training = RunFolder.open("tiny", tiny.runs).training
    assert training is not None
    one, other = (Path(shutil.copytree(training, tmp_path / name)) for name in ("one", "other"))
    assert verify._compared(one, other, 6, 3).same
    [file] = (other / "checkpoints" / "step-00000006").glob("model-*")
    tensors = load_file(file)
    tensors["norm.weight"] += torch.finfo(torch.float32).eps
    save_file(tensors, file)
    for lines in other.glob("metrics-*.jsonl"):
        lines.write_text(lines.read_text().replace('"step": 3, "loss": ', '"step": 3, "loss": 1'))
    found = verify._compared(one, other, 6, 3)
    assert not found.same
    assert (found.first_step, found.tensors) == (3, ["norm.weight"])
    assert found.hashes["state"][0] == found.hashes["state"][1]


def test_one_step_cannot_be_cut(tiny: Finished, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two steps"):
        verify.verify_resume(load(tiny.folder / "tiny.yaml", ["train.steps=1"]), tmp_path)
