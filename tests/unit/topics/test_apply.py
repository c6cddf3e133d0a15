"""Applying creates and changes as planned, only what is still as it was found, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from pipeline.errors import BrokerUnavailable, VersionConflict
from pipeline.topic import Topic
from pipeline.topics import Allowed, apply, plan, read_live

DEFAULTS = {"retention.ms": "604800000"}


class State(NamedTuple):
    name: str
    topic_id: str
    partitions: int


class Broker:
    """Topics in memory with the administrator's verbs used here; ``calls`` names what was changed."""

    def __init__(self) -> None:
        self.live: dict[str, tuple[int, dict[str, str]]] = {}
        self.calls: list[str] = []
        self.fails_on = ""

    async def describe(self, names: list[str], /) -> dict[str, State]:
        return {name: State(name, "id", self.live[name][0]) for name in names if name in self.live}

    async def topic_config(self, name: str, /) -> Mapping[str, str]:
        return self.live[name][1]

    async def create(self, name: str, *, partitions: int, config: Mapping[str, str], replication: int | None) -> bool:
        self._called(f"create {name}")
        if name in self.live:
            return False
        self.live[name] = (partitions, {**DEFAULTS, **config})
        return True

    async def set_config(self, name: str, config: Mapping[str, str], /) -> None:
        self._called(f"set {name}")
        self.live[name][1].update(config)

    async def add_partitions(self, name: str, total: int, /) -> None:
        self._called(f"partitions {name}")
        self.live[name] = (total, self.live[name][1])

    def _called(self, call: str) -> None:
        if call == self.fails_on:
            raise BrokerUnavailable("no answer")
        self.calls.append(call)


ORDERS = Topic(name="orders", partitions=3, config={"retention.ms": "1000"})
PAYMENTS = Topic(name="payments", partitions=2)


async def test_what_was_planned_is_done_and_then_nothing_is_left_to_do() -> None:
    broker = Broker()
    broker.live["payments"] = (1, dict(DEFAULTS))
    made = plan([ORDERS, PAYMENTS], await read_live(broker, [ORDERS, PAYMENTS]), Allowed(partition_increase=True))
    assert await apply(broker, made) == list(made.steps)
    assert broker.calls == ["create orders", "partitions payments"]
    assert broker.live == {"orders": (3, {"retention.ms": "1000"}), "payments": (2, DEFAULTS)}
    again = plan([ORDERS, PAYMENTS], await read_live(broker, [ORDERS, PAYMENTS]))
    assert again.unchanged == ("orders", "payments")
    assert await apply(broker, again) == []


async def test_a_setting_is_changed_alone() -> None:
    broker = Broker()
    broker.live["orders"] = (3, {"retention.ms": "10", "segment.ms": "5"})
    await apply(broker, plan([ORDERS], await read_live(broker, [ORDERS])))
    assert broker.live["orders"] == (3, {"retention.ms": "1000", "segment.ms": "5"})


async def test_applying_ends_when_the_broker_shows_the_change() -> None:
    class Behind(Broker):
        """Its answers are two questions old, as those of a broker that follows the controller."""

        def __init__(self) -> None:
            super().__init__()
            self.stale = 2

        async def topic_config(self, name: str, /) -> Mapping[str, str]:
            if self.calls and self.stale:
                self.stale -= 1
                return {"retention.ms": "10"}
            return await super().topic_config(name)

    broker = Behind()
    broker.live["orders"] = (3, {"retention.ms": "10"})
    await apply(broker, plan([ORDERS], await read_live(broker, [ORDERS])))
    assert broker.stale == 0
    assert plan([ORDERS], await read_live(broker, [ORDERS])).unchanged == ("orders",)


async def test_what_is_refused_stays_undone() -> None:
    broker = Broker()
    broker.live["orders"] = (2, dict(DEFAULTS))
    made = plan([ORDERS], await read_live(broker, [ORDERS]))
    assert len(made.refused) == 2
    assert await apply(broker, made) == []
    assert broker.calls == []


async def test_a_plan_that_is_out_of_date_is_not_begun() -> None:
    broker = Broker()
    broker.live["orders"] = (3, {"retention.ms": "10"})
    made = plan([ORDERS, PAYMENTS], await read_live(broker, [ORDERS, PAYMENTS]))
    broker.live["orders"] = (4, {"retention.ms": "10"})
    with pytest.raises(VersionConflict, match="orders has changed"):
        await apply(broker, made)
    assert broker.calls == []


async def test_a_topic_made_meanwhile_by_another_process_makes_the_plan_out_of_date() -> None:
    broker = Broker()
    made = plan([ORDERS], {})
    broker.live["orders"] = (3, {"retention.ms": "1000"})
    with pytest.raises(VersionConflict):
        await apply(broker, made)


async def test_a_topic_made_by_another_process_in_the_last_moment_is_fine() -> None:
    class Raced(Broker):
        async def create(
            self, name: str, *, partitions: int, config: Mapping[str, str], replication: int | None
        ) -> bool:
            self.live.setdefault(name, (partitions, dict(config)))
            return await super().create(name, partitions=partitions, config=config, replication=replication)

    broker = Raced()
    assert len(await apply(broker, plan([ORDERS, PAYMENTS], {}))) == 2
    assert set(broker.live) == {"orders", "payments"}


async def test_after_a_failure_planning_again_finds_the_rest() -> None:
    broker = Broker()
    broker.fails_on = "create payments"
    with pytest.raises(BrokerUnavailable):
        await apply(broker, plan([ORDERS, PAYMENTS], {}))
    rest = plan([ORDERS, PAYMENTS], await read_live(broker, [ORDERS, PAYMENTS]))
    assert [step.topic for step in rest.steps] == ["payments"]
