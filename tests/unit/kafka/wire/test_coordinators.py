"""Which broker keeps a group: found once, again when it moves, shared between groups. The brokers are fakes."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

import pytest

from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.wire import coordinators
from pipeline.kafka.wire.coordinators import CoordinatorAway, Coordinators
from pipeline.kafka.wire.primitives import int16, int32, string
from pipeline.kafka.wire.requests import Request


class Broker:
    """Answers "find coordinator" with ``coordinator``; ``connects`` counts connections by address."""

    coordinator: tuple[str, int] = ("two", 9092)
    error = 0
    connects: ClassVar[Counter[tuple[str, int]]] = Counter()

    def __init__(self, address: tuple[str, int]) -> None:
        self.address, self.is_open = address, True

    async def ask(self, request: Request) -> bytes:
        host, port = Broker.coordinator
        return int32(0) + int16(Broker.error) + string(None) + int32(1) + string(host) + int32(port)

    def close(self) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def _brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connected(settings: KafkaSettings, host: str, port: int, role: str) -> Broker:
        Broker.connects[host, port] += 1
        await asyncio.sleep(0)
        if host == "away":
            raise ConnectionRefusedError("away")
        return Broker((host, port))

    monkeypatch.setattr(coordinators, "connected", connected)
    Broker.coordinator, Broker.error = ("two", 9092), 0
    Broker.connects.clear()


def made(servers: str = "one:9092") -> Coordinators:
    return Coordinators(KafkaSettings(bootstrap_servers=servers), "test")


def address(connection: Any) -> tuple[str, int]:
    found: tuple[str, int] = connection.address
    return found


async def test_a_group_is_looked_up_once_and_groups_share_a_connection() -> None:
    known = made()
    found = await asyncio.gather(*(known.of("a") for _ in range(3)))
    assert {address(each) for each in found} == {("two", 9092)}
    await known.of("a")
    await known.of("b")
    assert Broker.connects == {("one", 9092): 1, ("two", 9092): 1}


async def test_a_coordinator_that_moved_is_looked_up_again() -> None:
    known = made()
    await known.of("a")
    Broker.coordinator = ("three", 9093)
    assert address(await known.of("a")) == ("two", 9092)
    known.forget("a")
    assert address(await known.of("a")) == ("three", 9093)


async def test_a_connection_that_was_lost_is_made_again() -> None:
    known = made()
    (await known.of("a")).is_open = False
    assert (await known.of("a")).is_open
    assert Broker.connects["two", 9092] == 2


async def test_hanging_up_closes_the_connection_and_forgets_who_it_was() -> None:
    known = made()
    connection = await known.of("a")
    known.hang_up("a")
    known.hang_up("a")
    assert not connection.is_open
    assert (await known.of("a")).is_open


async def test_any_bootstrap_server_will_do() -> None:
    for _ in range(10):
        assert address(await made("away:1, away:2,one:9092").of("a")) == ("two", 9092)
    with pytest.raises(ConnectionRefusedError):
        await made("away:1,away:2").of("a")


async def test_no_coordinator_yet_is_told_with_its_code() -> None:
    Broker.error = 15
    with pytest.raises(CoordinatorAway) as caught:
        await made().of("a")
    assert caught.value.code == 15


async def test_closing_closes_every_connection() -> None:
    known = made()
    connection = await known.of("a")
    known.close()
    assert not connection.is_open


async def test_no_more_groups_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinators, "GROUPS_MAX", 2)
    known = made()
    for group in "abc":
        await known.of(group)
    assert len(known._of_group) == 1


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("broker:9093", ("broker", 9093)),
        (" broker:9093 ", ("broker", 9093)),
        ("SASL_SSL://broker:9093", ("broker", 9093)),
        ("broker", ("broker", 9092)),
        ("[::1]:9093", ("::1", 9093)),
        ("[::1]", ("::1", 9092)),
    ],
)
def test_bootstrap_servers_are_written_as_for_other_clients(server: str, expected: tuple[str, int]) -> None:
    assert made(server)._bootstrap == [expected]
