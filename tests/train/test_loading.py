"""What is loaded before or between steps is read tensor by tensor: a model is never in memory twice.

test_loading.py FOLDER   load what the training in FOLDER left, and print how many bytes were held beside it
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import MODEL, SETTINGS, WATCH, plan_of, run, tiny_corpus

from firn.core.errors import FormatError
from firn.core.store import Manifest
from firn.model.build import Model, build, load, load_into, save
from firn.model.config import ModelSettings
from firn.model.encoder_config import EncoderSettings
from firn.model.speedrun_config import SpeedrunSettings
from firn.train.checkpoint import Checkpoints
from firn.train.loop import train
from firn.train.optim import Optimizers
from firn.train.settings import OptimizerSettings
from firn.train.start import from_checkpoint, from_folder

#: 17 million parameters, the largest matrix 0.7.
LARGE = ModelSettings(preset="qwen3", layers=5, width=512, heads=8, context=32)
STATUS = Path("/proc/self/status")
OPTIMIZER = OptimizerSettings(matrices="adamw", average=0.9)


def beside() -> int:
    """Bytes of the most that this process ever held over what it holds now."""
    # Not getrusage: its maximum is handed down by the process that started this one.
    lines = (line.split() for line in STATUS.read_text().splitlines())
    kilobytes = {line[0]: int(line[1]) for line in lines if line[-1] == "kB"}
    return 1024 * (kilobytes["VmHWM:"] - kilobytes["VmRSS:"])


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    start = from_folder(folder / "model")
    model = build(start.shape)
    model.init_weights(0)
    optimizers = Optimizers(model, OPTIMIZER)
    found = {}
    start.load(model, optimizers)
    found["folder"] = beside()
    [file] = folder.glob("checkpoints/step-*/manifest.json")
    manifest = Manifest.from_json(file.read_bytes())
    assert manifest is not None
    Checkpoints(folder, {}, print, keep=1).load(manifest, model, {"optimizer": optimizers})
    found["resumed"] = beside()
    from_checkpoint(folder, None, OPTIMIZER).load(model, optimizers)
    found["branched"] = beside()
    print(json.dumps(found))


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says how much memory a process held at most")
def test_nothing_is_in_memory_twice(store: Path, tmp_path: Path) -> None:
    corpus = tiny_corpus(store)
    settings = SETTINGS.model_copy(update={"steps": 1, "batch": 1, "micro_batch": 1, "optimizer": OPTIMIZER})
    watch = WATCH.model_copy(update={"prompts": (), "validate_every": 0})
    result = train(settings, LARGE, corpus, plan_of(corpus, settings), tmp_path, watch=watch)
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, timeout=600, check=True
    )
    found = json.loads(done.stdout)
    weights = 4 * result.parameters
    assert weights > 60e6
    assert set(found) == {"folder", "resumed", "branched"}
    assert max(found.values()) < weights / 3, found


SHAPES = {
    "qwen3": MODEL,
    "tied": ModelSettings(preset="llama", layers=1, width=32, heads=2, context=32, tied=True),
    "gpt2": ModelSettings(preset="gpt2", layers=2, width=32, heads=2, context=32),
    "speedrun": SpeedrunSettings(layers=2, width=32, heads=2, context=32),
    "encoder": EncoderSettings(layers=2, width=32, heads=2, ffn_width=48, context=32),
}


def made(shape: ModelSettings | EncoderSettings, seed: int) -> Model:
    model = build(shape.model_copy(update={"vocab_size": 512}))
    model.init_weights(seed)
    return model


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_takes_over_a_folders_weights_where_they_lie(name: str, tmp_path: Path) -> None:
    save(made(SHAPES[name], 1), tmp_path)
    read = load(tmp_path)
    model = build(read.settings)
    model.init_weights(2)
    lie = {key: parameter.data_ptr() for key, parameter in model.named_parameters()}
    load_into(model, tmp_path)
    expected = dict(read.named_parameters())
    for key, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[key]), key
        assert parameter.data_ptr() == lie[key], key


def test_nothing_is_set_where_not_all_fits(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path)
    start, folder = from_checkpoint(tmp_path, None, SETTINGS.optimizer), from_folder(tmp_path / "model")
    for loaded in (start, folder):
        other = build(start.shape.model_copy(update={"layers": 3}))
        other.init_weights(5)
        before = {name: parameter.clone() for name, parameter in other.named_parameters()}
        with pytest.raises(FormatError, match=r"layers\.2\."):
            loaded.load(other, Optimizers(other, SETTINGS.optimizer))
        assert all(torch.equal(parameter, before[name]) for name, parameter in other.named_parameters())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
