"""Ack map and varints: round trips, hostile text."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.ackmap import AckMap, decode_ackmap, decode_varints, encode_varint, finished_between
from pipeline.errors import FormatUnreadable

OFFSETS = st.sets(st.integers(0, 200))
LARGE = st.integers(0, 2**62)


def as_map(offsets: set[int]) -> AckMap:
    return AckMap((offset, offset + 1) for offset in sorted(offsets))


@given(OFFSETS)
def test_a_map_holds_exactly_what_was_put_into_it(offsets: set[int]) -> None:
    made = as_map(offsets)
    assert {offset for offset in range(-1, 203) if offset in made} == offsets
    assert all(until < first for (_, until), (first, _) in zip(made.ranges, made.ranges[1:], strict=False))


@given(OFFSETS, st.integers(0, 205))
def test_the_part_above_holds_what_lies_above(offsets: set[int], base: int) -> None:
    assert as_map(offsets).above(base) == as_map({offset for offset in offsets if offset >= base})


@given(st.lists(st.tuples(LARGE, st.integers(1, 2**40)), max_size=40), LARGE)
def test_a_map_is_read_back_as_it_was_written(pairs: list[tuple[int, int]], base: int) -> None:
    ranges, end = [], base
    for distance, length in pairs:
        ranges.append((end + distance, end + distance + length))
        end = ranges[-1][1]
    made = AckMap(ranges)
    assert decode_ackmap(made.encode(base, 100_000), base) == made


@given(OFFSETS, st.integers(0, 60))
def test_a_map_cut_short_is_a_part_of_itself(offsets: set[int], characters_max: int) -> None:
    made = as_map(offsets)
    text = made.encode(0, characters_max)
    assert len(text) <= characters_max
    kept = decode_ackmap(text, 0).ranges
    assert kept == made.ranges[: len(kept)]


@given(st.text(max_size=60) | st.text("AZaz09-_", max_size=60), LARGE)
def test_any_text_is_a_map_or_refused(text: str, base: int) -> None:
    try:
        made = decode_ackmap(text, base)
    except FormatUnreadable:
        return
    assert all(base <= first < until for first, until in made.ranges)
    assert decode_ackmap(made.encode(base, 100_000), base) == made


@given(st.lists(st.integers(0, 2**69), max_size=20))
def test_varints_are_read_back_as_they_were_written(numbers: list[int]) -> None:
    body = b"".join(map(encode_varint, numbers))
    assert decode_varints(urlsafe_b64encode(body).rstrip(b"=").decode()) == numbers


@given(OFFSETS, st.integers(0, 210), st.integers(0, 50))
def test_between_two_offsets_each_is_finished_or_not(unfinished: set[int], first: int, length: int) -> None:
    until = first + length
    inside = sorted(offset for offset in unfinished if first <= offset < until)
    finished = AckMap(finished_between(inside, first, until))
    assert all((offset in finished) == (offset not in unfinished) for offset in range(first, until))
    assert first - 1 not in finished and until not in finished
