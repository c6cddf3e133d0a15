"""Spills: what a commit's metadata has no room for, and when it counts."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import CHARACTERS_MAX, Pointer, read_pointer
from pipeline.delivery.spill import BYTES_MAX, spill_of, with_spill


def large(ranges: int = 20_000, failing: int = 5_000, offset: int = 1_000) -> Pointer:
    return Pointer(
        epoch=7,
        owner="w1",
        offset=offset,
        finished=AckMap((offset + 2 * n + 1, offset + 2 * n + 2) for n in range(ranges)),
        attempts={offset + 2 * n: (3, 1_795_219_200) for n in range(failing)},
    )


def committed(pointer: Pointer) -> Pointer:
    """What its metadata alone tells."""
    read = read_pointer(pointer.offset, pointer.metadata())
    assert read is not None
    return read


def test_a_large_pointer_is_whole_again_with_its_spill() -> None:
    pointer = msgspec.structs.replace(large(), spilled_at=42)
    cut = committed(pointer)
    assert (pointer.fits(), cut.fits(), cut.spilled_at) == (False, True, 42)
    assert len(pointer.metadata()) <= CHARACTERS_MAX
    assert with_spill(cut, spill_of(pointer)) == pointer


def test_an_older_spill_of_the_same_owner_knows_less_and_nothing_wrong() -> None:
    spill = spill_of(large())
    later = Pointer(
        epoch=7, owner="w1", offset=1_101, finished=AckMap([(1_200, 1_300)]), attempts={1_110: (9, 5)}, spilled_at=42
    )
    found = with_spill(later, spill)
    assert all(first >= 1_101 for first, _ in found.finished.ranges)
    assert 1_250 in found.finished and 1_401 in found.finished and 1_400 not in found.finished
    assert found.attempts[1_110] == (9, 5), "the commit itself knows better"
    assert min(found.attempts) >= 1_101
    assert found.attempts[1_112] == (3, 1_795_219_200)


def test_a_spill_of_another_epoch_or_above_the_offset_counts_for_nothing() -> None:
    spill = spill_of(large())
    for other in (
        Pointer(epoch=8, owner="w1", offset=1_000),
        Pointer(epoch=6, owner="w1", offset=1_000),
        Pointer(epoch=7, owner="w1", offset=999),
    ):
        assert with_spill(other, spill) == other
    pointer = Pointer(epoch=7, owner="w1", offset=1_000)
    assert with_spill(pointer, None) == pointer


def test_a_spill_is_cut_at_its_bound_from_the_end() -> None:
    pointer = Pointer(
        epoch=7,
        owner="w1",
        offset=0,
        finished=AckMap((n * 10**7, n * 10**7 + 9 * 10**6) for n in range(1, 100_000)),
        attempts=dict.fromkeys(range(100_000), (3, 1_795_219_200)),
    )
    spill = spill_of(pointer)
    assert BYTES_MAX - 100 < len(spill) <= BYTES_MAX
    found = with_spill(Pointer(epoch=7, owner="w1", offset=0), spill)
    assert found.finished.ranges == pointer.finished.ranges[: len(found.finished.ranges)]
    assert found.attempts.items() <= pointer.attempts.items()
    assert len(found.attempts) > 10_000


@given(st.binary(max_size=60))
def test_damaged_spills_claim_nothing_below_the_offset(spill: bytes) -> None:
    found = with_spill(Pointer(epoch=1, owner="w1", offset=5), spill)
    assert found.offset == 5
    assert all(first >= 5 for first, _ in found.finished.ranges)
    assert all(offset >= 5 for offset in found.attempts)


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=40), st.integers(0, 2**40))
def test_whatever_is_spilled_is_read_back(steps: list[tuple[int, int]], offset: int) -> None:
    ranges, end = [], offset
    for distance, length in steps:
        ranges.append((end + distance, end + distance + length))
        end += distance + length
    pointer = Pointer(epoch=3, owner="w1", offset=offset, finished=AckMap(ranges), attempts={offset: (1, 2)})
    assert with_spill(Pointer(epoch=3, owner="w1", offset=offset), spill_of(pointer)) == pointer
