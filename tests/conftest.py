"""What every test may ask for: a real broker, a mocked one, a topic name nobody else uses."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.broker_source import Kafka, broker, shared_broker

# The machine's speed is no property of the code, so no deadline; CI looks longer, at the same examples each time.
TOO_SLOW = [HealthCheck.too_slow]
settings.register_profile("dev", deadline=None, max_examples=50, suppress_health_check=TOO_SLOW)
settings.register_profile("ci", deadline=None, max_examples=300, derandomize=True, suppress_health_check=TOO_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One real broker for the whole run, all workers together."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        with shared_broker(base.parent / "kafka") as found:
            yield found
    else:
        with broker(base / "kafka") as found:
            yield found


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> str:
    """A name for this test's topic (or the prefix of several), used by no other test or run."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40]
    return f"{test}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def mock_kafka() -> Iterator[Kafka]:
    """librdkafka's mock cluster of three brokers; it makes topics on first use, with four partitions each.

    The cluster lives inside a producer and ends with it.
    """
    from confluent_kafka import Producer  # noqa: PLC0415 - most tests need no client

    host = Producer({"test.mock.num.brokers": 3, "log_level": 0})
    brokers = host.list_topics(timeout=10).brokers.values()
    yield Kafka(",".join(f"{broker.host}:{broker.port}" for broker in brokers))
    del host
