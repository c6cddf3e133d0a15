"""Catalog: what the topics are, remembered for a while so that nobody asks the cluster per event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from pipeline.errors import TopicNotFound
from pipeline.kafka.admin import TopicState

FRESH_S = 30.0
TOPICS_MAX = 10_000


class Describes(Protocol):
    async def describe(self, names: list[str], /) -> dict[str, TopicState]: ...


class Catalog:
    """Facts at most `FRESH_S` old. A topic that is missing is asked for again each time: it may have just been made.

    At most `TOPICS_MAX` are remembered; the one asked for longest ago goes first.
    """

    def __init__(self, admin: Describes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin, self._clock = admin, clock
        self._known: dict[str, tuple[float, TopicState]] = {}
        self._asking: dict[str, asyncio.Task[TopicState | None]] = {}

    async def get(self, topic: str) -> TopicState:
        """The topic's state; raises `TopicNotFound`."""
        known = self._known.get(topic)
        if known is not None and self._clock() - known[0] < FRESH_S:
            return known[1]
        state = await asyncio.shield(self._asked(topic))
        if state is None:
            raise TopicNotFound(topic)
        return state

    def id_of(self, topic: str) -> str | None:
        """The topic's id as last heard, however long ago; None if it was never asked for."""
        known = self._known.get(topic)
        return known[1].topic_id if known else None

    def forget(self, topic: str) -> None:
        """Ask again at the next `get`: something changed it, or may have."""
        if topic in self._known:
            self._known[topic] = (float("-inf"), self._known[topic][1])

    def _asked(self, topic: str) -> asyncio.Task[TopicState | None]:
        """One question at a time per topic, however many wait for the answer."""
        asking = self._asking.get(topic)
        if asking is None:
            asking = self._asking[topic] = asyncio.ensure_future(self._ask(topic))
            asking.add_done_callback(lambda _: self._asking.pop(topic, None))
        return asking

    async def _ask(self, topic: str) -> TopicState | None:
        state = (await self._admin.describe([topic])).get(topic)
        self._known.pop(topic, None)
        if state is not None:
            self._known[topic] = (self._clock(), state)
            if len(self._known) > TOPICS_MAX:
                del self._known[next(iter(self._known))]
        return state
