"""LookUps: where logs begin and end, asked for many partitions in one go."""

from __future__ import annotations

import asyncio

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # re-exported without saying so

from pipeline.errors import BrokerUnavailable, LogError, PipelineError, TopicNotFound
from pipeline.kafka.calls import NEVER_S, AdminCalls
from pipeline.kafka.client import KafkaSettings, kafka_error, translated
from pipeline.kafka.reading.orders import Bounds
from pipeline.kafka.reading.stream import Place

EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]  # not typed


class LookUps:
    def __init__(self, settings: KafkaSettings) -> None:
        self._calls = AdminCalls(settings, "view")

    def close(self) -> None:
        """Close the client; look-ups under way fail."""
        self._calls.close()

    async def bounds(self, places: list[Place]) -> dict[Place, Bounds | PipelineError]:
        """Of each place, or why they are not known. Raises `BrokerUnavailable` once it is closed."""
        low, end, high = await asyncio.gather(
            self._offsets(places, EARLIEST, IsolationLevel.READ_UNCOMMITTED),
            self._offsets(places, LATEST, IsolationLevel.READ_COMMITTED),
            self._offsets(places, LATEST, IsolationLevel.READ_UNCOMMITTED),
        )
        found: dict[Place, Bounds | PipelineError] = {}
        doubtful: list[Place] = []
        for place in places:
            numbers = [answer for answer in (low[place], end[place], high[place]) if isinstance(answer, int)]
            errors = [answer for answer in (low[place], end[place], high[place]) if not isinstance(answer, int)]
            if not errors:
                found[place] = Bounds(*numbers)
            elif kafka_error(errors[0]).code() in (KafkaError._NOENT, KafkaError._UNKNOWN_PARTITION):
                doubtful.append(place)
            else:
                found[place] = _translated(place, errors[0])
        return {**found, **await self._no_leader(doubtful)} if doubtful else found

    async def _no_leader(self, places: list[Place]) -> dict[Place, Bounds | PipelineError]:
        """Why a partition has no leader: librdkafka answers the same for one that is away and one that never was."""
        topics = sorted({topic for topic, _ in places})
        asked = TopicCollection(topics)
        answers = await self._calls.ask(lambda client: client.describe_topics(asked, request_timeout=NEVER_S))
        return {place: _missing(place, answers[place[0]]) for place in places}

    async def _offsets(
        self, places: list[Place], spec: OffsetSpec, isolation: IsolationLevel
    ) -> dict[Place, int | KafkaException]:
        asked = {TopicPartition(*place): spec for place in places}
        answers = await self._calls.list_offsets(asked, isolation)
        return {
            (place.topic, place.partition): answer if isinstance(answer, KafkaException) else answer.offset
            for place, answer in answers.items()
        }


def _missing(place: Place, answer: object) -> PipelineError:
    if isinstance(answer, KafkaException):
        return _translated(place, answer)
    if place[1] >= len(getattr(answer, "partitions", ())):
        return TopicNotFound(f"{place[0]}/{place[1]}", "the topic has no such partition")
    return BrokerUnavailable(f"look up {place[0]}/{place[1]}: it has no leader")


def _translated(place: Place, error: KafkaException) -> PipelineError:
    return translated(error, f"look up {place[0]}/{place[1]}", topic=place[0], refused=LogError)
