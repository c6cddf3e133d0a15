"""A service that charges orders: the same key one after the other, different keys side by side.

python -m examples.consume.billing      (Kafka from PIPELINE_BOOTSTRAP_SERVERS; SIGTERM drains)
"""

from __future__ import annotations

import asyncio
import os

import msgspec

from pipeline.consume import Consumer, Incoming, Reject, RetryPolicy


class Order(msgspec.Struct):
    number: int
    cents: int


class BankAway(Exception): ...


class Bank:
    """Stands for something slow that fails now and then."""

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.away_times = 0
        self._news = asyncio.Event()

    async def charge(self, once: str, cents: int) -> None:
        if self.away_times > 0:
            self.away_times -= 1
            raise BankAway("the bank does not answer")
        self.charged[once] = cents
        self._news.set()

    async def charges(self, count: int, timeout_s: float = 20.0) -> list[int]:
        """What was charged, once there are ``count``; for tests."""
        async with asyncio.timeout(timeout_s):
            while len(self.charged) < count:
                self._news.clear()
                await self._news.wait()
        return list(self.charged.values())


bank = Bank()
consumer = Consumer("billing", bootstrap_servers=os.environ.get("PIPELINE_BOOTSTRAP_SERVERS", "127.0.0.1:9092"))


@consumer.on("orders", concurrency=100, retry=RetryPolicy(schedule_s=(1, 5, 30)))
async def charge(event: Incoming) -> None:
    order = event.data_as(Order)
    if order.cents <= 0:
        raise Reject(f"order {order.number} costs nothing")
    # The same id on every attempt, also after a crash: the bank forgets what it has seen before.
    await bank.charge(event.delivery_id, order.cents)


if __name__ == "__main__":
    consumer.run()
