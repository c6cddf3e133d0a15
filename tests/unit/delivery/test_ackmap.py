"""What is finished above a watermark, and its compact text."""

from __future__ import annotations

import pytest

from pipeline.delivery.ackmap import AckMap, decode_ackmap, decode_varints, encode_varint, finished_between
from pipeline.errors import FormatUnreadable


def test_ranges_that_touch_or_overlap_are_one() -> None:
    assert AckMap([(1, 3), (3, 5), (4, 6), (8, 9)]).ranges == ((1, 6), (8, 9))


def test_a_range_inside_another_adds_nothing() -> None:
    assert AckMap([(1, 9), (2, 4)]).ranges == ((1, 9),)


def test_empty_ranges_are_left_out() -> None:
    assert AckMap([(4, 4), (7, 6)]).ranges == ()
    assert not AckMap([(4, 4)])


@pytest.mark.parametrize(
    ("offset", "inside"), [(0, False), (1, True), (2, True), (3, False), (7, False), (8, True), (9, False)]
)
def test_a_range_holds_its_first_offset_and_not_its_end(offset: int, inside: bool) -> None:
    assert (offset in AckMap([(1, 3), (8, 9)])) is inside


def test_maps_of_the_same_ranges_are_equal() -> None:
    assert AckMap([(1, 2), (2, 3)]) == AckMap([(1, 3)])
    assert hash(AckMap([(1, 2), (2, 3)])) == hash(AckMap([(1, 3)]))
    assert AckMap([(1, 3)]) != AckMap([(1, 4)])
    assert repr(AckMap([(1, 3)])) == "AckMap([(1, 3)])"


@pytest.mark.parametrize(
    ("offset", "ranges"),
    [(0, ((1, 4), (8, 9))), (2, ((2, 4), (8, 9))), (4, ((8, 9),)), (9, ())],
)
def test_the_part_above_an_offset_starts_there(offset: int, ranges: tuple[tuple[int, int], ...]) -> None:
    assert AckMap([(1, 4), (8, 9)]).above(offset).ranges == ranges


def test_the_text_is_distances_and_lengths() -> None:
    # 105 is 5 from the base and 3 long, 110 is 2 from 108 and 200 long: 05 03 02 c8 01
    assert AckMap([(105, 108), (110, 310)]).encode(100, 100) == "BQMCyAE"


def test_the_text_is_read_back_at_its_base() -> None:
    assert decode_ackmap("BQMCyAE", 100) == AckMap([(105, 108), (110, 310)])


def test_no_text_is_no_range() -> None:
    assert AckMap().encode(5, 100) == ""
    assert decode_ackmap("", 5) == AckMap()


@pytest.mark.parametrize(("characters_max", "kept"), [(0, 0), (2, 0), (3, 1), (5, 1), (6, 2), (8, 3), (100, 5)])
def test_ranges_that_do_not_fit_are_dropped_from_the_end(characters_max: int, kept: int) -> None:
    ranges = [(2 * n, 2 * n + 1) for n in range(1, 6)]
    text = AckMap(ranges).encode(0, characters_max)
    assert len(text) <= characters_max
    assert decode_ackmap(text, 0) == AckMap(ranges[:kept])


def test_a_range_below_the_base_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="negative"):
        AckMap([(3, 5)]).encode(4, 100)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AQ", id="a distance without a length"),
        pytest.param("A", id="no base64"),
        pytest.param("A!AQ", id="a foreign character"),
        pytest.param("AQé", id="not ASCII"),
        pytest.param("gA", id="a varint that does not end"),
        pytest.param("gICAgICAgICAgAEB", id="a varint of eleven bytes"),
    ],
)
def test_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FormatUnreadable):
        decode_ackmap(text, 0)


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")]
)
def test_a_varint_is_unsigned_leb128(number: int, encoded: str) -> None:
    assert encode_varint(number).hex() == encoded


def test_varints_are_read_one_after_the_other() -> None:
    assert decode_varints("AKwCAQ") == [0, 300, 1]


@pytest.mark.parametrize(
    ("unfinished", "expected"),
    [
        ([], [(10, 20)]),
        ([10], [(11, 20)]),
        ([19], [(10, 19)]),
        ([12, 13, 17], [(10, 12), (14, 17), (18, 20)]),
    ],
)
def test_between_unfinished_offsets_all_is_finished(unfinished: list[int], expected: list[tuple[int, int]]) -> None:
    assert list(finished_between(unfinished, 10, 20)) == expected


def test_nothing_lies_between_the_same_two_ends() -> None:
    assert list(finished_between([], 10, 10)) == []
