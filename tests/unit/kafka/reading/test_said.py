"""What a partition's error means to those who read it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from pipeline.kafka.reading.said import Broken, Doubted, Refused, Said, Trouble, meaning


@pytest.mark.parametrize(
    ("code", "means"),
    [
        (KafkaError._AUTO_OFFSET_RESET, Refused),
        (KafkaError.OFFSET_OUT_OF_RANGE, Refused),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, Doubted),
        (KafkaError._UNKNOWN_PARTITION, Doubted),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Broken),
        (KafkaError._BAD_MSG, Broken),
        (KafkaError.NOT_LEADER_FOR_PARTITION, Trouble),
        (KafkaError._TRANSPORT, Trouble),
        (KafkaError.UNKNOWN, Trouble),
    ],
)
def test_an_error_is_weighed(code: int, means: type[Said]) -> None:
    assert isinstance(meaning(KafkaError(code), ("orders", 0), 1), means)
