"""Learning rates by step, against formulas written down another way."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firn.train.schedule import ScheduleSettings, learning_rate, momentum

KINDS = ("wsd", "cosine", "linear", "inverse-sqrt", "constant")


def course(steps: int, **settings: object) -> list[float]:
    made = ScheduleSettings.model_validate(settings)
    return [learning_rate(made, step, steps) for step in range(steps)]


def test_wsd_rises_stays_and_falls_to_one_step_before_its_floor() -> None:
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1.0, 0.8, 0.6, 0.4]
    assert course(10, kind="wsd", warmup=3, decay=0.4, floor=0.2) == pytest.approx(expected)


def test_cosine_is_half_a_cosine_after_the_warmup() -> None:
    found = course(12, kind="cosine", warmup=2, floor=0.1)
    assert found[:2] == pytest.approx([1 / 3, 2 / 3])
    assert found[2:] == pytest.approx([0.1 + 0.9 * math.cos(math.pi * n / 20) ** 2 for n in range(10)])


def test_linear_is_a_straight_line_after_the_warmup() -> None:
    assert course(5, kind="linear", warmup=1) == pytest.approx([0.5, 1.0, 0.75, 0.5, 0.25])


def test_inverse_sqrt_halves_when_steps_are_four_times_as_many() -> None:
    found = course(1000, kind="inverse-sqrt", warmup=10, floor=0.15)
    assert found[9] == pytest.approx(10 / 11)  # the last step of the warm-up
    assert found[39] == pytest.approx(0.5)
    assert found[159] == pytest.approx(0.25)
    assert found[999] == 0.15
    assert course(4, kind="inverse-sqrt", warmup=0) == pytest.approx([1, 2**-0.5, 3**-0.5, 0.5])


@given(
    kind=st.sampled_from(KINDS),
    warmup=st.integers(0, 50),
    decay=st.floats(0, 1),
    floor=st.floats(0, 1),
    steps=st.integers(1, 200),
)
def test_every_course_rises_then_never_rises_again(
    kind: str, warmup: int, decay: float, floor: float, steps: int
) -> None:
    found = course(steps, kind=kind, warmup=warmup, decay=decay, floor=floor)
    assert all(0 < factor <= 1 for factor in found[:warmup])
    assert all(0 <= factor <= 1 for factor in found)
    after = found[warmup:]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(after))
    assert all(factor >= floor - 1e-12 for factor in after)


def test_momentum_warms_up_in_a_straight_line() -> None:
    found = [momentum(step, first=0.85, last=0.95, warmup=4) for step in range(6)]
    assert found == pytest.approx([0.85, 0.875, 0.9, 0.925, 0.95, 0.95])
