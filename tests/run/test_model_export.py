"""A finished run's model for other programs: they read what was written, and compute what firn computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import tokenizers
import torch
import transformers

from firn.core.errors import FirnError, FormatError, InputError, RecipeError
from firn.model import build
from firn.model.encoder_config import EncoderSettings
from firn.model.speedrun_config import SpeedrunSettings
from firn.run.folder import RunFolder
from firn.run.model_export import export_model
from firn.run.words import model_folder
from firn.tokens.objectives import mask_token
from firn.tokens.tokenizer import Tokenizer
from firn.train.result import file_hash
from tiny_recipe import copied


@pytest.fixture
def runs(tiny: Any, tmp_path: Path) -> Path:
    """Runs of one's own."""
    return copied(tiny.runs, tmp_path)


def put(runs: Path, shape: build.Shape) -> None:
    """Let the run have ended in a model of another shape."""
    folder = model_folder(RunFolder.open("tiny", runs))
    spec = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    spec.add_special_tokens(["<|mask|>"])
    spec.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer((folder / "tokenizer.json").read_bytes())
    model = build.build(shape.model_copy(update={"vocab_size": tokenizer.vocab_size}))
    model.init_weights(0)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    build.save(model, folder, end_of_text=tokenizer.end_of_text, mask=mask_token(tokenizer))
    note(folder)


def note(folder: Path) -> None:
    """Let result.json know the files that are there."""
    file = folder.parent / "result.json"
    body = json.loads(file.read_text())
    file.write_text(json.dumps({**body, "files": {path.name: file_hash(path) for path in folder.iterdir()}}))


def test_transformers_computes_what_firn_does_from_a_folder_of_bf16(runs: Path, tmp_path: Path) -> None:
    found = export_model("tiny", runs, out=tmp_path / "deep" / "bf16")
    folder = Path(found.folder)
    assert found.files.keys() == {file.name for file in folder.iterdir()}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["bf16"]  # nothing half made beside it
    own = model_folder(RunFolder.open("tiny", runs))
    for name in ("tokenizer.json", "README.md"):
        assert (folder / name).read_bytes() == (own / name).read_bytes()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    ours = build.load(own)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(parameter.bfloat16())
        tokens = torch.arange(24)[None] % 512
        theirs = model.float()(tokens).logits
        assert torch.allclose(ours(tokens), theirs, atol=1e-5)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    assert words.decode(words("The glacier")["input_ids"]) == "The glacier"


def test_weights_are_cut_into_files_no_larger_than_asked(runs: Path, tmp_path: Path) -> None:
    found = export_model("tiny", runs, dtype="fp32", shard_bytes=60_000, out=tmp_path / "cut")
    assert len([name for name in found.files if name.endswith(".safetensors")]) > 1
    whole, cut = build.load(model_folder(RunFolder.open("tiny", runs))), build.load(tmp_path / "cut")
    for (name, one), other in zip(whole.named_parameters(), cut.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_the_gguf_file_is_read_by_the_gguf_package(runs: Path) -> None:
    found = export_model("tiny", runs, to="gguf")
    assert found.folder == str(runs / "tiny" / "export-gguf-fp16")
    assert found.files.keys() == {"tiny-fp16.gguf", "README.md"}
    reader = gguf.GGUFReader(Path(found.folder) / "tiny-fp16.gguf")
    assert reader.get_field("general.name").contents() == "tiny"
    assert reader.get_field("general.architecture").contents() == "qwen3"
    own = build.load(model_folder(RunFolder.open("tiny", runs)))
    table = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    parameters = dict(own.named_parameters())
    assert torch.equal(torch.tensor(table.data), parameters["embed_tokens.weight"].detach().half())


def test_an_encoder_goes_to_transformers_with_its_mask_token(runs: Path, tmp_path: Path) -> None:
    put(runs, EncoderSettings(layers=1, width=32, heads=2, ffn_width=32, context=32))
    export_model("tiny", runs, to="hf", dtype="fp16", out=tmp_path / "encoder")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "encoder")
    assert model.dtype == torch.float16
    words = transformers.AutoTokenizer.from_pretrained(tmp_path / "encoder")
    assert words("snow<|mask|>")["input_ids"][-1] == words.mask_token_id == model.config.vocab_size - 1
    with pytest.raises(RecipeError, match="an encoder has no GGUF file"):
        export_model("tiny", runs, to="gguf")


@pytest.mark.parametrize("to", ["hf", "gguf"])
def test_what_nobody_else_computes_is_refused(runs: Path, to: str) -> None:
    put(runs, SpeedrunSettings(layers=2, width=32, heads=2, context=32))
    with pytest.raises(RecipeError, match=r"(?s)no other program computes this model: .*firn generate"):
        export_model("tiny", runs, to=to)
    assert not list((runs / "tiny").glob("*export*"))


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"to": "ggml"}, RecipeError, "--to: there is no format 'ggml'"),
        ({"dtype": "int8"}, RecipeError, "--dtype: there is no type 'int8'"),
        ({"run": "tiny@4"}, RecipeError, "only the model that a run ended in .*train.from=tiny@4"),
        ({"run": "tini"}, InputError, "did you mean 'tiny'"),
        ({"out": "."}, InputError, "--out: is there already"),
    ],
)
def test_wrong_arguments_are_named(tiny: Any, arguments: dict[str, Any], kind: type[FirnError], said: str) -> None:
    with pytest.raises(kind) as error:
        export_model(**{"run": "tiny", "runs": tiny.runs, **arguments})
    assert error.match(f"(?s){said}")


def test_no_model_and_a_damaged_one_are_refused(runs: Path) -> None:
    folder = model_folder(RunFolder.open("tiny", runs))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(FormatError, match="is not the model that training wrote"):
        export_model("tiny", runs)
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match="no finished model yet"):
        export_model("tiny", runs)


def test_a_weight_beyond_fp16_is_not_made_infinite(runs: Path) -> None:
    folder = model_folder(RunFolder.open("tiny", runs))
    model, tokenizer = build.load(folder), Tokenizer((folder / "tokenizer.json").read_bytes())
    with torch.no_grad():
        next(model.parameters())[0, 0] = 1e5
    build.save(model, folder, end_of_text=tokenizer.end_of_text)
    note(folder)
    with pytest.raises(RecipeError, match=r"a weight of 1e\+05 is beyond fp16"):
        export_model("tiny", runs, to="gguf")
    export_model("tiny", runs, to="gguf", dtype="bf16")
