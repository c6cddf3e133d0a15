"""Consume topics with coroutines: the bridge's delivery machine with a function of yours as the endpoint.

::

    consumer = Consumer("billing", bootstrap_servers="127.0.0.1:9092")

    @consumer.on("orders")
    async def charge(event: Incoming) -> None:
        await book(event.data_json())

    consumer.run()          # SIGTERM drains; or `async with consumer:` inside a loop of yours

Per handler a cursor, the consumer group ``billing.orders``; what cannot be done lies in ``billing.orders.dlq``.
"""

from __future__ import annotations

from pipeline.consume.consumer import Consumer, HandlerStopped
from pipeline.consume.incoming import Incoming
from pipeline.consume.outcomes import Reject, RetryLater
from pipeline.subscription import RetryPolicy

__all__ = ["Consumer", "HandlerStopped", "Incoming", "Reject", "RetryLater", "RetryPolicy"]
