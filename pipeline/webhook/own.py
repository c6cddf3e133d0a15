"""Where this product itself can be reached: what no endpoint, token endpoint or dead letter may make it call.

A delivery to a broker would be bytes of a stranger's choice on a connection from a trusted place; one to the gateway a
loop; one to the registry a way to write schemas. So they are refused by address and port (`Guard.deny`), also where an
operator has opened the network they live in.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from pipeline.guard import ANY_HERE
from pipeline.webhook.addresses import Resolve

# Names of our own that cannot be looked up in this time are refused by name only.
LOOK_UP_S = 5.0
Place = tuple[str, int]


def listed(servers: str) -> list[Place]:
    """The places of Kafka's ``host:port,host:port``; without a port, Kafka's own."""
    found = (urlsplit(f"//{one.strip().rpartition('//')[2]}") for one in servers.split(",") if one.strip())
    return [(parts.hostname, parts.port or 9092) for parts in found if parts.hostname]


def of_url(url: str) -> list[Place]:
    """The place of an http or https URL; none for an empty one."""
    parts = urlsplit(url)
    return [(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))] if parts.hostname else []


async def own_places(named: Iterable[Place], *, resolve: Resolve | None = None) -> set[Place]:
    """``named``, with every address their names have now. What lies on this machine is there under each of its
    addresses (`ANY_HERE`).
    """
    found = await asyncio.gather(*(_addresses(name, port, resolve) for name, port in set(named)))
    places = {place for places in found for place in places}
    here = {address for address, _ in await _addresses(socket.gethostname(), 0, resolve)}
    return places | {(ANY_HERE, port) for address, port in places if address in here or _is_loopback(address)}


async def _addresses(name: str, port: int, resolve: Resolve | None) -> set[Place]:
    ask = resolve or asyncio.get_running_loop().getaddrinfo
    places = {(name, port)}
    with contextlib.suppress(OSError, UnicodeError, TimeoutError):
        async with asyncio.timeout(LOOK_UP_S):
            answers = await ask(name, port, type=socket.SOCK_STREAM)
        places |= {(str(address[0]), port) for _, _, _, _, address in answers}
    return places


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "localhost")
