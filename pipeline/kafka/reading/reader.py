"""Reader: one thread with one consumer; does what it is ordered and hands over what comes, in batches.

The thread blocks nowhere longer than `WAIT_S`. It is at most `UNDERWAY_MAX` hand-overs ahead of the loop. What it
delivers carries the assignment it was read for, so that a late delivery is recognised. When it fails it says so with
`Lost` and ends; it never ends silently.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from pipeline.kafka.client import ClientConf, translated
from pipeline.kafka.reading.orders import REREAD, TAIL, Flow, Order, Pause, Resume, Start, Stop
from pipeline.kafka.reading.said import Appended, Ended, Lost, Said, Trouble, meaning
from pipeline.kafka.reading.stream import Place
from pipeline.record import Record

WAIT_S = 0.05
UNDERWAY_MAX = 2
BATCH_RECORDS_MAX = 500
# Small on purpose: what the client hands out is made into records while the processor's cache still holds it.
BATCH_BYTES_MAX = 65_536
REREAD_RECORDS_MAX = 20
# What Python keeps for one record and for each of its headers beside their bytes (238 and 146 + its name on 3.11).
RECORD_COST_BYTES = 300
HEADER_COST_BYTES = 150


# Header sizes are measured on every eighth record and taken for the others too: they cost as much as all the rest.
SAMPLED_EVERY = 8


def size_of(records: Sequence[Record], value_bytes: int) -> int:
    """The memory ``records`` take, about; ``value_bytes`` is the sum of their values."""
    sampled = 0
    for record in records[::SAMPLED_EVERY]:
        sampled += RECORD_COST_BYTES + len(record.key or b"")
        for _, value in record.headers:
            sampled += HEADER_COST_BYTES + len(value or b"")
    return value_bytes + sampled * len(records) // -(-len(records) // SAMPLED_EVERY)


class Reader:
    """``hand_over(reader, said)`` is called on the thread and must only pass it on; `taken_over` answers each."""

    def __init__(
        self, number: int, conf: ClientConf, batch_bytes_max: int, hand_over: Callable[[Reader, list[Said]], None]
    ) -> None:
        self.number = number
        self._batch_bytes_max = min(batch_bytes_max, BATCH_BYTES_MAX)
        self._batch_records_max = REREAD_RECORDS_MAX if number == REREAD else BATCH_RECORDS_MAX
        self._batch_records = min(50, self._batch_records_max)
        self._hand_over = hand_over
        self._conf: ClientConf = {**conf, "error_cb": self._client_said}  # type: ignore[dict-item]  # a callable among the properties
        self._orders: deque[Order] = deque()
        self._wake = threading.Event()
        self._credit = threading.Semaphore(UNDERWAY_MAX)
        self._stopping = False
        self._flowing = number in (TAIL, REREAD)  # those two always read
        self._assigned: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._aside: list[Said] = []
        self._own_thread = threading.Thread(target=self._run, name=f"log-view-{number}", daemon=True)

    def start(self) -> None:
        self._own_thread.start()

    def order(self, order: Order) -> None:
        self._orders.append(order)
        self._wake.set()

    def taken_over(self) -> None:
        self._credit.release()

    def stop(self) -> None:
        """Ask the thread to end; `join` waits for it."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        self._own_thread.join(timeout_s)
        return not self._own_thread.is_alive()

    # On the thread from here on.

    def _run(self) -> None:
        try:
            consumer = Consumer(self._conf)
            try:
                while not self._stopping:
                    self._turn(consumer)
            finally:
                consumer.close()
        except Exception as error:  # noqa: BLE001 - the thread's root: it ends, the view counts it and starts another
            self._hand_over(self, [Lost(error)])

    def _turn(self, consumer: Consumer) -> None:
        self._obey(consumer)
        if not (self._flowing and self._assigned):
            self._wake.wait(WAIT_S)
            self._wake.clear()
            return
        first = consumer.poll(WAIT_S)
        messages = [] if first is None else [first, *consumer.consume(self._batch_records - 1, 0)]
        said = self._sorted(messages)
        if said:
            self._deliver(said)

    def _deliver(self, said: list[Said]) -> None:
        while not self._credit.acquire(timeout=WAIT_S):
            if self._stopping:
                return
        self._hand_over(self, said)

    def _obey(self, consumer: Consumer) -> None:
        while self._orders:
            order = self._orders.popleft()
            match order:
                case Start(_, assignment, place, offset):
                    self._assigned[place] = assignment
                    consumer.incremental_assign([TopicPartition(*place, offset)])
                case Stop(_, place):
                    del self._assigned[place]
                    self._unpause(consumer, place)  # the client remembers it for the next stay otherwise
                    consumer.incremental_unassign([TopicPartition(*place)])
                case Pause(_, place):
                    self._paused.add(place)
                    consumer.pause([TopicPartition(*place)])
                case Resume(_, place):
                    self._unpause(consumer, place)
                case Flow(_, on):
                    self._flowing = on

    def _unpause(self, consumer: Consumer, place: Place) -> None:
        if place in self._paused:
            self._paused.discard(place)
            consumer.resume([TopicPartition(*place)])

    def _sorted(self, messages: list[Any]) -> list[Said]:  # Any: the stubs allow None everywhere
        """What a batch says, in its order; neighbours of one partition are handed over as one."""
        said: list[Said] = []
        first, topic, partition = 0, "", -1
        for index, message in enumerate(messages):
            if message.error() is not None:
                self._run_of(messages[first:index], said)
                self._special(message, said)
                first, partition = index + 1, -1
            elif message.partition() != partition or message.topic() != topic:
                self._run_of(messages[first:index], said)
                first, partition, topic = index, message.partition(), message.topic()
        self._run_of(messages[first:], said)
        said += self._aside
        self._aside = []
        return said

    def _run_of(self, messages: list[Any], said: list[Said]) -> None:
        """Records of one partition. The hottest loop of the view: as little as possible per record."""
        if not messages:
            return
        topic, partition = messages[0].topic(), messages[0].partition()
        records = [
            Record(
                topic,
                partition,
                message.offset(),
                message.timestamp()[1],
                message.key(),
                message.value(),
                tuple(message.headers() or ()),
            )
            for message in messages
        ]
        size = size_of(records, sum(map(len, messages)))
        self._batch_records = max(1, min(self._batch_records_max, self._batch_bytes_max * len(records) // size))
        said.append(Appended(self._assigned.get((topic, partition), 0), records, size))

    def _special(self, message: Any, said: list[Said]) -> None:
        error = message.error()
        assert error is not None
        place = (message.topic() or "", message.partition())
        assignment = self._assigned.get(place)
        if assignment is None:
            said.append(Trouble(translated(error, "read", topic=place[0])))
            return
        if error.code() == KafkaError._PARTITION_EOF:
            said.append(Ended(assignment, message.offset()))
        else:
            said.append(meaning(error, place, assignment))

    def _client_said(self, error: KafkaError) -> None:
        """librdkafka's own news (brokers down, authentication); called within poll."""
        self._aside.append(Trouble(translated(error, "read")))
