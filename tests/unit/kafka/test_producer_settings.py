"""The producer's bounds, and the properties that keep its promises."""

from __future__ import annotations

import pytest

from pipeline.errors import DeclarationInvalid
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.producer_settings import ProducerLimits, producer_conf


@pytest.mark.parametrize(
    ("field", "value"),
    [("queue_records_max", 0), ("queue_bytes_max", 1), ("message_bytes_max", 10), ("linger_s", -1), ("linger_s", 2)],
)
def test_a_limit_out_of_bounds_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(DeclarationInvalid, match=f"producer.{field}"):
        ProducerLimits(**{field: value})  # type: ignore[arg-type]  # wrong on purpose


def test_appends_are_acknowledged_by_all_idempotent_and_keyed_as_java_does() -> None:
    conf = producer_conf(KafkaSettings(), ProducerLimits())
    assert (conf["acks"], conf["enable.idempotence"], conf["partitioner"]) == ("all", True, "murmur2_random")


@pytest.mark.parametrize(("timeout_s", "message_ms"), [(10.0, 9000), (1.0, 500)])
def test_a_record_is_given_up_before_the_request_timeout(timeout_s: float, message_ms: int) -> None:
    conf = producer_conf(KafkaSettings(request_timeout_s=timeout_s), ProducerLimits())
    assert conf["message.timeout.ms"] == message_ms


def test_the_queue_is_bounded_as_told() -> None:
    conf = producer_conf(KafkaSettings(), ProducerLimits(queue_records_max=7, queue_bytes_max=10_240))
    assert (conf["queue.buffering.max.messages"], conf["queue.buffering.max.kbytes"]) == (7, 10)
