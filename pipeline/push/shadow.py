"""Shadow: what takes the place of burial where an endpoint is only tried out."""

from __future__ import annotations

from pipeline.delivery.lanes import Lane
from pipeline.push.burial import failure_of
from pipeline.record import Record


class Unburied:
    """Settles what a shadow refused without a dead letter: the event was delivered where it belongs, or is dead there
    already, and a redrive must not send it to the subscription's endpoint because a shadow failed.
    """

    async def bury(self, record: Record, lane: Lane, now: float, wall_minus_monotonic: float) -> str:  # noqa: ARG002 - in the place of `Burial.bury`
        """The reason, for whoever counts."""
        return failure_of(lane, now, wall_minus_monotonic).reason
