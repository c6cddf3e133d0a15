"""What a worker adds to a history (`bridge.history_file`): attempts, dead letters, commits; see `verify.lines`.

Wrapped around the parts that act, so that nothing of delivery knows of it, and nothing is paid where it is off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pipeline.deadletter import unwrap
from pipeline.delivery.verdict import Fault, Reply
from pipeline.errors import FormatUnreadable
from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.offsets import GroupOffsets, Offsets
from pipeline.kafka.producer import Producer
from pipeline.push.delivers import Delivers
from pipeline.record import Headers, Position, Record
from pipeline.verify import Buried, Committed, Ended, HistoryWriter, Sent
from pipeline.webhookid import id_prefix

IdOf = Callable[[str], str | None]


class RecordedOffsets(GroupOffsets):
    """Writes every commit down before it is made and when it is. ``topic_id`` gives a topic's id, None where it is not
    known.
    """

    def __init__(self, settings: KafkaSettings, history: HistoryWriter, topic_id: IdOf) -> None:
        super().__init__(settings)
        self._written, self._topic_id = history, topic_id

    async def commit(self, group: str, offsets: Offsets) -> None:
        self._write(offsets, acknowledged=False)
        await super().commit(group, offsets)
        self._write(offsets, acknowledged=True)

    def _write(self, offsets: Offsets, *, acknowledged: bool) -> None:
        history = self._written
        for (topic, partition), (offset, _) in offsets.items():
            if (found := self._topic_id(topic)) is not None:
                prefix = id_prefix(found)
                line = Committed(
                    at=history.now(), by=history.by, topic=prefix, partition=partition, offset=offset,
                    acknowledged=acknowledged,
                )  # fmt: skip
                history.write(line)


class RecordedProducer(Producer):
    """Writes dead letters down once they are acknowledged."""

    def __init__(self, settings: KafkaSettings, hooks: Hooks, history: HistoryWriter, topic_id: IdOf) -> None:
        super().__init__(settings, hooks)
        self._written, self._topic_id = history, topic_id

    async def append(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Position:
        position = await super().append(topic, key=key, value=value, headers=headers, partition=partition)
        origin = origin_of(Record(*position, 0, key, value, headers))
        if origin is not None and (found := self._topic_id(origin.topic)) is not None:
            name = f"{id_prefix(found)}{origin.partition}_{origin.offset}"
            history = self._written
            history.write(Buried(at=history.now(), by=history.by, id=name))
        return position


class RecordedDelivery:
    """Writes attempts down, before and after."""

    def __init__(self, inner: Delivers, history: HistoryWriter, id_prefix_of: Callable[[str], str]) -> None:
        self._inner, self._history, self._prefix = inner, history, id_prefix_of

    def send(self, record: Record, attempt: int, done: Callable[[Any, Reply | Fault], None], arg: Any, /) -> None:
        history = self._history
        name = f"{self._prefix(record.topic)}{record.partition}_{record.offset}"

        def ended(arg: Any, outcome: Reply | Fault) -> None:
            status = outcome.status if isinstance(outcome, Reply) else 0
            history.write(Ended(at=history.now(), by=history.by, id=name, attempt=attempt, status=status))
            done(arg, outcome)

        history.write(Sent(at=history.now(), by=history.by, id=name, attempt=attempt))
        self._inner.send(record, attempt, ended, arg)

    def abort(self, arg: object, /) -> None:
        self._inner.abort(arg)

    async def close(self) -> None:
        await self._inner.close()


class MakesDelivery(Protocol):
    def __call__(self, reading: Any, parts: Any, id_prefix: Callable[[str], str], /) -> Delivers: ...


def recorded(make: MakesDelivery, history: HistoryWriter) -> MakesDelivery:
    """``make``, with what it makes writing its attempts down."""

    def made(reading: Any, parts: Any, prefix_of: Callable[[str], str], /) -> Delivers:
        return RecordedDelivery(make(reading, parts, prefix_of), history, prefix_of)

    return made


def offsets_and_producer(
    kafka: KafkaSettings, hooks: Hooks, history: HistoryWriter | None, topic_id: IdOf
) -> tuple[GroupOffsets, Producer]:
    """The two parts of a process, writing down what they do where there is a history."""
    if history is None:
        return GroupOffsets(kafka), Producer(kafka, hooks)
    return RecordedOffsets(kafka, history, topic_id), RecordedProducer(kafka, hooks, history, topic_id)


def origin_of(record: Record) -> Position | None:
    """The position of the event that ``record`` is the dead letter of; None when it is none."""
    try:
        return unwrap(record).origin
    except FormatUnreadable:
        return None
