"""A producer under way while faults happen: idempotent, acknowledged by all replicas, each acknowledgement a line."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from pipeline.verify import Appended, HistoryWriter, Unsure

SETTINGS = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "linger.ms": 5,
    "message.timeout.ms": 60_000,
    "log_level": 0,
}
TURN_S = 0.05


class Load(threading.Thread):
    """``events`` appended at about ``rate_per_s``, keys in turn; a quarter of them at first, the rest after ``go``, so
    that most come while something happens, however slow the machine. ``appended`` counts acknowledgements.
    """

    def __init__(self, servers: str, topic: str, prefix: str, history: HistoryWriter, **sizes: int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({**SETTINGS, "bootstrap.servers": servers})
        self._topic, self._prefix, self._history = topic, prefix, history
        self._events, self._rate_per_s, self._keys = sizes["events"], sizes["rate_per_s"], sizes["keys"]
        self.appended = 0
        self.go = threading.Event()

    def run(self) -> None:
        self._append_at_pace(0, self._events // 4)
        while not self.go.is_set():
            self._producer.poll(TURN_S)
        self._append_at_pace(self._events // 4, self._events)
        assert self._producer.flush(60) == 0

    def _append_at_pace(self, made: int, until: int) -> None:
        began, first = time.monotonic(), made
        while made < until:
            due = min(until, first + int((time.monotonic() - began) * self._rate_per_s) + 1)
            for number in range(made, due):
                self._append(number)
            made = due
            self._producer.poll(TURN_S)

    def _append(self, number: int) -> None:
        key = f"k{number % self._keys}"
        value = json.dumps({"key": key, "seq": number // self._keys, "pad": "x" * 200})
        headers: Any = [("content-type", b"application/json")]
        self._producer.produce(self._topic, value, key, headers=headers, on_delivery=self._acknowledged)

    def _acknowledged(self, error: KafkaError | None, message: Message) -> None:
        key, now = (message.key() or b"").decode(), self._history.now()
        if error is not None:
            self._history.write(Unsure(at=now, by=self._history.by, key=key))
            return
        name = f"{self._prefix}{message.partition()}_{message.offset()}"
        self._history.write(Appended(at=now, by=self._history.by, id=name, key=key))
        self.appended += 1
