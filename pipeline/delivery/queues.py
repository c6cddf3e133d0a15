"""Where the lanes of a run stand, and the one place that moves a lane from state to state.

A lane of a draining partition changes its state but joins no queue: nothing begins there any more. What fails is
not lost by that, because the watermark knows it as unfinished.
"""

from __future__ import annotations

from collections import deque

from pipeline.delivery.lanes import BURY_WAITING, BURYING, HELD, IN_FLIGHT, READY, SLOW, WAITING, Lane, LaneState, Part
from pipeline.delivery.waiting import NEVER, WaitingRoom


class Queues:
    """FIFOs of lanes to send and to bury, and rooms for those that wait.

    ``retries`` wait by our own schedule and may be woken early as probes; ``patient`` lanes wait as long as the
    endpoint asked, never less; ``bury_retries`` wait for another try at the dead-letter topic. ``next_due`` is when
    `wake` has something to do, at the soonest.
    """

    __slots__ = ("buries", "bury_retries", "next_due", "patient", "ready", "retries")

    def __init__(self) -> None:
        self.ready: deque[Lane] = deque()
        self.buries: deque[Lane] = deque()
        self.retries = WaitingRoom()
        self.patient = WaitingRoom()
        self.bury_retries = WaitingRoom()
        self.next_due = NEVER

    def make_ready(self, lane: Lane) -> None:
        lane.state = READY
        if not lane.part.draining:
            self.ready.append(lane)

    def bury(self, lane: Lane) -> None:
        lane.state = BURYING
        if not lane.part.draining:
            self.buries.append(lane)

    def wait(self, lane: Lane, due: float) -> None:
        self._enter(self.retries, lane, WAITING, due)

    def wait_as_asked(self, lane: Lane, due: float) -> None:
        self._enter(self.patient, lane, WAITING, due)

    def wait_to_bury(self, lane: Lane, due: float) -> None:
        self._enter(self.bury_retries, lane, BURY_WAITING, due)

    def hold(self, lane: Lane) -> None:
        """Until an operator releases it."""
        lane.state = HELD
        lane.part.held.add(lane)

    def set_aside(self, lane: Lane) -> None:
        """Its attempt hangs."""
        lane.state = SLOW

    def wake(self, now: float) -> None:
        """Lanes whose time has come join their queues again."""
        for lane in (*self.retries.pop_due(now), *self.patient.pop_due(now)):
            self.make_ready(lane)
        for lane in self.bury_retries.pop_due(now):
            self.bury(lane)
        self.next_due = min(room.next_due for room in (self.retries, self.patient, self.bury_retries))

    def bring_probe(self, last: Lane | None) -> None:
        """Put another lane than ``last`` to the front, before its time if none is ready; ``last`` again when it is the
        only one.
        """
        if self.ready and self.ready[0] is last and len(self.ready) > 1:
            self.ready.rotate(-1)
        elif self.retries and (not self.ready or self.ready[0] is last):
            lane = self.retries.pop_first()
            lane.state = READY
            self.ready.appendleft(lane)

    def take_sends(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, each in flight now."""
        taken = _take(self.ready, count)
        for lane in taken:
            lane.state = IN_FLIGHT
            lane.part.in_flight += 1
        return taken

    def take_buries(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, whose dead-letter appends are outstanding now."""
        taken = _take(self.buries, count)
        for lane in taken:
            lane.part.in_flight += 1
            lane.part.burying += 1
        return taken

    def drop(self, part: Part) -> None:
        """Take the lanes of ``part`` out of every queue."""
        self.ready = deque(lane for lane in self.ready if lane.part is not part)
        self.buries = deque(lane for lane in self.buries if lane.part is not part)
        for room in (self.retries, self.patient, self.bury_retries):
            room.drop(part)

    def _enter(self, room: WaitingRoom, lane: Lane, state: LaneState, due: float) -> None:
        lane.state = state
        if not lane.part.draining:
            room.push(lane, due)
            self.next_due = min(self.next_due, due)


def _take(lanes: deque[Lane], count: int) -> list[Lane]:
    if len(lanes) > count:
        return [lanes.popleft() for _ in range(count)]
    taken = list(lanes)
    lanes.clear()
    return taken
