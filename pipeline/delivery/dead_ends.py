"""What ``on_dead_letter`` means: where a key goes when an event of it cannot be delivered, and how it comes back.

``continue``: the event is buried, the key goes on. ``park``: the event is buried and those behind it after it, in
order, until an operator releases the key. ``block``: nothing is buried, the event waits for an operator and its key
behind it. An event without a key has nothing behind it: it is buried alone, or under ``block`` waits alone.
"""

from __future__ import annotations

from pipeline.delivery.lanes import Lane, Part, reason_of
from pipeline.delivery.queues import Queues
from pipeline.delivery.schedule import spent
from pipeline.subscription import RetryPolicy


class DeadEnds:
    """Sends lanes on when they get a new head, when that is given up, and when an operator says so."""

    __slots__ = ("_policy", "_queues", "_retry", "holds")

    def __init__(self, policy: str, retry: RetryPolicy, queues: Queues) -> None:
        self._policy, self._retry, self._queues = policy, retry, queues
        # Lanes held since `Core.actions` told of them last.
        self.holds: list[Lane] = []

    def begin_head(self, lane: Lane) -> None:
        """The lane has a new head: what an earlier owner or a parked key knows of it decides where it goes."""
        part = lane.part
        if part.attempts and (restored := part.attempts.get(lane.offset)) is not None:
            lane.attempts, lane.first_failed_at = restored
        if self._policy == "block" and self._is_held(lane):
            self._hold(lane)
            return
        if part.parked and lane.key in part.parked:
            self._queues.bury(lane)
        else:
            self._queues.make_ready(lane)

    def give_up(self, lane: Lane) -> None:
        """The head was rejected, or its attempts or its time are spent."""
        part = lane.part
        if self._policy == "block":
            # Remembered as spent, whatever ended it: the next owner holds it too.
            attempts = max(lane.attempts, len(self._retry.schedule_s) + 1)
            part.attempts[lane.offset] = (attempts, lane.first_failed_at or 0.0)
            self._hold(lane)
            self.holds.append(lane)
            return
        if self._policy == "park" and lane.key is not None:
            part.parked[lane.key] = reason_of(lane)
        self._queues.bury(lane)

    def release(self, part: Part, key: bytes | None) -> bool:
        """Let a parked or held key go on, its head tried afresh; ``None``: all held events that have no key. False when
        nothing stood there.
        """
        was_parked = key is not None and part.parked.pop(key, None) is not None
        if key is not None and part.held_keys is not None and key in part.held_keys:
            part.held_keys.remove(key)
            was_parked = True
        if key is None and part.held_keys is not None:
            # Those an earlier owner held that were not read again yet: of these only their attempts are known.
            unread = [at for at, (count, _) in part.attempts.items() if spent(self._retry, count)]
            for at in unread:
                if at >= part.watermark.next_offset:
                    del part.attempts[at]
        released = sorted((lane for lane in part.held if lane.key == key), key=lambda lane: lane.offset)
        for lane in released:
            part.held.remove(lane)
            part.attempts.pop(lane.offset, None)
            lane.start_afresh()
            self._queues.make_ready(lane)
        return was_parked or bool(released)

    def _is_held(self, lane: Lane) -> bool:
        """Whether an earlier owner held this head. A spent one whose key is not among those held was released since."""
        part = lane.part
        if lane.key is not None and part.held_keys is not None and lane.key in part.held_keys:
            return True
        if not lane.attempts or not spent(self._retry, lane.attempts):
            return False
        if lane.key is None or part.held_keys is None:
            return True
        del part.attempts[lane.offset]
        lane.start_afresh()
        return False

    def _hold(self, lane: Lane) -> None:
        lane.forget_payloads()
        self._queues.hold(lane)
