"""What the cluster answers to an administrator, and how it is asked where in time."""

from __future__ import annotations

from typing import Any, Literal

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # public there, but not listed as exported

from pipeline.kafka.client import kafka_error, translated

GROUP_STATES = {
    ConsumerGroupState.UNKNOWN: "Unknown",
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.DEAD: "Dead",
    ConsumerGroupState.EMPTY: "Empty",
}


def spec_of(at: Literal["earliest", "latest"] | int) -> OffsetSpec:
    made: OffsetSpec
    if isinstance(at, int):
        made = OffsetSpec.for_timestamp(at)
    else:
        made = (OffsetSpec.earliest if at == "earliest" else OffsetSpec.latest)()  # type: ignore[no-untyped-call]  # as published
    return made


def ended_with(answer: object, *codes: int) -> bool:
    """Whether the answer is one of these errors of Kafka's."""
    return isinstance(answer, KafkaException) and kafka_error(answer).code() in codes


def answered(answer: Any, doing: str, topic: str = "") -> Any:
    """`answer` unless it is an exception, which is raised as one of ours."""
    if isinstance(answer, KafkaException):
        raise translated(answer, doing, topic=topic)
    if isinstance(answer, BaseException):
        raise answer
    return answer
