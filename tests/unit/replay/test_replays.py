"""Replays: windows frozen when made, nothing clamped silently, a group of their own with its start committed."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.errors import (
    AddressBlocked,
    Conflict,
    CursorEpochChanged,
    CursorExpired,
    DeclarationInvalid,
    FilterInvalid,
    SubscriptionNotFound,
)
from pipeline.pull import Wanted
from pipeline.replay import ReplayAsked
from pipeline.subscription import Endpoint
from pipeline.webhookid import id_prefix
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
    with pytest.raises(CursorExpired, match="orders/0: 1 lies outside, 3 is the nearest"):
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


async def test_a_part_tells_when_its_first_and_last_event_were_made(house: GatewayHouse) -> None:
    house.log.skip("orders", 0, 1)  # a transaction's marker at the end
    plan = await house.replays.plan("hook", ReplayAsked(start="earliest"))
    first, second = plan.parts
    assert (first.first_at, first.last_at) == ("2026-11-21T00:01:00.000Z", "2026-11-21T00:09:00.000Z")
    assert (second.first_at, second.last_at) == ("2026-11-21T00:02:00.000Z", "2026-11-21T00:10:00.000Z")


async def test_one_offset_bounds_every_partition_or_each_has_its_own(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(from_offset=3))
    assert plan.draft.window == {"orders": {0: (3, 5), 1: (3, 5)}}
    plan = await house.replays.plan("hook", ReplayAsked(from_offset={"orders/1": 2}, until_offset={"1": 4}))
    assert plan.draft.window == {"orders": {1: (2, 4)}}


async def test_a_duration_counts_back_from_now(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(from_duration="PT3M"))
    assert plan.count == 4


async def test_a_shift_counts_from_what_is_committed(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(shift=-2))
    assert plan.draft.window == {"orders": {0: (3, 5), 1: (3, 5)}}
    del house.offsets.committed["app.hook"]["orders", 0]
    with pytest.raises(Conflict, match="orders/0 to shift from"):
        await house.replays.plan("hook", ReplayAsked(shift=-2))


@pytest.mark.parametrize("asked", [ReplayAsked(from_offset=9), ReplayAsked(from_offset=0), ReplayAsked(shift=-4)])
async def test_what_the_log_does_not_hold_is_an_error_unless_clamping_is_allowed(
    house: GatewayHouse, asked: ReplayAsked
) -> None:
    house.log.trim("orders", 0, 2)
    with pytest.raises(CursorExpired, match=r"orders/\d: -?\d lies outside, \d is the nearest"):
        await house.replays.plan("hook", asked)
    plan = await house.replays.plan("hook", msgspec.structs.replace(asked, allow_clamp=True))
    assert all(part.clamped for part in plan.parts if part.partition == 0)


async def test_a_time_before_what_retention_took_is_a_clamp_and_before_the_first_event_ever_is_none(
    house: GatewayHouse,
) -> None:
    asked = ReplayAsked(start="2026-11-20T00:00:00Z")
    assert (await house.replays.plan("hook", asked)).count == 10
    house.log.trim("orders", 1, 2)
    with pytest.raises(CursorExpired, match="orders/1: retention took what came before 2"):
        await house.replays.plan("hook", asked)
    assert (await house.replays.plan("hook", msgspec.structs.replace(asked, allow_clamp=True))).count == 8


async def test_webhook_ids_pick_their_very_records(house: GatewayHouse) -> None:
    prefix = id_prefix(house.log.topics["orders"].topic_id)
    plan = await house.replays.plan("hook", ReplayAsked(ids=(f"{prefix}0_1", f"{prefix}0_3", f"{prefix}1_4")))
    assert (plan.count, plan.draft.ids) == (3, ())
    assert plan.draft.picked == {"orders": {0: ((1, 2), (3, 4)), 1: ((4, 5),)}}
    assert plan.draft.window == {"orders": {0: (1, 4), 1: (4, 5)}}
    with pytest.raises(CursorExpired, match="orders/0: 7 lies outside"):
        await house.replays.plan("hook", ReplayAsked(ids=(f"{prefix}0_7",)))


async def test_event_ids_are_looked_for_in_the_window(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(ids=("order-1",), from_offset=3))
    assert (plan.draft.ids, plan.count) == (("order-1",), 4)


async def test_ids_are_of_one_kind_and_of_this_subscription(house: GatewayHouse) -> None:
    own = f"{id_prefix(house.log.topics['orders'].topic_id)}0_1"
    for ids in ((own, "order-1"), (f"{id_prefix(house.log.topics['returns'].topic_id)}0_0",)):
        with pytest.raises(DeclarationInvalid, match="/ids/"):
            await house.replays.plan("hook", ReplayAsked(ids=ids))


async def test_a_shadow_must_be_callable(house: GatewayHouse) -> None:
    plan = await house.replays.plan("hook", ReplayAsked(start="earliest", endpoint=Endpoint(url="https://b.example/")))
    assert plan.draft.endpoint == Endpoint(url="https://b.example/")
    with pytest.raises(AddressBlocked):
        await house.replays.plan(
            "hook", ReplayAsked(start="earliest", endpoint=Endpoint(url="https://169.254.169.254/"))
        )


async def test_it_takes_as_long_as_the_rate_says(house: GatewayHouse) -> None:
    assert (await house.replays.plan("hook", ReplayAsked(start="earliest", rate_per_s=4))).eta_s == 2.5
    assert (await house.replays.plan("hook", ReplayAsked(start="earliest"))).eta_s is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ReplayAsked(start="earliest"), "--topic orders --reset-offsets --to-earliest --execute"),
        (ReplayAsked(from_offset=3), "--reset-offsets --to-offset 3 --execute"),
        (ReplayAsked(from_duration="3m"), "--reset-offsets --by-duration PT180S --execute"),
        (ReplayAsked(shift=-2), "--reset-offsets --shift-by -2 --execute"),
        (ReplayAsked(start="2026-11-21T02:05:00+02:00"), "--reset-offsets --to-datetime 2026-11-21T00:05:00.000 --ex"),
        (
            ReplayAsked(from_offset={"0": 1, "1": 2}),
            "'orders,0,1\\norders,1,2\\n' | kafka-consumer-groups --group app.hook",
        ),
    ],
)
async def test_the_same_is_said_for_kafkas_own_tool(house: GatewayHouse, asked: ReplayAsked, words: str) -> None:
    command = (await house.replays.plan("hook", asked)).command
    assert words in command and "--group app.hook " in command


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


async def test_into_data_that_lies_in_avro_no_filter_looks(house: GatewayHouse) -> None:
    house.avro.add("orders")
    await house.replays.plan("hook", ReplayAsked(start="earliest", filters=({"exact": {"h.team": "a"}},)))
    with pytest.raises(FilterInvalid, match="Avro") as caught:
        await house.replays.plan("hook", ReplayAsked(start="earliest", filters=({"exact": {"$.a": "x"}},)))
    assert caught.value.field == "/filters/0/exact/$.a"
