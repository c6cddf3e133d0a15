"""FakeProducer: appends to a `MemoryLog` as the real producer appends to Kafka."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.errors import BrokerUnavailable, PayloadTooLarge, PipelineError, TopicNotFound
from pipeline.record import Headers, Position
from tests.fakes.log import MemoryLog


class FakeProducer:
    def __init__(self, log: MemoryLog, *, value_bytes_max: int = 1_000_000) -> None:
        self.log, self.value_bytes_max = log, value_bytes_max
        self.down = False

    async def append(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Position:
        if self.down:
            raise BrokerUnavailable("no broker acknowledged the append in 10 s")
        if topic not in self.log.topics:
            raise TopicNotFound(topic)
        if len(value or b"") > self.value_bytes_max:
            raise PayloadTooLarge("value", f"{len(value or b'')} bytes", f"at most {self.value_bytes_max} bytes")
        return self.log.append(topic, value, key=key, headers=headers, partition=partition)

    def append_soon(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        done: Callable[[Position | PipelineError], None] | None = None,
    ) -> bool:
        result: Position | PipelineError
        if self.down:
            result = BrokerUnavailable("no broker acknowledged the append in 10 s")
        elif topic not in self.log.topics:
            result = TopicNotFound(topic)
        else:
            result = self.log.append(topic, value, key=key, headers=headers, partition=partition)
        if done is not None:
            done(result)
        return True
