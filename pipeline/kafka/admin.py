"""Admin: topics, their settings and offsets, and consumer groups, as the cluster has them.

Every method waits at most ``request_timeout_s`` and raises `BrokerUnavailable` then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple, TypeAlias

from confluent_kafka import (
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public there, but not listed as exported
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from pipeline.errors import BrokerUnavailable, TopicNotFound
from pipeline.kafka.calls import AdminCalls
from pipeline.kafka.client import KafkaSettings, kafka_error, translated

Partition: TypeAlias = tuple[str, int]


_URL_SAFE = str.maketrans("+/", "-_")


class TopicState(NamedTuple):
    """A topic as it is: ``topic_id`` (22 characters) differs when it is deleted and made again."""

    name: str
    topic_id: str
    partitions: int


class Admin:
    """Questions to and orders for the cluster; safe to share within one event loop."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._calls: AdminCalls | None = AdminCalls(settings, "admin")

    async def topics(self) -> list[str]:
        """Names of all topics, sorted, Kafka's internal ones included."""
        raw, timeout_s = self._open.raw, self._settings.request_timeout_s
        try:
            metadata = await asyncio.to_thread(raw.list_topics, timeout=timeout_s)
        except KafkaException as error:
            raise translated(error, "list topics") from None
        return sorted(metadata.topics)

    async def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        """What is known of each name; topics that do not exist are absent."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        asked = self._open.raw.describe_topics(TopicCollection(wanted), request_timeout=self._timeout_s)
        found: dict[str, TopicState] = {}
        for name, answer in (await self._open.answers(asked)).items():
            if _is(answer, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_EXCEPTION):
                continue
            state = _answered(answer, f"describe {name}", name)
            # librdkafka writes ids with + and /; Kafka and its tools with - and _ (Uuid.java).
            topic_id = str(state.topic_id).translate(_URL_SAFE)
            found[name] = TopicState(name, topic_id, len(state.partitions))
        return found

    async def topic_config(self, name: str) -> dict[str, str]:
        """Every setting of the topic and its effective value (defaults included); sensitive ones read ``""``."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        asked = self._open.raw.describe_configs([resource], request_timeout=self._timeout_s)
        entries = _answered(await self._one(asked), f"read the settings of {name}", name)
        return {key: entry.value or "" for key, entry in entries.items()}

    async def create(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, replication: int | None = None
    ) -> bool:
        """Make the topic and wait until the cluster tells of it; False if it existed (it is left as it is).

        ``replication`` None takes the brokers' default.
        """
        topic = NewTopic(name, partitions, -1 if replication is None else replication, config=dict(config or {}))
        asked = self._open.raw.create_topics(
            [topic], operation_timeout=self._timeout_s, request_timeout=self._timeout_s
        )
        answer = await self._one(asked)
        if _is(answer, KafkaError.TOPIC_ALREADY_EXISTS):
            return False
        _answered(answer, f"create topic {name}", name)
        await self._until_known(name, partitions)
        return True

    async def set_config(self, name: str, config: Mapping[str, str | None]) -> None:
        """Set these settings of the topic, leave the others; None puts one back to the default."""
        entries = [
            ConfigEntry(
                key,
                value or "",
                incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
            )
            for key, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        asked = self._open.raw.incremental_alter_configs([resource], request_timeout=self._timeout_s)
        _answered(await self._one(asked), f"change the settings of {name}", name)

    async def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions to ``total`` (keys move; Kafka has no way back)."""
        asked = self._open.raw.create_partitions(
            [NewPartitions(name, total)], operation_timeout=self._timeout_s, request_timeout=self._timeout_s
        )
        _answered(await self._one(asked), f"add partitions to {name}", name)
        await self._until_known(name, total)

    async def delete(self, name: str) -> None:
        """Delete the topic with all it holds. Nothing in this product does so by itself."""
        asked = self._open.raw.delete_topics([name], operation_timeout=self._timeout_s, request_timeout=self._timeout_s)
        _answered(await self._one(asked), f"delete topic {name}", name)

    async def offsets(
        self, partitions: Sequence[Partition], at: Literal["earliest", "latest"] | int
    ) -> dict[Partition, int]:
        """Per partition the log start, the read-committed end, or the first offset not older than ``at`` (ms since
        1970).

        A time past the last record gives the end. Raises `TopicNotFound` when one of them does not exist.
        """
        if not partitions:
            return {}
        found = await self._offsets(partitions, _spec(at))
        past_the_end = [partition for partition, offset in found.items() if offset < 0]
        return found | await self._offsets(past_the_end, _spec("latest")) if past_the_end else found

    async def groups(self) -> list[str]:
        """Names of all consumer groups that have members or committed offsets, sorted."""
        asked = {None: self._open.raw.list_consumer_groups(request_timeout=self._timeout_s)}
        listing = _answered(await self._one(asked), "list groups")
        if not listing.valid and listing.errors:
            raise translated(listing.errors[0], "list groups")
        return sorted(group.group_id for group in listing.valid)

    async def group_state(self, name: str) -> str:
        """``Empty`` (offsets, no members), ``Stable`` and the like (members), or ``Dead`` (there is no such group)."""
        answer = await self._one(self._open.raw.describe_consumer_groups([name], request_timeout=self._timeout_s))
        if _is(answer, KafkaError.GROUP_ID_NOT_FOUND):
            return "Dead"
        state = _answered(answer, f"describe group {name}").state
        return _GROUP_STATES.get(state, "Unknown")

    async def delete_group(self, name: str) -> None:
        """Forget the group and its offsets, if there is one. Raises `GroupActive` when it has members."""
        asked = self._open.raw.delete_consumer_groups([name], request_timeout=self._timeout_s)
        answer = await self._one(asked)
        if not _is(answer, KafkaError.GROUP_ID_NOT_FOUND):
            _answered(answer, f"delete group {name}")

    async def cluster_id(self) -> str:
        asked = {None: self._open.raw.describe_cluster(request_timeout=self._timeout_s)}
        return str(_answered(await self._one(asked), "describe the cluster").cluster_id)

    def close(self) -> None:
        """Let the client go; requests under way fail."""
        self._calls = None

    @property
    def _open(self) -> AdminCalls:
        assert self._calls is not None, "the admin client is closed"
        return self._calls

    @property
    def _timeout_s(self) -> float:
        return self._settings.request_timeout_s

    async def _one(self, asked: Mapping[Any, Future[Any]]) -> Any:
        """The answer to the only request there is."""
        (answer,) = (await self._open.answers(asked)).values()
        return answer

    async def _offsets(self, partitions: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        asked = self._open.raw.list_offsets(
            {TopicPartition(*partition): spec for partition in partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._timeout_s,
        )
        answers = await self._open.answers(asked)
        found: dict[Partition, int] = {}
        for place, answer in answers.items():
            doing = f"offsets of {place.topic}/{place.partition}"
            if _is(answer, KafkaError._NOENT):  # "no leaders found": there is no such topic, or its brokers are away
                if place.topic not in await self.describe([place.topic]):
                    raise TopicNotFound(place.topic)
                raise BrokerUnavailable(f"{doing}: no broker leads it")
            found[place.topic, place.partition] = _answered(answer, doing, place.topic).offset
        return found

    async def _until_known(self, name: str, partitions: int) -> None:
        """Metadata spreads after the answer: wait for it, at most ``request_timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while loop.time() < deadline:
            state = (await self.describe([name])).get(name)
            if state is not None and state.partitions >= partitions:
                return
            await asyncio.sleep(0.02)
        raise BrokerUnavailable(f"topic {name} was made, but the cluster does not tell of it yet")


_GROUP_STATES = {
    ConsumerGroupState.UNKNOWN: "Unknown",
    ConsumerGroupState.PREPARING_REBALANCING: "PreparingRebalance",
    ConsumerGroupState.COMPLETING_REBALANCING: "CompletingRebalance",
    ConsumerGroupState.STABLE: "Stable",
    ConsumerGroupState.DEAD: "Dead",
    ConsumerGroupState.EMPTY: "Empty",
}


def _spec(at: Literal["earliest", "latest"] | int) -> OffsetSpec:
    made: OffsetSpec
    if isinstance(at, int):
        made = OffsetSpec.for_timestamp(at)
    else:
        made = (OffsetSpec.earliest if at == "earliest" else OffsetSpec.latest)()  # type: ignore[no-untyped-call]  # as published
    return made


def _is(answer: object, *codes: int) -> bool:
    return isinstance(answer, KafkaException) and kafka_error(answer).code() in codes


def _answered(answer: Any, doing: str, topic: str = "") -> Any:
    """`answer` unless it is an exception, which is raised as one of ours."""
    if isinstance(answer, KafkaException):
        raise translated(answer, doing, topic=topic)
    if isinstance(answer, BaseException):
        raise answer
    return answer
