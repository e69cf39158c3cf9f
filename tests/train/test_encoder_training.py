"""An encoder under the trainer: its figures on held-out text are those of a count by hand, and it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_run import SPLIT, TEXTS, write_documents

from firn.core.stage import Stage, Task, execute
from firn.core.store import Store
from firn.measure.figures import figures, held_out
from firn.measure.hidden import HELD_OUT, hidden_tokens
from firn.model.encoder import Encoder
from firn.model.encoder_config import EncoderSettings
from firn.tokens import bpe, encode
from firn.tokens.batch import batch
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.corpus import Corpus
from firn.tokens.encode import TokensSettings
from firn.tokens.masked import hide
from firn.tokens.mixture import make_plan
from firn.tokens.objectives import apply, mask_token
from firn.train.runtime import choose
from firn.train.settings import TrainSettings
from firn.train.trainer import Trainer

SHAPE = EncoderSettings(layers=2, width=32, heads=2, ffn_width=48, context=32)
SETTINGS = TrainSettings(objective="masked", steps=60, window=32, batch=8, precision="fp32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    store, stage = Store(tmp_path_factory.mktemp("masked")), Stage("documents", 1, write_documents)
    documents = [execute(Task(stage, None, (), name, {"texts": texts}), store) for name, texts in TEXTS.items()]
    special = (*TokenizerSettings().special_tokens, "<|mask|>")
    settings = TokenizerSettings(vocab_size=512, split=SPLIT, special_tokens=special)
    tokenizer = execute(bpe.task(settings, documents), store)
    shards = [execute(task, store) for task in encode.tasks(TokensSettings(split=SPLIT), documents, tokenizer)]
    return Corpus.open(store, shards, tokenizer)


def trainer(corpus: Corpus, settings: TrainSettings = SETTINGS) -> Trainer:
    plan = make_plan(corpus, settings.stages, seed=0)
    shape = SHAPE.model_copy(update={"vocab_size": corpus.vocab_size})
    made = Trainer(settings, shape, corpus, plan, choose("fp32", "cpu"))
    made.model.init_weights(0)
    return made


def test_held_out_figures_are_those_of_one_window_after_the_other(corpus: Corpus) -> None:
    model = trainer(corpus).model
    assert isinstance(model, Encoder)
    stream = corpus.sources["web"].validation
    padded = np.full(-(-(len(stream) + 1) // 32) * 32, corpus.end_of_text, np.int64)
    padded[1 : 1 + len(stream)] = stream.read(0, len(stream))
    windows = padded[: -(-len(stream) // 32) * 32].reshape(-1, 32)
    nats, right, asked = 0.0, 0, 0
    for number, window in enumerate(windows):
        seen, targets = hide(
            window[None],
            HELD_OUT,
            mask=mask_token(corpus.tokenizer),
            vocab_size=corpus.vocab_size,
            special=[corpus.end_of_text],
            seed=0,
            step=0,
            rows=[number],
        )
        logits = model(torch.from_numpy(seen))[0]
        for position in np.flatnonzero(targets[0] >= 0):
            nats -= float(logits[position].log_softmax(-1)[targets[0, position]].detach())
            right += int(logits[position].argmax()) == targets[0, position]
            asked += 1
    found = hidden_tokens(model, corpus, "web")
    assert found["tokens"] == asked > 50
    assert found["nats"] == pytest.approx(nats, rel=1e-5)
    assert found["masked_nats"] == pytest.approx(nats / asked, rel=1e-5)
    assert found["masked_accuracy"] == pytest.approx(right / asked)
    part = hidden_tokens(model, corpus, "web", tokens=64)
    assert part["tokens"] == sum(
        int(
            (
                hide(w[None], HELD_OUT, mask=0, vocab_size=9, special=[corpus.end_of_text], seed=0, step=0, rows=[n])[1]
                >= 0
            ).sum()
        )
        for n, w in enumerate(windows[:2])
    )


def test_it_learns_from_both_sides_and_the_same_step_hides_the_same(corpus: Corpus) -> None:
    made = trainer(corpus)
    before = made.validate()
    for step in range(SETTINGS.steps):
        drawn = apply(batch(corpus, made.plan, step), corpus, SETTINGS, seed=0, step=step)
        once_more = apply(batch(corpus, made.plan, step), corpus, SETTINGS, seed=0, step=step)
        assert (drawn.inputs == once_more.inputs).all()
        made.update(step, drawn)
    after = made.validate()
    for source in ("web", "code"):
        assert after[source]["masked_nats"] < 0.7 * before[source]["masked_nats"]
        assert after[source]["masked_accuracy"] > before[source]["masked_accuracy"]
    assert held_out(figures(after))[0] == "masked_nats"


def test_documents_are_kept_apart_for_an_encoder_too(corpus: Corpus) -> None:
    settings = SETTINGS.model_copy(update={"document_mask": True})
    made = trainer(corpus, settings)
    drawn = apply(batch(corpus, made.plan, 0), corpus, settings, seed=0, step=0)
    assert drawn.documents is not None
    assert any(len(row) > 1 for row in drawn.documents)
    nats, alone = float(made.gradients(drawn).sum()), 0.0
    for row, starts in enumerate(drawn.documents):
        for start, stop in zip(starts, [*starts[1:], drawn.window], strict=True):
            piece = (torch.from_numpy(x[row : row + 1, start:stop]) for x in (drawn.inputs, drawn.targets))
            alone += float(made.model.loss(*piece).detach())
    assert nats == pytest.approx(alone, rel=1e-5)
