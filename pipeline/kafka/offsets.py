"""GroupOffsets: the committed offsets of groups without members, read and written through the admin API.

Two defects of confluent-kafka 2.16.1 are lived with here. It stores metadata with a NUL behind it, so 4,095 of the
broker's 4,096 characters are left. And of metadata that another client wrote (no NUL) it reads past the end: the text
comes with garbage behind it, which often is no UTF-8, and then *looking* at it raises `UnicodeDecodeError`. The offset
beside it is sound, and so is the text up to the garbage: that much is returned. Frame what you write with a
terminator of your own, and take what lacks it for another client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from pipeline.errors import InputError, PayloadTooLarge, PipelineError
from pipeline.kafka.calls import AdminCalls
from pipeline.kafka.client import KafkaSettings, translated

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, tuple[int, str | None]]

METADATA_CHARACTERS_MAX = 4000
CALLS_AT_ONCE = 8


class Committed(NamedTuple):
    """A committed offset. ``metadata`` may carry garbage behind its end when another client wrote it."""

    offset: int
    metadata: str | None


class GroupOffsets:
    """Reads and commits for any number of groups over one admin client, at most `CALLS_AT_ONCE` requests at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._timeout_s = settings.request_timeout_s
        self._calls: AdminCalls | None = AdminCalls(settings, "offsets")
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)

    async def read(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """Committed offsets of these partitions; those without a commit are absent.

        Raises `TopicNotFound`, `BrokerUnavailable`.
        """
        wanted = list(partitions)
        if not wanted:
            return {}
        places = [TopicPartition(*partition) for partition in wanted]
        async with self._turns:
            asked = self._open.raw.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, places)], request_timeout=self._timeout_s
            )
            (answer,) = (await self._open.answers(asked)).values()
        found = _checked(answer, f"read the offsets of group {group}")
        return {
            (place.topic, place.partition): Committed(place.offset, _metadata(place))
            for place in found
            if place.offset >= 0
        }

    async def commit(self, group: str, offsets: Offsets) -> None:
        """Set these offsets and their metadata, others stay. All or an error; an error may leave some of them set.

        Raises `GroupActive` when the group has members, `TopicNotFound`, `BrokerUnavailable`.
        """
        if not offsets:
            return
        places = [_place(partition, offset, metadata) for partition, (offset, metadata) in offsets.items()]
        async with self._turns:
            asked = self._open.raw.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, places)], request_timeout=self._timeout_s
            )
            (answer,) = (await self._open.answers(asked)).values()
        _checked(answer, f"commit to group {group}")

    async def commit_many(self, groups: Mapping[str, Offsets]) -> dict[str, PipelineError | None]:
        """`commit` for each group, several at a time; what became of each: None, or the error.

        Kafka takes one group a request, so this saves waiting, not work.
        """
        outcomes = await asyncio.gather(
            *(self.commit(group, offsets) for group, offsets in groups.items()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, PipelineError):
                raise outcome
        return dict(zip(groups, outcomes, strict=True))  # type: ignore[arg-type]  # the others were raised above

    def close(self) -> None:
        """Let the client go; requests under way fail."""
        self._calls = None

    @property
    def _open(self) -> AdminCalls:
        assert self._calls is not None, "the offsets client is closed"
        return self._calls


def _checked(answer: Any, doing: str) -> list[TopicPartition]:
    """The partitions of an answer that is none of the errors a request, or a partition of it, may end with."""
    if isinstance(answer, KafkaException):
        raise translated(answer, doing)
    if isinstance(answer, BaseException):
        raise answer
    places: list[TopicPartition] = answer.topic_partitions
    for place in places:
        if place.error is not None:
            raise translated(place.error, f"{doing}, {place.topic}/{place.partition}", topic=place.topic)
    return places


def _metadata(place: TopicPartition) -> str | None:
    try:
        return place.metadata or None
    except UnicodeDecodeError as error:
        return bytes(error.object[: error.start]).decode() or None


def _place(partition: Partition, offset: int, metadata: str | None) -> TopicPartition:
    if offset < 0:
        raise InputError("offset", offset, "0 or more")
    if metadata is None:
        return TopicPartition(*partition, offset)
    if len(metadata) > METADATA_CHARACTERS_MAX:
        expected = f"at most {METADATA_CHARACTERS_MAX} characters"
        raise PayloadTooLarge("metadata", f"{len(metadata)} characters", expected)
    if "\0" in metadata:
        raise InputError("metadata", metadata, "text without NUL")
    return TopicPartition(*partition, offset, metadata)
