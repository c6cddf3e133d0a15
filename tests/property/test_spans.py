"""Spans against plain sets of offsets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.subscription.spans import count, cut, holds, joined, spans_of

OFFSETS = st.sets(st.integers(0, 60), max_size=40)


@given(OFFSETS)
def test_they_hold_what_was_put_in_and_nothing_else(offsets: set[int]) -> None:
    spans = spans_of(offsets)
    assert {offset for offset in range(-1, 62) if holds(spans, offset)} == offsets
    assert count(spans) == len(offsets)
    assert all(until < first for (_, until), (first, _) in pairwise(spans))


@given(OFFSETS, OFFSETS)
def test_joining_is_the_union(left: set[int], right: set[int]) -> None:
    assert joined([*spans_of(left), *spans_of(right)]) == spans_of(left | right)


@given(OFFSETS, st.integers(0, 60), st.integers(0, 60))
def test_cutting_keeps_what_lies_between(offsets: set[int], first: int, until: int) -> None:
    assert cut(spans_of(offsets), first, until) == joined(
        (max(first, begin), min(until, end)) for begin, end in spans_of(offsets)
    )
    held = {offset for offset in range(61) if holds(cut(spans_of(offsets), first, until), offset)}
    assert held == {offset for offset in offsets if first <= offset < until}
