"""Spans: what sets of offsets do, as ranges; held against sets, of all there are of six offsets."""

from __future__ import annotations

from itertools import chain, combinations

from pipeline.subscription.spans import count, cut, holds, joined, overlap, spans_of

SETS = [frozenset(one) for one in chain.from_iterable(combinations(range(6), size) for size in range(7))]


def test_spans_hold_exactly_their_offsets() -> None:
    for one in SETS:
        spans = spans_of(one)
        assert {at for at in range(-1, 7) if holds(spans, at)} == one and count(spans) == len(one)
        assert cut(spans, 1, 4) == spans_of(at for at in one if 1 <= at < 4)


def test_two_overlap_where_they_share_an_offset() -> None:
    for one in SETS:
        for other in SETS:
            assert overlap(spans_of(one), spans_of(other)) == bool(one & other)
            assert joined((*spans_of(one), *spans_of(other))) == spans_of(one | other)
