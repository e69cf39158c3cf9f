"""The mixture: exact shares at every prefix, honest epochs, clear errors."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from token_corpora import counting_corpus

from firn.core.errors import RecipeError
from firn.tokens.mixture import (
    PARTS,
    BatchPlan,
    StageSettings,
    apportion,
    interleave,
    make_plan,
    usage,
    windows_in,
    worth,
)

WEIGHTS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8)


@settings(deadline=None, max_examples=60)
@given(parts=st.lists(st.integers(1, 300), min_size=1, max_size=9))
@example([1])
@example([1, 1, 1])
@example([1, 1000])
def test_every_prefix_is_less_than_one_window_from_the_ideal(parts: list[int]) -> None:
    deal = interleave(tuple(parts))
    period = sum(parts)
    counts = np.cumsum(deal.source[:, None] == np.arange(len(parts)), axis=0)
    ideal_times_period = np.arange(1, period + 1)[:, None] * np.array(parts)
    assert (np.abs(counts * period - ideal_times_period) < period).all()
    assert counts[-1].tolist() == parts


@settings(deadline=None, max_examples=60)
@given(parts=st.lists(st.integers(1, 50), min_size=1, max_size=6), start=st.integers(0, 10**15))
def test_any_position_is_looked_up(parts: list[int], start: int) -> None:
    deal = interleave(tuple(parts))
    positions = np.arange(start, start + 300)
    source, before = deal.at(positions)
    for n in range(0, 300, 37):
        counts = deal.counts(start + n)
        assert before[n] == counts[source[n]]
        assert counts.sum() == start + n


@settings(deadline=None)
@given(weights=WEIGHTS)
def test_apportion_rounds_to_the_nearest_parts(weights: list[float]) -> None:
    named = tuple((f"s{i:02}", weight) for i, weight in enumerate(weights))
    parts = apportion(named)
    total = sum(parts.values())
    assert PARTS % total == 0
    scale = PARTS // total
    exact = [weight / math.fsum(weights) * PARTS for weight in weights]
    for (name, _), share in zip(named, exact, strict=True):
        assert parts[name] >= 1
        # One part at least; the others make room for such sources.
        assert abs(parts[name] * scale - share) < 1 + len(weights)
    if min(exact) >= 1:
        assert all(abs(parts[name] * scale - share) < 1 for (name, _), share in zip(named, exact, strict=True))


def test_simple_ratios_stay_exact() -> None:
    assert apportion((("a", 0.5), ("b", 0.25), ("c", 0.25))) == {"a": 2, "b": 1, "c": 1}
    assert apportion((("a", 7.0),)) == {"a": 1}
    assert apportion(tuple((str(i), 1.0) for i in range(3))) == {"0": 21846, "1": 21845, "2": 21845}
    assert apportion((("a", 1e-9), ("b", 1e9))) == {"a": 1, "b": 65535}


def test_golden_deal() -> None:
    """Another order of sources from the same plan: every checkpoint's data would change."""
    assert interleave((3, 2, 1)).source.tolist() == [0, 1, 0, 1, 0, 2]


def test_effective_data_gives_the_published_values() -> None:
    """Muennighoff et al. 2023: what 2, 4, 8, 16 and 40 epochs are worth in epochs of fresh data."""
    found = [round(worth(1.0, epochs), 2) for epochs in (2, 4, 8, 16, 40)]
    assert found == [1.97, 3.73, 6.62, 10.58, 15.17]
    assert worth(100.0, 0.5) == 50.0
    assert worth(100.0, 1.0) == 100.0


@given(tokens=st.integers(2, 10**6), window=st.integers(1, 5000))
def test_windows_of_an_epoch_reach_every_token(tokens: int, window: int) -> None:
    windows = windows_in(tokens, window)
    assert windows * window + 1 >= tokens > (windows - 1) * window + 1


def stage(window: int = 16, batch: int = 4, tokens: int = 640) -> StageSettings:
    return StageSettings(window=window, batch=batch, tokens=tokens)


def test_by_default_sources_are_read_once_together(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"code": 3_000_001, "web": 1_000_001, "tiny": 1_001})
    plan = make_plan(corpus, [stage(64, 16, 4_001_003)])
    assert plan.weights == {"code": 3_000_001.0, "tiny": 1_001.0, "web": 1_000_001.0}
    uses = {use.source: use for use in usage(corpus, plan)}
    assert sum(use.share for use in uses.values()) == pytest.approx(1)
    for name in ("code", "web"):
        assert uses[name].epochs == pytest.approx(1, rel=1e-3)
        assert uses[name].warning is None
    assert uses["tiny"].epochs == pytest.approx(1, rel=0.07)  # 16.4 parts of 65,536 became 16


def test_usage_counts_what_batches_draw(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"a": 500, "b": 300})
    plan = make_plan(corpus, [stage(16, 5, 900), stage(32, 3, 2000), stage(16, 2, 400)], {"a": 2, "b": 1})
    drawn = {"a": 0, "b": 0}
    from firn.tokens.batch import batch, total_steps, total_tokens

    for step in range(total_steps(plan)):
        one = batch(corpus, plan, step)
        for source in one.sources:
            drawn[source] += one.window
    uses = {use.source: use for use in usage(corpus, plan)}
    assert {name: use.tokens for name, use in uses.items()} == drawn
    assert sum(drawn.values()) == total_tokens(plan)
    assert uses["a"].available == 500
    assert Fraction(drawn["a"], sum(drawn.values())) == pytest.approx(2 / 3, abs=0.02)


def test_reading_a_source_often_is_warned_of_then_refused(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"a": 1_000, "b": 100_000})
    plan = make_plan(corpus, [stage(tokens=10_000)], {"a": 1, "b": 1})
    warnings = [use.warning for use in usage(corpus, plan)]
    assert warnings[0] is not None
    assert "a is read 5.0 times" in warnings[0]
    assert warnings[1] is None
    with pytest.raises(RecipeError, match=r"a would be read 19\.8 times, the limit is 16"):
        make_plan(corpus, [stage(tokens=40_000)], {"a": 1, "b": 1})
    assert make_plan(corpus, [stage(tokens=40_000)], {"a": 1, "b": 1}, max_epochs=30)


def test_wrong_weights_are_clear_errors(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"code": 1000, "web": 1000})
    with pytest.raises(RecipeError, match="did you mean 'web'") as raised:
        make_plan(corpus, [stage()], {"code": 1, "wbe": 1})
    assert raised.value.key == "sources.wbe.weight"
    with pytest.raises(RecipeError, match="'web' has no weight"):
        make_plan(corpus, [stage()], {"code": 1})
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(RecipeError, match="positive"):
            make_plan(corpus, [stage()], {"code": 1, "web": wrong})
    with pytest.raises(RecipeError, match="no documents"):
        make_plan(counting_corpus(tmp_path, {}), [stage()])


def test_a_source_shorter_than_a_window_is_a_clear_error(tmp_path: Path) -> None:
    corpus = counting_corpus(tmp_path, {"code": 1000, "web": 64})
    with pytest.raises(RecipeError, match="holds 64 training tokens, one window takes 65") as raised:
        make_plan(corpus, [stage(window=64)])
    assert raised.value.key == "sources.web"
    assert make_plan(counting_corpus(tmp_path, {"web": 65}), [stage(window=64, batch=1, tokens=64)])


def test_a_plan_survives_json() -> None:
    plan = BatchPlan(stages=(stage(),), weights={"a": 0.1, "b": 3.0}, seed=5, corpus="x")
    assert BatchPlan.model_validate_json(plan.model_dump_json()) == plan
    longer = plan.extended(stage(tokens=64))
    assert longer.stages[0] == plan.stages[0]
    assert len(longer.stages) == 2
