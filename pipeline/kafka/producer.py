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
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message

from pipeline.errors import BrokerUnavailable, PipelineError, TopicNotFound
from pipeline.hooks import Hooks
from pipeline.kafka.append_failure import PartitionMissing, append_failure
from pipeline.kafka.client import KafkaSettings, kafka_error
from pipeline.kafka.producer_settings import ProducerLimits, producer_conf
from pipeline.kafka.raw_producer import RawProducer
from pipeline.kafka.topic_news import TopicNews
from pipeline.record import Headers, Position

Done: TypeAlias = Callable[[Position | PipelineError], None]

_POLL_S = 0.001
_POLL_MAX_S = 0.005
_IDLE_POLL_S = 1.0
# Position(…) without its argument parsing, which would cost a tenth of the whole report.
_position = partial(tuple.__new__, Position)


class Producer:
    """One shared producer per process. Use from one event loop only."""

    def __init__(
        self, settings: KafkaSettings, hooks: Hooks | None = None, *, limits: ProducerLimits | None = None
    ) -> None:
        self._settings, self._hooks, self._limits = settings, hooks or Hooks(), limits or ProducerLimits()
        self._client: RawProducer | None = None
        self._retired: list[RawProducer] = []
        self._outstanding = 0
        self._poll_s = _POLL_S
        self._timer: asyncio.TimerHandle | None = None
        self._acked: defaultdict[str, int] = defaultdict(int)
        self._news = TopicNews(self._look)
        self._closing: set[asyncio.Task[object]] = set()

    @property
    def outstanding(self) -> int:
        """Records accepted and not yet reported."""
        return self._outstanding

    async def start(self) -> None:
        """Make the client. Does not wait for a broker: appends find out."""
        self._client = RawProducer(producer_conf(self._settings, self._limits))
        self._schedule(_IDLE_POLL_S)

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Wait up to ``timeout_s`` for outstanding reports, then fail the rest as `BrokerUnavailable` and close."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._outstanding and loop.time() < deadline:
            self._poll()
            await asyncio.sleep(_POLL_S)
        last, self._client = self._client, None
        if last is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        for each in (last, *self._retired):
            each.purge()
            while each.serve():
                pass
            await asyncio.to_thread(each.close)
        self._retired.clear()
        await asyncio.gather(*self._closing)

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
            await asyncio.shield(self._news.refresh(topic))
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
        try:
            self._client.produce(
                topic,
                value,
                key,
                -1 if partition is None else partition,
                self._report_to(topic, done),
                None,
                0,
                list(headers) if headers else None,
            )
        except BufferError:
            return False
        except KafkaException as error:
            if kafka_error(error).code() == KafkaError._FATAL:  # nothing was queued, so begin anew and try again
                self._rebuild()
                return self.append_soon(topic, key=key, value=value, headers=headers, partition=partition, done=done)
            return self._refuse(kafka_error(error), topic, done)
        self._outstanding += 1
        if self._outstanding == 1:
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
            bounds = (
                f"queue_records_max={self._limits.queue_records_max}, queue_bytes_max={self._limits.queue_bytes_max}"
            )
            raise BrokerUnavailable(f"append to {topic}: the queue is full ({bounds})")
        outcome = await future
        if isinstance(outcome, PipelineError):
            raise outcome
        return outcome

    def _report_to(self, topic: str, done: Done | None) -> Callable[[KafkaError | None, Message], None]:
        """What librdkafka calls, inside `_poll`, when it knows what became of one record."""

        def report(error: KafkaError | None, message: Message) -> None:
            self._outstanding -= 1
            if error is None:
                self._acked[topic] += 1
                self._tell(done, _position((topic, message.partition(), message.offset())))
            else:
                self._tell(done, self._failed(error, topic))

        return report

    def _refuse(self, error: KafkaError, topic: str, done: Done | None) -> bool:
        """`error` came from ``produce`` itself; the report follows on the loop like any other."""
        failure = self._failed(error, topic)
        asyncio.get_running_loop().call_soon(self._tell, done, failure)
        return True

    @staticmethod
    def _tell(done: Done | None, outcome: Position | PipelineError) -> None:
        try:
            if done is not None:
                done(outcome)
        except Exception as raised:  # noqa: BLE001 - any, or poll() would leave the other reports unserved
            context = {"message": "the callback of an append raised", "exception": raised}
            asyncio.get_running_loop().call_exception_handler(context)

    def _failed(self, error: KafkaError, topic: str) -> PipelineError:
        failure = append_failure(error, topic, self._limits, self._client.last_error if self._client else "")
        if isinstance(failure, (PartitionMissing, TopicNotFound)):
            self._news.refresh(topic)
        self._hooks.on_append_failed(topic, failure)
        return failure

    # -- serving the client ------------------------------------------------------------------------------------------

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        served = self._poll()
        self._poll_s = _POLL_S if served else min(self._poll_s * 1.5, _POLL_MAX_S)
        self._schedule(self._poll_s if self._outstanding else _IDLE_POLL_S)

    def _poll(self) -> int:
        served = self._serve(self._client) if self._client is not None else 0
        for retired in self._retired[:]:
            served += self._serve(retired)
            if retired.is_empty:
                self._retired.remove(retired)
                closing = asyncio.create_task(asyncio.to_thread(retired.close))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        if self._acked:
            acked, self._acked = self._acked, defaultdict(int)
            for topic, count in acked.items():
                self._hooks.on_appended(topic, count)
        return served

    def _serve(self, client: RawProducer) -> int:
        served = client.serve()
        if client.lost and client is self._client:
            self._rebuild()
        return served

    def _rebuild(self) -> None:
        """An idempotent producer that lost its sequence cannot go on: fail what it holds and begin with a new one."""
        failed, self._client = self._client, RawProducer(producer_conf(self._settings, self._limits))
        if failed is not None:
            failed.purge()
            self._retired.append(failed)
            error = BrokerUnavailable(f"the producer had to start anew: {failed.last_error}")
            self._hooks.on_append_failed("", error)

    def _look(self, topic: str) -> None:
        if (client := self._client) is not None:
            client.look(topic)
