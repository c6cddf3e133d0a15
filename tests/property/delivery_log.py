"""A log, who owns a partition of it, and what is owed: the plain facts of `delivery_model`."""

from __future__ import annotations

from typing import Literal

from pipeline.delivery.pointer import Pointer
from pipeline.record import Record


class PartitionLog:
    """One partition as it lies on the broker, with what is committed for it and what is finished of it in truth.

    Nothing below ``floor`` is owed: an operator moved the cursor there.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.records: dict[int, Record] = {}
        self.end = 0
        self.floor = 0
        self.finished: set[int] = set()
        self.committed: tuple[int, str | None] = (0, None)
        self.parked: dict[bytes, str] = {}
        self.held: set[bytes] = set()

    def append(self, gap: int, key: bytes | None, size: int) -> None:
        offset = self.end + gap
        self.records[offset] = Record("t", self.number, offset, 0, key, b"x" * size)
        self.end = offset + 1

    def between(self, first: int, until: int) -> list[Record]:
        return [record for offset, record in self.records.items() if first <= offset < until]


class Tenure:
    """One ownership of a partition. ``unsettled`` is what was received and is owed, in order of receipt."""

    def __init__(self, log: PartitionLog, pointer: Pointer) -> None:
        self.log = log
        self.read = pointer.offset
        self.restored = pointer.finished
        self.attempts: dict[int, tuple[int, float]] = {at: (n, float(t)) for at, (n, t) in pointer.attempts.items()}
        self.unsettled: dict[int, Record] = {}
        self.doomed: set[int] = set()
        self.held: set[int] = set()
        self.held_keys = set(log.held)
        self.inherited = set(self.attempts)
        self.parked_once = set(log.parked)
        self.due: dict[int, float] = {}
        self.asked_until: dict[int, float] = {}
        self.draining = False

    def receive(self, records: list[Record], next_offset: int) -> None:
        for record in records:
            if record.offset not in self.restored:
                self.unsettled[record.offset] = record
        self.read = max(self.read, next_offset)

    def settle(self, offset: int) -> None:
        del self.unsettled[offset]
        self.log.finished.add(offset)
        for known in (self.attempts, self.due, self.asked_until):
            known.pop(offset, None)
        self.doomed.discard(offset)


class Outstanding:
    """An attempt or dead-letter append whose result has not come."""

    def __init__(
        self, tenure: Tenure, offset: int, kind: Literal["send", "bury", "fetch"], began_at: float = 0.0
    ) -> None:
        self.tenure, self.offset, self.kind, self.began_at = tenure, offset, kind, began_at
