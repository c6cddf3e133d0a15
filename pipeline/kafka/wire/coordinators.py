"""Coordinators: which broker keeps a group's offsets, and a connection to it."""

from __future__ import annotations

import asyncio
import random
from typing import TypeAlias

from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.wire import requests
from pipeline.kafka.wire.connection import Connection, connected

Address: TypeAlias = tuple[str, int]

CONNECT_S = 3.0
GROUPS_MAX = 100_000
"""How many groups' coordinators are remembered; beyond it all are looked up again."""


class CoordinatorAway(Exception):
    """The cluster does not say now which broker it is; ``code`` is Kafka's error."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"no coordinator yet (error {code})")


class Coordinators:
    """One connection per broker, made when it is needed, shared by all groups it keeps."""

    def __init__(self, settings: KafkaSettings, role: str) -> None:
        self._settings, self._role = settings, role
        self._bootstrap = [_address(server) for server in settings.bootstrap_servers.split(",")]
        self._of_group: dict[str, Address] = {}
        self._connections: dict[Address, asyncio.Task[Connection]] = {}

    async def of(self, group: str) -> Connection:
        """A connection to the group's coordinator. Raises `OSError`, `LoginRefused`, `CoordinatorAway`."""
        address = self._of_group.get(group)
        if address is None:
            any_broker = await self._any()
            found = requests.found_coordinator(await any_broker.ask(requests.find_coordinator(group)))
            if found.error:
                raise CoordinatorAway(found.error)
            if len(self._of_group) >= GROUPS_MAX:
                self._of_group.clear()
            address = self._of_group[group] = (found.host, found.port)
        return await self._to(address)

    def forget(self, group: str) -> None:
        """Look the coordinator up again: it moved, or is away."""
        self._of_group.pop(group, None)

    def hang_up(self, group: str) -> None:
        """`forget`, and close the connection: it does not answer."""
        address = self._of_group.pop(group, None)
        if address is not None:
            self._drop(address)

    def close(self) -> None:
        for address in list(self._connections):
            self._drop(address)

    async def _any(self) -> Connection:
        for task in self._connections.values():
            if task.done() and not task.cancelled() and task.exception() is None and task.result().is_open:
                return task.result()
        error: OSError = ConnectionError("no bootstrap server is configured")
        for address in random.sample(self._bootstrap, len(self._bootstrap)):
            try:
                return await self._to(address)
            except OSError as tried:
                error = tried
        raise error

    async def _to(self, address: Address) -> Connection:
        task = self._connections.get(address)
        if task is None or (task.done() and (task.cancelled() or task.exception() or not task.result().is_open)):
            task = self._connections[address] = asyncio.ensure_future(self._connected(address))
        # Shielded: others may wait for the same connection. A failed one is tried again by the next who asks.
        return await asyncio.shield(task)

    async def _connected(self, address: Address) -> Connection:
        async with asyncio.timeout(min(CONNECT_S, self._settings.request_timeout_s)):
            return await connected(self._settings, *address, self._role)

    def _drop(self, address: Address) -> None:
        task = self._connections.pop(address, None)
        if task is None:
            return
        if not task.done():
            task.cancel()
        elif not task.cancelled() and task.exception() is None:
            task.result().close()


def _address(server: str) -> Address:
    """``host:port``, ``[v6]:port``, with or without a ``PROTOCOL://`` before it; 9092 where no port is."""
    host, colon, port = server.strip().rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return server.strip().rpartition("://")[2].strip("[]"), 9092
    return host.strip("[]"), int(port)
