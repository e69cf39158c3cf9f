"""Bad steps are left out, bad stretches of data lead back to a checkpoint, and a healthy run is never touched."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import MODEL, SETTINGS, WATCH, plan_of, run, tiny_corpus

from firn.core.store import Manifest
from firn.tokens.batch import Batch, Skip, batch, documents_in
from firn.tokens.corpus import Corpus
from firn.train import guard, trainer
from firn.train.guard import Bounds, Good, GuardSettings, TrainError
from firn.train.metrics import read_metrics
from firn.train.result import TrainResult, weights_hash
from firn.train.runtime import choose
from firn.train.step import Pending, within
from firn.train.stop import Stopped
from firn.train.trainer import Trainer

GUARD = GuardSettings(window=8, every=8, skips=3, span=6)
LONG = SETTINGS.model_copy(update={"steps": 64, "guard": GUARD})
# What is read at steps 44 to 46 of LONG where nothing is left out: 4 windows per step.
POISON = range(176, 188)


def recent(losses: list[float], norms: list[float] | None = None) -> list[Good]:
    return [Good(n, loss, norm) for n, (loss, norm) in enumerate(zip(losses, norms or losses, strict=True))]


def test_bounds_are_medians_and_deviations_of_the_last_good_steps_but_one() -> None:
    draw = np.random.default_rng(0)
    losses, norms = draw.normal(3, 0.5, 40), draw.lognormal(0, 0.5, 40)
    found = guard.bounds(GuardSettings(window=16, deviations=5.0), recent(losses.tolist(), norms.tolist()), 40)
    known = losses[39 - 16 : 39]  # step 39 is still under way when step 40 is started
    spread = 1.4826 * np.median(abs(known - np.median(known)))
    assert found.loss == pytest.approx(np.median(known) + 5 * spread)
    logs = np.log(norms[39 - 16 : 39])
    assert found.norm == pytest.approx(np.exp(np.median(logs) + 5 * 1.4826 * np.median(abs(logs - np.median(logs)))))


def test_nothing_is_a_spike_before_there_is_a_window_of_this_stage() -> None:
    known = recent([3.0] * 40)
    assert guard.bounds(GUARD, known, 8) == Bounds()
    assert guard.bounds(GUARD, known, 9) != Bounds()
    assert guard.bounds(GUARD, known, 40, since=33) == Bounds()
    assert guard.bounds(GUARD.model_copy(update={"deviations": None}), known, 40) == Bounds()
    # A flat curve has no deviation; its first wrinkle is no spike.
    assert guard.bounds(GUARD, known, 40).loss > 3.2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_beyond_any_bounds(value: float) -> None:
    fine, bad = torch.tensor(1.0), torch.tensor(value)
    assert within(fine, fine, Bounds())
    assert not within(bad, fine, Bounds())
    assert not within(fine, bad, Bounds())
    assert not within(fine, fine, Bounds(loss=0.9))
    assert not within(fine, fine, Bounds(norm=0.9))


@given(
    seed=st.integers(0, 2**32 - 1),
    noise=st.floats(0.0, 0.5),
    gap=st.floats(0.0, 2.0),
    share=st.floats(0.2, 0.8),
    norm_noise=st.floats(0.0, 0.6),
)
@settings(max_examples=60)
def test_a_noisy_but_healthy_curve_is_not_touched(
    seed: int, noise: float, gap: float, share: float, norm_noise: float
) -> None:
    """Falling losses of two sources that differ by `gap`, with normal noise; log-normal norms that fall as well."""
    draw, policy = np.random.default_rng(seed), GuardSettings()
    steps = 600
    n = np.arange(steps)
    losses = 2.5 + 5 * np.exp(-n / 80) + gap * draw.binomial(16, share, steps) / 16 + draw.normal(0, noise, steps)
    norms = np.exp(draw.normal(0, norm_noise, steps)) * (0.3 + np.exp(-n / 100))
    known = recent(losses.tolist(), norms.tolist())
    touched = 0
    for step in range(steps):
        found = guard.bounds(policy, known[max(0, step - 200) : step], step)
        touched += losses[step] > found.loss or norms[step] > found.norm
    # One step left out in 600 costs nothing; what leads back is three among twenty.
    assert touched <= 1


def test_where_it_goes_back_to_and_when_it_slows_down() -> None:
    policy = GuardSettings(every=100, rewinds=2, slower=0.5)
    assert [guard.target(policy, first) for first in (99, 149, 150, 249, 250)] == [None, None, 100, 100, 200]
    assert guard.target(GuardSettings(every=0), 500) is None
    assert [guard.rate(policy, n) for n in range(5)] == [1.0, 1.0, 1.0, 0.5, 0.25]


def corrupted(monkeypatch: pytest.MonkeyPatch, at: set[int], value: float) -> None:
    """Make the loss and every gradient of some steps `value`."""
    update, gradients, now = Trainer.update, Trainer.gradients, [0]

    def noted(self: Trainer, step: int, *args: Any, **options: Any) -> Pending:
        now[0] = step
        return update(self, step, *args, **options)

    def bad(self: Trainer, *args: Any) -> torch.Tensor:
        nats_B = gradients(self, *args)
        if now[0] in at:
            for parameter in self.model.parameters():
                parameter.grad = torch.full_like(parameter, value)
            return nats_B * value
        return nats_B

    monkeypatch.setattr(Trainer, "update", noted)
    monkeypatch.setattr(Trainer, "gradients", bad)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e4])
def test_bad_steps_leave_the_weights_as_they_are_and_are_recorded(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    corrupted(monkeypatch, {15, 21}, value)
    result = run(store, tmp_path, LONG)
    corpus = tiny_corpus(store)
    plan = plan_of(corpus, LONG)
    assert [bad["step"] for bad in result.bad] == [15, 21]
    for bad in result.bad:
        assert bad["documents"] == [span.document for span in documents_in(corpus, plan, bad["step"])]
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records if record["kind"] == "bad"] == [15, 21]
    # The same by hand: these two updates are not made.
    shape = MODEL.model_copy(update={"vocab_size": corpus.vocab_size})
    made = Trainer(LONG, shape, corpus, plan, choose("fp32", "cpu"))
    made.model.init_weights(LONG.seed)
    for step in sorted(set(range(LONG.steps)) - {15, 21}):
        made.update(step, batch(corpus, plan, step))
    assert result.weights == weights_hash(made.model)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, list[int]]]]:
    """Windows at some positions hold noise instead of text. What is trained on, in order: step and positions."""
    read, update, seen = batch, Trainer.update, []

    def noisy(corpus: Corpus, *args: Any, **options: Any) -> Batch:
        drawn = read(corpus, *args, **options)
        bad = np.isin(drawn.positions, POISON)
        noise = np.random.default_rng(0).integers(0, corpus.vocab_size, drawn.inputs.shape)
        return replace(
            drawn,
            inputs=np.where(bad[:, None], noise, drawn.inputs),
            targets=np.where(bad[:, None], noise[:, ::-1], drawn.targets),
        )

    def watched(self: Trainer, step: int, drawn: Batch, *args: Any, **options: Any) -> Pending:
        seen.append((step, drawn.positions.tolist()))
        return update(self, step, drawn, *args, **options)

    monkeypatch.setattr(trainer, "batch", noisy)
    monkeypatch.setattr(Trainer, "update", watched)
    return seen


def test_poisoned_data_leads_back_and_is_left_out(
    store: Path, tmp_path: Path, poisoned: list[tuple[int, list[int]]]
) -> None:
    result = run(store, tmp_path, LONG)
    [rewind] = result.rewinds
    assert [bad["step"] for bad in rewind["bad"]] == [44, 45, 46]
    # Back to 40, the last multiple of 8 at least 4 before; what steps 40 to 46 had read is not read again.
    assert (rewind["step"], rewind["undone"], rewind["rate"]) == (40, 47, 1.0)
    assert rewind["skipped"] == [[32, 160, 188]]
    assert result.bad == []
    assert [step for step, _ in poisoned] == [*range(47), *range(40, 64)]
    # `show-batch` of any step says what the weights are of.
    corpus, skipped = tiny_corpus(store), [Skip(*skip) for skip in rewind["skipped"]]
    plan = plan_of(corpus, LONG)
    for step, positions in dict(poisoned).items():
        assert batch(corpus, plan, step, skipped=skipped).positions.tolist() == positions
    assert not {position for positions in dict(poisoned).values() for position in positions} & set(POISON)
    records = read_metrics(tmp_path)
    assert [record["step"] for record in records if record["kind"] == "step"] == list(range(64))
    assert [record["step"] for record in records if record["kind"] == "rewind"] == [40]


def test_a_checkpoint_that_notes_the_return_takes_the_place_of_the_one_before(
    store: Path, tmp_path: Path, poisoned: Any
) -> None:
    with pytest.raises(Stopped):
        run(store, tmp_path, LONG, until=50)
    folder = tmp_path / "checkpoints" / "step-00000040"
    manifest = Manifest.from_json((folder / "manifest.json").read_bytes())
    assert manifest is not None
    assert manifest.notes["rewinds"]
    named = {Path(entry.path).name for entry in manifest.files.values()}
    assert {path.name for path in folder.iterdir()} == named | {"manifest.json"}


@pytest.mark.parametrize("calls", [42, 46, 48, 53])
def test_a_run_that_went_back_resumes_to_the_same_bits(
    store: Path, tmp_path: Path, poisoned: Any, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    whole = run(store, tmp_path / "whole", LONG)
    update, count = Trainer.update, [0]

    def cut(self: Trainer, *args: Any, **options: Any) -> Pending:
        count[0] += 1
        if count[0] == calls:
            raise RuntimeError("power cut")
        return update(self, *args, **options)

    monkeypatch.setattr(Trainer, "update", cut)
    with pytest.raises(RuntimeError, match="power cut"):
        run(store, tmp_path / "cut", LONG)
    again = run(store, tmp_path / "cut", LONG)
    assert same(again) == same(whole)


def same(result: TrainResult) -> tuple[Any, ...]:
    return result.weights, result.loss, result.validation, result.bad, result.rewinds


def test_an_accelerators_way_gives_the_same_bits(
    store: Path, tmp_path: Path, poisoned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outcomes read one step late, and updates masked on the device."""
    plain = run(store, tmp_path / "plain", LONG)
    init = Trainer.__init__

    def queued(self: Trainer, *args: Any) -> None:
        init(self, *args)
        self.is_queued = True

    monkeypatch.setattr(Trainer, "__init__", queued)
    late = run(store, tmp_path / "late", LONG)
    assert same(late) == same(plain)
    assert late.rewinds


def test_it_slows_down_and_then_gives_up(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrupted(monkeypatch, {20, 21, 22}, math.nan)
    with pytest.raises(TrainError, match=r"not finite \(between 20 and 22; going back 4 times") as error:
        run(store, tmp_path, LONG)
    assert "lower the learning rates" in str(error.value)
    text = "".join(path.read_text() for path in tmp_path.glob("metrics-*.jsonl"))
    assert text.count('"kind": "rewind"') == 4
    assert text.count('"rate": 0.5') == text.count('"rate": 0.25') == 1


def test_without_a_checkpoint_to_go_back_to_it_gives_up_at_once(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrupted(monkeypatch, {2, 3, 4}, math.nan)
    with pytest.raises(TrainError, match=r"not finite \(between 2 and 4; there is no checkpoint to go back to\)"):
        run(store, tmp_path, LONG)


def test_checkpoints_to_go_back_to_stay_beside_those_of_watch(store: Path, tmp_path: Path) -> None:
    run(store, tmp_path, LONG, watch=WATCH.model_copy(update={"checkpoint_every": 13, "keep": 1}))
    kept = sorted(int(path.name[5:]) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [48, 56, 64]
