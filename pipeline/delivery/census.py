"""A census of a core: how many lanes stand where, counted when somebody asks and never on the way."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.delivery.core import Core


class Census(NamedTuple):
    """``in_flight`` attempts under way; lanes ``waiting`` for a slot, a time or a dead-letter append; ``held`` ones."""

    in_flight: int
    waiting: int
    held: int


def census_of(core: Core) -> Census:
    """Of all partitions of the run."""
    queues, limiter = core._queues, core.limiter
    rooms = (queues.retries, queues.patient, queues.bury_retries)
    return Census(
        in_flight=len(limiter.in_flight) + len(limiter.slow),
        waiting=len(queues.ready) + queues.buries.count + sum(len(room._heap) for room in rooms),
        held=sum(len(part.held) for part in core._parts.values()),
    )
