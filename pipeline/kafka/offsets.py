"""GroupOffsets: the committed offsets of groups without members, read and written through the admin API.

Two defects of confluent-kafka 2.16.1 are lived with here. It stores metadata with a NUL behind it, so 4,095 of the
broker's 4,096 characters are left. And of metadata that another client wrote (no NUL) it reads past the end: the text
comes with garbage behind it, which often is no UTF-8, and then *looking* at it raises `UnicodeDecodeError`. The offset
beside it is sound, and so is the text up to the garbage: that much is returned. Frame what you write with a
terminator of your own, and take what lacks it for another client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeAlias

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.errors import BrokerUnavailable, InputError, PayloadTooLarge, PipelineError
from pipeline.kafka.calls import NEVER_S, AdminCalls
from pipeline.kafka.client import KafkaSettings, kafka_error, translated

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, tuple[int, str | None]]
Request: TypeAlias = Callable[[AdminClient], "dict[str, Future[Any]]"]

METADATA_CHARACTERS_MAX = 4000
CALLS_AT_ONCE = 8


class Committed(NamedTuple):
    """A committed offset. ``metadata`` may carry garbage behind its end when another client wrote it."""

    offset: int
    metadata: str | None


class GroupOffsets:
    """Reads and commits for any number of groups over one admin client, at most `CALLS_AT_ONCE` requests at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._calls = AdminCalls(settings, "offsets")
        self._timeout_s = settings.request_timeout_s
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)

    async def read(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, Committed]:
        """Committed offsets of these partitions; those without a commit are absent.

        Raises `TopicNotFound`, `BrokerUnavailable`.
        """
        wanted = list(partitions)
        if not wanted:
            return {}
        places = [ConsumerGroupTopicPartitions(group, [TopicPartition(*partition) for partition in wanted])]
        found = await self._asked(
            lambda client: client.list_consumer_group_offsets(places, request_timeout=NEVER_S),
            f"read the offsets of group {group}",
        )
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
        wanted = [_place(partition, offset, metadata) for partition, (offset, metadata) in offsets.items()]
        places = [ConsumerGroupTopicPartitions(group, wanted)]
        await self._asked(
            lambda client: client.alter_consumer_group_offsets(places, request_timeout=NEVER_S),
            f"commit to group {group}",
        )

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
        self._calls.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of `CALLS_AT_ONCE`; a cluster that keeps all of them waiting is away for the next in line, too."""
        try:
            await asyncio.wait_for(self._turns.acquire(), self._timeout_s)
        except TimeoutError:
            raise BrokerUnavailable(f"no turn to ask the brokers in {self._timeout_s:g} s") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _asked(self, request: Request, doing: str) -> list[TopicPartition]:
        """The partitions of the answer, none of them with an error."""
        async with self._turn():
            (answer,) = (await self._calls.ask(request)).values()
        if (refused := _refused(answer)) is not None:
            error, topic, partition = refused
            raise translated(error, f"{doing}, {topic}/{partition}" if topic else doing, topic=topic)
        return list(answer.topic_partitions)


def _refused(answer: Any) -> tuple[KafkaError, str, int] | None:
    """What a request, or the first partition of it that did, ended with; raises what is no error of Kafka's."""
    if isinstance(answer, KafkaException):
        return kafka_error(answer), "", 0
    if isinstance(answer, BaseException):
        raise answer
    for place in answer.topic_partitions:
        if place.error is not None:
            return kafka_error(place.error), place.topic, place.partition
    return None


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
