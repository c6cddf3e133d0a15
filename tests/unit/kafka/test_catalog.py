"""Topic facts are remembered for a while, and asked for once however many wait."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.errors import BrokerUnavailable, TopicNotFound
from pipeline.kafka import catalog
from pipeline.kafka.admin import TopicState
from pipeline.kafka.catalog import Catalog


class Cluster:
    """Answers `describe` from ``topics``; ``asked`` counts."""

    def __init__(self, *topics: TopicState) -> None:
        self.topics = {topic.name: topic for topic in topics}
        self.asked = 0
        self.down = False

    async def describe(self, names: list[str]) -> dict[str, TopicState]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise BrokerUnavailable("down")
        return {name: self.topics[name] for name in names if name in self.topics}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


ORDERS = TopicState("orders", "tNgUIfDCTr2KPtOfXce7vQ", 3)


async def test_a_topic_is_asked_for_once_while_it_is_fresh() -> None:
    cluster, clock = Cluster(ORDERS), Clock()
    known = Catalog(cluster, clock=clock)
    assert [await known.get("orders") for _ in range(3)] == [ORDERS] * 3
    assert cluster.asked == 1
    clock.now += catalog.FRESH_S
    await known.get("orders")
    assert cluster.asked == 2


async def test_many_who_ask_at_once_share_one_question() -> None:
    cluster = Cluster(ORDERS)
    known = Catalog(cluster)
    assert await asyncio.gather(*(known.get("orders") for _ in range(5))) == [ORDERS] * 5
    assert cluster.asked == 1


async def test_a_missing_topic_is_asked_for_each_time() -> None:
    cluster = Cluster()
    known = Catalog(cluster)
    with pytest.raises(TopicNotFound):
        await known.get("orders")
    cluster.topics["orders"] = ORDERS
    assert await known.get("orders") == ORDERS


async def test_a_topic_that_was_deleted_is_no_longer_known() -> None:
    cluster, clock = Cluster(ORDERS), Clock()
    known = Catalog(cluster, clock=clock)
    await known.get("orders")
    cluster.topics.clear()
    clock.now += catalog.FRESH_S
    with pytest.raises(TopicNotFound):
        await known.get("orders")
    assert known.id_of("orders") is None


async def test_the_id_is_there_without_waiting_once_asked_for() -> None:
    known = Catalog(Cluster(ORDERS))
    assert known.id_of("orders") is None
    await known.get("orders")
    assert known.id_of("orders") == ORDERS.topic_id


async def test_forgetting_asks_again() -> None:
    cluster = Cluster(ORDERS)
    known = Catalog(cluster)
    await known.get("orders")
    known.forget("orders")
    # What is still under way goes by the id it was begun with.
    assert known.id_of("orders") == ORDERS.topic_id
    await known.get("orders")
    assert cluster.asked == 2


async def test_a_failed_question_leaves_nothing_behind() -> None:
    cluster = Cluster(ORDERS)
    known = Catalog(cluster)
    cluster.down = True
    with pytest.raises(BrokerUnavailable):
        await known.get("orders")
    cluster.down = False
    assert await known.get("orders") == ORDERS


async def test_no_more_topics_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "TOPICS_MAX", 2)
    known = Catalog(Cluster(*(TopicState(name, name, 1) for name in "abc")))
    for name in "abc":
        await known.get(name)
    assert [known.id_of(name) for name in "abc"] == [None, "b", "c"]
