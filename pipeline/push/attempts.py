"""Attempt records: what every attempt came to, one line of JSON each, packed into records of the attempts topic.

A record holds the lines of one subscription (its key), at most `LINES_MAX` of them or `BYTES_MAX` bytes, written
`LINGER_S` after the first: a record of its own cost an attempt 2.5 µs, a line of one less than 1 µs. Records of one
line, which earlier releases wrote, read the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.delivery.verdict import Verdict
from pipeline.push.attempt import Attempt, encode_attempts
from pipeline.push.clock import SYSTEM_CLOCK, Clock
from pipeline.push.facts import structured_id
from pipeline.record import Record

TABLE = "attempts"
LINES_MAX = 200
BYTES_MAX = 48 * 1024
LINGER_S = 0.1


class Appends(Protocol):
    def write(self, topic: str, key: bytes, value: bytes, /) -> None: ...


class Later(Protocol):
    """Call a function some seconds from now, as an event loop does."""

    def __call__(self, delay_s: float, function: Callable[[], None], /) -> object: ...


class AttemptWriter:
    """Writes the attempts of one run. `write` works once per delivery; `flush` before the journal is stopped.

    What waits here is bounded by `LINES_MAX`; what the journal has no room for it drops and counts.
    """

    def __init__(
        self,
        journal: Appends,
        topic: str,
        subscription: str,
        run_id: str | None,
        id_prefix: Callable[[str], str],
        *,
        later: Later,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._write, self._topic, self._later = journal.write, topic, later
        self._subscription, self._key, self._run = subscription, subscription.encode(), run_id
        self._id_prefix, self._wall = id_prefix, clock.wall
        self._prefixes: dict[str, str] = {}
        self._encode = encode_attempts
        self._lines: list[Attempt] = []

    def write(self, record: Record, attempt: int, status: int, verdict: Verdict, elapsed_s: float) -> None:
        """Attempt number ``attempt`` on ``record`` ended just now."""
        topic, partition, offset = record.topic, record.partition, record.offset
        prefix = self._prefixes.get(topic) or self._prefixes.setdefault(topic, self._id_prefix(topic))
        for name, value in record.headers:
            if name == "ce_id":
                event = value.decode("utf-8", "replace") if value else ""
                break
        else:
            event = structured_id(record)
        lines = self._lines
        lines.append(
            Attempt(
                self._subscription,
                topic,
                partition,
                offset,
                f"{prefix}{partition}_{offset}",
                attempt,
                status,
                verdict.kind._value_,
                int(elapsed_s * 1000),
                int(self._wall() * 1000),
                self._run,
                verdict.summary,
                event,
            )
        )
        if len(lines) == 1:
            self._later(LINGER_S, self.flush)
        elif len(lines) >= LINES_MAX:
            self.flush()

    def flush(self) -> None:
        """Give what waits to the journal. (A timer of lines that are gone already flushes younger ones early.)"""
        lines, self._lines = self._lines, []
        if lines:
            self._write_packed(lines)

    def _write_packed(self, lines: list[Attempt]) -> None:
        packed = self._encode(lines)
        if len(packed) > BYTES_MAX and len(lines) > 1:
            half = len(lines) // 2
            self._write_packed(lines[:half])
            self._write_packed(lines[half:])
        else:
            self._write(self._topic, self._key, packed[:-1])
