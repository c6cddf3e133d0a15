"""AdminCalls: requests of an admin client, awaited on the loop; answers cross threads in batches.

librdkafka answers on a thread of its own. The client is kept referenced as long as this object is: a temporary one is
destroyed with its requests under way, and they fail with ``_DESTROY``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka.admin import AdminClient

from pipeline.kafka.client import KafkaSettings, client_conf

K = TypeVar("K")
Answered = tuple[asyncio.Future[Any], "Future[Any]"]


class AdminCalls:
    """One admin client. ``raw`` makes requests, `answers` waits for them."""

    def __init__(self, settings: KafkaSettings, role: str) -> None:
        self.timeout_s = settings.request_timeout_s
        conf: dict[str, Any] = {**client_conf(settings, role), "error_cb": self._noted}
        self.raw = AdminClient(conf)
        self.last_error = ""
        self._answered: deque[Answered] = deque()
        self._waking = False

    async def answers(self, requests: Mapping[K, Future[Any]]) -> dict[K, Any]:
        """The result of each request, or the exception it ended with, as a value."""
        loop = asyncio.get_running_loop()
        waiting: dict[K, asyncio.Future[Any]] = {}
        for key, request in requests.items():
            waiting[key] = answer = loop.create_future()
            request.add_done_callback(lambda done, answer=answer: self._hand_over(loop, answer, done))  # type: ignore[misc]  # bound per turn
        return {key: await answer for key, answer in waiting.items()}

    def _hand_over(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any], done: Future[Any]) -> None:
        """On librdkafka's thread: queue the answer, wake the loop unless it is being woken."""
        self._answered.append((answer, done))
        if not self._waking:
            self._waking = True
            try:
                loop.call_soon_threadsafe(self._settle)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._waking = False

    def _settle(self) -> None:
        self._waking = False  # first, so that an answer arriving from here on wakes the loop again
        while self._answered:
            answer, done = self._answered.popleft()
            if not answer.done():
                answer.set_result(done.exception() or done.result())

    def _noted(self, error: object) -> None:
        self.last_error = str(error)
