"""The speedrun recipe's optimizer beside a plain one: from the same weights and batches, the same loss at every step.

The plain one is written from the published recipe (modded-nanogpt, records/track_3_optimization): transformers' Qwen3
with its embedding normalised, torch's AdamW, and Muon as Jordan et al. 2024 define it, one matrix at a time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_run import plan_of, tiny_corpus
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from firn.model import hf
from firn.model.transformer import Transformer
from firn.run.recipe import load
from firn.tokens.batch import batch
from firn.tokens.corpus import Corpus
from firn.train.muon import orthogonalize
from firn.train.runtime import choose
from firn.train.settings import TrainSettings
from firn.train.trainer import Trainer

RECIPE = load(Path(__file__).parents[2] / "recipes" / "speedrun-124m.yaml")
STEPS, WINDOW = 40, 32


@pytest.fixture(scope="module")
def corpus(store: Path) -> Corpus:
    return tiny_corpus(store)


def settings() -> TrainSettings:
    """The recipe's, on windows and for steps that take seconds."""
    small = {"steps": STEPS, "window": WINDOW, "batch": 8, "micro_batch": 4, "precision": "fp32"}
    return RECIPE.train.model_copy(update=small)


def theirs(ours: Transformer, folder: Path) -> PreTrainedModel:
    """The same weights in transformers, the table as it is and not folded with its norm."""
    bare = Transformer(ours.settings.model_copy(update={"normalise_embedding": False}))
    bare.load_state_dict(ours.state_dict())
    hf.save(bare, folder)
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").train()


def plain(model: PreTrainedModel, corpus: Corpus, settings: TrainSettings) -> list[float]:
    """Losses of the published loop."""
    parameters = dict(model.named_parameters())
    matrices = [p for name, p in parameters.items() if ".layers." in name and p.ndim == 2]
    table, head = parameters["model.embed_tokens.weight"], parameters["lm_head.weight"]
    adam = torch.optim.AdamW(
        [
            {"params": [table], "full": 0.7, "weight_decay": 0.001},
            {"params": [head], "full": 0.004, "weight_decay": 0.001},
            {"params": [p for p in parameters.values() if p.ndim == 1], "full": 0.015, "weight_decay": 0.0},
        ],
        betas=(0.8, 0.95),
        eps=1e-10,
    )
    means, losses, plan = [torch.zeros_like(p) for p in matrices], [], plan_of(corpus, settings)
    for step in range(STEPS):
        factor = min(1.0, (STEPS - step) / (0.7 * STEPS))
        drawn = batch(corpus, plan, step)
        entered = model.model.embed_tokens(torch.from_numpy(drawn.inputs))
        logits = model(inputs_embeds=F.rms_norm(entered, entered.shape[-1:], eps=1e-6)).logits
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(drawn.targets).flatten())
        model.zero_grad()
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = group["full"] * factor
        adam.step()
        for weight, mean in zip(matrices, means, strict=True):
            muon(weight, mean, 0.025 * factor)
        losses.append(loss.item())
    return losses


@torch.no_grad()
def muon(weight: Tensor, mean: Tensor, rate: float) -> None:
    """Momentum 0.95, Nesterov's look ahead, the polar factor, decay of 0.05."""
    assert weight.grad is not None
    mean.lerp_(weight.grad, 0.05)
    update = orthogonalize(weight.grad.lerp(mean, 0.95))
    weight.mul_(1 - rate * 0.05).sub_(update, alpha=rate * max(1, weight.shape[0] / weight.shape[1]) ** 0.5)


def test_the_speedrun_learns_as_the_published_loop_does(corpus: Corpus, tmp_path: Path) -> None:
    size = {"layers": 2, "width": 64, "heads": 2, "ffn_width": 160, "context": WINDOW, "vocab_size": corpus.vocab_size}
    small = settings()
    trainer = Trainer(
        small, RECIPE.model.model_copy(update=size), corpus, plan_of(corpus, small), choose("fp32", "cpu")
    )
    trainer.model.init_weights(0)
    other = theirs(trainer.model, tmp_path)
    found = [trainer.update(step, batch(corpus, trainer.plan, step)).read().loss for step in range(STEPS)]
    expected = plain(other, corpus, small)
    assert expected[-1] < expected[0] - 1, "the other has learned nothing, so equal losses would say nothing"
    assert found == pytest.approx(expected, abs=1e-4)
