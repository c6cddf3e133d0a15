"""Committing: read back first, write only what is this worker's to write."""

from __future__ import annotations

import time

import msgspec
import pytest

from pipeline.delivery.pointer import Pointer, read_pointer
from pipeline.delivery.verdict import Reply
from pipeline.push import commits
from pipeline.push.commits import Committer
from pipeline.push.identity import TopicRecreated
from pipeline.push.pointers import PointerKeeper
from tests.fakes.bridge import FakeBridge, eventually, reading_of, row_of

T0, T1 = ("t", 0), ("t", 1)
GROUP = "app.hook"


class Bench(FakeBridge):
    """A run on both partitions of ``t``, claimed from offset 0."""

    async def begin(self, **settings: float) -> Committer:
        self.settings = msgspec.structs.replace(self.settings, **settings)
        await self.offsets.commit(GROUP, {T0: (0, None), T1: (0, None)})
        keeper = PointerKeeper(self.offsets, GROUP, "w1")
        self.it = self.run(reading_of(row_of(retry={"schedule_s": [60.0]})))
        topic_ids = {"t": (await self.catalog.get("t")).topic_id}
        committer = Committer(
            self.it, keeper, self.parts, self.settings, may_act=lambda _: self.may_act, topic_ids=topic_ids
        )
        for place, pointer in (await keeper.load([T0, T1], {"t": 2}, 1_000)).pointers.items():
            self.it.begin(place, pointer)
            committer.begun(place, time.monotonic())
        self.offsets.commits.clear()
        return committer

    async def deliver(self, count: int, *, partition: int = 0) -> None:
        self.append(*[b"x"] * count, partition=partition)
        for _ in range(count):
            await eventually(lambda: bool(self.sender.open))
            self.sender.answer()

    def stored(self, place: tuple[str, int] = T0) -> Pointer:
        offset, metadata = self.offsets.committed[GROUP][place]
        pointer = read_pointer(offset, metadata)
        assert pointer is not None
        return pointer


async def test_what_is_settled_is_committed_once() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    settled = await committer.settle()
    assert (settled.moved, settled.newer, settled.rewritten) == ({}, [], [])
    assert bench.offsets.commits == [(GROUP, {T0: 3})]
    assert (bench.stored().epoch, bench.stored().owner) == (1_000, "w1")
    await committer.settle()
    assert len(bench.offsets.commits) == 1
    assert bench.hooks.of("on_committed") == [(GROUP, 1)]


async def test_the_commit_never_passes_what_is_unfinished_and_knows_what_is_above() -> None:
    bench = Bench()
    committer = await bench.begin()
    bench.append(b"stuck", key=b"a")
    bench.append(b"done", b"done", key=b"b")
    await eventually(lambda: len(bench.sender.open) == 2)
    bench.sender.open.append(bench.sender.open.pop(0))
    bench.sender.answer()
    await eventually(lambda: len(bench.sender.open) == 2)
    bench.sender.open.reverse()
    bench.sender.answer()
    await committer.settle()
    assert bench.stored().offset == 0
    assert bench.stored().finished.ranges == ((1, 3),)


async def test_failed_attempts_are_committed_with_the_time_of_the_first() -> None:
    bench = Bench()
    committer = await bench.begin()
    bench.append(b"x")
    await eventually(lambda: bool(bench.sender.open))
    before = int(time.time())
    bench.sender.answer(Reply(500, None, 0.0))
    await committer.settle()
    ((offset, (count, first_failed_at)),) = bench.stored().attempts.items()
    assert (offset, count) == (0, 1)
    assert before - 1 <= first_failed_at <= time.time() + 1


async def test_a_moved_pointer_is_told_with_its_new_place_and_not_overwritten() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    await bench.deliver(1, partition=1)
    await bench.offsets.commit(GROUP, {T0: (1, None)})
    bench.offsets.commits.clear()
    assert (await committer.settle()).moved == {T0: 1}
    assert bench.offsets.commits == [(GROUP, {T1: 1})]


async def test_a_newer_owners_pointer_is_left_alone() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    await bench.offsets.commit(GROUP, {T0: (1, Pointer(epoch=2_000, owner="w2", offset=1).metadata())})
    bench.offsets.commits.clear()
    assert (await committer.settle()).newer == [T0]
    assert bench.offsets.commits == []


async def test_an_older_owners_late_commit_is_written_over_even_where_nothing_happened() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.offsets.commit(GROUP, {T0: (9, Pointer(epoch=999, owner="w0", offset=9).metadata())})
    await committer.settle()
    assert (bench.stored().offset, bench.stored().owner) == (0, "w1")


async def test_a_deleted_pointer_is_written_again_from_memory() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    await committer.settle()
    del bench.offsets.committed[GROUP][T0]
    assert (await committer.settle()).rewritten == [T0]
    assert bench.stored().offset == 3


async def test_a_pointer_that_went_with_its_topic_is_not_written_into_the_next_one() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    bench.offsets.committed.clear()
    bench.log.delete("t")
    bench.log.create("t", 2)
    bench.offsets.commits.clear()
    with pytest.raises(TopicRecreated):
        await committer.settle()
    assert bench.offsets.commits == []


async def test_the_pointer_of_a_topic_that_is_gone_is_not_written_again() -> None:
    """What was delivered since is not committed either: made again meanwhile, the next topic would believe it."""
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    bench.offsets.committed.clear()
    bench.log.delete("t")
    assert (await committer.settle()).rewritten == []
    assert bench.offsets.committed == {}


async def test_who_may_not_act_neither_reads_back_nor_commits() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    bench.may_act = False
    bench.offsets.read = None  # type: ignore[method-assign,assignment]
    assert await committer.settle() == ({}, [], [])
    assert bench.offsets.commits == []


async def test_an_unchanged_pointer_is_touched_after_a_while() -> None:
    bench = Bench()
    committer = await bench.begin(touch_s=0.001)
    await eventually(lambda: time.monotonic() > 0)
    time_up = time.monotonic() + 0.002
    await eventually(lambda: time.monotonic() > time_up)
    await committer.settle()
    assert bench.offsets.commits == [(GROUP, {T0: 0, T1: 0})]


async def test_after_a_walk_that_took_long_it_rests_unless_it_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "MAP_COST_S", 0.0)
    monkeypatch.setattr(commits, "MAP_SHARE", 1e-9)
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(1)
    await committer.settle()
    await bench.deliver(1)
    await committer.settle()
    assert bench.offsets.commits == [(GROUP, {T0: 1})]
    assert bench.it.pump.changed, "it is settled soon"
    await committer.settle(at_last=True)
    assert bench.offsets.commits == [(GROUP, {T0: 1}), (GROUP, {T0: 2})]


async def test_a_forgotten_place_is_not_committed() -> None:
    bench = Bench()
    committer = await bench.begin()
    await bench.deliver(3)
    committer.forget(T0)
    await committer.settle()
    assert bench.offsets.commits == []
