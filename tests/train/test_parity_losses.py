"""A hundred steps beside other trainers: from the same weights and batches, the same loss at every step.

GPT-2 beside one written here from the papers and trained with nanoGPT's published settings, and beside transformers';
Llama beside transformers'. All of them begin with weights that transformers drew, which reach firn as a Hugging Face
folder and the plain GPT-2 as nanoGPT takes them over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_run import plan_of, tiny_corpus
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from firn.model import hf
from firn.tokens.batch import batch
from firn.tokens.corpus import Corpus
from firn.train.runtime import choose
from firn.train.schedule import ScheduleSettings
from firn.train.settings import OptimizerSettings, TrainSettings
from firn.train.trainer import Trainer

STEPS, WARMUP, RATE = 100, 10, 1e-3
LAYERS, WIDTH, HEADS, WINDOW = 2, 64, 4, 32

# nanoGPT's, as published: betas, epsilon, decay of what has two dimensions, longest gradient, cosine to a tenth.
SETTINGS = TrainSettings(
    steps=STEPS,
    window=WINDOW,
    batch=8,
    precision="fp32",
    optimizer=OptimizerSettings(
        matrices="adamw",
        matrix_lr=RATE,
        embedding_lr=RATE,
        head_lr=RATE,
        vector_lr=RATE,
        beta1=0.9,
        beta2=0.95,
        epsilon=1e-8,
        weight_decay=0.1,
        clip=1.0,
    ),
    schedule=ScheduleSettings(kind="cosine", warmup=WARMUP, floor=0.1),
)

#: Logits [B, T, V] of token ids [B, T].
Logits = Callable[[Tensor], Tensor]


@pytest.fixture(scope="module")
def corpus(store: Path) -> Corpus:
    return tiny_corpus(store)


def gpt2(corpus: Corpus) -> PreTrainedModel:
    torch.manual_seed(1)
    size = {"vocab_size": corpus.vocab_size, "n_positions": WINDOW, "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS}
    return GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0)).eval()


def llama(corpus: Corpus) -> PreTrainedModel:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=corpus.vocab_size,
        hidden_size=WIDTH,
        intermediate_size=160,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
    )
    return LlamaForCausalLM(config).eval()


class PlainLayer(nn.Module):
    """Norms before attention and feed-forward layer (Radford et al. 2019, 2.3), a softmax of all scores (Vaswani
    et al. 2017, 3.2.1), GELU by its formula with tanh (Hendrycks and Gimpel 2016, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.c_out = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)) for part in self.c_attn(self.ln_1(x)).chunk(3, -1))
        scores = torch.einsum("bthe,bshe->bhts", q, k) / math.sqrt(WIDTH / HEADS)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        seen = scores.masked_fill(later, -math.inf).softmax(-1)
        x = x + self.c_proj(torch.einsum("bhts,bshe->bthe", seen, v).flatten(2))
        inner = self.c_fc(self.ln_2(x))
        gelu = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
        return x + self.c_out(gelu)


class PlainGPT2(nn.Module):
    """Tables of tokens and positions, layers, a last norm; the head is the table of tokens."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, WIDTH), nn.Embedding(WINDOW, WIDTH)
        self.h, self.ln_f = nn.ModuleList(PlainLayer() for _ in range(LAYERS)), nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for layer in self.h:
            x = layer(x)
        return self.ln_f(x) @ self.wte.weight.T

    def take(self, released: Mapping[str, Tensor]) -> None:
        """Weights under the names of the released GPT-2, whose matrices are stored [in, out]."""
        own = {}
        for name, value in released.items():
            inner = name.removeprefix("transformer.").replace(".attn.", ".").replace(".mlp.c_proj", ".c_out")
            inner = inner.replace(".mlp.", ".")
            own[inner] = value.T if value.ndim == 2 and inner.startswith("h.") else value
        own.pop("lm_head.weight")
        self.load_state_dict(own)


def ours(theirs: PreTrainedModel, corpus: Corpus, folder: Path) -> list[float]:
    """firn's losses: the folder that transformers writes, through the trainer."""
    theirs.save_pretrained(folder)
    read = hf.load(folder)
    trainer = Trainer(SETTINGS, read.settings, corpus, plan_of(corpus, SETTINGS), choose("fp32", "cpu"))
    trainer.model.load_state_dict(read.state_dict())
    return [trainer.update(step, batch(corpus, trainer.plan, step)).read().loss for step in range(STEPS)]


def others(model: nn.Module, logits: Logits, corpus: Corpus) -> list[float]:
    """The other's losses under torch's own AdamW, in fp32."""
    parameters, plan = list(model.parameters()), plan_of(corpus, SETTINGS)
    groups = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        drawn = batch(corpus, plan, step)
        targets = torch.from_numpy(drawn.targets)
        loss = F.cross_entropy(logits(torch.from_numpy(drawn.inputs)).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def rate(step: int) -> float:
    """A straight line up, then half a cosine from the whole rate to a tenth."""
    if step < WARMUP:
        return RATE * (step + 1) / (WARMUP + 1)
    return RATE * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP))))


def assert_same_curve(found: list[float], expected: list[float]) -> None:
    assert expected[-1] < expected[0] - 1, "the other has learned nothing, so equal losses would say nothing"
    assert found == pytest.approx(expected, abs=1e-4)


def test_gpt2_learns_as_a_plain_one_does_under_nanogpts_settings(corpus: Corpus, tmp_path: Path) -> None:
    start = gpt2(corpus)
    plain = PlainGPT2(corpus.vocab_size)
    plain.take(start.state_dict())
    assert_same_curve(ours(start, corpus, tmp_path), others(plain, plain, corpus))


@pytest.mark.parametrize("make", [gpt2, llama])
def test_it_learns_as_transformers_does(
    corpus: Corpus, tmp_path: Path, make: Callable[[Corpus], PreTrainedModel]
) -> None:
    start = make(corpus)
    found = ours(start, corpus, tmp_path)
    assert_same_curve(found, others(start, lambda tokens: start(tokens).logits, corpus))
