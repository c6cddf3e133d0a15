"""Headroom: how near retention is to what was not delivered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.push.headroom import Retention, Span, headroom_ratio, is_low, retention_of

FOREVER, DAY, SIZED = Retention(None, by_size=False), Retention(86_400, by_size=False), Retention(None, by_size=True)


@pytest.mark.parametrize(
    ("config", "retention"),
    [
        ({"cleanup.policy": "delete", "retention.ms": "86400000", "retention.bytes": "-1"}, DAY),
        ({"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "1000"}, SIZED),
        ({"cleanup.policy": "compact", "retention.ms": "86400000", "retention.bytes": "1000"}, FOREVER),
        ({"cleanup.policy": "compact,delete", "retention.ms": "86400000"}, DAY),
        ({}, FOREVER),
    ],
)
def test_retention_is_what_the_topic_keeps(config: dict[str, str], retention: Retention) -> None:
    assert retention_of(config) == retention


@pytest.mark.parametrize(
    ("span", "retention", "ratio"),
    [
        (Span(0, 100, 100, 0.0), DAY, 1.0),
        (Span(100, 100, 100, 0.0), SIZED, 1.0),
        (Span(0, 50, 100, 21_600.0), DAY, 0.75),
        (Span(0, 50, 100, 90_000.0), DAY, 0.0),
        (Span(0, 50, 100, 90_000.0), FOREVER, 1.0),
        (Span(0, 0, 100, 0.0), SIZED, 1.0),
        (Span(40, 60, 140, 0.0), SIZED, 0.2),
        (Span(40, 30, 140, 0.0), SIZED, 0.0),
        (Span(40, 60, 140, 86_400 * 0.9), Retention(86_400, by_size=True), pytest.approx(0.1)),
    ],
)
def test_the_ratio_is_what_retention_leaves(span: Span, retention: Retention, ratio: float) -> None:
    assert headroom_ratio(span, retention) == ratio


def test_a_warning_that_began_lasts_until_there_is_more_room() -> None:
    low, told = False, []
    for ratio in (0.9, 0.51, 0.49, 0.55, 0.49, 0.6, 0.55, 0.4):
        low = is_low(ratio, low)
        told.append(low)
    assert told == [False, False, True, True, True, False, False, True]


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.floats(0, 1e9), st.none() | st.floats(0, 1e6))
def test_the_ratio_is_one_whatever_is_found(
    start: int, committed: int, end: int, lag_s: float, for_s: float | None
) -> None:
    assert 0.0 <= headroom_ratio(Span(start, committed, end, lag_s), Retention(for_s, by_size=True)) <= 1.0
