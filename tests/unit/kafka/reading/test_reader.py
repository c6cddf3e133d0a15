"""What a batch of the client becomes, and what it is said to weigh."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError

from pipeline.kafka.reading.orders import TAIL
from pipeline.kafka.reading.reader import BATCH_BYTES_MAX, HEADER_COST_BYTES, RECORD_COST_BYTES, Reader, size_of
from pipeline.kafka.reading.said import Appended, Ended, Refused, Said
from pipeline.record import Record


class FakeMessage:
    def __init__(self, partition: int, offset: int, error: int | None = None, *, value_bytes: int = 1) -> None:
        self._partition, self._offset, self._error, self._value_bytes = partition, offset, error, value_bytes

    def __len__(self) -> int:
        return self._value_bytes

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1234

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> list[tuple[str, bytes]] | None:
        return [("a", b"1")] if self._offset else None


class FakeConsumer:
    """Has messages of one size without end, and remembers how many it was asked for."""

    def __init__(self, value_bytes: int) -> None:
        self.asked: list[int] = []
        self._value_bytes, self._offset = value_bytes, 0

    def poll(self, timeout_s: float) -> FakeMessage:
        self._offset += 1
        return FakeMessage(0, self._offset, value_bytes=self._value_bytes)

    def consume(self, count: int, timeout_s: float) -> list[FakeMessage]:
        self.asked.append(count)
        return [self.poll(0) for _ in range(count)]


def sorted_by(*messages: FakeMessage) -> list[Said]:
    reader = Reader(0, {}, 10**6, lambda *_: None)
    reader._assigned = {("orders", 0): 7, ("orders", 1): 8}
    batch: list[Any] = list(messages)
    return reader._sorted(batch)


def test_neighbours_of_one_partition_are_handed_over_together() -> None:
    said = sorted_by(FakeMessage(0, 0), FakeMessage(0, 1), FakeMessage(1, 5), FakeMessage(0, 2))
    assert [
        (one.assignment, [record.offset for record in one.records]) for one in said if isinstance(one, Appended)
    ] == [
        (7, [0, 1]),
        (8, [5]),
        (7, [2]),
    ]


def test_a_record_is_taken_over_byte_for_byte() -> None:
    (said,) = sorted_by(FakeMessage(0, 1))
    assert isinstance(said, Appended)
    assert said.records == [Record("orders", 0, 1, 1234, None, b"v", (("a", b"1"),))]


def test_what_a_partition_says_keeps_its_order() -> None:
    said = sorted_by(
        FakeMessage(0, 0),
        FakeMessage(0, 1, KafkaError._PARTITION_EOF),
        FakeMessage(1, 3, KafkaError._AUTO_OFFSET_RESET),
    )
    assert said[1:] == [Ended(7, 1), Refused(8)]
    assert isinstance(said[0], Appended)


def test_headers_count_as_much_as_values() -> None:
    big = [Record("orders", 0, at, 0, b"k", b"v", (("a", b"x" * 1000),)) for at in range(20)]
    assert size_of(big, 20) == 20 + 20 * (RECORD_COST_BYTES + 1 + HEADER_COST_BYTES + 1000)


def test_the_client_is_asked_for_as_much_as_the_cache_holds() -> None:
    consumer: Any = FakeConsumer(10_000)
    reader = Reader(TAIL, {}, 10**6, lambda *_: None)
    reader._assigned = {("orders", 0): 7}
    reader._turn(consumer)
    reader._turn(consumer)
    assert consumer.asked[1] == BATCH_BYTES_MAX // 10_450 - 1


def test_a_batch_is_never_empty_however_large_events_are() -> None:
    consumer: Any = FakeConsumer(10**6)
    reader = Reader(TAIL, {}, 10**6, lambda *_: None)
    reader._assigned = {("orders", 0): 7}
    reader._turn(consumer)
    reader._turn(consumer)
    assert consumer.asked[1] == 0
