"""What a failed append is called."""

from __future__ import annotations

from confluent_kafka import KafkaError

from pipeline.errors import AppendFailed, BrokerUnavailable, PayloadTooLarge, PipelineError
from pipeline.kafka.client import translated
from pipeline.kafka.producer_settings import ProducerLimits


class PartitionMissing(AppendFailed):
    """The topic has no such partition, as far as this client's view of the cluster goes."""


def append_failure(error: KafkaError, topic: str, limits: ProducerLimits, last_error: str) -> PipelineError:
    """The error of our tree for an append to ``topic`` that ended in ``error``.

    A wrong password or certificate shows only in ``last_error``, what the client said last by itself: the records
    just time out. So a `BrokerUnavailable` carries it.
    """
    code = error.code()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        limit = f"at most {limits.message_bytes_max} bytes (message_bytes_max) and the topic's own max.message.bytes"
        return PayloadTooLarge("data", f"a record for {topic}", limit)
    if code == KafkaError._UNKNOWN_PARTITION:
        return PartitionMissing(f"append to {topic}: it has no such partition")
    failure = translated(error, f"append to {topic}", topic=topic, refused=AppendFailed)
    if isinstance(failure, BrokerUnavailable) and last_error:
        return BrokerUnavailable(f"{failure}; the client's last error: {last_error}")
    return failure
