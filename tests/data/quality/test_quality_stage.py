"""The stages of quality: scores, thresholds, decisions; by a linear model and by a classifier of transformers' kind."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from firn.core.errors import InputError, RecipeError
from firn.core.stage import Quiet, execute
from firn.core.store import Manifest, Store
from firn.data.quality.evaluate import evaluate
from firn.data.quality.linear import LinearModel
from firn.data.quality.settings import QualitySettings, TrainingSettings
from firn.data.quality.stage import RULE, Input, judge, places, score_tasks
from firn.data.quality.train import train

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from made import text, write
from shards import Inline, read, row, shard

ROWS = [row(f"{kind} {n}", text(kind == "good", n)) for n in range(40) for kind in ("good", "bad")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    found = train(write(folder, True), write(folder, False), TrainingSettings(bits=12)).model
    found.save(folder / "model.safetensors")
    return str(folder / "model.safetensors")


def judged(engine: Inline, rows: list[list[dict[str, Any]]], **settings: Any) -> list[Manifest]:
    return judge(engine, [shard(engine.store, part) for part in rows], QualitySettings(**settings))  # type: ignore[arg-type]


def kept(store: Store, manifests: list[Manifest]) -> set[bytes]:
    return {id_ for manifest in manifests for id_ in read(store, manifest)["id"].to_pylist()}


def ledger(store: Store, manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [entry for manifest in manifests for entry in read(store, manifest, "ledger").to_pylist()]


def test_a_threshold_keeps_what_is_good_and_says_why_the_rest_goes(tmp_path: Path, model: str) -> None:
    engine = Inline(Store(tmp_path))
    found = judged(engine, [ROWS[:30], ROWS[30:]], file=model, at_least=0.5)
    assert kept(engine.store, found) == {r["id"] for r in ROWS if r["address"].startswith("good")}
    rows = ledger(engine.store, found)
    assert [entry["id"] for entry in rows] == [r["id"] for r in ROWS]
    gone = [entry for entry in rows if entry["verdict"] == "removed"]
    assert len(gone) == 40
    assert all(entry["rule"] == RULE and entry["value"] < entry["bound"] == 0.5 for entry in gone)


def test_without_a_bound_documents_are_scored_and_stay(tmp_path: Path, model: str) -> None:
    engine = Inline(Store(tmp_path))
    assert len(kept(engine.store, judged(engine, [ROWS], file=model))) == len(ROWS)
    assert "quality-threshold" not in engine.made


@pytest.mark.parametrize("keep", [0.1, 0.25, 0.5, 1.0])
def test_a_share_is_kept_of_all_shards_together(tmp_path: Path, model: str, keep: float) -> None:
    engine = Inline(Store(tmp_path))
    # All that is good lies in one shard.
    parts = [[r for r in ROWS if r["address"].startswith(kind)] for kind in ("good", "bad")]
    found = judged(engine, parts, file=model, keep=keep)
    store = engine.store
    score = {
        id_: value
        for m in store.manifests()
        if m.stage == "quality-score"
        for id_, value in zip(*read(store, m, "scores").to_pydict().values(), strict=True)
    }
    best = sorted(score, key=lambda id_: -score[id_])[: math.ceil(keep * len(ROWS))]
    assert kept(store, found) == set(best)
    assert len(kept(store, found[:1])) == min(40, len(best))


def test_shards_and_their_order_do_not_matter(tmp_path: Path, model: str) -> None:
    found = []
    for number, parts in enumerate(([ROWS], [ROWS[:7], ROWS[7:50], ROWS[50:]], [ROWS[50:], [], ROWS[:7], ROWS[7:50]])):
        engine = Inline(Store(tmp_path / str(number)))
        found.append(kept(engine.store, judged(engine, list(parts), file=model, keep=0.3)))
    assert found[0] == found[1] == found[2]


def test_another_bound_scores_nothing_again(tmp_path: Path, model: str) -> None:
    engine = Inline(Store(tmp_path))
    judged(engine, [ROWS[:40], ROWS[40:]], file=model, keep=0.2)
    assert engine.made == ["quality-score"] * 2 + ["quality-threshold"] + ["quality"] * 2
    engine.made.clear()
    judged(engine, [ROWS[:40], ROWS[40:]], file=model, keep=0.4)
    assert engine.made == ["quality-threshold"] + ["quality"] * 2
    engine.made.clear()
    judged(engine, [ROWS[:40], ROWS[40:]], file=model, at_least=0.9)
    assert engine.made == ["quality"] * 2
    # The same model elsewhere is the same model.
    engine.made.clear()
    copy = tmp_path / "renamed.safetensors"
    copy.write_bytes(Path(model).read_bytes())
    judged(engine, [ROWS[:40], ROWS[40:]], file=str(copy), at_least=0.9)
    assert not engine.made


def test_nothing_to_judge(tmp_path: Path, model: str) -> None:
    engine = Inline(Store(tmp_path))
    assert kept(engine.store, judged(engine, [[], []], file=model, keep=0.1)) == set()


def test_a_document_that_cannot_be_scored_is_accounted_for(tmp_path: Path, model: str) -> None:
    class Bad(Quiet):
        quarantined = {2: "killed its worker"}

    engine = Inline(Store(tmp_path))
    settings = QualitySettings(file=model, keep=1.0)
    documents = shard(engine.store, ROWS)
    execute(score_tasks([Input(documents, ("documents",))], settings)[0], engine.store, Bad())
    [found] = judge(engine, [documents], settings)  # type: ignore[arg-type]
    assert found.counts["failed"] == 1
    assert kept(engine.store, [found]) == {r["id"] for r in ROWS} - {ROWS[2]["id"]}


@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False)))
def test_places_rise_with_scores(scores: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    found = places(scores)[np.argsort(scores, kind="stable")]
    assert (np.diff(found) >= 0).all()
    assert np.abs(found + 0.5).max(initial=0) < 1 << 21


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"file": "x", "folder": "y"},
        {"model": "hf", "file": "x"},
        {"file": "x", "keep": 0.1, "at_least": 0.5},
        {"file": "x", "keep": 0},
        {"file": "x", "batch": 4},
        {"file": "x", "at_least": math.nan},
    ],
)
def test_settings_that_say_two_things_or_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QualitySettings(**settings)


def classifier(folder: Path, labels: int, names: tuple[str, ...] = ()) -> str:
    """A BERT of random weights, with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = sorted({word for r in ROWS for word in r["text"].split()})
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        num_labels=labels,
    )
    if names:
        config.id2label = dict(enumerate(names))
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def by_hand(folder: str, document: str) -> torch.Tensor:
    """The logits of one document alone, by transformers."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(document, return_tensors="pt", truncation=True, max_length=64)
    with torch.inference_mode():
        logits: torch.Tensor = (
            AutoModelForSequenceClassification.from_pretrained(folder)
            .eval()(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            .logits[0]
        )
    return logits


def scores(engine: Inline) -> list[float]:
    [made] = [m for m in engine.store.manifests() if m.stage == "quality-score"]
    found: list[float] = read(engine.store, made, "scores")["score"].to_pylist()
    return found


UNLIKE = [ROWS[0], row("short", "proof"), row("empty", ""), row("long", "energy buy " * 5000), *ROWS[1:10]]


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_a_classifier_scores_as_transformers_does(tmp_path: Path, batch: int) -> None:
    folder = classifier(tmp_path / "grade", 1)
    engine = Inline(Store(tmp_path / "store"))
    judged(engine, [UNLIKE], model="hf", folder=folder, batch=batch)
    expected = [by_hand(folder, r["text"])[0].item() for r in UNLIKE if r["text"]]
    found = scores(engine)
    assert [value for value, r in zip(found, UNLIKE, strict=True) if r["text"]] == pytest.approx(expected, abs=1e-5)
    assert math.isfinite(found[2])


def test_a_classifier_is_evaluated_as_it_is_used(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "grade", 1)
    good, bad = write(tmp_path, True, 12), write(tmp_path, False, 12)
    found = evaluate(folder, positive=good, negative=bad)
    values = {kind: [by_hand(folder, text(kind, n))[0].item() for n in range(12)] for kind in (True, False)}
    pairs = [a > b for a in values[True] for b in values[False]]
    assert (found.documents, found.bins, found.auc) == (24, [], pytest.approx(sum(pairs) / len(pairs)))


def test_of_several_labels_one_is_the_score(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "labels", 3, ("low", "medium", "high"))
    with pytest.raises(RecipeError, match="give one of low, medium, high"):
        judged(Inline(Store(tmp_path / "none")), [UNLIKE], model="hf", folder=folder)
    with pytest.raises(RecipeError, match="none of them 'good'"):
        judged(Inline(Store(tmp_path / "none")), [UNLIKE], model="hf", folder=folder, label="good")
    engine = Inline(Store(tmp_path / "store"))
    found = judged(engine, [ROWS[:10]], model="hf", folder=folder, label="high", keep=0.5)
    expected = [by_hand(folder, r["text"]).softmax(-1)[2].item() for r in ROWS[:10]]
    assert scores(engine) == pytest.approx(expected, abs=1e-6)
    best = sorted(range(10), key=lambda at: -expected[at])[:5]
    assert kept(engine.store, found) == {ROWS[at]["id"] for at in best}


def test_a_folder_that_holds_no_classifier(tmp_path: Path, model: str) -> None:
    engine, settings = Inline(Store(tmp_path / "store")), {"model": "hf", "folder": str(tmp_path / "folder")}
    with pytest.raises(InputError, match=r"config\.json"):
        judged(engine, [ROWS], **settings)
    folder = Path(classifier(tmp_path / "folder", 2))
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        judged(engine, [ROWS], **settings)
    weights.write_bytes(b"no weights")
    with pytest.raises(InputError, match="no sequence classifier"):
        judged(engine, [ROWS], **settings)
    with pytest.raises(InputError, match="no quality model"):
        judged(engine, [ROWS], file=str(folder / "config.json"))


def test_a_model_that_was_never_taught_to_classify_is_refused(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    folder = classifier(tmp_path / "folder", 1)
    BertForSequenceClassification.from_pretrained(folder).bert.save_pretrained(folder)
    with pytest.raises(InputError, match=r"its weights lack classifier\.bias"):
        judged(Inline(Store(tmp_path / "store")), [ROWS], model="hf", folder=folder)


def test_scores_are_those_of_the_model(tmp_path: Path, model: str) -> None:
    from firn.data.quality.linear import load

    engine = Inline(Store(tmp_path))
    judged(engine, [ROWS], file=model)
    linear: LinearModel = load(model)
    expected = [linear.score(np.frombuffer(r["text"].encode(), np.uint8)) for r in ROWS]
    assert scores(engine) == pytest.approx(expected, abs=1e-7)
