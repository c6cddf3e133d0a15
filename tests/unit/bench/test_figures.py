"""The bench's table: a figure says whether its target was reached, and what was not measured is named."""

from __future__ import annotations

import re

import pytest

from bench.figures import Figure, Report, median_of, table
from bench.latency import paired


@pytest.mark.parametrize(
    ("figure", "reached"),
    [
        (Figure(what="x", value=2.0, at_most=2.0), True),
        (Figure(what="x", value=2.01, at_most=2.0), False),
        (Figure(what="x", value=90, at_least=90), True),
        (Figure(what="x", value=89.9, at_least=90), False),
        (Figure(what="x", value=89.9), None),
    ],
)
def test_a_target_is_reached_up_to_its_very_value(figure: Figure, reached: bool | None) -> None:
    assert figure.reached is reached


def test_a_line_shows_the_median_how_far_rounds_lie_apart_and_the_target() -> None:
    figure = median_of("p99", [30.0, 9.0, 14.24], unit="ms", at_most=15)
    shown = table([Report(bench="part", told={}, figures=[figure])])
    assert re.split(r"  +", shown[1]) == ["part: p99", "14.2 ms", "9 to 30", "≤ 15", "reached"]


def test_what_was_skipped_and_what_must_not_be_stand_under_the_table() -> None:
    report = Report(bench="part", told={}, figures=[], faults=["lost: 3"], skipped=["go (not here)"])
    assert table([report])[1:] == ["skipped: go (not here)", "fault: part: lost: 3"]


def test_times_are_paired_event_by_event() -> None:
    ms = 1_000_000
    told = paired({1 * ms: 4 * ms, 2 * ms: 9 * ms}, [(1 * ms, 6 * ms), (2 * ms, 8 * ms), (3 * ms, 99 * ms)])
    assert told["timed"] == 2
    assert (told["delivered_p99_ms"], told["acked_p99_ms"]) == (6.0, 7.0)
    assert (told["after_p50_ms"], told["after_p99_ms"]) == (2.0, 2.0)
