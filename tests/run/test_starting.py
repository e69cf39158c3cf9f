"""Training that goes on: another program's folder, a run from it, a branch of that run, and a branch of the branch."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from firn.core.errors import FirnError, FormatError, InputError, RecipeError
from firn.model.config import ModelSettings
from firn.run import training, verify
from firn.run.folder import RunFolder
from firn.run.pages import draw
from firn.run.pipeline import Outcome, run
from firn.run.planning import plan
from firn.run.recipe import Recipe, load
from firn.tokens.batch import batch
from firn.tokens.objectives import apply
from firn.train.result import weights_hash
from firn.train.runtime import choose
from firn.train.stop import Stopped
from firn.train.trainer import Trainer
from tiny_recipe import copied, page, record

#: Of the tokenizer's 512 ids; published tables have more rows, too.
ROWS = 576
ANNEAL = ("train.steps=4", "train.schedule={kind: linear, warmup: 0}")


@dataclass(frozen=True)
class Place:
    """Runs, and the folder of a model that another program wrote."""

    recipe: Path
    runs: Path
    model: Path

    def load(self, name: str, *overrides: str) -> Recipe:
        """The tiny recipe as it goes on from the model."""
        own = (f"store={self.runs / 'store'}", "report={ladder: false, prompts: ['def '], max_tokens: 4}")
        tokenizer = f"tokenizer={{file: {self.model / 'tokenizer.json'}}}"
        return load(self.recipe, (f"name={name}", *own, tokenizer, f"model={{from: {self.model}}}", *overrides))

    def run(self, name: str, *overrides: str) -> Outcome:
        return run(self.load(name, *overrides), self.runs, mode="quiet")

    def training(self, name: str) -> Path:
        found = RunFolder.open(name, self.runs).training
        assert found is not None
        return found

    def checkpoint(self, name: str, step: int, file: str) -> Path:
        (found,) = self.training(name).glob(f"checkpoints/step-{step:08d}/{file}-*.safetensors")
        return found


def at(folder: Path, recipe: Path, runs: Path) -> Place:
    """A place with a model of transformers' making."""
    model = folder / "foreign"
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=ROWS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(model)
    file = RunFolder.open("tiny", runs).training
    assert file is not None
    shutil.copy(file / "model" / "tokenizer.json", model)
    return Place(recipe, runs, model)


@pytest.fixture(scope="module")
def begun(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A finished run `base` from the model, with its checkpoints; to be looked at and added to."""
    folder = tmp_path_factory.mktemp("begun")
    place = at(folder, tiny.folder / "tiny.yaml", copied(tiny.runs, folder))
    place.run("base", "watch.keep=3")
    return place


@pytest.fixture
def changeable(begun: Place, tmp_path: Path) -> Place:
    """A copy of `begun`, to spoil."""
    shutil.copytree(begun.runs, tmp_path / "runs")
    for name in ("tiny", "base"):
        RunFolder.open(name, tmp_path / "runs").update(store=str(tmp_path / "runs" / "store"))
    shutil.copytree(begun.model, tmp_path / "foreign")
    return Place(begun.recipe, tmp_path / "runs", tmp_path / "foreign")


def by_hand(place: Place, recipe: Recipe, name: str, step: int, shape: ModelSettings) -> str:
    """Hash of the weights that the recipe's steps make of a checkpoint, taken one by one."""
    folder = RunFolder.open(recipe.name, place.runs)
    corpus, batches, _ = training.opened(folder)
    trainer = Trainer(recipe.train, shape, corpus, batches, choose("fp32", "cpu"))
    with torch.no_grad():
        weights = load_file(place.checkpoint(name, step, "model"))
        for key, parameter in trainer.model.named_parameters():
            parameter.copy_(weights[key])
    state = load_file(place.checkpoint(name, step, "state"))
    trainer.optimizers.load_state(
        {key.removeprefix("optimizer/"): value for key, value in state.items() if key.startswith("optimizer/")}
    )
    for number in range(recipe.train.steps):
        trainer.update(number, apply(batch(corpus, batches, number), corpus, recipe.train, seed=0, step=number))
    trainer.optimizers.take_averages()
    return weights_hash(trainer.model)


def test_a_run_that_began_from_a_folder_is_branched(begun: Place) -> None:
    outcome = begun.run("branch", "train.from=base@4", *ANNEAL)
    recipe = begun.load("branch", "train.from=base@4", *ANNEAL)
    shape = training.beginning(recipe, begun.runs).shape
    assert isinstance(shape, ModelSettings)
    assert (shape.preset, shape.layers, shape.width, shape.vocab_size, shape.tied) == ("llama", 2, 32, ROWS, True)
    assert outcome.weights == by_hand(begun, recipe, "base", 4, shape)
    assert outcome.weights != begun.run("base", "watch.keep=3").weights
    # The model is the checkpoint's, whether the recipe repeats what the other run said of it or not.
    silent = begun.load("branch", "train.from=base@4", "model=null", *ANNEAL)
    again = run(silent, begun.runs, mode="quiet")
    assert (again.made, again.weights) == (0, outcome.weights)
    assert load(RunFolder.open("branch", begun.runs).path / "recipe.yaml") == silent
    assert "on from base@4" in draw("branch", begun.runs).read_text()
    # Rows of the table that no token has are never drawn.
    assert load_file(Path(outcome.model) / "model.safetensors")["model.embed_tokens.weight"].shape[0] == ROWS


def test_a_chain_is_told_from_its_first_link_on(begun: Place) -> None:
    begun.run("branch", "train.from=base@4", *ANNEAL)
    begun.run("second", "train.from=branch@2", "model={}", *ANNEAL)
    begun.run("third", "train.from=second", "model={}", *ANNEAL)
    outcome = begun.run("fourth", "model={from: third}", *ANNEAL)
    begin = training.beginning(begun.load("fourth", "model={from: third}", *ANNEAL), begun.runs)
    names = [one.name for one in begin.ancestors]
    assert names == [
        "folder foreign",
        "run base after step 4",
        "run branch after step 2",
        "run second after step 4",
        "run third",
    ]
    assert [one.tokens for one in begin.ancestors] == [None, 512, 256, 512, 512]
    assert len({one.identity for one in begin.ancestors}) == 5
    noted = RunFolder.open("fourth", begun.runs).state["start"]
    assert [entry["name"] for entry in noted["ancestors"]] == names
    corpus, _, _ = training.opened(RunFolder.open("fourth", begun.runs))
    card = (Path(outcome.model) / "README.md").read_text()
    assert f"trained on from {names[-1]} with firn" in card
    for one in begin.ancestors[1:]:
        tokens = f"{one.tokens} tokens"
        assert f"| {one.name} | {tokens} | {corpus.identity} | {one.identity} |" in card
    assert str(begun.runs) not in card
    assert str(begun.model.parent) not in card


def test_a_branch_reads_longer_windows_of_another_corpus(begun: Place, tmp_path: Path) -> None:
    crawl = b"".join(record(f"https://new{n % 5}.example/{n}", page(700 + n)) for n in range(12))
    (tmp_path / "new.warc.gz").write_bytes(crawl)
    rope = "{kind: yarn, factor: 2, original_context: 32}"
    overrides = (
        "train.from=base@4",
        f"model={{context: 64, rope_scaling: {rope}}}",
        "train.window=64",
        "train.steps=3",
        f"sources={{new: {{kind: warc, paths: ['{tmp_path}/new.warc.gz'], rules: {{preset: reference-docs}}}}}}",
    )
    recipe = begun.load("longer", *overrides)
    assert Recipe.model_validate(recipe.resolved()) == recipe
    forecast = plan(recipe, begun.runs)
    assert "from run base after step 4" in forecast.shape
    outcome = begun.run("longer", *overrides)
    base = json.loads((begun.training("base") / "model" / "config.json").read_text())
    config = json.loads((Path(outcome.model) / "config.json").read_text())
    assert (base["max_position_embeddings"], config["max_position_embeddings"]) == (32, 64)
    stretched = config["rope_scaling"]
    assert (base.get("rope_scaling"), stretched["rope_type"], stretched["factor"]) == (None, "yarn", 2)
    shape = training.beginning(recipe, begun.runs).shape
    assert isinstance(shape, ModelSettings)
    assert outcome.weights == by_hand(begun, recipe, "base", 4, shape)
    # What another folder cannot do is not asked of it: the context that it has.
    same = begun.load("longer", "train.from=base@4", "model={context: 32}")
    assert (
        training.beginning(same, begun.runs).shape
        == training.beginning(begun.load("longer", "train.from=base@4", "model={}"), begun.runs).shape
    )
    # And longer once more, from the longer one.
    more = ("train.from=longer@3", "model={context: 128, rope_theta: 50000}", "train.window=128", "train.steps=2")
    again = begun.run("longest", *more, overrides[-1], "train.batch=2")
    config = json.loads((Path(again.model) / "config.json").read_text())
    assert (config["max_position_embeddings"], config["rope_theta"]) == (128, 50000)
    assert config["rope_scaling"] == stretched


def test_another_folder_of_the_same_name_is_another_beginning(changeable: Place) -> None:
    place = changeable
    first = place.run("branch", "train.from=base@2", "model={}", *ANNEAL)
    branch, base = place.training("branch").name, place.training("base").name
    file = place.model / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"] += 0.5
    save_file(tensors, file, metadata={"format": "pt"})
    # The branch knows its checkpoint alone, which is what it was until its run is another.
    assert place.run("branch", "train.from=base@2", "model={}", *ANNEAL).made == 0
    place.run("base", "watch.keep=3")
    again = place.run("branch", "train.from=base@2", "model={}", *ANNEAL)
    assert place.training("base").name != base
    assert place.training("branch").name != branch
    assert again.weights != first.weights


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_branch_goes_on_to_the_same_bits_though_what_it_began_from_is_gone(
    changeable: Place, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    place, branch = changeable, ("train.from=base@4", "model={}", *ANNEAL)
    whole = place.run("branch", *branch)
    shutil.rmtree(place.runs / "branch")
    update, armed = Trainer.update, [True]

    def ending(self: Trainer, step: int, *args: Any, **options: Any) -> Any:
        if step == 2 and armed.pop() if armed else False:
            if how == "killed":
                raise SystemError("power cut")
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, step, *args, **options)

    monkeypatch.setattr(Trainer, "update", ending)
    with pytest.raises(Stopped if how == "stopped" else SystemError):
        place.run("branch", *branch)
    shutil.rmtree(place.runs / "base")
    assert plan(place.load("branch", *branch), place.runs).steps == 4
    again = place.run("branch", *branch)
    assert again.weights == whole.weights
    card = (Path(again.model) / "README.md").read_text()
    assert "| run base after step 4 |" in card
    assert "folder foreign" in card
    # Finished, it needs it no more; whoever would have to load it, hears that it is gone.
    assert place.run("branch", *branch).made == 0
    for other in (("train.seed=3",), ("model={context: 64, rope_theta: 50000}",)):
        with pytest.raises(InputError, match="no run of this name"):
            place.run("branch", *branch, *other)


@pytest.mark.parametrize(("name", "before", "now"), [("average", 0.9, 0.95), ("row_beta", 0.95, 0.9)])
def test_a_branch_keeps_a_running_mean_with_another_decay(begun: Place, name: str, before: float, now: float) -> None:
    key = f"train.optimizer.{name}"
    begun.run(name, f"{key}={before}")
    others = (f"train.from={name}@4", "model={}", *ANNEAL, f"{key}={now}")
    outcome = begun.run(f"{name}-branch", *others)
    recipe = begun.load(f"{name}-branch", *others)
    shape: Any = training.beginning(recipe, begun.runs).shape
    assert outcome.weights == by_hand(begun, recipe, name, 4, shape)
    with pytest.raises(RecipeError, match=rf"{name}: the checkpoint's optimizers have {before}, these None"):
        begun.run(f"{name}-none", f"train.from={name}@4", "model={}", *ANNEAL)


@pytest.mark.parametrize(
    ("model", "others"),
    [
        ("{preset: modernbert-like, layers: 1, width: 32, heads: 2, ffn_width: 48, context: 32}",
         ("train.objective=masked", "tokenizer={vocab_size: 512}", "report={ladder: false}")),
        ("{preset: speedrun, layers: 2, width: 32, heads: 2, context: 32}", ()),
    ],
)  # fmt: skip
def test_every_kind_of_model_is_branched(begun: Place, model: str, others: tuple[str, ...]) -> None:
    begun.run("kind", f"model={model}", *others)
    outcome = begun.run("kind-branch", "train.from=kind@4", "model=null", *ANNEAL, *others)
    recipe = begun.load("kind-branch", "train.from=kind@4", "model=null", *ANNEAL, *others)
    shape: Any = training.beginning(recipe, begun.runs).shape
    assert outcome.weights == by_hand(begun, recipe, "kind", 4, shape)


@pytest.mark.slow
def test_resuming_a_longer_branch_is_proven(begun: Place) -> None:
    longer = ("train.from=base@4", "model={context: 64, rope_theta: 50000}", "train.window=64")
    found = verify.verify_resume(begun.load("proven", *longer), begun.runs, steps=2, quiet=True)
    assert found.same
    assert (found.steps, found.killed) == (2, 1)


def gone(place: Place) -> None:
    shutil.rmtree(place.runs / "base")


def unfinished(place: Place) -> None:
    (place.training("base") / "result.json").unlink()


def untrained(place: Place) -> None:
    RunFolder.open("base", place.runs).update(training=None)


def torn(place: Place) -> None:
    file = place.training("base") / "checkpoints" / "step-00000004" / "manifest.json"
    file.write_bytes(file.read_bytes()[:100])


def damaged(file: str) -> Callable[[Place], None]:
    """Change the last bit of a file of the checkpoint, or of the model."""

    def spoil(place: Place) -> None:
        model = place.training("base") / "model" / "model.safetensors"
        path = model if file == "folder" else place.checkpoint("base", 4, file)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return spoil


def lost(place: Place) -> None:
    place.checkpoint("base", 4, "state").unlink()


BRANCH = ("train.from=base@4", "model={}")
LLAMA = "preset: llama, layers: 2, width: 32, heads: 2, kv_heads: 1, ffn_width: 64, tied: true"


@pytest.mark.parametrize(
    ("spoil", "overrides", "said"),
    [
        (gone, BRANCH, "no run of this name"),
        (None, ("train.from=bose@4",), "did you mean 'base'"),
        (None, ("train.from=base@5",), "there are: 2, 4, 6"),
        (None, ("train.from=base@last",), "'last' is no step"),
        (None, ("train.from=base@",), "is no step"),
        (None, ("name=base", *BRANCH), "cannot begin from itself"),
        (untrained, BRANCH, "has not begun to train"),
        (unfinished, ("train.from=base",), "not trained to its end"),
        (unfinished, ("model={from: base}",), "begin from one of its checkpoints: train.from"),
        (None, (*BRANCH, "model={from: elsewhere}"), "did not begin from elsewhere"),
        (
            None,
            (*BRANCH, "model={preset: llama, context: 32, layers: 3}"),
            "model.layers: the checkpoint's model has 2, this one 3",
        ),
        (None, (*BRANCH, f"model={{{LLAMA}, context: 64}}"), "to lengthen it, give context, rope_theta, rope_scaling"),
        (None, (*BRANCH, "model={context: 16}"), "shorter windows need no change"),
        (None, (*BRANCH, "train.window=64"), "the model reads at most 32"),
        (None, (*BRANCH, "train.optimizer.matrices=adamw"), "keep other state"),
        (None, (*BRANCH, "tokenizer={vocab_size: 600}"), "another tokenizer than run base"),
        (torn, BRANCH, "manifest is torn"),
        (damaged("model"), BRANCH, "is not what was written"),
        (damaged("state"), BRANCH, "is not what was written"),
        (damaged("folder"), ("model={from: base}",), "is not what was written"),
        (lost, BRANCH, "is gone"),
    ],
)
def test_what_is_wrong_is_named(
    request: pytest.FixtureRequest, spoil: Callable[[Place], None] | None, overrides: tuple[str, ...], said: str
) -> None:
    place: Place = request.getfixturevalue("begun" if spoil is None else "changeable")
    if spoil is not None:
        spoil(place)
    with pytest.raises(FirnError) as error:
        place.run("wrong", *overrides)
    assert said in str(error.value)
    assert error.value.mend
    assert isinstance(error.value, InputError | FormatError | RecipeError)


def test_there_must_be_something_to_go_on_from(begun: Place) -> None:
    with pytest.raises(RecipeError, match="nothing to go on from"):
        begun.load("wrong", "model={from: null}")
    with pytest.raises(RecipeError, match="a decoder sees one side"):
        begun.run("wrong", "train.from=base@4", "model={}", "train.objective=masked", "tokenizer={}")
