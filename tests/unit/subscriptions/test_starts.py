"""Start positions: written once, and where two processes write them at once, nothing is passed over."""

from __future__ import annotations

import pytest

from pipeline.faces import At, Partition
from pipeline.subscriptions.standing import commit_start
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog

GROUP, PLACE = "app.hook", ("orders", 0)


class Beside(FakeAdmin):
    """An admin in whose look-up of ends another process begins the same subscription, and an event comes."""

    def __init__(self, log: MemoryLog, offsets: FakeOffsets) -> None:
        super().__init__(log, offsets)
        self.memory, self.pointers, self.busy = log, offsets, False

    async def offsets(self, partitions: list[Partition], at: At) -> dict[Partition, int]:
        if not self.busy:
            self.busy = True
            admin = FakeAdmin(self.memory, self.pointers)
            await commit_start(GROUP, await admin.describe(["orders"]), "latest", admin=admin, offsets=self.pointers)
            self.memory.append("orders", b"made since", partition=0)
        return dict(await super().offsets(partitions, at))


@pytest.mark.parametrize("start", ["earliest", "latest"])
async def test_they_are_committed_once(start: str) -> None:
    log, offsets = MemoryLog(), FakeOffsets()
    log.create("orders", 2)
    log.append("orders", b"x", partition=0)
    admin = FakeAdmin(log, offsets)
    topics = await admin.describe(["orders"])
    assert await commit_start(GROUP, topics, start, admin=admin, offsets=offsets) == 2
    log.append("orders", b"x", partition=0)
    assert await commit_start(GROUP, topics, start, admin=admin, offsets=offsets) == 0
    assert offsets.committed[GROUP][PLACE].offset == (0 if start == "earliest" else 1)


async def test_what_came_after_another_process_began_is_not_passed_over() -> None:
    log, offsets = MemoryLog(), FakeOffsets()
    log.create("orders", 1)
    log.append("orders", b"before", partition=0)
    admin = Beside(log, offsets)
    assert await commit_start(GROUP, await admin.describe(["orders"]), "latest", admin=admin, offsets=offsets) == 0
    assert offsets.committed[GROUP][PLACE].offset == 1
