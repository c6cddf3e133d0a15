"""Brokers that join later are as forbidden to endpoints as those there at the start."""

from __future__ import annotations

import pytest

from pipeline.errors import AddressBlocked
from pipeline.guard import Guard
from pipeline.webhook.own import Place
from pipeline.wiring.own_brokers import OwnBrokers

OLD, NEW = ("10.0.0.1", 9092), ("10.0.0.2", 9092)


async def test_a_broker_that_joined_is_denied_from_the_next_look_on() -> None:
    guard = Guard(("10.0.0.0/8",), allow_http=True, ports=frozenset({8080, 9092}))
    cluster: list[Place] = [OLD]

    async def brokers() -> list[Place]:
        return cluster

    own = OwnBrokers(guard, brokers, [OLD])
    assert await own.look() == set()
    guard.check_url("http://10.0.0.2:9092/")
    cluster.append(NEW)
    assert await own.look() == {NEW}
    with pytest.raises(AddressBlocked):
        guard.check_url("http://10.0.0.2:9092/")
    guard.check_url("http://10.0.0.2:8080/")
    assert await own.look() == set()
