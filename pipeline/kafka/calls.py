"""AdminCalls: requests of an admin client, awaited on the loop; answers cross threads in batches.

Time-outs are ours, never librdkafka's, and short, because of three of four defects of librdkafka 2.16.0:

- A request to a group's coordinator that times out *there* while the coordinator is still being looked for is freed,
  and freed memory is used when the broker comes back: the process aborts (``rd_kafka_enq_once_del_source_return:
  Assertion `eonce->refcnt > 0' failed``).
- A request that waits for the controller connects to it in a closed loop, 35,000 times a second, if it refuses, and
  does not notice when there is another one.
- A client that is told "no coordinator yet" (on a new cluster: the first commit ever makes the offsets topic) may wait
  for a sign that never comes.
- A request for offsets whose leaders are not known yet is registered for news of metadata and worked on after that, on
  the caller's thread; if news come at that moment, since another request asked for them, the client's own thread
  finishes and frees it (``rd_kafka_topic_partition_list_query_leaders_async_worker``), and the process ends by a
  segmentation fault. So `list_offsets` asks one at a time until a topic's leaders are known.

So every request is given `NEVER_S`; one that has no answer in `TRY_S` closes its client, which ends all of this, and is
made again with a new one until the time is up. Requests are therefore written so that doing them twice does no harm.

The client is kept referenced as long as this object is: a temporary one is destroyed with its requests under way, and
they fail with ``_DESTROY``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.errors import BrokerUnavailable
from pipeline.kafka.client import KafkaSettings, client_conf, kafka_error

K = TypeVar("K")
Answered = tuple[asyncio.Future[Any], "Future[Any]"]

NEVER_S = 3600.0
"""Give this as ``request_timeout`` to every request: the longest there is, far beyond any of ours."""
TRY_S = 2.0
TRIES_MIN = 3
PAUSE_S = 0.1
# How long leaders that were found count as known: less than what the client keeps them for (metadata.max.age.ms, 15
# minutes).
LEADERS_S = 300.0
# Worth asking again within the time there is: something is moving, or the client was replaced under the request.
_AGAIN = frozenset(
    {
        KafkaError._DESTROY,
        KafkaError._DESTROY_BROKER,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)


class AdminCalls:
    """One admin client at a time."""

    def __init__(self, settings: KafkaSettings, role: str) -> None:
        self._timeout_s = settings.request_timeout_s
        self._try_s = min(TRY_S, self._timeout_s / TRIES_MIN)
        self._conf: dict[str, Any] = {**client_conf(settings, role), "error_cb": self._noted}
        self._client: AdminClient | None = AdminClient(self._conf)
        self._last_error = ""
        self._answered: deque[Answered] = deque()
        self._waking = False
        # Topic → until when (the loop's time) its leaders count as known to this client.
        self._led: dict[str, float] = {}
        self._finding = asyncio.Lock()
        self._asking: asyncio.Task[Any] | None = None
        self._closing: set[asyncio.Task[object]] = set()

    async def ask(
        self, request: Callable[[AdminClient], Mapping[K, Future[Any]]], leaders_of: Collection[str] = ()
    ) -> dict[K, Any]:
        """Answers to what ``request`` asks of a client, each a result or the exception it ended with, as a value.

        It is asked again, for ``request_timeout_s`` in all, while an answer says that something is moving. Each time
        that the client does not know the leaders of the topics ``leaders_of`` (a new one knows none), it takes its
        turn. Raises `BrokerUnavailable` when that does not come within the time there is.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            if self._knows(leaders_of):
                answers = await self._answers(request)
            else:
                answers = await self._in_turn(request, leaders_of, deadline)
            moving = any(code in _AGAIN for answer in answers.values() for code in _codes(answer))
            if not moving or asyncio.get_running_loop().time() + PAUSE_S + self._try_s > deadline:
                return answers
            await asyncio.sleep(PAUSE_S)

    async def list_offsets(
        self, wanted: Mapping[TopicPartition, OffsetSpec], isolation: IsolationLevel
    ) -> dict[TopicPartition, Any]:
        """`ask` for offsets, one request at a time while leaders are to be found (see above)."""

        def request(client: AdminClient) -> Mapping[TopicPartition, Future[Any]]:
            asked = client.list_offsets(dict(wanted), isolation_level=isolation, request_timeout=NEVER_S)
            return dict(asked)

        answers = await self.ask(request, {place.topic for place in wanted})
        until = asyncio.get_running_loop().time() + LEADERS_S
        for place, answer in answers.items():
            if isinstance(answer, KafkaException):
                self._led.pop(place.topic, None)
            else:
                self._led[place.topic] = until
        return answers

    def _knows(self, leaders_of: Collection[str]) -> bool:
        now = asyncio.get_running_loop().time()
        return all(self._led.get(topic, 0.0) > now for topic in leaders_of)

    async def _in_turn(
        self, request: Callable[[AdminClient], Mapping[K, Future[Any]]], leaders_of: Collection[str], deadline: float
    ) -> dict[K, Any]:
        try:
            async with asyncio.timeout_at(deadline):
                await self._finding.acquire()
        except TimeoutError:
            raise BrokerUnavailable(f"offsets of {min(leaders_of)}: {self._timed_out()}") from None
        # Whoever stops waiting for it leaves the request under way: its turn lasts until it has ended.
        asking = self._asking = asyncio.create_task(self._answers(request))
        asking.add_done_callback(self._end_turn)
        return await asyncio.shield(asking)

    def _end_turn(self, asking: asyncio.Task[Any]) -> None:
        self._finding.release()
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # told to whoever waits for it, if anybody still does

    async def topics(self) -> list[str]:
        """Names of all topics. The one question that blocks: on a thread, with a client that nobody else closes."""

        def listed() -> list[str]:
            with AdminClient(self._conf) as client:
                return sorted(client.list_topics(timeout=self._timeout_s).topics)

        return await asyncio.to_thread(listed)

    def close(self) -> None:
        """Close the client; requests under way, and later ones, fail."""
        client, self._client = self._client, None
        if client is not None:
            client.__exit__(None, None, None)

    async def _answers(self, request: Callable[[AdminClient], Mapping[K, Future[Any]]]) -> dict[K, Any]:
        client, loop = self._client, asyncio.get_running_loop()
        if client is None:
            raise BrokerUnavailable("the admin client is closed")
        waiting: dict[K, asyncio.Future[Any]] = {}
        for key, asked in request(client).items():
            waiting[key] = answer = loop.create_future()
            asked.add_done_callback(lambda done, answer=answer: self._hand_over(loop, answer, done))  # type: ignore[misc]  # bound per turn
        _, unanswered = await asyncio.wait(waiting.values(), timeout=self._try_s)
        if unanswered and client is self._client:
            client.poll(0)  # what it has to say: `_noted`
            self._renew(client)
        return {key: answer.result() if answer.done() else self._timed_out() for key, answer in waiting.items()}

    def _renew(self, old: AdminClient) -> None:
        """Go on with a new client; requests under way with the old one end with ``_DESTROY``."""
        self._client = AdminClient(self._conf)
        self._led.clear()
        # Closing waits for the client's threads, so one of ours does it.
        closing = asyncio.create_task(asyncio.to_thread(old.__exit__, None, None, None))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _timed_out(self) -> KafkaException:
        said = f"; the client's last error: {self._last_error}" if self._last_error else ""
        return KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no answer in {self._timeout_s:g} s{said}"))

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

    def _noted(self, error: KafkaError) -> None:
        self._last_error = f"{error.name()}: {error.str()}"


def _codes(answer: Any) -> list[int]:
    """Codes of the errors an answer is, or holds per partition or broker."""
    if isinstance(answer, KafkaException):
        return [kafka_error(answer).code()]
    errors = [place.error for place in getattr(answer, "topic_partitions", ()) if place.error is not None]
    errors += getattr(answer, "errors", None) or ()
    return [kafka_error(error).code() for error in errors]
