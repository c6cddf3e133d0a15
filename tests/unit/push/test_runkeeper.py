"""RunKeeper: partitions taken, let go and lost, and what is told when others touch the cursor."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import Pointer
from pipeline.errors import BrokerUnavailable, PositionBeyondEnd
from pipeline.kafka.catalog import Catalog
from pipeline.push.identity import TopicRecreated
from pipeline.push.runkeeper import RunKeeper
from pipeline.subscription import StoredRun
from tests.fakes.bridge import FakeBridge, eventually, reading_of

T0, T1 = ("t", 0), ("t", 1)
GROUP = "app.hook"


class Bench(FakeBridge):
    def __init__(self) -> None:
        super().__init__()
        self.owned = {T0, T1}

    def keeper(self, stored: StoredRun | None = None) -> RunKeeper:
        reading = reading_of(None, stored)
        return RunKeeper(
            reading,
            self.run(reading),
            self.parts,
            self.settings,
            may_act=lambda _: self.may_act,
            still_owned=lambda place: place in self.owned,
        )

    async def taken(self, **offsets: int) -> RunKeeper:
        """A keeper of both partitions from their committed offsets, 0 unless given as ``t0`` and ``t1``."""
        await self.offsets.commit(GROUP, {T0: (offsets.get("t0", 0), None), T1: (offsets.get("t1", 0), None)})
        keeper = self.keeper()
        assert await keeper.take([T0, T1]) == []
        return keeper

    async def deliver(self, count: int) -> None:
        for _ in range(count):
            await eventually(lambda: bool(self.sender.open))
            self.sender.answer()

    def at(self, place: tuple[str, int] = T0) -> int:
        return self.offsets.committed[GROUP][place].offset


async def test_delivery_begins_at_the_pointer_and_what_is_begun_is_not_begun_again() -> None:
    bench = Bench()
    bench.append(b"0", b"1", b"2")
    keeper = await bench.taken(t0=2)
    await eventually(lambda: bool(bench.sender.sent))
    assert await keeper.take([T0, T1]) == []
    assert [record.value for record, _ in bench.sender.sent] == [b"2"]
    assert keeper.places == {T0, T1}


async def test_more_of_a_topic_that_was_made_again_is_not_taken() -> None:
    """Offsets of the old one say nothing of it."""
    bench = Bench()
    keeper = await bench.taken()
    keeper.lose([T1])
    bench.log.delete("t")
    bench.log.create("t", 2)
    with pytest.raises(TopicRecreated):
        await keeper.take([T1])
    assert keeper.places == {T0}


async def test_a_cursor_moved_in_a_topic_that_was_made_again_just_now_is_not_followed() -> None:
    """What is remembered of the topic may be older: under its id the new events would go as others."""
    bench = Bench()
    bench.catalog = cast("Any", Catalog(bench.admin))
    bench.append(b"0", b"1")
    keeper = await bench.taken(t0=2)
    bench.log.delete("t")
    bench.log.create("t", 2)
    bench.append(b"another")
    await bench.offsets.commit(GROUP, {T0: (0, None)})
    with pytest.raises(TopicRecreated):
        await keeper.settle()
    assert bench.sender.sent == []
    assert (bench.at(), bench.offsets.committed[GROUP][T0].metadata) == (0, None)


async def test_a_missing_pointer_is_returned_and_nothing_is_begun_there() -> None:
    bench = Bench()
    await bench.offsets.commit(GROUP, {T1: (0, None)})
    keeper = bench.keeper()
    assert await keeper.take([T0, T1, ("other", 0)]) == [T0]
    assert keeper.places == {T1}


async def test_a_partition_taken_away_meanwhile_is_not_begun() -> None:
    bench = Bench()
    bench.owned = {T1}
    keeper = await bench.taken()
    assert keeper.places == {T1}
    assert list(keeper.keeper.last) == [T1]


async def test_a_worker_whose_lease_ran_out_while_it_read_claims_nothing_and_says_so() -> None:
    bench = Bench()
    bench.may_act = False
    with pytest.raises(BrokerUnavailable, match=r"app\.hook: the lease ran out while pointers were read"):
        await bench.taken(t0=7)
    assert (bench.at(), bench.offsets.committed[GROUP][T0].metadata) == (7, None)


async def test_letting_go_commits_what_is_delivered_and_breaks_off_what_hangs() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    keeper = await bench.taken()
    await bench.deliver(1)
    await eventually(lambda: bool(bench.sender.open))
    await keeper.let_go([T0], 0.0)
    assert (bench.at(), bench.sender.aborted, keeper.places) == (1, 1, {T1})


async def test_who_leaves_forgets_nothing_until_the_broker_has_taken_its_pointers() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    keeper = await bench.taken()
    await bench.deliver(1)
    bench.offsets.fail = BrokerUnavailable("no answer")
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            await keeper.leave()
    assert (bench.at(), keeper.places) == (0, {T0, T1})
    bench.offsets.fail = None
    await keeper.leave()
    assert (bench.at(), keeper.places) == (1, set())


async def test_who_leaves_gives_up_what_it_lost_with_its_lease() -> None:
    bench = Bench()
    bench.append(b"0")
    keeper = await bench.taken()
    await bench.deliver(1)
    bench.offsets.fail = BrokerUnavailable("no answer")
    bench.may_act = False
    await keeper.leave()
    assert (bench.at(), keeper.places) == (0, set())


async def test_who_leaves_begins_nothing_that_a_tool_moved() -> None:
    bench = Bench()
    keeper = await bench.taken()
    await bench.offsets.commit(GROUP, {T0: (0, None)})
    keeper.is_leaving = True
    assert await keeper.settle() == []
    assert keeper.places == {T1}


async def test_losing_commits_nothing() -> None:
    bench = Bench()
    bench.append(b"0")
    keeper = await bench.taken()
    await bench.deliver(1)
    keeper.lose([T0])
    await keeper.let_go([T0], 0.0)
    assert (bench.at(), keeper.places) == (0, {T1})


async def test_a_log_that_lost_what_was_delivered_is_not_begun() -> None:
    """An unclean election: the events that will lie at those offsets are others."""
    bench = Bench()
    bench.append(b"0", b"1")
    before = Pointer(epoch=1, owner="w0", offset=1, finished=AckMap([(2, 3)]))
    await bench.offsets.commit(GROUP, {T0: (1, before.metadata()), T1: (0, None)})
    keeper = bench.keeper()
    with pytest.raises(PositionBeyondEnd, match="t/0: the log ends at 2 now, it did reach to 3"):
        await keeper.take([T0, T1])
    assert keeper.places == set()
    bench.append(b"2")
    assert await keeper.take([T0, T1]) == []


async def test_a_cursor_moved_by_a_tool_is_followed_and_told() -> None:
    bench = Bench()
    bench.append(b"0", b"1", b"2")
    keeper = await bench.taken()
    await bench.deliver(3)
    assert await keeper.settle() == []
    await bench.offsets.commit(GROUP, {T0: (1, None)})
    bench.sender.sent.clear()
    assert await keeper.settle() == []
    await eventually(lambda: bool(bench.sender.sent))
    assert bench.sender.sent[0][0].value == b"1"
    assert bench.hooks.of("on_moved") == [(GROUP, "t", 0, 1)]
    assert bench.audited() == [
        {"who": "w1", "what": "cursor-moved", "name": GROUP, "topic": "t", "partition": 0, "to": 1}
    ]


async def test_a_newer_owner_is_given_way_to() -> None:
    bench = Bench()
    keeper = await bench.taken()
    newer = Pointer(epoch=2**45, owner="w2", offset=0)
    await bench.offsets.commit(GROUP, {T0: (0, newer.metadata())})
    assert await keeper.settle() == []
    assert keeper.places == {T1}
    assert bench.hooks.of("on_fenced") == [(GROUP,)]
    assert [line["what"] for line in bench.audited()] == ["fenced"]


async def test_a_pointer_written_again_is_told() -> None:
    bench = Bench()
    keeper = await bench.taken()
    bench.offsets.committed[GROUP].pop(T1)
    assert await keeper.settle() == []
    assert bench.at(T1) == 0
    assert [(line["what"], line["partition"]) for line in bench.audited()] == [("pointer-rewritten", 1)]


async def test_partitions_added_later_get_a_partition_for_their_dead_letters() -> None:
    bench = Bench()
    await bench.taken()
    await bench.admin.add_partitions("t", 5)
    keeper = bench.keeper()
    assert await keeper.take([("t", 4)]) == []
    assert len(bench.log.topics["app.hook.dlq"].partitions) == 5


async def test_without_a_dead_letter_topic_delivery_begins_and_it_is_told() -> None:
    bench = Bench()
    bench.log.delete("app.hook.dlq")
    keeper = await bench.taken()
    assert keeper.places == {T0, T1}
    assert len(bench.hooks.of("on_consumer_error")) == 1


@pytest.mark.parametrize("reached", [True, False])
async def test_a_bounded_reading_is_through_when_all_its_partitions_are_whoever_owned_them(reached: bool) -> None:
    bench = Bench()
    stored = StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 2), 1: (0, 3)}})
    group = "app.hook.replay.r"
    await bench.offsets.commit(group, {T0: (0, None), T1: (3 if reached else 2, None)})
    bench.append(b"0", b"1")
    keeper = bench.keeper(stored)
    bench.owned = {T0}
    await keeper.take([T0])
    assert not await keeper.is_through()
    await bench.deliver(2)
    await keeper.settle()
    assert await keeper.is_through() is reached


async def test_a_window_that_its_log_reaches_no_more_is_told() -> None:
    """Nothing would ever end such a run."""
    bench = Bench()
    stored = StoredRun(id="r", subscription="hook", kind="replay", window={"t": {0: (0, 2)}})
    await bench.offsets.commit("app.hook.replay.r", {T0: (0, None)})
    bench.append(b"0", b"1")
    keeper = bench.keeper(stored)
    await keeper.take([T0])
    await keeper.check_window()
    bench.log.topics["t"].partitions[0].end = 1
    with pytest.raises(PositionBeyondEnd):
        await keeper.check_window()


async def test_a_live_reading_is_never_through() -> None:
    assert not await (await Bench().taken()).is_through()
