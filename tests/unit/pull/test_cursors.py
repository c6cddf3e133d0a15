"""NamedCursors: a position under a name, kept by Kafka, moved by commits, never guessed."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.errors import (
    Conflict,
    CursorEpochChanged,
    CursorMalformed,
    CursorNotFound,
    DeclarationInvalid,
    GroupActive,
    PipelineError,
    VersionConflict,
)
from pipeline.kafka.offsets import Committed
from pipeline.pull import PointerMissing, Wanted
from tests.fakes.bridge import Told
from tests.fakes.house import GatewayHouse

DECLARED = {"topics": ["orders"], "start": "earliest"}
GROUP = "app.mine"


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    for number in range(6):
        house.log.append("orders", b"%d" % number, partition=number % 2)
    return house


def committed(house: GatewayHouse) -> dict[int, int]:
    return {number: found.offset for (_, number), found in sorted(house.offsets.committed[GROUP].items())}


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", {0: 0, 1: 0}), ("latest", {0: 3, 1: 3}), ("2020-01-01T00:00:00Z", {0: 0, 1: 0})],
)
async def test_the_start_is_committed_once_for_every_partition(
    house: GatewayHouse, start: str, expected: dict[int, int]
) -> None:
    status, created = await house.cursors.put("mine", {"topics": ["orders"], "start": start})
    assert created
    assert committed(house) == expected
    assert {one.partition: one.committed for one in status.partitions} == expected
    assert len(house.offsets.commits) == 1


async def test_a_token_is_a_start(house: GatewayHouse) -> None:
    page = await house.reader.read("orders", "earliest", Wanted(limit=2))
    await house.cursors.put("mine", {"topics": ["orders"], "start": page.next_cursor})
    assert (await house.cursors.get("mine")).cursor == page.next_cursor


async def test_the_same_declaration_again_moves_nothing(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    page = await house.cursors.read("mine", Wanted())
    await house.cursors.commit("mine", page.next_cursor)
    status, created = await house.cursors.put("mine", DECLARED)
    assert not created and status.cursor == page.next_cursor


async def test_another_declaration_is_a_conflict(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    with pytest.raises(Conflict, match="another topic or start"):
        await house.cursors.put("mine", {**DECLARED, "start": "latest"})


async def test_offsets_that_the_group_has_are_kept(house: GatewayHouse) -> None:
    await house.offsets.commit(GROUP, {("orders", 1): (2, None)})
    await house.cursors.put("mine", DECLARED)
    assert committed(house) == {0: 0, 1: 2}


@pytest.mark.parametrize(
    ("declared", "pointer"),
    [
        ({}, "/topics"),
        ({"topics": []}, "/topics"),
        ({"topics": ["orders", "others"]}, "/topics"),
        ({"topics": "orders"}, "/topics"),
        ({"topics": ["absent"]}, "/topics/0"),
        ({"topics": ["_pipeline-runs"]}, "/topics/0"),
        ({"topics": ["a b"]}, "/topics/0"),
        ({"topics": [7]}, "/topics/0"),
        ({**DECLARED, "start": "monday"}, "/start"),
        ({**DECLARED, "acknowledge": "auto"}, "/acknowledge"),
    ],
)
async def test_what_cannot_be_declared_is_named(house: GatewayHouse, declared: dict[str, object], pointer: str) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        await house.cursors.put("mine", declared)
    assert caught.value.field in (pointer, "/")
    assert GROUP not in house.offsets.committed


async def test_a_name_that_is_a_subscriptions_is_taken(house: GatewayHouse) -> None:
    await house.subscriptions.put("mine", {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/"}})
    with pytest.raises(Conflict, match="is a subscription"):
        await house.cursors.put("mine", DECLARED)


async def test_a_group_that_a_native_client_holds_is_left_alone(house: GatewayHouse) -> None:
    house.offsets.active.add(GROUP)
    with pytest.raises(GroupActive):
        await house.cursors.put("mine", DECLARED)
    with pytest.raises(CursorNotFound):
        await house.cursors.get("mine")


async def test_reading_moves_nothing_committing_does(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    page = await house.cursors.read("mine", Wanted(limit=4))
    assert len(page.events) == 4
    assert len((await house.cursors.read("mine", Wanted(limit=4))).events) == 4
    assert await house.cursors.commit("mine", page.next_cursor) is True
    assert len((await house.cursors.read("mine", Wanted())).events) == 2
    assert (await house.cursors.get("mine")).partitions[0].lag == 1


async def test_committing_where_it_stands_advances_nothing(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    page = await house.cursors.read("mine", Wanted())
    await house.cursors.commit("mine", page.next_cursor)
    assert await house.cursors.commit("mine", page.next_cursor) is False


async def test_backwards_needs_force(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    start = (await house.cursors.get("mine")).cursor
    await house.cursors.commit("mine", (await house.cursors.read("mine", Wanted())).next_cursor)
    with pytest.raises(Conflict, match="backwards"):
        await house.cursors.commit("mine", start)
    assert await house.cursors.commit("mine", start, force=True) is True
    assert committed(house) == {0: 0, 1: 0}


async def test_making_a_cursor_and_forcing_it_are_audited_and_reading_on_is_not(house: GatewayHouse) -> None:
    told = Told()
    house.cursors._notes = told
    await house.cursors.put("mine", DECLARED)
    await house.cursors.put("mine", DECLARED)
    start = (await house.cursors.get("mine")).cursor
    await house.cursors.commit("mine", (await house.cursors.read("mine", Wanted())).next_cursor)
    await house.cursors.commit("mine", start, force=True)
    assert told.all == [
        ("cursor-created", "mine", {"before": None, "after": {**DECLARED, "topics": ("orders",)}}),
        ("cursor-forced", "mine", {"topic": "orders", "before": {"0": 3, "1": 3}, "after": {"0": 0, "1": 0}}),
    ]


async def test_a_token_of_some_partitions_moves_only_those(house: GatewayHouse) -> None:
    await house.cursors.put("mine", {**DECLARED, "start": "latest"})
    answer = await house.call("POST", "/v1/topics/orders/events", headers={"event-key": "b"}, body=b"x")
    place = answer.json()
    await house.cursors.commit("mine", place["cursor"])
    assert committed(house) == {place["partition"]: 4, 1 - place["partition"]: 3}


async def test_a_commit_based_on_an_old_position_is_refused(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    before = await house.cursors.get("mine")
    first = await house.cursors.read("mine", Wanted(limit=2))
    await house.cursors.commit("mine", first.next_cursor, if_match=before.version)
    with pytest.raises(VersionConflict, match="moved since"):
        await house.cursors.commit("mine", first.next_cursor, if_match=before.version)


async def test_a_commit_beyond_the_log_end_is_refused(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    token = (await house.reader.read("orders", "latest", Wanted())).next_cursor
    house.log.topics["orders"].partitions[0].end = 2
    with pytest.raises(CursorMalformed, match="up to the log end, 2"):
        await house.cursors.commit("mine", token)


async def test_a_commit_while_native_members_are_active_is_refused(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    page = await house.cursors.read("mine", Wanted())
    house.offsets.active.add(GROUP)
    with pytest.raises(GroupActive):
        await house.cursors.commit("mine", page.next_cursor)


async def test_a_pointer_that_vanished_is_never_guessed(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    token = (await house.cursors.get("mine")).cursor
    del house.offsets.committed[GROUP]["orders", 1]
    for attempt in (house.cursors.get("mine"), house.cursors.read("mine", Wanted())):
        with pytest.raises(PointerMissing, match=r"partitions \[1\]"):
            await attempt
    await house.cursors.commit("mine", token, force=True)
    assert len((await house.cursors.read("mine", Wanted())).events) == 6


async def test_a_partition_added_later_is_read_from_its_start(house: GatewayHouse) -> None:
    await house.cursors.put("mine", {**DECLARED, "start": "latest"})
    await house.admin.add_partitions("orders", 3)
    house.log.append("orders", b"x", partition=2)
    page = await house.cursors.read("mine", Wanted())
    assert len(page.events) == 1
    await house.cursors.commit("mine", page.next_cursor)
    assert committed(house) == {0: 3, 1: 3, 2: 1}


async def test_a_topic_made_anew_voids_the_cursor_until_it_is_forced(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    old = (await house.cursors.get("mine")).cursor
    house.log.create("orders", 2)
    with pytest.raises(CursorEpochChanged):
        await house.cursors.get("mine")
    with pytest.raises(CursorEpochChanged):
        await house.cursors.commit("mine", old, force=True)
    fresh = (await house.reader.read("orders", "earliest", Wanted())).next_cursor
    with pytest.raises(CursorEpochChanged):
        await house.cursors.commit("mine", fresh)
    await house.cursors.commit("mine", fresh, force=True)
    assert (await house.cursors.get("mine")).cursor == fresh


async def test_a_tool_that_moves_the_group_moves_the_cursor(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    assert (await house.cursors.get("mine")).updated_at == "2026-11-21T00:00:00.000Z"
    house.offsets.committed[GROUP] = {("orders", number): Committed(2, None) for number in range(2)}
    status = await house.cursors.get("mine")
    assert [one.committed for one in status.partitions] == [2, 2]
    assert status.updated_at is None
    assert len((await house.cursors.read("mine", Wanted())).events) == 2


async def test_reading_a_topic_from_a_cursor_needs_the_cursors_topic(house: GatewayHouse) -> None:
    house.log.create("others")
    await house.cursors.put("mine", DECLARED)
    with pytest.raises(CursorMalformed, match="reads orders"):
        await house.cursors.token("mine", "others")


async def test_two_commits_at_once_leave_the_later_position(house: GatewayHouse) -> None:
    await house.cursors.put("mine", DECLARED)
    first = await house.cursors.read("mine", Wanted(limit=2))
    second = await house.reader.read("orders", first.next_cursor, Wanted(limit=2))
    outcomes = await asyncio.gather(
        house.cursors.commit("mine", second.next_cursor),
        house.cursors.commit("mine", first.next_cursor),
        return_exceptions=True,
    )
    assert outcomes[0] is True and isinstance(outcomes[1], PipelineError)
    assert (await house.cursors.get("mine")).cursor == second.next_cursor
