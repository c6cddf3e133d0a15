"""S7: what belongs to this product is refused by address and port, whatever is allowed."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from pipeline.errors import AddressBlocked
from pipeline.guard import Guard
from pipeline.webhook.own import listed, of_url, own_places

OPEN = ("0.0.0.0/0", "::/0")


async def resolve(name: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
    known = {"kafka-1": "10.9.0.1", socket.gethostname(): "10.9.0.9"}
    answer = known.get(name, name)
    if not answer[0].isdigit():
        raise OSError("unknown")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))]


def test_bootstrap_servers_and_urls_name_places() -> None:
    assert listed("a:9092, SASL_SSL://b:9094,[::1]:7,c") == [("a", 9092), ("b", 9094), ("::1", 7), ("c", 9092)]
    assert of_url("http://registry:8081/x") == [("registry", 8081)]
    assert of_url("https://registry") == [("registry", 443)]
    assert of_url("") == []


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("evil.example", "10.9.0.1", 19092),
        ("evil.example", "::ffff:10.9.0.1", 19092),
        ("evil.example", "10.9.0.9", 8080),
        ("evil.example", "127.0.0.1", 8080),
        ("evil.example", "127.9.9.9", 8080),
        ("evil.example", "::1", 8080),
        ("evil.example", "0.0.0.0", 8080),  # noqa: S104 - an address to refuse
    ],
)
async def test_brokers_and_own_listeners_are_refused_though_everything_is_open(
    host: str, address: str, port: int
) -> None:
    guard = Guard(OPEN, allow_loopback=True, allow_http=True)
    guard.check_address(host, address, port)
    guard.deny(await own_places([("kafka-1", 19092), ("10.9.0.9", 8080)], resolve=resolve))
    with pytest.raises(AddressBlocked, match="this very system"):
        guard.check_address(host, address, port)
    guard.check_address(host, address, port + 1)


async def test_a_broker_is_refused_by_its_name_when_a_url_is_declared() -> None:
    guard = Guard(OPEN, allow_loopback=True, allow_http=True)
    guard.deny(await own_places([("kafka-1", 19092), ("unknown", 8099)], resolve=resolve))
    for url in ("http://kafka-1:19092/", "http://KAFKA-1:19092/", "http://unknown:8099/", "http://10.9.0.1:19092/"):
        with pytest.raises(AddressBlocked, match="this very system"):
            guard.check_url(url)


def test_a_peer_that_is_this_machine_is_refused_at_our_ports() -> None:
    """Whatever address it was called by: its own end of the connection has the same one."""
    guard = Guard(OPEN)
    guard.deny([("0.0.0.0", 8080)])  # noqa: S104 - a listener on all addresses
    with pytest.raises(AddressBlocked):
        guard.check_here("x.example", 8080)
    guard.check_here("x.example", 8081)
