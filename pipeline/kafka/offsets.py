"""GroupOffsets: the committed offsets of groups without members, read and written through the admin API.

Known defects of confluent-kafka 2.16.1 that this file lives with: it stores metadata with a trailing NUL (4,095 usable
characters), and reading metadata another client wrote it runs past the end, which gives garbage or
`UnicodeDecodeError` instead of an answer. So: what is read may carry garbage behind its end (frame metadata with a
terminator of your own), and an unreadable answer is asked for again, first whole, then partition by partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from pipeline.errors import InputError, PayloadTooLarge, PipelineError, PointerUnreadable
from pipeline.kafka.calls import AdminCalls
from pipeline.kafka.client import KafkaSettings, translated

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, tuple[int, str | None]]

METADATA_CHARACTERS_MAX = 4000
READ_TRIES = 5
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

        Raises `BrokerUnavailable`, and `PointerUnreadable` naming the partition this client cannot decode.
        """
        wanted = list(partitions)
        if not wanted:
            return {}
        try:
            return await self._read_stubbornly(group, wanted)
        except PointerUnreadable:
            if len(wanted) == 1:
                raise
        found: dict[Partition, Committed] = {}
        for partition in wanted:
            found |= await self._read_stubbornly(group, [partition])
        return found

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
        doing = f"commit to group {group}"
        if isinstance(answer, KafkaException):
            raise translated(answer, doing)
        if isinstance(answer, BaseException):
            raise answer
        for place in answer.topic_partitions:
            if place.error is not None:
                raise translated(place.error, f"{doing}, {place.topic}/{place.partition}", topic=place.topic)

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

    async def _read_stubbornly(self, group: str, partitions: list[Partition]) -> dict[Partition, Committed]:
        for _ in range(READ_TRIES):
            try:
                return await self._read(group, partitions)
            except UnicodeDecodeError:
                continue
        topic, partition = partitions[0]
        raise PointerUnreadable(
            f"group {group}, {topic}/{partition}: another client committed metadata that this one cannot decode "
            f"({READ_TRIES} tries); set the offset again without metadata (kafka-consumer-groups --reset-offsets)"
        )

    async def _read(self, group: str, partitions: list[Partition]) -> dict[Partition, Committed]:
        places = [TopicPartition(*partition) for partition in partitions]
        async with self._turns:
            asked = self._open.raw.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, places)], request_timeout=self._timeout_s
            )
            (answer,) = (await self._open.answers(asked)).values()
        doing = f"read the offsets of group {group}"
        if isinstance(answer, KafkaException):
            raise translated(answer, doing)
        if isinstance(answer, BaseException):
            raise answer
        found: dict[Partition, Committed] = {}
        for place in answer.topic_partitions:
            if place.error is not None:
                raise translated(place.error, f"{doing}, {place.topic}/{place.partition}", topic=place.topic)
            if place.offset >= 0:
                found[place.topic, place.partition] = Committed(place.offset, place.metadata or None)
        return found


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
