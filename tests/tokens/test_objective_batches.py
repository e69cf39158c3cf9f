"""Objectives on batches of a real corpus: documents found by the index, sources kept apart, ranks alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from token_corpora import document_shard

from firn.core.errors import RecipeError
from firn.core.stage import execute
from firn.core.store import Store
from firn.tokens import bpe, encode
from firn.tokens.batch import Batch, batch
from firn.tokens.bpe import TokenizerSettings
from firn.tokens.corpus import Corpus
from firn.tokens.encode import TokensSettings
from firn.tokens.fim import FimSettings, Sentinels
from firn.tokens.goldfish import GoldfishSettings
from firn.tokens.masked import MaskingSettings
from firn.tokens.mixture import BatchPlan, StageSettings, make_plan
from firn.tokens.objectives import ObjectiveSettings, apply, document_starts, mask_token

SPECIAL = (*TokenizerSettings().special_tokens, "<|mask|>")


def corpus_of(root: Path, special: tuple[str, ...] = SPECIAL) -> Corpus:
    store = Store(root)
    rows = {
        "code": [(f"def f{i}(x):\n    return x * {i * i} + g{i}(x)\n" * (1 + i % 3), f"m{i}") for i in range(80)],
        "web": [(f"Snow number {i} falls on the snow of {i * i}. " * (1 + i % 5), f"host{i}") for i in range(80)],
    }
    documents = [document_shard(store, source, source, r) for source, r in rows.items()]
    tokenizer = execute(bpe.task(TokenizerSettings(vocab_size=512, special_tokens=special), documents), store)
    shards = [execute(task, store) for task in encode.tasks(TokensSettings(), documents, tokenizer)]
    return Corpus.open(store, shards, tokenizer)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus_of(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def plan(corpus: Corpus) -> BatchPlan:
    return make_plan(corpus, [StageSettings(window=64, batch=8, tokens=6 * 8 * 64)], {"code": 1, "web": 1}, seed=0)


def pieces(drawn: Batch, starts: list[list[int]]) -> list[tuple[str, list[int]]]:
    """The source and the tokens, targets included, of each document's piece."""
    tokens = np.concatenate((drawn.inputs, drawn.targets[:, -1:]), axis=1).tolist()
    return [
        (source, row[a:b])
        for source, row, begins in zip(drawn.sources, tokens, starts, strict=True)
        for a, b in zip(begins, [*begins[1:], len(row)], strict=True)
    ]


def test_documents_begin_after_the_ends_of_others(corpus: Corpus, plan: BatchPlan) -> None:
    for step in range(6):
        drawn = batch(corpus, plan, step)
        tokens = np.concatenate((drawn.inputs, drawn.targets[:, -1:]), axis=1)
        for row, begins in zip(tokens, document_starts(corpus, drawn, 65), strict=True):
            after = (np.flatnonzero(row[:-1] == corpus.end_of_text) + 1).tolist()
            assert begins == sorted({0, *after})


def test_only_the_chosen_source_is_turned_and_no_document_reaches_into_another(corpus: Corpus, plan: BatchPlan) -> None:
    settings = ObjectiveSettings(fim=FimSettings(rate=1.0, sources=("code",)))
    sentinels = Sentinels.of(corpus.tokenizer)
    turned = 0
    for step in range(6):
        drawn = batch(corpus, plan, step)
        shaped = apply(drawn, corpus, settings, seed=3, step=step)
        silent = shaped.targets == -1
        inputs, targets = shaped.inputs[:, 1:], shaped.targets[:, :-1]
        assert ((inputs == targets) | (targets == -1)).all()
        starts = document_starts(corpus, drawn, 65)
        for (source, old), (_, new) in zip(pieces(drawn, starts), pieces(shaped, starts), strict=True):
            if source == "web" or len(old) < 6:
                assert new == old
                continue
            turned += 1
            assert [new.count(id) for id in sentinels] == [1, 1, 1]
            assert new.count(corpus.end_of_text) == old.count(corpus.end_of_text)
            left = [*old]
            for id in new:
                if id not in sentinels and id != -1:
                    left.remove(id)  # nothing that was not there
            assert len(left) == 3 + new.count(-1)
        assert (silent.sum(1) == 0)[[source == "web" for source in drawn.sources]].all()
    assert turned > 50


@pytest.mark.parametrize(
    "settings",
    [
        ObjectiveSettings(),
        ObjectiveSettings(fim=FimSettings(), goldfish=GoldfishSettings()),
        ObjectiveSettings(objective="masked", masking=MaskingSettings()),
    ],
)
def test_a_rank_gets_its_slice_of_the_whole(corpus: Corpus, plan: BatchPlan, settings: ObjectiveSettings) -> None:
    whole = apply(batch(corpus, plan, 2), corpus, settings, seed=3, step=2)
    parts = [apply(batch(corpus, plan, 2, rank, 4), corpus, settings, seed=3, step=2) for rank in range(4)]
    assert (np.concatenate([part.inputs for part in parts]) == whole.inputs).all()
    assert (np.concatenate([part.targets for part in parts]) == whole.targets).all()
    plain = batch(corpus, plan, 2)
    assert ((whole.inputs == plain.inputs).all() and (whole.targets == plain.targets).all()) == (
        settings == ObjectiveSettings()
    )


def test_masking_asks_for_the_hidden_tokens(corpus: Corpus, plan: BatchPlan) -> None:
    drawn = batch(corpus, plan, 1)
    shaped = apply(drawn, corpus, ObjectiveSettings(objective="masked", masking=MaskingSettings()), seed=3, step=1)
    asked = shaped.targets >= 0
    assert 0.2 < asked.mean() < 0.4
    assert (shaped.inputs[asked] == mask_token(corpus.tokenizer)).all()
    assert (shaped.targets[asked] == drawn.inputs[asked]).all()
    assert (shaped.inputs[drawn.inputs == corpus.end_of_text] == corpus.end_of_text).all()


def test_what_the_tokenizer_lacks_is_said(tmp_path: Path) -> None:
    poor = corpus_of(tmp_path, special=("<|endoftext|>",))
    plan = make_plan(poor, [StageSettings(window=64, batch=2, tokens=128)], {"code": 1, "web": 1}, seed=0)
    drawn = batch(poor, plan, 0)
    with pytest.raises(RecipeError, match="no mask token"):
        apply(drawn, poor, ObjectiveSettings(objective="masked", masking=MaskingSettings()), seed=0, step=0)
    with pytest.raises(RecipeError, match="no sentinels"):
        apply(drawn, poor, ObjectiveSettings(fim=FimSettings()), seed=0, step=0)
    with pytest.raises(RecipeError, match="fim is about next tokens"):
        ObjectiveSettings(objective="masked", fim=FimSettings())
