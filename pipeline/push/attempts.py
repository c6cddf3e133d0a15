"""Attempt records: one line of JSON per attempt, appended to the attempts topic, keyed by subscription.

``{"subscription": …, "run": …, "topic": …, "partition": 3, "offset": 42, "id": "evt_…", "attempt": 1, "status": 204,
"verdict": "delivered", "ms": 12, "at": 1795227092795, "error": …}``; ``run`` only of replays and redrives, ``error``
only of failures, ``status`` 0 when no status line came, ``at`` unix milliseconds when it ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import orjson

from pipeline.delivery.verdict import Verdict, VerdictKind
from pipeline.record import Record

TABLE = "attempts"


class Appends(Protocol):
    def write(self, topic: str, key: bytes, value: bytes, /) -> None: ...


class AttemptWriter:
    """Writes the attempts of one run. What does not change between them is rendered once: this runs per delivery."""

    def __init__(
        self, journal: Appends, topic: str, subscription: str, run_id: str | None, id_prefix: Callable[[str], str]
    ) -> None:
        run = b"" if run_id is None else b',"run":' + orjson.dumps(run_id)
        self._write, self._topic, self._id_prefix = journal.write, topic, id_prefix
        self._key = subscription.encode()
        self._head = b'{"subscription":' + orjson.dumps(subscription) + run + b',"topic":'
        self._topics: dict[str, tuple[bytes, bytes]] = {}

    def write(self, record: Record, attempt: int, status: int, verdict: Verdict, elapsed_s: float) -> None:
        """Attempt number ``attempt`` on ``record`` ended just now."""
        head, prefix = self._topics.get(record.topic) or self._learn(record.topic)
        partition, offset = record.partition, record.offset
        tail = b',"error":%b}' % orjson.dumps(verdict.summary) if verdict.summary else b"}"
        line = b'%b%d,"offset":%d,"id":"%b%d_%d","attempt":%d,"status":%d,"verdict":"%b","ms":%d,"at":%d%b' % (
            head,
            partition,
            offset,
            prefix,
            partition,
            offset,
            attempt,
            status,
            _VERDICTS[verdict.kind],
            elapsed_s * 1000,
            time.time() * 1000,
            tail,
        )
        self._write(self._topic, self._key, line)

    def _learn(self, topic: str) -> tuple[bytes, bytes]:
        known = (self._head + orjson.dumps(topic) + b',"partition":', self._id_prefix(topic).encode())
        self._topics[topic] = known
        return known


_VERDICTS = {kind: kind.value.encode() for kind in VerdictKind}
