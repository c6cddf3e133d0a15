"""Where the lanes of a run stand, and the one place that moves a lane from state to state.

A lane of a draining partition changes its state but joins no queue: nothing begins there any more. What fails is
not lost by that, because the watermark knows it as unfinished.
"""

from __future__ import annotations

from collections import deque

from pipeline.delivery.lanes import BURY_WAITING, BURYING, HELD, IN_FLIGHT, READY, SLOW, WAITING, Lane, LaneState, Part
from pipeline.delivery.ready import Ready
from pipeline.delivery.waiting import NEVER, WaitingRoom

# Lanes that come due together join their lines so many at a time, so that no turn of the loop gets long.
WAKE_MAX = 1000


class Queues:
    """Lanes to send and to bury in line, and rooms for those that wait.

    ``retries`` wait by our own schedule and may be woken early as probes; ``patient`` lanes wait as long as the
    endpoint asked, never less; ``bury_retries`` wait for another try at the dead-letter topic. ``next_due`` is when
    `wake` has something to do, at the soonest.
    """

    __slots__ = ("buries", "bury_retries", "next_due", "patient", "ready", "retries")

    def __init__(self) -> None:
        self.ready = Ready()
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
        """Lanes whose time has come join their lines again, `WAKE_MAX` of each room at a time."""
        for lane in (*self.retries.pop_due(now, WAKE_MAX), *self.patient.pop_due(now, WAKE_MAX)):
            self.make_ready(lane)
        for lane in self.bury_retries.pop_due(now, WAKE_MAX):
            self.bury(lane)
        self.next_due = min(room.next_due for room in (self.retries, self.patient, self.bury_retries))

    def take_probe(self, last: Lane | None) -> Lane:
        """Another lane than ``last``, before its time if none is ready; ``last`` again when it is the only one. In
        flight now. There must be one.
        """
        lane = self.ready.take_other(last)
        if lane is None and self.retries:
            lane = self.retries.pop_first()
        if lane is None:
            lane = self.ready.take_other(None)
        assert lane is not None, "no lane to probe with"
        return _begun(lane, IN_FLIGHT)

    def take_sends(self, count: int, new_max: int) -> list[Lane]:
        """Up to ``count`` lanes, of them ``new_max`` nobody knows anything of; each in flight now."""
        return [_begun(lane, IN_FLIGHT) for lane in self.ready.take(count, new_max)]

    def take_suspects(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes whose last attempt hung; their attempts count as hanging from the start."""
        return [_begun(lane, SLOW) for lane in self.ready.suspects.take(count)]

    def take_buries(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, whose dead-letter appends are outstanding now."""
        taken = _take(self.buries, count)
        for lane in taken:
            lane.part.in_flight += 1
            lane.part.burying += 1
        return taken

    def drop(self, part: Part) -> None:
        """Take the lanes of ``part`` out of every queue."""
        self.ready.drop(part)
        self.buries = deque(lane for lane in self.buries if lane.part is not part)
        for room in (self.retries, self.patient, self.bury_retries):
            room.drop(part)

    def _enter(self, room: WaitingRoom, lane: Lane, state: LaneState, due: float) -> None:
        lane.state = state
        if not lane.part.draining:
            room.push(lane, due)
            self.next_due = min(self.next_due, due)


def _begun(lane: Lane, state: LaneState) -> Lane:
    lane.state = state
    lane.part.in_flight += 1
    return lane


def _take(lanes: deque[Lane], count: int) -> list[Lane]:
    if len(lanes) > count:
        return [lanes.popleft() for _ in range(count)]
    taken = list(lanes)
    lanes.clear()
    return taken
