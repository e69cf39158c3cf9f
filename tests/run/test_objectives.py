"""Objectives, shapes and beginnings as a recipe names them, each through a run of a tiny one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from firn.cli import show
from firn.core.errors import InputError, RecipeError
from firn.model import attention, hf
from firn.model.build import load as load_model
from firn.model.config import ModelSettings
from firn.model.speedrun import Speedrun
from firn.run import training
from firn.run.folder import RunFolder
from firn.run.pages import draw
from firn.run.pipeline import Outcome
from firn.run.planning import plan
from firn.run.recipe import Recipe, load
from firn.run.status import status
from firn.run.words import Writer
from firn.study.compare import compare
from firn.tokens.batch import batch
from firn.tokens.objectives import apply, mask_token
from firn.train.runtime import choose
from firn.train.trainer import Trainer
from tiny_recipe import copied, run_tiny

ENCODER = ("model={preset: modernbert-like, layers: 2, width: 32, heads: 2, ffn_width: 48, context: 32}",)
MASKED = (*ENCODER, "train.objective=masked")


def again(tiny: Any, folder: Path, *overrides: str) -> tuple[Outcome, Path]:
    """A run of the same documents with another recipe, in a copy; its runs' folder."""
    runs = copied(tiny.runs, folder)
    return run_tiny(tiny.folder, runs, "name=other", f"store={runs / 'store'}", *overrides), runs


def recipe_of(tiny: Any, *overrides: str) -> Recipe:
    return load(tiny.folder / "tiny.yaml", overrides)


def test_an_encoder_is_not_offered_the_keys_of_a_decoder(tiny: Any) -> None:
    with pytest.raises(RecipeError, match="an encoder of ModernBERT's shape has no such key") as caught:
        recipe_of(tiny, *MASKED, "model.normalise_embedding=true")
    assert caught.value.key == "model.normalise_embedding"
    assert "did you mean" not in str(caught.value)
    assert "local_window" in str(caught.value.mend)


def test_an_encoder_is_trained_opened_by_transformers_and_told_apart_from_a_decoder(
    tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome, runs = again(tiny, tmp_path, *MASKED, "train.steps=12", "train.document_mask=true")
    folder = RunFolder.open("other", runs)
    result = training.result(folder)
    assert result is not None
    assert set(result.validation) == set(outcome.held_out) == {"web", "code"}
    for found in result.validation.values():
        assert "bits_per_byte" not in found
        assert 0 < found["masked_nats"] < 2 * np.log(512)
        assert 0 <= found["masked_accuracy"] <= 1
        assert found["tokens"] > 10
    assert outcome.figure == "masked_nats"

    # What it guesses is what transformers' model of the folder guesses.
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(outcome.model, torch_dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(outcome.model)
    corpus, _, _ = training.opened(folder)
    assert tokenizer.mask_token_id == mask_token(corpus.tokenizer) == corpus.vocab_size - 1
    tokens = torch.tensor([[*corpus.tokenizer.encode("When the glacier").tolist(), tokenizer.mask_token_id]])
    torch.testing.assert_close(load_model(outcome.model)(tokens), theirs(tokens).logits, atol=1e-4, rtol=1e-4)

    # The other verbs cope.
    show.outcome(outcome)
    assert "firn generate" not in capsys.readouterr().out
    assert status("other", runs).figure == "nats per hidden token"
    html = draw("other", runs).read_text()
    assert "nats per hidden token" in html
    assert "ModernBERT" in html
    rows = {row[0]: row[1:] for row in compare("tiny", "other", runs).results}
    assert rows["bits per byte, web"][1] is None
    assert rows["nats per hidden token, web"][0] is None
    assert "fill-mask" in (Path(outcome.model) / "README.md").read_text()
    with pytest.raises(InputError, match="the model is an encoder"):
        Writer.open("other", runs)


def test_objectives_change_the_batches_and_nothing_before_them(tiny: Any, tmp_path: Path) -> None:
    objectives = ("train.fim={rate: 0.9, sources: [code]}", "train.goldfish={k: 3, h: 4}", "train.document_mask=true")
    outcome, runs = again(tiny, tmp_path, *objectives)
    folder = RunFolder.open("other", runs)
    assert outcome.weights != tiny.outcome.weights
    # The same shards, so that only training was made.
    assert outcome.made == 1
    corpus, plan, _ = training.opened(folder)
    settings = recipe_of(tiny, *objectives).train
    for step in range(3):
        drawn = batch(corpus, plan, step)
        shaped = apply(drawn, corpus, settings, seed=settings.seed, step=step)
        turned = [row for row in range(4) if (shaped.inputs[row] != drawn.inputs[row]).any()]
        assert {drawn.sources[row] for row in turned} <= {"code"}
        assert 0.1 < (shaped.targets == -1).mean() < 0.6
    records = [record for record in training.metrics(folder) if record["kind"] == "step"]
    assert [record["tokens"] for record in records] == [128 * (n + 1) for n in range(6)]
    # Cut into passes, it comes to the same.
    shutil.rmtree(folder.path)
    once = run_tiny(tiny.folder, runs, "name=other", f"store={runs / 'store'}", "train.micro_batch=2", *objectives)
    assert once.held_out == pytest.approx(outcome.held_out, abs=1e-3)


@pytest.mark.parametrize("model", ["{preset: gpt2, %s}", "{preset: qwen3, %s}", "{preset: speedrun, %s}"])
def test_a_document_mask_gives_the_loss_of_each_document_alone_by_every_back_end(
    tiny: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(
        tiny, "model=" + model % "layers: 2, width: 32, heads: 2, context: 32", "train.document_mask=true"
    )
    corpus, plan, _ = training.opened(RunFolder.open("tiny", tiny.runs))
    shape: Any = recipe.model.model_copy(update={"vocab_size": corpus.vocab_size})
    trainer = Trainer(recipe.train, shape, corpus, plan, choose("fp32", "cpu"))
    trainer.model.init_weights(0)
    torch.manual_seed(0)
    for parameter in trainer.model.parameters():  # so that attention matters from the start
        parameter.data += 0.1 * torch.randn_like(parameter)
    batches = (apply(batch(corpus, plan, step), corpus, recipe.train, seed=0, step=step) for step in range(6))
    drawn = next(found for found in batches if any(len(row) > 1 for row in found.documents or ()))
    assert drawn.documents is not None
    nats = float(trainer.gradients(drawn).sum())
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    alone = 0.0
    for row, starts in enumerate(drawn.documents):
        for start, stop in zip(starts, [*starts[1:], drawn.window], strict=True):
            inputs, targets = (torch.from_numpy(x[row : row + 1, start:stop]) for x in (drawn.inputs, drawn.targets))
            alone += float(trainer.model.loss(inputs, targets).detach())
    assert nats == pytest.approx(alone, rel=1e-5)
    trainer.model.zero_grad()
    monkeypatch.setattr(attention, "choose", lambda *_: "dense")
    assert float(trainer.gradients(drawn).sum()) == pytest.approx(alone, rel=1e-5)
    for name, parameter in trainer.model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-4)


def test_the_speedrun_variant_says_that_it_does_not_export_and_generates(tiny: Any, tmp_path: Path) -> None:
    outcome, runs = again(tiny, tmp_path, "model={preset: speedrun, layers: 2, width: 32, heads: 2, context: 32}")
    assert isinstance(hf.load(outcome.model), Speedrun)
    assert "opens in firn alone" in (Path(outcome.model) / "README.md").read_text()
    assert len("".join(Writer.open("other", runs).write("def ", max_tokens=5))) > 0
    recipe = recipe_of(tiny, "model={preset: speedrun}", "train.schedule.warmup=2")
    (remark,) = training.remarks(recipe, training.beginning(recipe, runs))
    assert "will open in firn alone" in remark


def test_published_shapes_have_names_and_their_numbers_may_be_overridden(tiny: Any) -> None:
    small = recipe_of(tiny, "model={preset: gpt2-small}").model
    assert isinstance(small, ModelSettings)
    assert (small.preset, small.layers, small.width, small.heads, small.context, small.tied) == (
        "gpt2",
        12,
        768,
        12,
        1024,
        True,
    )
    assert small.vocab_size == 0
    for name in ("gpt2-xl", "llama3-like", "qwen3-like", "olmo2-like"):
        found = recipe_of(tiny, f"model={{preset: {name}, layers: 2}}")
        assert isinstance(found.model, ModelSettings)
        assert found.model.layers == 2
        assert Recipe.model_validate(found.resolved()) == found
    with pytest.raises(RecipeError, match="did you mean 'gpt2-small'"):
        recipe_of(tiny, "model={preset: gpt2-smal}")


def test_the_dial_fills_in_what_the_recipe_leaves_out_and_says_why(tiny: Any, tmp_path: Path) -> None:
    text = (tiny.folder / "tiny.yaml").read_text()
    head, _, tail = text.partition("model: ")
    (tmp_path / "tiny.yaml").write_text(
        head
        + "model: {depth: 2, width: 64}\ntrain: {window: 32, precision: fp32}\nwatch"
        + tail.partition("\nwatch")[2]
    )
    recipe = load(tmp_path / "tiny.yaml")
    assert isinstance(recipe.model, ModelSettings)
    assert (recipe.model.layers, recipe.model.width, recipe.model.heads, recipe.model.context) == (2, 64, 2, 32)
    found = {number.key: number for number in recipe.dial}
    assert found["model.width"].given
    assert "the dial says 128" in str(found["model.width"])
    assert not found["train.batch"].given
    assert "2^19 was measured best" in str(found["train.batch"])
    assert recipe.train.optimizer.weight_decay == found["train.optimizer.weight_decay"].value > 0
    assert recipe.train.optimizer.embedding_decay == 0
    again = Recipe.model_validate(recipe.resolved())
    assert again == recipe
    assert again.dial == recipe.dial
    forecast = plan(recipe, tmp_path / "runs")
    assert len(forecast.dial) == len(recipe.dial) == 14
    # With steps of its own a recipe is told which run its decay is for.
    for steps, horizon in ((4, recipe.train.steps), (4 * recipe.train.steps, 4 * recipe.train.steps)):
        other = load(tmp_path / "tiny.yaml", (f"train.steps={steps}",))
        said = {number.key: number for number in other.dial}
        assert said["train.steps"].given
        assert f"the dial says {recipe.train.steps:.4g}" in str(said["train.steps"])
        decay = said["train.optimizer.weight_decay"]
        assert not decay.given
        assert decay.value == pytest.approx(recipe.train.optimizer.weight_decay * recipe.train.steps / horizon)
        assert f"of a run of {horizon:,} steps" in str(decay)
        assert Recipe.model_validate(other.resolved()) == other


def test_a_model_goes_on_with_a_longer_context_and_its_own_tokenizer(tiny: Any, tmp_path: Path) -> None:
    model = Path(tiny.outcome.model)
    longer = ("train.window=64", "train.steps=2", "model={from: tiny, context: 64, rope_theta: 50000}")
    runs = copied(tiny.runs, tmp_path)
    common = ("name=longer", f"store={runs / 'store'}", *longer)
    with pytest.raises(RecipeError, match="goes on with the tokenizer it has") as error:
        run_tiny(tiny.folder, runs, *common)
    assert error.value.mend is not None
    file = runs / "tiny" / model.parent.name / "model" / "tokenizer.json"
    assert str(file) in error.value.mend
    outcome = run_tiny(tiny.folder, runs, *common, f"tokenizer={{file: {file}}}")
    config = json.loads((Path(outcome.model) / "config.json").read_text())
    assert (config["max_position_embeddings"], config["rope_theta"]) == (64, 50000)
    # It begins where the other ended: not where random weights begin.
    records = training.metrics(RunFolder.open("longer", runs))
    before = [record["loss"] for record in training.metrics(RunFolder.open("tiny", runs)) if record["kind"] == "step"]
    assert next(record["loss"] for record in records if record["kind"] == "step") < before[0]
    assert "on from" in (Path(outcome.model) / "README.md").read_text()

    changed = tmp_path / "tokenizer.json"
    changed.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(RecipeError, match="is another than that of"):
        run_tiny(tiny.folder, runs, *common, f"tokenizer={{file: {changed}}}")
    with pytest.raises(RecipeError, match="a run cannot begin from itself"):
        run_tiny(tiny.folder, runs, "name=longer", "model={from: longer}", f"tokenizer={{file: {file}}}")


def test_a_branch_begins_from_a_checkpoint_with_its_optimizer_state(tiny: Any, tmp_path: Path) -> None:
    runs = copied(tiny.runs, tmp_path)
    common = ("name=branch", f"store={runs / 'store'}", "train.steps=2", "train.schedule={warmup: 0, decay: 1.0}")
    outcome = run_tiny(tiny.folder, runs, *common, "train.from=tiny@4")
    assert outcome.made == 1
    # The same by hand.
    base, folder = RunFolder.open("tiny", runs), RunFolder.open("branch", runs)
    corpus, plan, _ = training.opened(folder)
    recipe = recipe_of(tiny, *common, "train.from=tiny@4")
    begin = training.beginning(recipe, runs)
    assert begin.start is not None
    shape: Any = begin.shape.model_copy(update={"vocab_size": corpus.vocab_size})
    trainer = Trainer(recipe.train, shape, corpus, plan, choose("fp32", "cpu"))
    begin.start.load(trainer.model, trainer.optimizers)
    state = dict(trainer.optimizers.state())
    assert {int(value) for name, value in state.items() if name.endswith("/step")} == {4}
    losses = [record["loss"] for record in training.metrics(folder) if record["kind"] == "step"]
    for step in range(2):
        drawn = apply(batch(corpus, plan, step), corpus, recipe.train, seed=0, step=step)
        assert trainer.update(step, drawn).read().loss == pytest.approx(losses[step], abs=1e-5)
    assert base.training is not None
    with pytest.raises(InputError, match="no checkpoint of step 3") as error:
        run_tiny(tiny.folder, runs, *common, "train.from=tiny@3")
    assert "there are: 4, 6" in str(error.value)
    with pytest.raises(RecipeError) as wrong:
        run_tiny(tiny.folder, runs, *common, "train.from=tiny@4", "model.layers=2")
    assert wrong.value.key == "model.layers"
    with pytest.raises(RecipeError) as kept:
        run_tiny(tiny.folder, runs, *common, "train.from=tiny@4", "train.optimizer.matrices=adamw")
    assert kept.value.key == "train.optimizer.matrices"
    with pytest.raises(RecipeError, match="another tokenizer"):
        run_tiny(tiny.folder, runs, *common, "train.from=tiny@4", "tokenizer.vocab_size=600")


@pytest.mark.parametrize(
    ("overrides", "key", "mend"),
    [
        (ENCODER, "train.objective", "set train.objective: masked"),
        (("train.objective=masked",), "train.objective", "modernbert-like"),
        ((*MASKED, "train.fim={}"), "train.fim", "objective: causal"),
        ((*MASKED, "watch.prompts=[a]"), "watch.prompts", "leave it out"),
        ((*MASKED, "tokenizer.special_tokens=[<|endoftext|>]"), "tokenizer.special_tokens", "<|mask|>"),
        (("train.fim={sources: [cod]}",), "train.fim.sources", "code"),
        (("train.fim={}", "tokenizer.special_tokens=[<|endoftext|>]"), "tokenizer.special_tokens", "<|fim_prefix|>"),
        (("train.masking={rate: 0.15}",), "train.masking", "objective: masked"),
        (("model={from: a, form: b}",), "model.form", "from"),
    ],
)
def test_what_does_not_fit_is_said_when_the_recipe_is_read(
    tiny: Any, overrides: tuple[str, ...], key: str, mend: str
) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_of(tiny, *overrides)
    assert error.value.key == key
    assert error.value.where is not None
    assert mend in str(error.value)


def test_a_tokenizer_for_next_tokens_has_no_mask_token(tiny: Any) -> None:
    assert "<|mask|>" not in recipe_of(tiny).tokenizer.special_tokens
    masked = recipe_of(tiny, *MASKED)
    assert masked.tokenizer.special_tokens[-1] == "<|mask|>"
    assert Recipe.model_validate(masked.resolved()) == masked


def test_a_window_longer_than_the_context_is_refused_before_anything_runs(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="the window is 64 tokens, the model reads at most 32"):
        plan(recipe_of(tiny, "train.window=64"), tmp_path)
