"""Subscriptions: starts committed once, dead letters as wide as the source, edits fenced, secrets sealed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.errors import (
    Conflict,
    DeclarationInvalid,
    FormatUnreadable,
    GroupActive,
    SubscriptionNotFound,
    VersionConflict,
)
from pipeline.parking import ParkedKey
from pipeline.sealing import unseal
from pipeline.signing import parse_v1_secret
from pipeline.subscription import secret_context
from tests.fakes.house import KEYRING, GatewayHouse

GROUP = "app.hook"
DECLARED: dict[str, Any] = {"topics": ["orders"], "endpoint": {"url": "https://hooks.example.org/in"}}


@pytest.fixture
def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 3)
    house.log.create("returns", 5)
    for number in range(6):
        house.log.append("orders", b"x", partition=number % 3)
    return house


def committed(house: GatewayHouse) -> dict[tuple[str, int], int]:
    return {place: found.offset for place, found in house.offsets.committed[GROUP].items()}


@pytest.mark.parametrize(("start", "offset"), [("earliest", 0), ("latest", 2), ("2020-01-01T00:00:00Z", 0)])
async def test_its_start_is_committed_once_for_every_partition(house: GatewayHouse, start: str, offset: int) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": start})
    assert committed(house) == {("orders", number): offset for number in range(3)}
    house.log.append("orders", b"x", partition=0)
    await house.subscriptions.put("hook", {**DECLARED, "start": start, "in_flight_max": 3})
    assert len(house.offsets.commits) == 1


async def test_dead_letters_have_as_many_partitions_as_the_largest_source(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "topics": ["orders"]})
    assert len(house.log.topics["app.hook.dlq"].partitions) == 3
    await house.subscriptions.put("hook", {**DECLARED, "topics": ["orders", "returns"]})
    assert len(house.log.topics["app.hook.dlq"].partitions) == 5


async def test_dead_letters_are_kept_longer_than_events(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", DECLARED)
    assert house.log.topics["app.hook.dlq"].config["retention.ms"] == "2592000000"


async def test_a_topic_added_later_starts_where_the_subscription_says(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
    await house.offsets.commit(GROUP, {("orders", 0): (2, None)})
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest", "topics": ["orders", "returns"]})
    assert committed(house)["orders", 0] == 2
    assert committed(house)["returns", 4] == 0


async def test_making_it_again_resumes(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
    await house.offsets.commit(GROUP, {("orders", 1): (1, None)})
    await house.subscriptions.delete("hook")
    await house.subscriptions.put("hook", {**DECLARED, "start": "latest"})
    assert committed(house) == {("orders", 0): 0, ("orders", 1): 1, ("orders", 2): 0}


async def test_forgetting_starts_anew(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
    await house.subscriptions.delete("hook", forget=True)
    await house.subscriptions.put("hook", {**DECLARED, "start": "latest"})
    assert set(committed(house).values()) == {2}


async def test_forgetting_outlasts_a_worker_that_commits_while_it_lets_go(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
    house.offsets.active.add("app._bridge")

    async def let_go() -> None:
        house.slept.clear()
        await house.offsets.commit(GROUP, {("orders", 0): (2, None)})

    house.slept.append(let_go)
    await house.subscriptions.delete("hook", forget=True)
    assert GROUP not in house.offsets.committed


async def test_forgetting_waits_as_long_as_something_may_be_under_way(house: GatewayHouse) -> None:
    """Three seconds where all was delivered, twelve where something was not, or came meanwhile."""
    waited = []
    for delivered, appended in ((True, False), (False, False), (True, True)):
        await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
        parts = house.log.topics["orders"].partitions
        ends: dict[tuple[str, int], tuple[int, str | None]] = {
            ("orders", number): (part.end, None) for number, part in enumerate(parts)
        }
        await house.offsets.commit(GROUP, ends if delivered else dict.fromkeys(ends, (0, None)))
        house.offsets.active.add("app._bridge")
        looks: list[bool] = []

        async def look(looks: list[bool] = looks, appended: bool = appended) -> None:
            looks.append(True)
            if appended and len(looks) == 1:
                house.log.append("orders", b"x", partition=0)

        house.slept[:] = [look]
        await house.subscriptions.delete("hook", forget=True)
        waited.append(len(looks) * 0.25)
    assert waited == [3.0, 12.0, 12.0]


async def test_forgetting_lets_the_keys_go_that_waited(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", DECLARED)
    own, other = (
        ParkedKey(group=group, topic="orders", partition=0, key=b"k", policy="park", reason="exhausted")
        for group in ("app.hook", "app.hook2")
    )
    for one in (own, other):
        await house.parked_rows.put(one.name, one.value(), based_on=None)
    await house.subscriptions.delete("hook", forget=True)
    assert list(house.parked_rows.content) == [other.name]


async def test_the_same_declaration_again_changes_nothing(house: GatewayHouse) -> None:
    first = await house.subscriptions.put("hook", DECLARED)
    again = await house.subscriptions.put("hook", DECLARED)
    assert (again.version, again.row.generation, again.created) == (first.version, 0, False)
    assert again.shown == (None, None)


async def test_every_change_counts_up(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", DECLARED)
    changed = await house.subscriptions.put("hook", {**DECLARED, "rate_per_s": 5})
    paused, _ = await house.subscriptions.pause("hook")
    same, _ = await house.subscriptions.pause("hook")
    resumed, _ = await house.subscriptions.resume("hook")
    assert [row.generation for row in (changed.row, paused, same, resumed)] == [1, 2, 2, 3]


async def test_a_change_keeps_state_and_secret(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    await house.subscriptions.pause("hook")
    changed = await house.subscriptions.put("hook", {**DECLARED, "rate_per_s": 5})
    assert changed.row.state == "paused"
    assert changed.row.secrets == made.row.secrets and changed.shown == (None, None)


async def test_the_secret_shown_is_the_one_sealed_and_only_for_this_name(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    (sealed,) = made.row.secrets.v1
    assert unseal(KEYRING, sealed, secret_context("hook")).decode() == made.shown.secret
    assert made.shown.secret and len(parse_v1_secret(made.shown.secret)) == 32
    with pytest.raises(FormatUnreadable):
        unseal(KEYRING, sealed, secret_context("other"))


async def test_an_asymmetric_key_shows_only_its_public_half(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", {**DECLARED, "signing": {"v1": False, "v1a": True}})
    assert made.shown.secret is None
    assert made.shown.public_key is not None and made.shown.public_key.startswith("whpk_")


async def test_a_signature_asked_for_later_gets_its_key_then(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    both = await house.subscriptions.put("hook", {**DECLARED, "signing": {"v1": True, "v1a": True}})
    assert both.row.secrets.v1 == made.row.secrets.v1
    assert both.shown.secret is None and both.shown.public_key is not None


async def test_github_signatures_have_a_secret_too(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", {**DECLARED, "signing": {"v1": False, "github": True}})
    assert made.shown.secret is not None


async def test_a_named_cursor_has_the_name(house: GatewayHouse) -> None:
    await house.cursors.put("hook", {"topics": ["orders"]})
    with pytest.raises(Conflict, match="named cursor"):
        await house.subscriptions.put("hook", DECLARED)


async def test_a_group_of_somebody_else_is_left_alone(house: GatewayHouse) -> None:
    house.offsets.active.add(GROUP)
    with pytest.raises(GroupActive, match="has members"):
        await house.subscriptions.put("hook", DECLARED)
    assert not house.subscription_rows.content


async def test_its_own_dead_letters_are_no_source(house: GatewayHouse) -> None:
    house.log.create("app.hook.dlq")
    with pytest.raises(DeclarationInvalid, match="dead letters"):
        await house.subscriptions.put("hook", {**DECLARED, "topics": ["app.hook.dlq"]})


async def test_a_block_for_a_missing_pointer_is_not_lifted_by_guessing(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    blocked = msgspec.structs.replace(made.row, state="blocked", reason="pointer-missing")
    await house.subscription_rows.put("hook", msgspec.json.encode(blocked), based_on=made.version)
    del house.offsets.committed[GROUP]["orders", 1]
    with pytest.raises(Conflict, match="orders/1"):
        await house.subscriptions.resume("hook")
    await house.offsets.commit(GROUP, {("orders", 1): (0, None)})
    row, _ = await house.subscriptions.resume("hook")
    assert (row.state, row.reason) == ("active", "")


async def test_two_that_change_it_at_once_do_not_both_win(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    await house.subscriptions.put("hook", {**DECLARED, "rate_per_s": 5}, if_match=str(made.version))
    for attempt in (
        house.subscriptions.put("hook", {**DECLARED, "rate_per_s": 6}, if_match=str(made.version)),
        house.subscriptions.pause("hook", if_match=str(made.version)),
        house.subscriptions.delete("hook", if_match=str(made.version)),
    ):
        with pytest.raises(VersionConflict):
            await attempt


async def test_its_status_tells_lag_and_headroom(house: GatewayHouse) -> None:
    await house.subscriptions.put("hook", {**DECLARED, "start": "earliest"})
    await house.offsets.commit(GROUP, {("orders", 0): (1, None)})
    house.log.trim("orders", 0, 1)
    del house.offsets.committed[GROUP]["orders", 2]
    status = await house.subscriptions.status("hook")
    assert [(one.lag, one.headroom) for one in status.partitions] == [(1, 0), (2, 0), (None, None)]
    assert {one.owner for one in status.partitions} == {None}, "a start is no worker's"


async def test_one_that_does_not_exist_is_not_found(house: GatewayHouse) -> None:
    for attempt in (
        house.subscriptions.pause("nobody"),
        house.subscriptions.resume("nobody"),
        house.subscriptions.delete("nobody"),
        house.subscriptions.status("nobody"),
    ):
        with pytest.raises(SubscriptionNotFound):
            await attempt


async def test_one_with_a_header_that_came_to_be_denied_is_shown_and_goes_on_without_it(house: GatewayHouse) -> None:
    made = await house.subscriptions.put("hook", DECLARED)
    raw = msgspec.json.decode(msgspec.json.encode(made.row))
    raw["spec"]["endpoint"]["headers"] = {"via": "me"}
    await house.subscription_rows.put("hook", msgspec.json.encode(raw), based_on=made.version)
    [(row, _)] = house.subscriptions.list()
    assert row.state == "blocked" and "the header via" in row.reason
    resumed, _ = await house.subscriptions.resume("hook")
    assert (resumed.state, resumed.reason) == ("active", "")
    assert house.subscriptions.get("hook")[0] == resumed
