"""Admin: topics, their settings and offsets, and consumer groups, as the cluster has them.

Every method waits at most ``request_timeout_s`` and raises `BrokerUnavailable` then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple, TypeAlias

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public there, but not listed as exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from pipeline.errors import BrokerUnavailable, TopicNotFound
from pipeline.kafka.admin_answers import GROUP_STATES, answered, ended_with, spec_of
from pipeline.kafka.calls import NEVER_S, AdminCalls
from pipeline.kafka.client import KafkaSettings, translated

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
        self._calls = AdminCalls(settings, "admin")

    async def topics(self) -> list[str]:
        """Names of all topics, sorted, Kafka's internal ones included."""
        try:
            return await self._calls.topics()
        except KafkaException as error:
            raise translated(error, "list topics") from None

    async def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        """What is known of each name; topics that do not exist are absent."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        topics = TopicCollection(wanted)
        answers = await self._calls.ask(lambda client: client.describe_topics(topics, request_timeout=NEVER_S))
        found: dict[str, TopicState] = {}
        for name, answer in answers.items():
            if ended_with(
                answer, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_EXCEPTION
            ):
                continue
            state = answered(answer, f"describe {name}", name)
            # librdkafka writes ids with + and /; Kafka and its tools with - and _ (Uuid.java).
            topic_id = str(state.topic_id).translate(_URL_SAFE)
            found[name] = TopicState(name, topic_id, len(state.partitions))
        return found

    async def topic_config(self, name: str) -> dict[str, str]:
        """Every setting of the topic and its effective value (defaults included); sensitive ones read ``""``."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        answer = await self._one(lambda client: client.describe_configs([resource], request_timeout=NEVER_S))
        entries = answered(answer, f"read the settings of {name}", name)
        return {key: entry.value or "" for key, entry in entries.items()}

    async def create(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, replication: int | None = None
    ) -> bool:
        """Make the topic and wait until the cluster tells of it; False if it existed (it is left as it is).

        ``replication`` None takes the brokers' default.
        """
        topic = NewTopic(name, partitions, -1 if replication is None else replication, config=dict(config or {}))
        answer = await self._one(
            lambda client: client.create_topics([topic], operation_timeout=self._timeout_s, request_timeout=NEVER_S)
        )
        if ended_with(answer, KafkaError.TOPIC_ALREADY_EXISTS):
            return False
        answered(answer, f"create topic {name}", name)
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
        answer = await self._one(lambda client: client.incremental_alter_configs([resource], request_timeout=NEVER_S))
        answered(answer, f"change the settings of {name}", name)

    async def add_partitions(self, name: str, total: int) -> None:
        """Raise the number of partitions to ``total`` (keys move; Kafka has no way back)."""
        answer = await self._one(
            lambda client: client.create_partitions(
                [NewPartitions(name, total)], operation_timeout=self._timeout_s, request_timeout=NEVER_S
            )
        )
        if not ended_with(answer, KafkaError.INVALID_PARTITIONS) or (await self._partitions(name)) != total:
            answered(answer, f"add partitions to {name}", name)
        await self._until_known(name, total)

    async def delete(self, name: str) -> None:
        """Delete the topic with all it holds. Nothing in this product does so by itself."""
        answer = await self._one(
            lambda client: client.delete_topics([name], operation_timeout=self._timeout_s, request_timeout=NEVER_S)
        )
        answered(answer, f"delete topic {name}", name)

    async def offsets(
        self, partitions: Sequence[Partition], at: Literal["earliest", "latest"] | int
    ) -> dict[Partition, int]:
        """Per partition the log start, the read-committed end, or the first offset not older than ``at`` (ms since
        1970).

        A time past the last record gives the end. Raises `TopicNotFound` when one of them does not exist.
        """
        if not partitions:
            return {}
        found = await self._offsets(partitions, spec_of(at))
        past_the_end = [partition for partition, offset in found.items() if offset < 0]
        return found | await self._offsets(past_the_end, spec_of("latest")) if past_the_end else found

    async def groups(self) -> list[str]:
        """Names of all consumer groups that have members or committed offsets, sorted."""
        answer = await self._one(lambda client: {None: client.list_consumer_groups(request_timeout=NEVER_S)})
        listing = answered(answer, "list groups")
        if not listing.valid and listing.errors:
            raise translated(listing.errors[0], "list groups")
        return sorted(group.group_id for group in listing.valid)

    async def group_state(self, name: str) -> str:
        """``Empty`` (offsets, no members), ``Stable`` and the like (members), or ``Dead`` (there is no such group)."""
        answer = await self._one(lambda client: client.describe_consumer_groups([name], request_timeout=NEVER_S))
        if ended_with(answer, KafkaError.GROUP_ID_NOT_FOUND):
            return "Dead"
        state = answered(answer, f"describe group {name}").state
        return GROUP_STATES.get(state, "Unknown")

    async def delete_group(self, name: str) -> None:
        """Forget the group and its offsets, if there is one. Raises `GroupActive` when it has members."""
        answer = await self._one(lambda client: client.delete_consumer_groups([name], request_timeout=NEVER_S))
        if not ended_with(answer, KafkaError.GROUP_ID_NOT_FOUND):
            answered(answer, f"delete group {name}")

    async def cluster_id(self) -> str:
        answer = await self._one(lambda client: {None: client.describe_cluster(request_timeout=NEVER_S)})
        return str(answered(answer, "describe the cluster").cluster_id)

    async def brokers(self) -> list[tuple[str, int]]:
        """Host and port of every broker, as the cluster tells its clients."""
        answer = await self._one(lambda client: {None: client.describe_cluster(request_timeout=NEVER_S)})
        return [(node.host, node.port) for node in answered(answer, "describe the cluster").nodes]

    def close(self) -> None:
        """Let the client go; requests under way fail."""
        self._calls.close()

    @property
    def _timeout_s(self) -> float:
        return self._settings.request_timeout_s

    async def _one(self, request: Callable[[AdminClient], Mapping[Any, Future[Any]]]) -> Any:
        """The answer to the only thing asked."""
        (answer,) = (await self._calls.ask(request)).values()
        return answer

    async def _partitions(self, name: str) -> int | None:
        state = (await self.describe([name])).get(name)
        return state.partitions if state else None

    async def _offsets(self, partitions: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        wanted = {TopicPartition(*partition): spec for partition in partitions}
        answers = await self._calls.list_offsets(wanted, IsolationLevel.READ_COMMITTED)
        found: dict[Partition, int] = {}
        for place, answer in answers.items():
            doing = f"offsets of {place.topic}/{place.partition}"
            if ended_with(answer, KafkaError._NOENT):  # "no leaders found": no such topic, or its brokers are away
                if place.topic not in await self.describe([place.topic]):
                    raise TopicNotFound(place.topic)
                raise BrokerUnavailable(f"{doing}: no broker leads it")
            found[place.topic, place.partition] = answered(answer, doing, place.topic).offset
        return found

    async def _until_known(self, name: str, partitions: int) -> None:
        """Metadata spreads after the answer: wait for it, at most ``request_timeout_s``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        while loop.time() < deadline:
            if (await self._partitions(name) or 0) >= partitions:
                return
            await asyncio.sleep(0.02)
        raise BrokerUnavailable(f"topic {name} was made, but the cluster does not tell of it yet")
