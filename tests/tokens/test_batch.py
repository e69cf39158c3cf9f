"""The batch function: pure, complete, exact, and the same order of data for ever."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from token_corpora import counting_corpus

from firn.core.errors import RecipeError, ResumeError
from firn.tokens.batch import (
    Batch,
    Skip,
    batch,
    merge_skips,
    skip_step,
    stage_of,
    tokens_before,
    total_steps,
    total_tokens,
)
from firn.tokens.corpus import Corpus
from firn.tokens.mixture import BatchPlan, StageSettings, make_plan, windows_in

PROPERTY = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
STAGE = st.builds(
    StageSettings,
    window=st.sampled_from([8, 16, 32]),
    batch=st.sampled_from([2, 4, 6]),
    tokens=st.integers(1, 3000),
)
STAGES = st.lists(STAGE, min_size=1, max_size=3)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return counting_corpus(tmp_path_factory.mktemp("corpus"), {"code": 1003, "prose": 333, "web": 2048})


def plan_of(corpus: Corpus, stages: list[StageSettings], seed: int = 0) -> BatchPlan:
    return make_plan(corpus, stages, {"code": 3, "prose": 1, "web": 2.5}, seed=seed, max_epochs=1000)


def same(one: Batch, other: Batch) -> bool:
    return (
        np.array_equal(one.inputs, other.inputs)
        and np.array_equal(one.targets, other.targets)
        and one.sources == other.sources
        and np.array_equal(one.positions, other.positions)
    )


@PROPERTY
@given(stages=STAGES, seed=st.integers(0, 3))
def test_windows_are_what_they_say(corpus: Corpus, stages: list[StageSettings], seed: int) -> None:
    """Each row is T + 1 neighbouring tokens of the one source it names, at the place it names."""
    plan = plan_of(corpus, stages, seed)
    for step in range(0, total_steps(plan), max(1, total_steps(plan) // 5)):
        one = batch(corpus, plan, step)
        stage = stage_of(plan, step)
        assert one.inputs.shape == one.targets.shape == (stage.batch, stage.window)
        assert one.inputs.dtype == one.targets.dtype == np.int64
        assert one.inputs.flags.c_contiguous
        for row, source in enumerate(one.sources):
            expected = corpus.sources[source].train.read(int(one.starts[row]), stage.window + 1)
            assert one.inputs[row].tolist() == expected[:-1].tolist()
            assert one.targets[row].tolist() == expected[1:].tolist()


@PROPERTY
@given(stages=STAGES, data=st.data())
def test_a_step_is_independent_of_all_others(corpus: Corpus, stages: list[StageSettings], data: st.DataObject) -> None:
    plan = plan_of(corpus, stages)
    straight = [batch(corpus, plan, step) for step in range(total_steps(plan))]
    for step in data.draw(st.lists(st.integers(0, total_steps(plan) - 1), max_size=5)):
        assert same(batch(corpus, plan, step), straight[step])


@PROPERTY
@given(stages=STAGES, ranks=st.sampled_from([1, 2]), data=st.data())
def test_ranks_together_read_the_whole_batch(
    corpus: Corpus, stages: list[StageSettings], ranks: int, data: st.DataObject
) -> None:
    plan = plan_of(corpus, stages)
    step = data.draw(st.integers(0, total_steps(plan) - 1))
    whole = batch(corpus, plan, step)
    parts = [batch(corpus, plan, step, rank, ranks) for rank in range(ranks)]
    assert np.array_equal(np.concatenate([part.inputs for part in parts]), whole.inputs)
    assert np.array_equal(np.concatenate([part.targets for part in parts]), whole.targets)
    assert [source for part in parts for source in part.sources] == whole.sources


@PROPERTY
@given(stages=STAGES, more=STAGES)
def test_appending_stages_changes_no_earlier_batch(
    corpus: Corpus, stages: list[StageSettings], more: list[StageSettings]
) -> None:
    plan, longer = plan_of(corpus, stages), plan_of(corpus, [*stages, *more])
    for step in range(total_steps(plan)):
        assert same(batch(corpus, plan, step), batch(corpus, longer, step))


def test_going_on_with_the_same_window_is_one_longer_run(corpus: Corpus) -> None:
    one = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=6400)])
    two = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=1280)]).extended(
        StageSettings(window=16, batch=4, tokens=5120)
    )
    assert total_steps(one) == total_steps(two)
    assert all(same(batch(corpus, one, step), batch(corpus, two, step)) for step in range(total_steps(one)))


def windows_by_source(corpus: Corpus, plan: BatchPlan) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {name: [] for name in corpus.sources}
    for step in range(total_steps(plan)):
        one = batch(corpus, plan, step)
        for source, start in zip(one.sources, one.starts.tolist(), strict=True):
            found[source].append(start)
    return found


@pytest.mark.parametrize("window", [8, 16, 17, 100])
def test_each_epoch_reads_every_token(corpus: Corpus, window: int) -> None:
    plan = plan_of(corpus, [StageSettings(window=window, batch=4, tokens=16_000)])
    for name, starts in windows_by_source(corpus, plan).items():
        tokens = len(corpus.sources[name].train)
        size = windows_in(tokens, window)
        for epoch in range(len(starts) // size):
            once = starts[epoch * size : (epoch + 1) * size]
            assert len(set(once)) == size
            read = {start + i for start in once for i in range(window + 1)}
            assert read == set(range(tokens))
        if len(starts) >= 2 * size:
            assert starts[:size] != starts[size : 2 * size]


def test_shares_are_exact_at_every_prefix(corpus: Corpus) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=20_000)])
    parts = plan.parts
    total = sum(parts.values())
    seen: Counter[str] = Counter()
    for step in range(total_steps(plan)):
        for source in batch(corpus, plan, step).sources:
            seen[source] += 1
            for name, part in parts.items():
                assert abs(seen[name] * total - seen.total() * part) < total


def test_seed_source_and_window_name_different_orders(corpus: Corpus) -> None:
    stage = StageSettings(window=16, batch=4, tokens=2000)
    assert windows_by_source(corpus, plan_of(corpus, [stage])) != windows_by_source(corpus, plan_of(corpus, [stage], 1))
    twins = counting_corpus(Path(corpus.sources["code"].train.files[0].path()).parent, {"a": 500, "b": 500})
    found = windows_by_source(twins, make_plan(twins, [stage], max_epochs=100))
    assert found["a"] != found["b"]


def test_the_order_of_weights_in_a_recipe_does_not_matter(corpus: Corpus) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=2000)])
    turned = plan.model_copy(update={"weights": dict(reversed(plan.weights.items()))})
    assert all(same(batch(corpus, plan, step), batch(corpus, turned, step)) for step in range(total_steps(plan)))


def test_golden_batches(corpus: Corpus) -> None:
    """The order of data is a promise to every checkpoint: where this fails, resumed runs would read other batches."""
    plan = plan_of(
        corpus, [StageSettings(window=16, batch=4, tokens=640), StageSettings(window=32, batch=2, tokens=640)], seed=7
    )
    digest = hashlib.sha256()
    for step in range(total_steps(plan)):
        one = batch(corpus, plan, step)
        digest.update(one.inputs.astype("<i8").tobytes() + one.targets.astype("<i8").tobytes())
        digest.update(",".join(one.sources).encode())
    assert digest.hexdigest()[:16] == "0d301abf7fc6e947"


# Skipping.


def test_skipped_windows_are_passed_over(corpus: Corpus) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=6400)])
    skipped = skip_step(plan, 5)
    assert skipped == (Skip(16, 20, 24),)
    for step in range(5):
        assert same(batch(corpus, plan, step, skipped=skipped), batch(corpus, plan, step))
    for step in range(5, 20):
        assert same(batch(corpus, plan, step, skipped=skipped), batch(corpus, plan, step + 1))
    again = skip_step(plan, 5, skipped)
    assert again == (Skip(16, 20, 28),)
    assert skip_step(plan, 4, again) == (Skip(16, 16, 28),)
    assert same(batch(corpus, plan, 9, skipped=[[16, 20, 28]]), batch(corpus, plan, 11))  # type: ignore[list-item]


@PROPERTY
@given(
    ranges=st.lists(st.tuples(st.sampled_from([16, 32]), st.integers(0, 150), st.integers(0, 12)), max_size=6),
)
def test_skipping_is_leaving_out(corpus: Corpus, ranges: list[tuple[int, int, int]]) -> None:
    skipped = [Skip(window, start, start + length) for window, start, length in ranges]
    plan = plan_of(
        corpus, [StageSettings(window=16, batch=4, tokens=1600), StageSettings(window=32, batch=2, tokens=1600)]
    )
    for window, stage in zip((16, 32), plan.stages, strict=True):
        gone = {p for skip in skipped if skip.window == window for p in range(skip.start, skip.stop)}
        left = [p for p in range(1000) if p not in gone]
        first = 0 if window == 16 else plan.stages[0].steps
        read = [
            p for s in range(stage.steps) for p in batch(corpus, plan, first + s, skipped=skipped).positions.tolist()
        ]
        assert read == left[: len(read)]
        assert len(read) == stage.steps * stage.batch


def test_skipping_a_step_twice_over_a_gap(corpus: Corpus) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=6400)])
    assert skip_step(plan, 0, [Skip(16, 2, 5)]) == (Skip(16, 0, 7),)
    assert merge_skips([(16, 5, 9), (8, 0, 1), (16, 9, 12), (16, 1, 1), (16, 20, 22)]) == (
        Skip(8, 0, 1),
        Skip(16, 5, 12),
        Skip(16, 20, 22),
    )


# Sizes and errors.


def test_sizes(corpus: Corpus) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=65), StageSettings(window=8, batch=2, tokens=32)])
    assert [stage.steps for stage in plan.stages] == [2, 2]
    assert total_steps(plan) == 4
    assert total_tokens(plan) == 2 * 64 + 2 * 16
    assert [tokens_before(plan, step) for step in range(5)] == [0, 64, 128, 144, 160]
    assert [stage_of(plan, step).window for step in range(4)] == [16, 16, 8, 8]


def test_errors_are_clear(corpus: Corpus, tmp_path: Path) -> None:
    plan = plan_of(corpus, [StageSettings(window=16, batch=4, tokens=640)])
    for step in (-1, 10):
        with pytest.raises(RecipeError, match=f"no step {step}; the plan has 10"):
            batch(corpus, plan, step)
    with pytest.raises(RecipeError, match="4 windows per step cannot be dealt to 3 devices"):
        batch(corpus, plan, 0, 0, 3)
    other = counting_corpus(tmp_path, {"code": 1004, "prose": 333, "web": 2048})
    with pytest.raises(ResumeError, match="the plan was made for corpus"):
        batch(other, plan, 0)
