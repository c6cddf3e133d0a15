"""Pointers: round trips, and everything else that may be found where a pointer should be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import CHARACTERS_MAX, PREFIX, Pointer, is_ours, read_pointer

OFFSETS = st.integers(0, 2**62)
OWNERS = st.text("abcXYZ019-_", min_size=1, max_size=100)


@st.composite
def pointers(draw: st.DrawFn, ranges_max: int = 30) -> Pointer:
    offset = draw(OFFSETS)
    steps = draw(st.lists(st.tuples(st.integers(1, 2**20), st.integers(1, 2**20)), max_size=ranges_max))
    ranges, end = [], offset
    for distance, length in steps:
        ranges.append((end + distance, end + distance + length))
        end = ranges[-1][1]
    failing = st.integers(offset, offset + 2**30)
    return Pointer(
        epoch=draw(st.integers(0, 10**17)),
        owner=draw(OWNERS),
        offset=offset,
        finished=AckMap(ranges),
        attempts=draw(st.dictionaries(failing, st.tuples(st.integers(0, 70), st.integers(0, 2**33)), max_size=20)),
    )


@given(pointers(), st.text(max_size=200))
def test_a_pointer_is_read_back_whatever_the_client_leaves_behind_it(pointer: Pointer, garbage: str) -> None:
    text = pointer.metadata()
    assert text.isascii() and len(text) <= CHARACTERS_MAX
    assert read_pointer(pointer.offset, text) == pointer
    assert read_pointer(pointer.offset, text + "\0" + garbage) == pointer


@given(pointers(), OFFSETS)
def test_at_another_offset_nothing_but_the_fence_counts(pointer: Pointer, offset: int) -> None:
    found = read_pointer(offset, pointer.metadata())
    assert found is not None
    assert (found.epoch, found.owner, found.offset) == (pointer.epoch, pointer.owner, offset)
    if offset != pointer.offset:
        assert not found.finished and not found.attempts


@given(pointers(), st.data())
def test_a_text_cut_short_is_no_pointer(pointer: Pointer, data: st.DataObject) -> None:
    text = pointer.metadata()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    assert read_pointer(pointer.offset, cut) is None
    assert is_ours(cut) == (len(cut) >= len(PREFIX))


@given(st.none() | st.text(max_size=300) | st.from_regex(r"\Aep1\.[ -~]{0,80}"), OFFSETS)
def test_foreign_metadata_never_moves_the_cursor(metadata: str | None, offset: int) -> None:
    found = read_pointer(offset, metadata)
    assert found is None or found.offset == offset


@given(pointers(), st.data())
def test_a_damaged_text_claims_nothing_below_its_offset(pointer: Pointer, data: st.DataObject) -> None:
    text = list(pointer.metadata())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.characters())
    found = read_pointer(pointer.offset, "".join(text))
    if found is not None:
        assert found.offset == pointer.offset
        assert all(first >= pointer.offset for first, _ in found.finished.ranges)
        assert all(offset >= pointer.offset for offset in found.attempts)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 2**40))
def test_however_much_is_known_the_text_fits(ranges: int, failing: int, step: int) -> None:
    finished = AckMap((2 * n * step, (2 * n + 1) * step) for n in range(1, ranges))
    pointer = Pointer(
        epoch=1, owner="a", offset=0, finished=finished, attempts={n * step: (3, 2**31) for n in range(failing)}
    )
    text = pointer.metadata()
    assert len(text) <= CHARACTERS_MAX
    found = read_pointer(0, text)
    assert found is not None
    assert found.finished.ranges == finished.ranges[: len(found.finished.ranges)]
    assert found.attempts.items() <= pointer.attempts.items()
