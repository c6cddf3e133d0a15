"""Rations: a bound on how often, and a count that misses nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline import ration
from pipeline.ration import Ration


def test_within_the_window_the_first_are_said_and_the_rest_counted() -> None:
    asked: Ration[str] = Ration(2, 1.0)
    assert [asked.ask("a", now) for now in (0.0, 0.1, 0.2, 0.9)] == [1, 1, 0, 0]
    assert asked.ask("b", 0.9) == 1
    assert asked.ask("a", 1.0) == 3


def test_what_was_counted_can_be_told_at_the_end() -> None:
    asked: Ration[str] = Ration(1, 1.0)
    assert [asked.ask("a", 0.0), asked.ask("a", 0.1)] == [1, 0]
    assert asked.left("a", 1.0) == 1
    assert asked.left("a", 1.0) == 0
    assert asked.ask("a", 1.5) == 0, "telling the rest counted as one of the new window"


def test_keys_are_bounded() -> None:
    asked: Ration[int] = Ration(1, 1.0)
    for key in range(ration.KEYS_MAX + 5):
        asked.ask(key, 0.0)
    assert asked.ask(0, 0.5) == 1, "the oldest was forgotten"
    assert asked.ask(ration.KEYS_MAX, 0.5) == 0


@given(st.lists(st.floats(0, 0.5), max_size=50), st.integers(1, 3))
def test_nothing_is_missed_and_no_second_holds_more_than_two_windows_do(steps: list[float], times: int) -> None:
    asked: Ration[str] = Ration(times, 1.0)
    now, told, said_at = 0.0, 0, []
    for step in steps:
        now += step
        if count := asked.ask("a", now):
            told += count
            said_at.append(now)
    assert told + asked.left("a", now) == len(steps)
    assert all(later - first >= 1.0 for first, later in zip(said_at, said_at[2 * times :], strict=False))
