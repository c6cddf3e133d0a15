"""Pointers: where reading begins, and what is committed."""

from __future__ import annotations

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import Pointer
from pipeline.errors import BrokerUnavailable
from pipeline.push.findings import Finding
from pipeline.push.pointers import PointerKeeper
from pipeline.subscriptions.standing import commit_start
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog

T0, T1, T2 = ("t", 0), ("t", 1), ("t", 2)
NOW_MS = 1_000


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
    assert offsets.committed["g"][T0].metadata == keeper.last[T0].metadata()
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


class FakeSpills:
    """Spills in memory, and the order of what was written where."""

    def __init__(self) -> None:
        self.written: list[tuple[str, tuple[str, int], bytes]] = []
        self.dropped: list[tuple[str, tuple[str, int]]] = []
        self.down = False

    async def write(self, group: str, place: tuple[str, int], spill: bytes, /) -> int:
        if self.down:
            raise BrokerUnavailable("away")
        self.written.append((group, place, spill))
        return len(self.written) - 1

    async def read(self, group: str, place: tuple[str, int], offset: int, /) -> bytes | None:
        if offset >= len(self.written) or self.written[offset][:2] != (group, place):
            return None
        return self.written[offset][2]

    def drop(self, group: str, place: tuple[str, int], /) -> None:
        self.dropped.append((group, place))


def large(offset: int = 0) -> Pointer:
    finished = AckMap((offset + 2 * n + 1, offset + 2 * n + 2) for n in range(5_000))
    return Pointer(epoch=NOW_MS, owner="w1", offset=offset, finished=finished, attempts={offset: (3, 9)})


async def claimed(offsets: FakeOffsets, spills: FakeSpills, clock: list[float]) -> PointerKeeper:
    await offsets.commit("g", {T0: (0, None)})
    keeper = PointerKeeper(offsets, "g", "w1", spills=spills, now=lambda: clock[0])
    await keeper.load([T0], {"t": 1}, NOW_MS)
    return keeper


async def test_what_does_not_fit_is_found_again_by_the_next_owner() -> None:
    offsets, spills = FakeOffsets(), FakeSpills()
    keeper = await claimed(offsets, spills, [0.0])
    assert spills.written == [], "what fits is not spilled"
    await keeper.commit({T0: large()})
    heir = PointerKeeper(offsets, "g", "w2", spills=spills)
    loaded = await heir.load([T0], {"t": 1}, NOW_MS + 5)
    assert loaded.pointers[T0].finished == large().finished
    assert loaded.pointers[T0].attempts == {0: (3, 9)}
    assert len(spills.written) == 2, "the claim spills under its own epoch"


async def test_a_commit_names_only_a_spill_that_was_acknowledged() -> None:
    offsets, spills = FakeOffsets(), FakeSpills()
    keeper = await claimed(offsets, spills, [0.0])
    told: list[Exception] = []
    keeper._on_error = told.append
    spills.down = True
    await keeper.commit({T0: large()})
    assert (keeper.last[T0].spilled_at, len(told)) == (None, 1)
    assert offsets.committed["g"][T0].offset == 0, "the commit went on without"
    spills.down = False
    await keeper.commit({T0: large()})
    assert keeper.last[T0].spilled_at == 0


async def test_spills_are_written_once_a_second_and_dropped_when_everything_fits() -> None:
    offsets, spills, clock = FakeOffsets(), FakeSpills(), [0.0]
    keeper = await claimed(offsets, spills, clock)
    for clock[0] in (0.0, 0.3, 0.9, 1.0):
        await keeper.commit({T0: large()})
    assert (len(spills.written), keeper.last[T0].spilled_at) == (2, 1)
    assert not keeper.owes_spill(T0)
    await keeper.commit({T0: large()})
    assert not keeper.owes_spill(T0), "not yet"
    keeper.spill_afresh()
    assert keeper.owes_spill(T0)
    await keeper.commit({T0: large()})
    assert (len(spills.written), keeper.last[T0].spilled_at) == (3, 2), "the last one knows everything"
    assert spills.dropped == []
    await keeper.commit({T0: Pointer(epoch=NOW_MS, owner="w1", offset=10_002)})
    assert (keeper.last[T0].spilled_at, spills.dropped) == (None, [("g", T0)])


async def test_a_tools_reset_leaves_the_spill_behind() -> None:
    offsets, spills = FakeOffsets(), FakeSpills()
    keeper = await claimed(offsets, spills, [0.0])
    await keeper.commit({T0: large()})
    kept = offsets.committed["g"][T0].metadata
    for offset, metadata in ((4, ""), (4, kept)):
        await offsets.commit("g", {T0: (offset, metadata)})
        loaded = await PointerKeeper(offsets, "g", "w2", spills=spills).load([T0], {"t": 1}, NOW_MS + 5)
        assert (loaded.pointers[T0].offset, loaded.pointers[T0].finished) == (4, AckMap())


async def test_the_highest_partitions_do_not_vanish_unnoticed() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (1, None), T1: (2, None), T2: (3, None)})
    await PointerKeeper(offsets, "g", "w1").load([T0, T1, T2], {"t": 3}, NOW_MS)
    del offsets.committed["g"][T2], offsets.committed["g"][T1]
    loaded = await PointerKeeper(offsets, "g", "w2").load([T0, T1, T2], {"t": 3}, NOW_MS)
    assert (list(loaded.pointers), loaded.missing) == ([T0], [T1, T2])


async def test_the_highest_starts_do_not_vanish_unnoticed_before_anybody_claimed_one() -> None:
    offsets, log = FakeOffsets(), MemoryLog()
    log.create("t", 3)
    admin = FakeAdmin(log, offsets)
    await commit_start("g", await admin.describe(["t"]), "latest", admin=admin, offsets=offsets)
    del offsets.committed["g"][T2]
    loaded = await PointerKeeper(offsets, "g", "w1").load([T0, T1, T2, ("t", 3)], {"t": 4}, NOW_MS)
    assert (set(loaded.pointers), loaded.missing) == ({T0, T1, ("t", 3)}, [T2])
    assert loaded.pointers[T0] == Pointer(epoch=NOW_MS, owner="w1", offset=0), "what is claimed has a worker's epoch"


async def test_a_partition_added_later_counts_for_those_who_did_not_claim_it() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (1, None), T1: (2, None)})
    ours, theirs = PointerKeeper(offsets, "g", "w1"), PointerKeeper(offsets, "g", "w2")
    await ours.load([T0, T1], {"t": 2}, NOW_MS)
    assert (await theirs.load([T2], {"t": 3}, NOW_MS)).pointers[T2].offset == 0
    await ours.find([T0])
    await ours.commit({T0: ours.last[T0]})
    del offsets.committed["g"][T2]
    assert (await PointerKeeper(offsets, "g", "w3").load([T2], {"t": 3}, NOW_MS)).missing == [T2]


async def test_what_was_taken_away_while_it_was_read_is_left_alone() -> None:
    offsets = FakeOffsets()
    await offsets.commit("g", {T0: (5, ""), T1: (7, "")})
    loaded = await PointerKeeper(offsets, "g", "w1").load(
        [T0, T1], {"t": 2}, NOW_MS, may_claim=lambda place: place == T1
    )
    assert (set(loaded.pointers), loaded.missing) == ({T1}, [])
    assert (await offsets.read("g", [T0]))[T0].metadata == ""
