"""The mark beside a cursor's committed offsets, and when they must be committed again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pull.mark import Mark, moved_at_ms, needs_keeping, parse_mark

HOUR_MS = 3_600_000
times = st.integers(0, 10**15 - 1)


@given(times, times, st.text(max_size=40))
def test_a_mark_is_read_back_whatever_follows_it(moved: int, kept: int, garbage: str) -> None:
    assert parse_mark(Mark(moved, kept).text() + garbage) == Mark(moved, kept)


@pytest.mark.parametrize("text", [None, "", "pc1:1:2", "pc1:a:2.", "kp:1:2.", "\0pc1:1:2.", "pc1:1."])
def test_what_is_no_mark_is_none(text: str | None) -> None:
    assert parse_mark(text) is None


@pytest.mark.parametrize(
    ("kept_at_ms", "now_ms", "needed"),
    [
        ([1000], 1000 + HOUR_MS - 1, False),
        ([1000], 1000 + HOUR_MS, True),
        ([1000, 1000 + HOUR_MS], 1000 + HOUR_MS, True),
        ([], 10 * HOUR_MS, False),
    ],
)
def test_offsets_are_kept_when_the_oldest_is_due(kept_at_ms: list[int], now_ms: int, needed: bool) -> None:
    assert needs_keeping([Mark(0, at) for at in kept_at_ms], now_ms, HOUR_MS) is needed


def test_an_offset_that_a_tool_put_there_is_kept_because_its_age_is_unknown() -> None:
    assert needs_keeping([Mark(0, 1000), None], 1000, HOUR_MS)


def test_a_cursor_was_moved_when_its_last_partition_was() -> None:
    assert moved_at_ms([Mark(5, 9), Mark(7, 9), None]) == 7
    assert moved_at_ms([None]) is None
