"""CursorKeeper: live cursors do not expire, and keeping them moves nothing."""

from __future__ import annotations

import pytest

from pipeline.errors import BrokerUnavailable
from pipeline.hooks import Hooks
from pipeline.pull import CursorKeeper, KeeperSettings
from tests.fakes.house import GatewayHouse

MINUTE_MS = 60_000


class Heard(Hooks):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def on_consumer_error(self, error: Exception) -> None:
        self.errors.append(error)


@pytest.fixture
async def house() -> GatewayHouse:
    house = GatewayHouse()
    house.log.create("orders", 2)
    house.log.append("orders", b"x", partition=1)
    for name in ("a", "b"):
        await house.cursors.put(name, {"topics": ["orders"], "start": "latest"})
    house.offsets.commits.clear()
    return house


def keeper(house: GatewayHouse, hooks: Hooks | None = None) -> CursorKeeper:
    return CursorKeeper(house.cursors, KeeperSettings(), jitter=lambda: 0.0, hooks=hooks)


def test_rounds_and_age_together_stay_below_an_hour() -> None:
    settings = KeeperSettings()
    assert settings.round_s + settings.keep_s <= 3600


async def test_offsets_committed_lately_are_left_alone(house: GatewayHouse) -> None:
    house.log.now_ms += 30 * MINUTE_MS
    assert await keeper(house).round() == 0
    assert house.offsets.commits == []


async def test_old_offsets_are_committed_again_unchanged_and_only_once(house: GatewayHouse) -> None:
    before = await house.cursors.get("a")
    house.log.now_ms += 45 * MINUTE_MS
    assert await keeper(house).round() == 2
    assert house.offsets.commits[0] == ("app.a", {("orders", 0): 0, ("orders", 1): 1})
    assert await keeper(house).round() == 0
    assert await house.cursors.get("a") == before


async def test_groups_of_native_members_and_topics_that_are_gone_are_passed_over(house: GatewayHouse) -> None:
    house.log.now_ms += 45 * MINUTE_MS
    house.offsets.active.add("app.a")
    assert await keeper(house).round() == 1
    house.log.delete("orders")
    assert await keeper(house).round() == 0


async def test_a_topic_made_anew_is_not_given_old_offsets(house: GatewayHouse) -> None:
    house.log.create("orders", 2)
    house.log.now_ms += 45 * MINUTE_MS
    assert await keeper(house).round() == 0


async def test_a_pointer_that_is_gone_stays_gone(house: GatewayHouse) -> None:
    house.offsets.committed.clear()
    house.log.now_ms += 45 * MINUTE_MS
    assert await keeper(house).round() == 0
    assert house.offsets.committed == {}


async def test_one_that_fails_is_told_and_the_others_are_kept(
    house: GatewayHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()
    house.log.now_ms += 45 * MINUTE_MS
    real = house.offsets.read

    async def read(group: str, partitions: list[tuple[str, int]]) -> object:
        if group == "app.a":
            raise BrokerUnavailable("no answer")
        return await real(group, partitions)

    monkeypatch.setattr(house.offsets, "read", read)
    assert await keeper(house, heard).round() == 1
    assert [type(error) for error in heard.errors] == [BrokerUnavailable]
