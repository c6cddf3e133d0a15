"""A failed append says what would be right, or why no broker answered."""

from __future__ import annotations

from confluent_kafka import KafkaError

from pipeline.errors import AppendFailed, BrokerUnavailable, PayloadTooLarge
from pipeline.kafka.append_failure import PartitionMissing, append_failure
from pipeline.kafka.producer_settings import ProducerLimits

LIMITS = ProducerLimits(message_bytes_max=5000)


def test_too_large_names_the_limit() -> None:
    failure = append_failure(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), "orders", LIMITS, "")
    assert isinstance(failure, PayloadTooLarge)
    assert "5000 bytes (message_bytes_max)" in str(failure)


def test_a_missing_partition_is_a_refusal() -> None:
    failure = append_failure(KafkaError(KafkaError._UNKNOWN_PARTITION), "orders", LIMITS, "")
    assert isinstance(failure, PartitionMissing)
    assert isinstance(failure, AppendFailed)
    assert not failure.retryable


def test_a_time_out_carries_what_the_client_said_last() -> None:
    failure = append_failure(KafkaError(KafkaError._MSG_TIMED_OUT), "orders", LIMITS, "_AUTHENTICATION: bad password")
    assert isinstance(failure, BrokerUnavailable)
    assert str(failure).endswith("the client's last error: _AUTHENTICATION: bad password")


def test_a_refusal_does_not() -> None:
    failure = append_failure(KafkaError(KafkaError.INVALID_RECORD), "orders", LIMITS, "_TRANSPORT: down")
    assert type(failure) is AppendFailed
    assert "_TRANSPORT" not in str(failure)
