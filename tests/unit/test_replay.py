"""Replays: windows frozen when made, nothing clamped silently, a group of their own with its start committed."""

from __future__ import annotations

import pytest

from pipeline.errors import Conflict, CursorEpochChanged, CursorExpired, DeclarationInvalid, SubscriptionNotFound
from pipeline.pull import Wanted
from pipeline.replay import ReplayAsked
from tests.fakes.house import GatewayHouse


@pytest.fixture
async def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    house.log.create("returns", 1)
    for number in range(10):
        house.log.now_ms += 60_000
        house.log.append("orders", b"x", partition=number % 2)
    await house.subscriptions.put("hook", {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/"}})
    house.offsets.commits.clear()
    return house


async def test_a_window_is_frozen_when_planned(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(start="earliest"))
    house.log.append("orders", b"x", partition=0)
    made = await house.replays.create(plan)
    assert made.run.window == {"orders": {0: (0, 5), 1: (0, 5)}}
    assert plan.count == 10


async def test_its_group_starts_at_the_window_and_live_delivery_is_untouched(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(start="2026-11-21T00:05:00Z"))
    made = await house.replays.create(plan)
    group = f"app.hook.replay.{made.run.id}"
    assert house.runs.group(made.run) == group
    assert house.offsets.commits == [(group, {("orders", 0): 2, ("orders", 1): 2})]


async def test_times_bound_a_window_at_both_ends(house: GatewayHouse) -> None:
    asked = ReplayAsked(start="2026-11-21T00:03:00Z", until="2026-11-21T00:05:00Z")
    plan = await house.replays.plan("hook", asked)
    assert [(part.partition, part.first, part.until, part.count) for part in plan.parts] == [(0, 1, 2, 1), (1, 1, 2, 1)]


async def test_tokens_bound_a_window_and_leave_out_what_they_do_not_name(house: GatewayHouse) -> None:
    start = (await house.reader.read("orders", "earliest", Wanted(limit=4))).next_cursor
    plan = await house.replays.plan("hook", ReplayAsked(start="earliest", until=start))
    assert plan.count == 4
    answer = await house.call("POST", "/v1/topics/orders/events", headers={"event-key": "a"}, body=b"x")
    plan = await house.replays.plan("hook", ReplayAsked(start="earliest", until=answer.json()["cursor"]))
    assert [part.partition for part in plan.parts] == [answer.json()["partition"]]


async def test_a_window_that_is_partly_gone_is_refused(house: GatewayHouse) -> None:
    start = (await house.reader.read("orders", "earliest", Wanted(limit=2))).next_cursor
    house.log.trim("orders", 0, 3)
    with pytest.raises(CursorExpired, match="orders/0 holds 3 to 5, not 1"):
        await house.replays.plan("hook", ReplayAsked(start=start))


async def test_a_token_of_another_topic_is_refused(house: GatewayHouse) -> None:
    other = (await house.reader.read("returns", "latest", Wanted())).next_cursor
    with pytest.raises(CursorEpochChanged):
        await house.replays.plan("hook", ReplayAsked(start=other))


async def test_an_empty_window_begins_nothing(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(start="latest"))
    assert plan.count == 0
    with pytest.raises(Conflict, match="nothing between"):
        await house.replays.create(plan)


@pytest.mark.parametrize(("start", "until"), [("monday", "latest"), ("earliest", "2026-01-01")])
async def test_what_is_no_bound_is_named(house: GatewayHouse, start: str, until: str) -> None:
    with pytest.raises(DeclarationInvalid):
        await house.replays.plan("hook", ReplayAsked(start=start, until=until))


def test_a_rate_is_positive() -> None:
    with pytest.raises(DeclarationInvalid, match="rate_per_s"):
        ReplayAsked(start="earliest", rate_per_s=0)


async def test_a_subscription_must_exist(house: GatewayHouse) -> None:
    with pytest.raises(SubscriptionNotFound):
        await house.replays.plan("nobody", ReplayAsked(start="earliest"))
