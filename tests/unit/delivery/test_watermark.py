"""How far a partition's cursor may go."""

from __future__ import annotations

import pytest

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.watermark import RANGES_MAX, Watermark


def received(*offsets: int, start: int = 0, restored: AckMap | None = None) -> Watermark:
    mark = Watermark(start, restored)
    for offset in offsets:
        mark.receive(offset)
    return mark


def test_before_anything_is_read_the_position_is_where_reading_begins() -> None:
    assert Watermark(7).position == 7


def test_the_position_is_the_lowest_unfinished_offset() -> None:
    mark = received(3, 4, 9)
    assert mark.position == 3
    mark.finish(4)
    assert mark.position == 3
    mark.finish(3)
    assert mark.position == 9


def test_when_all_is_finished_the_position_is_the_next_offset() -> None:
    mark = received(3, 9)
    mark.finish(9)
    mark.finish(3)
    assert mark.position == 10


def test_a_gap_neither_stalls_nor_is_counted() -> None:
    mark = received(0, 1_000_000)
    mark.finish(0)
    assert mark.position == 1_000_000


def test_control_records_at_the_end_are_passed() -> None:
    mark = received(0)
    mark.advance(5)
    mark.finish(0)
    assert mark.position == 5


def test_advancing_never_goes_back() -> None:
    mark = received(4)
    mark.advance(2)
    assert mark.next_offset == 5


def test_an_offset_is_received_once() -> None:
    with pytest.raises(ValueError, match="offset 4 received after 4"):
        received(4, 4)


def test_an_offset_is_finished_once() -> None:
    mark = received(4)
    mark.finish(4)
    with pytest.raises(KeyError):
        mark.finish(4)


def test_what_an_earlier_owner_finished_is_not_received_again() -> None:
    mark = Watermark(0, AckMap([(2, 4)]))
    assert [offset for offset in range(6) if mark.receive(offset)] == [0, 1, 4, 5]
    assert mark.position == 0


def test_the_map_says_what_is_finished_above_the_position() -> None:
    mark = received(0, 1, 2, 5, 6)
    mark.finish(1)
    mark.finish(5)
    # 3 and 4 hold no record and never will: they are as good as finished.
    assert mark.finished_above() == AckMap([(1, 2), (3, 6)])


def test_what_an_earlier_owner_finished_stays_known_until_it_is_read() -> None:
    mark = received(0, 1, restored=AckMap([(1, 3), (8, 9)]))
    assert mark.finished_above() == AckMap([(1, 3), (8, 9)])
    mark.advance(20)
    assert mark.finished_above() == AckMap([(1, 20)])


def test_a_map_has_no_more_ranges_than_could_be_written() -> None:
    mark = received(*range(0, 4 * RANGES_MAX, 2))
    assert len(mark.finished_above().ranges) == RANGES_MAX
