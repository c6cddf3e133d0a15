"""TopicNews: makes a producer look again at a topic it believes missing, without blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from confluent_kafka import KafkaException


class TopicNews:
    """One look at a time per topic. ``look(topic)`` blocks, in a thread, and raises `KafkaException` when it fails."""

    def __init__(self, look: Callable[[str], object]) -> None:
        self._look = look
        self._looking: dict[str, asyncio.Task[None]] = {}

    def refresh(self, topic: str) -> asyncio.Task[None]:
        """Done when the client's view of `topic` is as new as the cluster could tell."""
        looking = self._looking.get(topic)
        if looking is None:
            looking = self._looking[topic] = asyncio.ensure_future(self._refresh(topic))
            looking.add_done_callback(lambda _: self._looking.pop(topic, None))
        return looking

    async def _refresh(self, topic: str) -> None:
        try:
            await asyncio.to_thread(self._look, topic)
        except KafkaException:
            return  # the cluster is away: the append that follows says so
