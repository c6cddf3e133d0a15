"""Where the lanes of a run stand, and the one place that moves a lane from state to state.

A lane of a draining partition changes its state but joins no queue: nothing begins there any more. What fails is
not lost by that, because the watermark knows it as unfinished.
"""

from __future__ import annotations

from pipeline.delivery.fetches import Fetches
from pipeline.delivery.lanes import Lane, Part
from pipeline.delivery.ready import Line, Ready
from pipeline.delivery.states import (
    BURY_WAITING,
    BURYING,
    FETCHING,
    HELD,
    IN_FLIGHT,
    PROVEN,
    READY,
    SLOW,
    WAITING,
    LaneState,
)
from pipeline.delivery.waiting import NEVER, WaitingRoom

# Lanes that come due together join their lines so many at a time, so that no turn of the loop gets long.
WAKE_MAX = 1000


class Queues:
    """Lanes to send and to bury in line, and rooms for those that wait.

    ``retries`` wait by our own schedule and may be woken early as probes; ``patient`` lanes wait as long as the
    endpoint asked, never less; ``bury_retries`` wait for another try at the dead-letter topic. ``next_due`` is when
    `wake` has something to do, at the soonest. Lanes that kept their positions only are read again
    first: those that just delivered (``rereads``), with what stands behind them, are not held up by those nobody knows
    to be better (``other_rereads``); of each ``fetches_max`` at a time, and with 0 they are sent as they are.
    """

    __slots__ = (
        "_fetches_max",
        "buries",
        "bury_retries",
        "next_due",
        "other_rereads",
        "patient",
        "ready",
        "rereads",
        "retries",
    )

    def __init__(self, fetches_max: int = 0) -> None:
        self._fetches_max = fetches_max
        self.rereads = Fetches(fetches_max, behind=True)
        # What failed may fail again, and then what stands behind it was read for nothing.
        self.other_rereads = Fetches(fetches_max, behind=False)
        self.ready = Ready()
        self.buries = Line()
        self.retries = WaitingRoom()
        self.patient = WaitingRoom()
        self.bury_retries = WaitingRoom()
        self.next_due = NEVER

    def make_ready(self, lane: Lane) -> None:
        if self._fetches_max and isinstance(lane.head, int):
            lane.state = FETCHING
            if not lane.part.draining:
                (self.rereads if lane.standing is PROVEN else self.other_rereads).line.append(lane)
            return
        lane.state = READY
        if not lane.part.draining:
            self.ready.append(lane)

    def has_payload(self, lane: Lane) -> None:
        """What ``lane`` was waiting for has been read."""
        if not self.rereads.end(lane, well=True):
            self.other_rereads.end(lane, well=True)
        self.make_ready(lane)

    def has_no_payload(self, lane: Lane) -> bool:
        """It could not be read, or there is none; False when nobody waits for that any more."""
        return self.rereads.end(lane, well=False) or self.other_rereads.end(lane, well=False)

    def forget_payloads_of_new(self) -> None:
        """Lanes nobody knows anything of wait as positions, but for as many as may be read again at a time, and for
        those that were: else they would be read again and again.
        """
        new, kept = self.ready.new, 0
        if self._fetches_max and new.count <= self._fetches_max * 2:
            return
        for lane in new.take(new.count):
            if lane in self.other_rereads.fetched or lane in self.rereads.fetched:
                new.append(lane)
            elif kept < self._fetches_max:
                kept += 1
                lane.forget_followers()
                new.append(lane)
            else:
                lane.forget_payloads()
                self.make_ready(lane)

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
        """Another lane than ``last``, one never tried if there is one, before its time if none is ready; ``last`` again
        when it is the only one. In flight now. There must be one.
        """
        # What failed before may fail for reasons of its own; what was never tried says more of the endpoint.
        ready = self.ready
        lane = ready.proven.take_untried(last) or ready.new.take_untried(last) or ready.take_other(last)
        if lane is None and self.retries:
            lane = self.retries.pop_first()
        if lane is None:
            lane = self.ready.take_other(None)
        assert lane is not None, "no lane to probe with"
        self._begun([lane])
        return _begun(lane, IN_FLIGHT)

    def take_sends(self, count: int, new_max: int) -> list[Lane]:
        """Up to ``count`` lanes, of them ``new_max`` nobody knows anything of; each in flight now."""
        lanes = [_begun(lane, IN_FLIGHT) for lane in self.ready.take(count, new_max)]
        self._begun(lanes)
        return lanes

    def take_suspects(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes whose last attempt hung; their attempts count as hanging from the start."""
        lanes = [_begun(lane, SLOW) for lane in self.ready.suspects.take(count)]
        self._begun(lanes)
        return lanes

    def read_with(self, lane: Lane) -> list[int]:
        """The positions behind the head of ``lane`` that are to be read with it."""
        return lane.positions_behind(self.rereads.fetching.get(lane, 1) - 1)

    def take_fetches(self) -> list[Lane]:
        """Lanes whose payloads are to be read again now."""
        if not self.rereads.line.count and not self.other_rereads.line.count:
            return []
        return self.rereads.take() + self.other_rereads.take()

    def _begun(self, lanes: list[Lane]) -> None:
        self.rereads.begun(lanes)
        self.other_rereads.begun(lanes)

    def take_buries(self, count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, whose dead-letter appends are outstanding now."""
        taken = self.buries.take(count)
        for lane in taken:
            lane.part.in_flight += 1
            lane.part.burying += 1
        return taken

    def drop(self, part: Part) -> None:
        """Take the lanes of ``part`` out of every queue."""
        self.ready.drop(part)
        self.rereads.drop(part)
        self.other_rereads.drop(part)
        self.buries.drop(part)
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
