"""A segment is complete from its base to its end, bounded, and gives memory back at once."""

from __future__ import annotations

import pytest

from pipeline.kafka.reading.segment import PACKED_RECORDS, Held, Segment
from pipeline.record import Record


def record(offset: int) -> Record:
    return Record("orders", 0, offset, 0, None, b"x")


def filled(held: Held, *offsets: int, base: int = 0, each_bytes: int = 100) -> Segment:
    """One chunk per offset: they are too big to be packed."""
    segment = Segment(base, held)
    for offset in offsets:
        segment.append([record(offset)], offset + 1, each_bytes)
    return segment


@pytest.fixture
def held() -> Held:
    return Held(bytes_max=1000)


def test_it_covers_what_lies_between_its_base_and_its_next_offset(held: Held) -> None:
    segment = filled(held, 5, 8, base=3)
    assert [segment.covers(at) for at in (2, 3, 6, 9, 10)] == [False, True, True, True, False]


def test_an_offset_without_a_record_leads_to_the_next_record(held: Held) -> None:
    segment = filled(held, 5, 8)
    place = segment.locate(6)
    assert place is not None
    assert place[0].records[place[1]].offset == 8


def test_a_record_is_found_by_its_offset_only(held: Held) -> None:
    segment = filled(held, 5, 8)
    assert segment.find(8) == record(8)
    assert segment.find(6) is None
    assert segment.find(9) is None


def test_records_out_of_order_are_refused(held: Held) -> None:
    segment = filled(held, 5)
    with pytest.raises(AssertionError):
        segment.append([record(5)], 6, 1)


def test_the_end_never_goes_back(held: Held) -> None:
    segment = filled(held, 5)
    segment.advance(9)
    segment.advance(7)
    assert segment.next_offset == 9


def test_a_gap_is_not_stretched_by_what_comes_after_it(held: Held) -> None:
    segment = filled(held, 5)
    segment.append_gap(20)
    segment.advance(25)
    place = segment.locate(6)
    assert place is not None
    assert (place[0].gap, place[0].base, place[0].next_offset) == (True, 6, 20)


def test_records_that_trickle_in_share_chunks(held: Held) -> None:
    roomy = Held(bytes_max=10**9)
    segment = filled(roomy, *range(PACKED_RECORDS), each_bytes=1)
    first, last = segment.locate(0), segment.locate(PACKED_RECORDS - 1)
    assert first is not None
    assert last is not None
    assert first[0] is last[0]


def test_trimming_evicts_the_oldest_and_moves_the_base(held: Held) -> None:
    segment = filled(held, 1, 2, 3, 4)
    segment.trim(200)
    assert (segment.base, segment.bytes, held.bytes) == (3, 200, 200)


def test_trimming_keeps_what_has_not_been_passed(held: Held) -> None:
    segment = filled(held, 1, 2, 3, 4)
    segment.trim(0, passed_bytes=200)
    assert segment.base == 3


def test_the_last_chunk_stays_however_big_it_is(held: Held) -> None:
    segment = filled(held, 1, each_bytes=10**6)
    segment.trim(10)
    held.trim()
    assert segment.find(1) == record(1)


def test_all_segments_together_evict_the_oldest_wherever_it_lies(held: Held) -> None:
    first, second = filled(held, 1, each_bytes=600), filled(held, 1, each_bytes=300)
    first.append([record(2)], 3, 300)
    held.trim()
    assert held.bytes == 600
    assert (first.find(1), first.find(2), second.find(1)) == (None, record(2), record(1))


def test_an_evicted_chunk_holds_no_memory(held: Held) -> None:
    segment = filled(held, 1, 2)
    place = segment.locate(1)
    assert place is not None
    segment.evict_front()
    assert (place[0].dead, place[0].records, place[0].following) == (True, [], None)


def test_dropping_gives_everything_back(held: Held) -> None:
    filled(held, 1, 2, 3).drop()
    assert held.bytes == 0
