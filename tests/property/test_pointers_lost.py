"""Pointers that are lost: whoever loads a group never guesses where a partition goes on that had a start."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pipeline.push.pointers import PointerKeeper
from pipeline.subscriptions.standing import commit_start
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog

Place = tuple[str, int]


class Group:
    """A group of one topic, with its start committed, and workers that claim what they are given."""

    def __init__(self, partitions: int) -> None:
        self.offsets, self.log = FakeOffsets(), MemoryLog()
        self.log.create("t", partitions)
        self.admin = FakeAdmin(self.log, self.offsets)
        self.now_ms = 1_000
        for number in range(partitions):
            self.log.append("t", b"", partition=number)

    async def start(self) -> None:
        await commit_start("g", await self.admin.describe(["t"]), "latest", admin=self.admin, offsets=self.offsets)

    @property
    def places(self) -> list[Place]:
        return [("t", number) for number in range(len(self.log.topics["t"].partitions))]

    async def load(self, wanted: list[Place]) -> tuple[set[Place], set[Place]]:
        """By a worker that knows nothing yet: what it begins, and what it misses."""
        self.now_ms += 1
        keeper = PointerKeeper(self.offsets, "g", f"w{self.now_ms}")
        loaded = await keeper.load(wanted, {"t": len(self.places)}, self.now_ms)
        assert all(pointer.offset in (0, 1) for pointer in loaded.pointers.values())
        return set(loaded.pointers), set(loaded.missing)


async def history(data: st.DataObject, partitions: int) -> None:
    group = Group(partitions)
    await group.start()
    started = set(group.places)
    for act in data.draw(st.lists(st.sampled_from(["claim", "add", "reset"]), max_size=6), "acts"):
        if act == "claim":
            wanted = data.draw(st.lists(st.sampled_from(group.places), min_size=1, unique=True), "claimed")
            assert await group.load(wanted) == (set(wanted), set()), "nothing was lost"
        elif act == "add":
            await group.admin.add_partitions("t", len(group.places) + 1)
        else:
            # As a stock tool does it, of one partition: others still tell how many there are.
            place = data.draw(st.sampled_from(sorted(started)), "reset")
            if len(started) > 1 and place != min(started):
                await group.offsets.commit("g", {place: (0, None)})
    keeps = min(started)
    lost = set(data.draw(st.lists(st.sampled_from(group.places), unique=True), "lost")) - {keeps}
    for place in lost:
        group.offsets.committed["g"].pop(place, None)
    begun, missing = await group.load(group.places)
    assert lost & started <= missing, "a start that is gone is never guessed"
    assert not missing & (started - lost), "what is there is found"
    assert begun | missing == set(group.places)


@given(st.data(), st.integers(1, 5))
def test_a_start_that_is_gone_is_never_guessed(data: st.DataObject, partitions: int) -> None:
    asyncio.run(history(data, partitions))
