"""The embedded broker, whole: it starts, serves, stops, and leaves nothing behind."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from tests.broker_source import Kafka

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


def test_the_fixture_is_a_real_kafka(kafka: Kafka) -> None:
    """The broker of the tests answers with a cluster id."""
    assert AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).cluster_id
