"""Producer: append to the log, acknowledged by all in-sync replicas, in order and once per append.

Delivery reports are served on the loop: while records are outstanding a timer calls ``poll(0)``, which runs the
callbacks of everything that was acknowledged since. A thread of our own was tried and costs more (11.3 against 9.0 µs
per 300-byte record, 100,000 records): librdkafka's binding takes the GIL once *per report*, so a polling thread and a
busy loop trade it back and forth. ``poll(0)`` never waits.

Rules: what was accepted is always reported, once (acknowledged, refused, timed out or purged at the end). The queue is
bounded in records and bytes; what does not fit is refused at once and nothing of it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeAlias

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.errors import AppendFailed, BrokerUnavailable, PayloadTooLarge, PipelineError, TopicNotFound
from pipeline.hooks import Hooks
from pipeline.kafka.client import ClientConf, KafkaSettings, client_conf, kafka_error, translated
from pipeline.record import Headers, Position

Done: TypeAlias = Callable[[Position | PipelineError], None]

_POLL_S = 0.001
_POLL_MAX_S = 0.02
_IDLE_POLL_S = 1.0
# librdkafka looks for timed-out records once a second, so they are given up that much earlier.
_SCAN_MS = 1000
_TOPIC_NEWS_MS = 500


class ProducerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the append queue: what is waiting, in flight or not yet reported counts.

    ``queue_records_max`` and ``queue_bytes_max``: beyond either an append is refused (the caller slows down or
    answers 503). ``message_bytes_max``: one record's key, value and headers, before compression; keep it at or
    below the topics' ``max.message.bytes``. ``linger_s``: how long a record may wait for company in its batch.
    """

    queue_records_max: int = 100_000
    queue_bytes_max: int = 128 * 1024 * 1024
    message_bytes_max: int = 1_000_000
    linger_s: float = 0.002
    compression: str = "none"


class PartitionMissing(AppendFailed):
    """The topic has no such partition, as far as this client's view of the cluster goes."""


class Producer:
    """One shared producer per process. Use from one event loop only."""

    def __init__(
        self, settings: KafkaSettings, hooks: Hooks | None = None, *, limits: ProducerLimits | None = None
    ) -> None:
        self._settings, self._hooks, self._limits = settings, hooks or Hooks(), limits or ProducerLimits()
        self._client: confluent_kafka.Producer | None = None
        self._retired: list[confluent_kafka.Producer] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outstanding = 0
        self._poll_s = _POLL_S
        self._timer: asyncio.TimerHandle | None = None
        self._acked: dict[str, int] = {}
        self._last_error = ""
        self._fatal = False
        self._refreshes: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Future[object]] = set()

    @property
    def outstanding(self) -> int:
        """Records accepted and not yet reported."""
        return self._outstanding

    async def start(self) -> None:
        """Make the client. Does not wait for a broker: appends find out."""
        self._loop = asyncio.get_running_loop()
        self._client = self._made()
        self._schedule(_IDLE_POLL_S)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Wait up to ``timeout_s`` for outstanding reports, then fail the rest as `BrokerUnavailable` and close."""
        client, loop = self._client, self._loop
        if client is None or loop is None:
            return
        deadline = loop.time() + timeout_s
        while self._outstanding and loop.time() < deadline:
            self._poll()
            await asyncio.sleep(_POLL_S)
        self._client = None
        if self._timer is not None:
            self._timer.cancel()
        for task in (*self._refreshes.values(), *self._closing):
            task.cancel()
        for each in (client, *self._retired):
            _purge(each)
            await asyncio.to_thread(each.close)
        self._retired.clear()

    async def append(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Position:
        """Where the record lies, once all in-sync replicas have it.

        Raises `PayloadTooLarge`, `TopicNotFound`, `AppendFailed` (refused, or no such partition) with nothing
        written, and `BrokerUnavailable` when no acknowledgement came: then the record may or may not be on the log.
        """
        try:
            return await self._append(topic, key, value, headers, partition)
        except (PartitionMissing, TopicNotFound):
            # The client's view may be older than the topic or the partition: look once, then believe it.
            await self._refreshed(topic)
            return await self._append(topic, key, value, headers, partition)

    def append_soon(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        done: Done | None = None,
    ) -> bool:
        """Queue the record; False when the queue is full (nothing was done). ``done`` runs on the loop, once."""
        if self._client is None:
            raise BrokerUnavailable("the producer is not running")
        report = self._unwatched if done is None else self._watched(done)
        try:
            self._client.produce(
                topic, value, key, -1 if partition is None else partition, report, None, 0, list(headers) or None
            )
        except BufferError:
            return False
        except KafkaException as error:
            return self._refuse(kafka_error(error), topic, done)
        self._outstanding += 1
        if self._poll_s > _POLL_S or self._outstanding == 1:
            self._poll_s = _POLL_S
            self._schedule(_POLL_S)
        return True

    async def _append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, partition: int | None
    ) -> Position:
        future: asyncio.Future[Position | PipelineError] = asyncio.get_running_loop().create_future()

        def settle(outcome: Position | PipelineError) -> None:
            if not future.done():
                future.set_result(outcome)

        if not self.append_soon(topic, key=key, value=value, headers=headers, partition=partition, done=settle):
            limits = self._limits
            raise BrokerUnavailable(
                f"append to {topic}: the queue is full (queue_records_max={limits.queue_records_max}, "
                f"queue_bytes_max={limits.queue_bytes_max})"
            )
        outcome = await future
        if isinstance(outcome, PipelineError):
            raise outcome
        return outcome

    def _watched(self, done: Done) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, message: Message) -> None:
            self._outstanding -= 1
            topic: str = message.topic()  # type: ignore[assignment]  # a report always names its topic
            if error is None:
                self._acked[topic] = self._acked.get(topic, 0) + 1
                outcome: Position | PipelineError = Position(topic, message.partition(), message.offset())  # type: ignore[arg-type]  # set on a report
            else:
                outcome = self._failed(error, topic)
            self._tell(done, outcome)

        return report

    def _unwatched(self, error: KafkaError | None, message: Message) -> None:
        self._outstanding -= 1
        topic: str = message.topic()  # type: ignore[assignment]  # a report always names its topic
        if error is None:
            self._acked[topic] = self._acked.get(topic, 0) + 1
        else:
            self._failed(error, topic)

    def _refuse(self, error: KafkaError, topic: str, done: Done | None) -> bool:
        """`error` came from ``produce`` itself; the report follows on the loop like any other."""
        failure = self._failed(error, topic)
        if done is not None and self._loop is not None:
            self._loop.call_soon(self._tell, done, failure)
        return True

    def _tell(self, done: Done, outcome: Position | PipelineError) -> None:
        try:
            done(outcome)
        except Exception as error:  # an exception here would leave poll() with reports unserved
            assert self._loop is not None
            self._loop.call_exception_handler({"message": "a delivery report's callback raised", "exception": error})

    def _failed(self, error: KafkaError, topic: str) -> PipelineError:
        failure = self._named(error, topic)
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._fatal = True
        if isinstance(failure, (PartitionMissing, TopicNotFound)):
            self._refresh(topic)
        self._hooks.on_append_failed(topic, failure)
        return failure

    def _named(self, error: KafkaError, topic: str) -> PipelineError:
        code = error.code()
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            limit = f"at most {self._limits.message_bytes_max} bytes (message_bytes_max; the topic's own limit may be less)"
            return PayloadTooLarge("data", f"a record for {topic}", limit)
        if code == KafkaError._UNKNOWN_PARTITION:
            return PartitionMissing(f"append to {topic}: it has no such partition")
        failure = translated(error, f"append to {topic}", topic=topic, refused=AppendFailed)
        if isinstance(failure, BrokerUnavailable) and self._last_error:
            return BrokerUnavailable(f"{failure}; last error of the client: {self._last_error}")
        return failure

    # -- serving the client ------------------------------------------------------------------------------------------

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._loop is not None
        self._timer = self._loop.call_later(delay_s, self._tick)

    def _tick(self) -> None:
        served = self._poll()
        self._poll_s = _POLL_S if served else min(self._poll_s * 1.5, _POLL_MAX_S)
        self._schedule(self._poll_s if self._outstanding else _IDLE_POLL_S)

    def _poll(self) -> int:
        served = self._client.poll(0) if self._client is not None else 0
        for retired in self._retired[:]:
            served += retired.poll(0)
            if not len(retired):
                self._retired.remove(retired)
                self._keep(asyncio.to_thread(retired.close))
        if self._acked:
            acked, self._acked = self._acked, {}
            for topic, count in acked.items():
                self._hooks.on_appended(topic, count)
        if self._fatal:
            self._rebuild()
        return served

    def _made(self) -> confluent_kafka.Producer:
        limits = self._limits
        conf: ClientConf = {
            **client_conf(self._settings, "producer"),
            "acks": "all",
            "enable.idempotence": True,
            # Java's choice of partition for a key; librdkafka's default would split one key over two partitions.
            "partitioner": "murmur2_random",
            "message.timeout.ms": max(1, int(self._settings.request_timeout_s * 1000) - _SCAN_MS),
            "message.max.bytes": limits.message_bytes_max,
            "queue.buffering.max.messages": limits.queue_records_max,
            "queue.buffering.max.kbytes": max(1, limits.queue_bytes_max // 1024),
            "linger.ms": limits.linger_s * 1000,
            "compression.type": limits.compression,
            # The default keeps records for an unknown topic for 30 s, so they time out with no word of the reason.
            "topic.metadata.propagation.max.ms": _TOPIC_NEWS_MS,
        }
        return confluent_kafka.Producer({**conf, "error_cb": self._noted})

    def _noted(self, error: KafkaError) -> None:
        self._last_error = f"{error.name()}: {error.str()}"
        self._fatal = self._fatal or error.fatal()

    def _rebuild(self) -> None:
        """An idempotent producer that lost its sequence cannot go on: fail what it holds and begin with a new one."""
        self._fatal = False
        if self._client is None:
            return
        failed, self._client = self._client, self._made()
        failed.purge(in_queue=True, in_flight=True, blocking=True)
        self._retired.append(failed)
        self._hooks.on_append_failed("", BrokerUnavailable(f"the producer had to start anew: {self._last_error}"))

    # -- a newer view of a topic -------------------------------------------------------------------------------------

    def _refresh(self, topic: str) -> asyncio.Task[None]:
        running = self._refreshes.get(topic)
        if running is None:
            running = self._refreshes[topic] = asyncio.ensure_future(self._look(topic))
            running.add_done_callback(lambda _: self._refreshes.pop(topic, None))
        return running

    async def _refreshed(self, topic: str) -> None:
        await asyncio.shield(self._refresh(topic))

    async def _look(self, topic: str) -> None:
        """Ask the cluster for `topic`; the client takes what it hears into its own view."""
        client = self._client
        if client is None:
            return
        try:
            await asyncio.to_thread(client.list_topics, topic, self._settings.request_timeout_s)
        except KafkaException as error:
            self._noted(kafka_error(error))

    def _keep(self, closing: Coroutine[object, object, object]) -> None:
        task = asyncio.ensure_future(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _purge(client: confluent_kafka.Producer) -> None:
    """Fail everything `client` holds and serve the reports. (The binding's ``blocking`` means its opposite.)"""
    client.purge(in_queue=True, in_flight=True, blocking=False)
    client.poll(0)
