"""Said: what a reader thread tells the loop, and what a partition's error means to those who read it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from confluent_kafka import KafkaError

from pipeline.errors import PipelineError
from pipeline.kafka.client import translated
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

DOUBTFUL = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
# The client goes on at the same position after every other error; after these it must not, or cannot.
HOPELESS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.INVALID_MSG,
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._NOT_IMPLEMENTED,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)


class Appended(NamedTuple):
    assignment: int
    records: list[Record]
    size_bytes: int


class Ended(NamedTuple):
    assignment: int
    offset: int


class Refused(NamedTuple):
    assignment: int


class Doubted(NamedTuple):
    assignment: int


class Broken(NamedTuple):
    assignment: int
    error: PipelineError


class Trouble(NamedTuple):
    """Something the client goes on trying about."""

    error: PipelineError


class Lost(NamedTuple):
    """The thread has ended by itself."""

    error: Exception


Said: TypeAlias = Appended | Ended | Refused | Doubted | Broken | Trouble | Lost


def meaning(error: KafkaError, place: Place, assignment: int) -> Said:
    """What follows from an error of one partition."""
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        return Refused(assignment)
    if error.code() in DOUBTFUL:
        return Doubted(assignment)
    problem = translated(error, f"read {place[0]}/{place[1]}", topic=place[0])
    return Broken(assignment, problem) if error.code() in HOPELESS else Trouble(problem)
