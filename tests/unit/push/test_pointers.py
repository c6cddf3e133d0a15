"""Pointers: what a committed value means to the worker that last wrote it, and where reading begins."""

from __future__ import annotations

import pytest

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import Pointer
from pipeline.push.pointers import Finding, PointerKeeper, added_later, judge
from tests.fakes.admin import FakeOffsets

MINE = Pointer(epoch=10, owner="w1", offset=50)
T0, T1, T2 = ("t", 0), ("t", 1), ("t", 2)
NOW_MS = 1_000


def metadata(epoch: int, owner: str, offset: int) -> str:
    return Pointer(epoch=epoch, owner=owner, offset=offset).metadata()


@pytest.mark.parametrize(
    ("found", "finding"),
    [
        (None, Finding.MISSING),
        ((50, MINE.metadata()), Finding.MINE),
        ((50, MINE.metadata() + "garbage read past the end"), Finding.MINE),
        ((60, metadata(10, "w1", 60)), Finding.MINE),
        ((0, None), Finding.MOVED),
        ((50, None), Finding.MOVED),
        ((50, ""), Finding.MOVED),
        ((50, "another client's"), Finding.MOVED),
        ((50, "ep1.not readable"), Finding.MOVED),
        ((7, MINE.metadata()), Finding.MOVED),
        ((50, metadata(11, "w2", 50)), Finding.NEWER),
        ((50, metadata(10, "w2", 50)), Finding.NEWER),
        ((50, metadata(11, "w1", 50)), Finding.NEWER),
        ((7, metadata(11, "w2", 50)), Finding.NEWER),
        ((50, metadata(9, "w2", 50)), Finding.STALE),
        ((50, metadata(9, "w1", 50)), Finding.STALE),
        ((7, metadata(9, "w2", 50)), Finding.MOVED),
    ],
)
def test_what_is_found_decides(found: tuple[int, str | None] | None, finding: Finding) -> None:
    """A tool's reset has no metadata of ours, or keeps it beneath another offset; an epoch tells old from new."""
    assert judge(found, MINE) is finding


@pytest.mark.parametrize(
    ("partition", "committed", "is_new"), [(3, [0, 1, 2], True), (1, [0, 2], False), (0, [], False)]
)
def test_only_a_number_above_all_committed_ones_was_added_later(
    partition: int, committed: list[int], is_new: bool
) -> None:
    assert added_later(partition, committed) is is_new


async def test_loading_claims_under_a_new_epoch_and_keeps_what_was_known() -> None:
    offsets = FakeOffsets()
    left = Pointer(epoch=5_000, owner="w0", offset=7, finished=AckMap([(9, 11)]), attempts={7: (2, 99)})
    await offsets.commit("g", {T0: (7, left.metadata()), T1: (3, None)})
    keeper = PointerKeeper(offsets, "g", "w1")
    loaded = await keeper.load([T0, T1], {"t": 2}, NOW_MS)
    assert loaded.missing == []
    assert loaded.pointers[T0] == Pointer(
        epoch=5_001, owner="w1", offset=7, finished=AckMap([(9, 11)]), attempts={7: (2, 99)}
    )
    assert loaded.pointers[T1] == Pointer(epoch=NOW_MS, owner="w1", offset=3)
    assert offsets.committed["g"][T0].metadata == loaded.pointers[T0].metadata()
    assert keeper.epoch_of(T1) == NOW_MS


async def test_metadata_of_another_base_counts_for_nothing_but_its_epoch() -> None:
    offsets = FakeOffsets()
    left = Pointer(epoch=5_000, owner="w0", offset=70, finished=AckMap([(90, 110)]), attempts={70: (2, 99)})
    await offsets.commit("g", {T0: (7, left.metadata())})
    loaded = await PointerKeeper(offsets, "g", "w1").load([T0], {"t": 1}, NOW_MS)
    assert loaded.pointers[T0] == Pointer(epoch=5_001, owner="w1", offset=7)


async def test_a_missing_pointer_is_told_and_not_guessed() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None), T2: (8, None)})
    loaded = await PointerKeeper(offsets, "g", "w1").load([T0, T1, T2], {"t": 3}, NOW_MS)
    assert (list(loaded.pointers), loaded.missing) == ([T0, T2], [T1])
    assert T1 not in offsets.committed["g"]


async def test_a_partition_added_later_starts_at_0() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None), T1: (8, None)})
    loaded = await PointerKeeper(offsets, "g", "w1").load([T2], {"t": 3}, NOW_MS)
    assert loaded.pointers[T2].offset == 0


async def test_a_count_older_than_the_partition_does_not_hide_its_pointer() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None), T2: (800, None)})
    loaded = await PointerKeeper(offsets, "g", "w1").load([T2], {"t": 1}, NOW_MS)
    assert loaded.pointers[T2].offset == 800


async def test_no_partition_is_ever_added_to_a_bounded_reading() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None)})
    loaded = await PointerKeeper(offsets, "g", "w1", grows=False).load([T0, T1], {"t": 2}, NOW_MS)
    assert loaded.missing == [T1]


async def test_two_workers_see_each_other() -> None:
    """The later claim makes the earlier owner's look-up say NEWER, and its own say STALE of a late commit."""
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None)})
    old, new = PointerKeeper(offsets, "g", "w1"), PointerKeeper(offsets, "g", "w2")
    before = (await old.load([T0], {"t": 1}, NOW_MS)).pointers[T0]
    await new.load([T0], {"t": 1}, NOW_MS)
    assert await old.find([T0]) == {T0: (Finding.NEWER, 7)}
    await offsets.commit("g", {T0: (9, Pointer(epoch=before.epoch, owner="w1", offset=9).metadata())})
    assert await new.find([T0]) == {T0: (Finding.STALE, 9)}


async def test_what_was_forgotten_is_not_looked_for() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (7, None)})
    keeper = PointerKeeper(offsets, "g", "w1")
    await keeper.load([T0], {"t": 1}, NOW_MS)
    assert await keeper.find([T0]) == {T0: (Finding.MINE, 7)}
    keeper.forget([T0, T1])
    assert await keeper.find([T0]) == {}
