"""A whole test of the service, on a Kafka of its own: pytest examples/consume"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.consume.billing import bank, consumer
from pipeline.testing import local_kafka, local_topic


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    with local_kafka() as started:
        yield started


async def test_orders_are_charged_once_and_what_costs_nothing_is_set_aside(servers: str) -> None:
    bank.away_times = 2
    async with local_topic(servers, "orders") as orders, consumer.under_test(servers):
        for number, cents in enumerate((100, 250, 0)):
            await orders.append({"number": number, "cents": cents}, key=f"customer-{number}")
        assert sorted(await bank.charges(2)) == [100, 250]
        (letter,) = await orders.dead_letters("billing.orders", 1)
    assert (letter.failure.reason, letter.failure.attempts) == ("rejected_4xx", 1)
    assert "order 2 costs nothing" in letter.failure.error
