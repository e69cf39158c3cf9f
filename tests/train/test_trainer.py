"""One step: how the batch is cut up does not matter, and losses are those of other trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_run import SETTINGS, plan_of, tiny_corpus
from torch.nn import functional as F

from firn.model import hf
from firn.model.config import ModelSettings
from firn.tokens.batch import Batch, batch
from firn.tokens.corpus import Corpus
from firn.train.runtime import choose
from firn.train.schedule import ScheduleSettings
from firn.train.settings import OptimizerSettings
from firn.train.trainer import Trainer

SHAPES = {
    "gpt2": ModelSettings(preset="gpt2", layers=2, width=32, heads=2, context=32, tied=True, norm_eps=1e-5),
    "llama": ModelSettings(preset="llama", layers=2, width=32, heads=4, kv_heads=2, context=32),
}


@pytest.fixture(scope="module")
def corpus(store: Path) -> Corpus:
    return tiny_corpus(store)


def trainer(corpus: Corpus, shape: ModelSettings = SHAPES["llama"], **changes: Any) -> Trainer:
    settings = SETTINGS.model_copy(update={"micro_batch": None, **changes})
    shape = shape.model_copy(update={"vocab_size": corpus.vocab_size})
    made = Trainer(settings, shape, corpus, plan_of(corpus, settings), choose("fp32", "cpu"))
    made.model.init_weights(0)
    return made


def drawn(trainer: Trainer, step: int = 0) -> Batch:
    return batch(trainer.corpus, trainer.plan, step)


def gradients(trainer: Trainer, of: Batch) -> tuple[dict[str, Any], list[float]]:
    nats_B = trainer.gradients(of).tolist()
    found = {name: parameter.grad for name, parameter in trainer.model.named_parameters()}
    return found, nats_B


def test_how_a_batch_is_cut_up_does_not_matter_also_with_unequal_numbers_of_targets(corpus: Corpus) -> None:
    whole = trainer(corpus)
    of = drawn(whole)
    of.targets[0, 3:] = -1
    of.targets[2, :20] = -1
    expected, nats = gradients(whole, of)
    # The mean over all targets, by torch's own loss.
    whole.model.zero_grad()
    logits = whole.model(torch.from_numpy(of.inputs))
    loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(of.targets).flatten(), ignore_index=-1)
    loss.backward()
    assert sum(nats) / int((of.targets >= 0).sum()) == pytest.approx(float(loss.detach()), abs=1e-5)
    for name, parameter in whole.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=1e-6, rtol=1e-4)
    for size in (1, 2, 3):
        found, found_nats = gradients(trainer(corpus, micro_batch=size), of)
        assert found_nats == pytest.approx(nats, abs=1e-3)
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


def test_losses_by_source_are_those_of_each_sources_windows(corpus: Corpus) -> None:
    made = trainer(corpus)
    of = drawn(made)
    sources = np.array(of.sources)
    assert set(sources) == {"web", "code"}
    update = made.update(0, of).read()
    made.model.init_weights(0)
    for source in ("web", "code"):
        rows = sources == source
        loss = made.model.loss(torch.from_numpy(of.inputs[rows]), torch.from_numpy(of.targets[rows]))
        assert update.sources[source] == pytest.approx(float(loss.detach()) / of.targets[rows].size, abs=1e-5)


def test_weights_and_state_stay_as_they_are_where_a_gradient_is_not_finite(corpus: Corpus) -> None:
    made = trainer(corpus)
    made.update(0, drawn(made))
    with torch.no_grad():
        made.model.norm.weight[0] = float("inf")
    before = [parameter.detach().clone() for parameter in made.model.parameters()]
    state = {name: value.clone() for name, value in made.optimizers.state()}
    update = made.update(1, drawn(made, 1)).read()
    assert not update.kept
    assert all(torch.equal(old, new) for old, new in zip(before, made.model.parameters(), strict=True))
    assert all(torch.equal(state[name], value) for name, value in made.optimizers.state())


@pytest.mark.parametrize("preset", ["gpt2", "llama"])
def test_losses_are_those_of_transformers_under_torchs_own_adamw(corpus: Corpus, tmp_path: Path, preset: str) -> None:
    steps, rate = 40, 3e-3
    rates = dict.fromkeys(("matrix_lr", "embedding_lr", "head_lr", "vector_lr"), rate)
    ours = trainer(
        corpus,
        SHAPES[preset],
        steps=steps,
        batch=8,
        optimizer=OptimizerSettings(
            matrices="adamw", beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip=1.0, **rates
        ),
        schedule=ScheduleSettings(kind="cosine", warmup=5, floor=0.1),
    )
    hf.save(ours.model, tmp_path, corpus.tokenizer.json, end_of_text=corpus.end_of_text)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, torch_dtype=torch.float32)
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in theirs.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, steps))
    for step in range(steps):
        of = drawn(ours, step)
        found = ours.update(step, of).read().loss
        logits = theirs(torch.from_numpy(of.inputs)).logits
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(of.targets).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        assert found == pytest.approx(float(loss.detach()), abs=1e-4), f"step {step}"
    assert found < 4.5, "nothing was learned"


def factor(step: int, steps: int) -> float:
    rise = min(1.0, (step + 1) / 6)
    done = max(0.0, (step - 5) / (steps - 5))
    return rise * (0.1 + 0.9 * float(np.cos(np.pi * done / 2)) ** 2)
