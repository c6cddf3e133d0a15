"""Spans: sets of offsets as ascending ranges ``(first, until)`` that neither touch nor overlap. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Spans = tuple[tuple[int, int], ...]


def spans_of(offsets: Iterable[int]) -> Spans:
    """The spans that hold exactly these offsets."""
    return joined((offset, offset + 1) for offset in offsets)


def joined(ranges: Iterable[tuple[int, int]]) -> Spans:
    """The spans that hold what any of ``ranges`` does, in whatever order they come."""
    out: list[tuple[int, int]] = []
    for first, until in sorted(ranges):
        if first >= until:
            continue
        if out and first <= out[-1][1]:
            out[-1] = (out[-1][0], max(until, out[-1][1]))
        else:
            out.append((first, until))
    return tuple(out)


def cut(spans: Spans, first: int, until: int) -> Spans:
    """What of ``spans`` lies from ``first`` to ``until`` (exclusive)."""
    bounded = ((max(first, begin), min(until, end)) for begin, end in spans)
    return tuple((begin, end) for begin, end in bounded if begin < end)


def overlap(one: Spans, other: Spans) -> bool:
    """Whether an offset is in both."""
    at_one = at_other = 0
    while at_one < len(one) and at_other < len(other):
        (first, until), (begin, end) = one[at_one], other[at_other]
        if first < end and begin < until:
            return True
        if until <= end:
            at_one += 1
        else:
            at_other += 1
    return False


def holds(spans: Spans, offset: int) -> bool:
    at = bisect_right(spans, offset, key=_first) - 1
    return at >= 0 and offset < spans[at][1]


def count(spans: Spans) -> int:
    """How many offsets they hold."""
    return sum(until - first for first, until in spans)


def _first(span: tuple[int, int]) -> int:
    return span[0]
