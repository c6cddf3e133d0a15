"""Resets: planned partition by partition, clamped only when allowed, written until a worker has taken them up."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.errors import DeclarationInvalid
from pipeline.subscriptions import ResetAsked, Resets, WouldClamp
from tests.fakes.house import GatewayHouse

GROUP = "app.hook"
DECLARED: dict[str, Any] = {
    "topics": ["orders"],
    "start": "earliest",
    "endpoint": {"url": "https://hooks.example.org/in"},
}


@pytest.fixture
async def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    for number in range(20):
        house.log.now_ms += 60_000
        house.log.append("orders", b"x", partition=number % 2)
    await house.subscriptions.put("hook", DECLARED)
    await house.offsets.commit(GROUP, {("orders", 0): (4, None), ("orders", 1): (6, None)})
    return house


class Workers:
    """What a worker does between two looks at the pointer."""

    def __init__(self, house: GatewayHouse) -> None:
        self.house, self.looks, self.writes_over = house, 0, 0
        house.offsets.active.add("app._bridge")
        self.epoch = 5
        self.resets = Resets(
            house.subscriptions, house.admin, house.offsets, bridge_group="app._bridge", sleep=self.sleep
        )

    async def begin(self) -> None:
        await self.write({0: 4, 1: 6})

    async def write(self, offsets: dict[int, int]) -> None:
        for number, offset in offsets.items():
            text = Pointer(epoch=self.epoch, owner="w1", offset=offset).metadata()
            await self.house.offsets.commit(GROUP, {("orders", number): (offset, text)})

    async def sleep(self, _seconds: float) -> None:
        self.looks += 1
        if self.looks <= self.writes_over:
            await self.write({0: 5, 1: 7})
        elif self.looks == self.writes_over + 2:
            self.epoch += 1
            found = self.house.offsets.committed[GROUP]
            await self.write({number: found["orders", number].offset for number in (0, 1)})


async def plan(house: GatewayHouse, **asked: Any) -> list[tuple[int | None, int, int]]:
    made = await house.resets.plan("hook", ResetAsked(**asked))
    return [(part.before, part.to, part.count) for part in made.parts]


async def test_a_plan_says_of_each_partition_from_to_and_how_many_and_moves_nothing(house: GatewayHouse) -> None:
    commits = len(house.offsets.commits)
    assert await plan(house, to="earliest") == [(4, 0, -4), (6, 0, -6)]
    assert await plan(house, to="latest") == [(4, 10, 6), (6, 10, 4)]
    assert await plan(house, shift=-2) == [(4, 2, -2), (6, 4, -2)]
    assert await plan(house, offsets={"orders": {1: 9}}) == [(6, 9, 3)]
    assert len(house.offsets.commits) == commits


async def test_a_time_leads_to_the_first_record_not_older(house: GatewayHouse) -> None:
    record = house.log.topics["orders"].partitions[0].records[7]
    seconds = (record.timestamp_ms - 1_795_219_200_000) // 1000
    at = f"2026-11-21T00:{seconds // 60:02d}:00Z"
    assert [to for _, to, _ in await plan(house, to=at)] == [7, 7]


async def test_a_plan_tells_the_times_of_the_first_and_the_last_record_between(house: GatewayHouse) -> None:
    made = await house.resets.plan("hook", ResetAsked(to="earliest"))
    records = house.log.topics["orders"].partitions[0].records
    first = made.parts[0]
    assert (first.first_time_ms, first.last_time_ms) == (records[0].timestamp_ms, records[3].timestamp_ms)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"to": "latest"}, "--topic orders --to-latest --execute"),
        ({"to": "2026-11-21T01:00:00+01:00"}, "--topic orders --to-datetime 2026-11-21T00:00:00.000 --execute"),
        ({"shift": -1}, "--topic orders --shift-by -1 --execute"),
        ({"offsets": {"orders": {1: 9}}}, "--topic orders:1 --to-offset 9 --execute"),
    ],
)
async def test_the_same_is_told_in_the_words_of_kafkas_own_tool(
    house: GatewayHouse, asked: dict[str, Any], words: str
) -> None:
    (command,) = (await house.resets.plan("hook", ResetAsked(**asked))).commands
    assert command.startswith("kafka-consumer-groups ") and f"--group {GROUP} --reset-offsets" in command
    assert command.endswith(words)


async def test_what_the_log_does_not_reach_is_an_error_unless_clamps_are_allowed(house: GatewayHouse) -> None:
    house.log.trim("orders", 0, 3)
    with pytest.raises(WouldClamp) as caught:
        await house.resets.reset("hook", ResetAsked(shift=-5))
    assert [one.field for one in caught.value.problems] == ["/offsets/orders/0"]
    assert house.offsets.committed[GROUP]["orders", 0].offset == 4
    done = await house.resets.reset("hook", ResetAsked(shift=-5, allow_clamp=True))
    assert [(part.to, part.clamped is not None) for part in done.plan.parts] == [(3, True), (1, False)]
    assert house.offsets.committed[GROUP]["orders", 0].offset == 3


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "/to"),
        ({"to": "latest", "shift": 1}, "/to"),
        ({"to": "yesterday"}, "/to"),
        ({"shift": 2**63}, "/shift"),
        ({"offsets": {"orders": {0: -1}}}, "/offsets/orders/0"),
    ],
)
def test_what_is_asked_must_be_one_thing_that_can_be_meant(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        ResetAsked(**asked)
    assert caught.value.field == field


async def test_partitions_that_are_not_its_own_are_named(house: GatewayHouse) -> None:
    with pytest.raises(DeclarationInvalid, match="/offsets/orders/2"):
        await house.resets.plan("hook", ResetAsked(offsets={"orders": {2: 0}}))


async def test_a_shift_needs_pointers_and_an_offset_mends_a_missing_one(house: GatewayHouse) -> None:
    del house.offsets.committed[GROUP]["orders", 1]
    with pytest.raises(DeclarationInvalid, match="orders/1 has no pointer"):
        await house.resets.plan("hook", ResetAsked(shift=1))
    await house.resets.reset("hook", ResetAsked(offsets={"orders": {1: 2}}))
    assert house.offsets.committed[GROUP]["orders", 1].offset == 2


async def test_without_a_worker_it_is_done_at_once_and_written_down(house: GatewayHouse) -> None:
    assert (await house.resets.reset("hook", ResetAsked(to="earliest"))).taken_up
    committed = house.offsets.committed[GROUP]
    assert [(one.offset, one.metadata) for one in committed.values()] == [(0, None), (0, None)]
    (line,) = house.audit.of("pointer-reset")
    assert line == {"who": None, "before": {"orders/0": 4, "orders/1": 6}, "after": {"orders/0": 0, "orders/1": 0}}
    assert house.happenings.of("pointer-moved")


@pytest.mark.parametrize("writes_over", [0, 1, 3])
async def test_a_worker_that_writes_over_it_does_not_win(house: GatewayHouse, writes_over: int) -> None:
    workers = Workers(house)
    await workers.begin()
    workers.writes_over = writes_over
    assert (await workers.resets.reset("hook", ResetAsked(to="earliest"))).taken_up
    assert {one.offset for one in house.offsets.committed[GROUP].values()} == {0}


async def test_a_worker_that_never_looks_is_told_of(house: GatewayHouse) -> None:
    workers = Workers(house)
    await workers.begin()
    workers.looks = 10
    done = await workers.resets.reset("hook", ResetAsked(to="earliest"))
    assert not done.taken_up
    assert {one.offset for one in house.offsets.committed[GROUP].values()} == {0}
