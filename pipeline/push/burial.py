"""Burial: the dead-letter record of an event that could not be delivered, appended and acknowledged."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.deadletter import Failure, wrap
from pipeline.delivery.lanes import Lane, reason_of
from pipeline.kafka.producer import Producer
from pipeline.push.reading import Reading
from pipeline.record import Record


class Burial:
    """Appends dead letters of one reading to its subscription's dead-letter topic, partition kept."""

    def __init__(self, producer: Producer, reading: Reading) -> None:
        self._producer, self._reading = producer, reading

    async def bury(self, record: Record, lane: Lane, now: float, wall_minus_monotonic: float) -> str:
        """Append and wait for all in-sync replicas; returns the reason. Raises LogError or InputError: nothing is
        settled then.
        """
        failure = failure_of(lane, now, wall_minus_monotonic)
        original = self._reading.delivery(record)
        key, value, headers = wrap(
            original,
            self._reading.subscription_group,
            failure,
            redrives=self._reading.redrives_of(record),
            edit=self._reading.edit_of(record),
        )
        await self._producer.append(
            self._reading.dead_letter_topic, key=key, value=value, headers=headers, partition=original.partition
        )
        return failure.reason


def failure_of(lane: Lane, now: float, wall_minus_monotonic: float) -> Failure:
    """Why the lane's head is buried, its monotonic times turned into RFC 3339."""
    verdict = lane.verdict
    last = now if lane.last_failed_at is None else lane.last_failed_at
    first = last if lane.first_failed_at is None else lane.first_failed_at
    return Failure(
        reason=reason_of(lane),
        attempts=lane.attempts,
        first_failed_at=_rfc3339(first, wall_minus_monotonic),
        last_failed_at=_rfc3339(last, wall_minus_monotonic),
        http_status=verdict.status if verdict is not None else None,
        error=verdict.summary if verdict is not None else "parked behind an earlier dead letter of its key",
    )


def told_of(record: Record, lane: Lane, reason: str) -> dict[str, object]:
    """The facts of a burial, for those who hear of it; no payload."""
    verdict = lane.verdict
    facts: dict[str, object] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    facts |= {"reason": reason, "attempts": lane.attempts}
    if verdict is not None:
        facts |= {"status": verdict.status, "error": verdict.summary}
    return facts


def _rfc3339(monotonic: float, wall_minus_monotonic: float) -> str:
    at = datetime.fromtimestamp(monotonic + wall_minus_monotonic, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
