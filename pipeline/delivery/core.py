"""The delivery machine of one run: records in, attempts out, and how far the cursor may go.

Rules, each checked by the state machine in ``tests/property``:

1. per lane at most one attempt in flight, and the next event not before the one ahead is settled;
2. the position to commit never passes a received event that is not settled;
3. settled means delivered, or buried with the append acknowledged (events the filter left out are never given to the core);
4. after `revoke` nothing is counted any more, whatever arrives;
5. attempts under way never exceed ``in_flight_max + slow_max``, payload bytes ``held_bytes_max`` by more than one batch;
6. once failures stop, everything received is settled.

Times are monotonic seconds, ``draw`` a random number in [0, 1). Not thread-safe: one event loop owns it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

import msgspec

from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.actions import Actions, Commit
from pipeline.delivery.breaker import Breaker, BreakerSettings, BreakerState
from pipeline.delivery.lanes import (
    BURY_WAITING,
    BURYING,
    HELD,
    IN_FLIGHT,
    READY,
    WAITING,
    Lane,
    Part,
    payload_bytes,
    reason_of,
)
from pipeline.delivery.limiter import Limiter, LimiterSettings
from pipeline.delivery.outcome import Fate, fate_of
from pipeline.delivery.schedule import retry_wait_s
from pipeline.delivery.verdict import Verdict
from pipeline.delivery.waiting import WaitingRoom
from pipeline.delivery.watermark import Watermark
from pipeline.record import Record
from pipeline.subscription import RetryPolicy


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Policy and limits of one run.

    ``held_bytes_max``: payload bytes in memory; ``positions_max``: events received and not settled. At either limit
    `Core.has_room` is False and the rim stops reading: the backlog waits in the log. ``bury_retry_s``: wait before a
    dead-letter append that failed is tried again.
    """

    retry: RetryPolicy = msgspec.field(default_factory=RetryPolicy)
    ordering: str = "key"
    on_dead_letter: str = "continue"
    limiter: LimiterSettings = msgspec.field(default_factory=LimiterSettings)
    breaker: BreakerSettings = msgspec.field(default_factory=BreakerSettings)
    held_bytes_max: int = 8 * 1024 * 1024
    positions_max: int = 100_000
    bury_retry_s: float = 1.0


class Core:
    """See the module's rules. Give it records, ask for `actions`, tell it results, commit `commits`."""

    def __init__(self, settings: CoreSettings) -> None:
        self._settings = settings
        self._parts: dict[Hashable, Part] = {}
        self._ready: deque[Lane] = deque()
        self._buries: deque[Lane] = deque()
        self._waiting = WaitingRoom()
        self._gone_told = False
        self.breaker = Breaker(settings.breaker)
        self.limiter: Limiter[Lane] = Limiter(settings.limiter)
        self.held_bytes = 0
        self.settled = 0
        self.gone = False

    # -- partitions --------------------------------------------------------------------------------------------------

    def assign(
        self,
        partition: Hashable,
        next_offset: int,
        *,
        finished: AckMap | None = None,
        attempts: Mapping[int, tuple[int, float]] | None = None,
        parked: Mapping[bytes, str] | None = None,
    ) -> None:
        """Own ``partition`` from ``next_offset`` on, with what an earlier owner left; ValueError when owned already."""
        if partition in self._parts:
            raise ValueError(f"partition {partition} is assigned already")
        part = Part(partition, Watermark(next_offset, finished))
        part.attempts.update(attempts or {})
        part.parked.update(parked or {})
        self._parts[partition] = part

    @property
    def partitions(self) -> Sequence[Hashable]:
        return tuple(self._parts)

    def drain(self, partition: Hashable) -> None:
        """Begin nothing more for ``partition``; results of what is in flight still count."""
        self._parts[partition].draining = True

    def in_flight_of(self, partition: Hashable) -> int:
        """Attempts and dead-letter appends of ``partition`` whose results are outstanding."""
        return self._parts[partition].in_flight

    def revoke(self, partition: Hashable) -> list[Lane]:
        """Forget ``partition``: results that still come for it count for nothing. Returns the attempts to break off."""
        part = self._parts.pop(partition)
        part.live = False
        broken_off = [lane for lane in (*self.limiter.in_flight, *self.limiter.slow) if lane.part is part]
        for lane in broken_off:
            self.limiter.drop(lane)
        if broken_off:
            self.breaker.dropped()
        self._ready = deque(lane for lane in self._ready if lane.part is not part)
        self._buries = deque(lane for lane in self._buries if lane.part is not part)
        self._waiting.drop(part)
        self.held_bytes -= part.held_bytes
        return broken_off

    # -- records in --------------------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether more records may be received (see `CoreSettings`)."""
        if self.held_bytes >= self._settings.held_bytes_max:
            return False
        return sum(len(part.watermark.unfinished) for part in self._parts.values()) < self._settings.positions_max

    def receive(self, partition: Hashable, records: Sequence[Record], next_offset: int) -> None:
        """Take ``records`` of ``partition`` in ascending order; everything below ``next_offset`` has been read."""
        part = self._parts[partition]
        watermark, lanes = part.watermark, part.lanes
        keyed, single = self._settings.ordering == "key", self._settings.ordering == "partition"
        for record in records:
            if not watermark.receive(record.offset):
                continue
            key = record.key if keyed else (b"" if single else None)
            lane = lanes.get(key) if key is not None else None
            if lane is None:
                lane = Lane(part, key, record)
                if key is not None:
                    lanes[key] = lane
                self._hold(part, payload_bytes(record))
                self._begin_head(lane)
            elif lane.state is READY or lane.state is IN_FLIGHT:
                self._hold(part, payload_bytes(record))
                lane.push(record)
            else:
                lane.push(record.offset)
        watermark.advance(next_offset)

    def payload(self, lane: Lane, record: Record) -> None:
        """The head's payload, read again from the log (its lane had kept the offset only)."""
        if lane.part.live and isinstance(lane.head, int):
            lane.head = record
            self._hold(lane.part, payload_bytes(record))

    def _hold(self, part: Part, payload: int) -> None:
        part.held_bytes += payload
        self.held_bytes += payload

    def _begin_head(self, lane: Lane) -> None:
        """The lane has a new head: what an earlier owner or a parked key knows of it decides where it goes."""
        part = lane.part
        if part.attempts and (restored := part.attempts.get(lane.offset)) is not None:
            lane.attempts, lane.first_failed_at = restored
            if (
                self._settings.on_dead_letter == "block"
                and retry_wait_s(self._settings.retry, lane.attempts, 0.0) is None
            ):
                lane.state = HELD
                return
        if part.parked and lane.key in part.parked:
            self._bury(lane)
            return
        lane.state = READY
        self._ready.append(lane)

    # -- attempts out ------------------------------------------------------------------------------------------------

    def actions(self, now: float) -> Actions:
        """What to do now. Call it after anything changed and when `next_wakeup` is reached."""
        if self._waiting:
            for lane in self._waiting.pop_due(now):
                self._wake(lane)
        buries = self._take(self._buries, len(self._buries)) if self._buries else []
        gone, self._gone_told = self.gone and not self._gone_told, self.gone
        return Actions(self._take_sends(now), buries, gone)

    def _take_sends(self, now: float) -> list[Lane]:
        breaker = self.breaker
        if self.gone or not breaker.may_send(now):
            return []
        slots = self.limiter.free(now)
        if breaker.state is BreakerState.OPEN:
            slots = min(slots, 1)
            if not self._ready and self._waiting:
                self._wake(self._waiting.pop_first())
        sends = self._take(self._ready, slots) if self._ready and slots else []
        for lane in sends:
            lane.state = IN_FLIGHT
            self.limiter.begin(lane, now)
        if sends:
            breaker.sent()
        return sends

    def _take(self, lanes: deque[Lane], count: int) -> list[Lane]:
        """Up to ``count`` lanes off the front, those of draining partitions left where they are."""
        taken: list[Lane] = []
        passed: list[Lane] = []
        while lanes and len(taken) < count:
            lane = lanes.popleft()
            if lane.part.draining:
                passed.append(lane)
            else:
                lane.part.in_flight += 1
                taken.append(lane)
        lanes.extendleft(reversed(passed))
        return taken

    def _wake(self, lane: Lane) -> None:
        if lane.state is BURY_WAITING:
            self._bury(lane)
        else:
            lane.state = READY
            self._ready.append(lane)

    def next_wakeup(self, now: float) -> float | None:
        """When `actions` may have something new although nothing was told to the core; None: only after that."""
        times = [self._waiting.next_due]
        if not self.gone and (self._ready or self._waiting):
            if self.breaker.state is BreakerState.OPEN:
                times.append(self.breaker.probe_at)
            if self._ready:
                times.append(self.limiter.next_token_at(now))
        if self.limiter.in_flight:
            times.append(now + self.limiter.slow_after_s)
        known = [time for time in times if time is not None]
        return max(min(known), now) if known else None

    def tick(self, now: float) -> None:
        """Set hanging attempts aside (see ``limiter``). Call it a few times a second while attempts are in flight."""
        self.limiter.set_slow_aside(now)

    # -- results in --------------------------------------------------------------------------------------------------

    def succeeded(self, lane: Lane, now: float) -> None:
        """The attempt was delivered (2xx)."""
        part = lane.part
        if not part.live:
            return
        self.limiter.end(lane, now)
        part.in_flight -= 1
        self.breaker.succeeded()
        self.limiter.succeeded()
        self._settle(lane)

    def failed(self, lane: Lane, verdict: Verdict, now: float, draw: float) -> None:
        """The attempt was not delivered; ``verdict`` (not DELIVERED) says what that means."""
        part = lane.part
        if not part.live:
            return
        self.limiter.end(lane, now)
        part.in_flight -= 1
        if verdict.retry_after_s is not None:
            self.limiter.asked_for_patience(now)
        fate, due = fate_of(lane, verdict, self._settings.retry, self.breaker, now=now, draw=draw)
        if lane.attempts and lane.first_failed_at is not None:
            part.attempts[lane.offset] = (lane.attempts, lane.first_failed_at)
        if fate is Fate.WAIT:
            self._wait(lane, due)
        elif fate is Fate.DEAD:
            self._end_in_dead_letter(lane)
        else:
            self.gone = self.gone or fate is Fate.GONE
            lane.state = READY
            self._ready.append(lane)

    def buried(self, lane: Lane) -> None:
        """The dead-letter append of the lane's head is acknowledged by all in-sync replicas."""
        if lane.part.live:
            lane.part.in_flight -= 1
            self._settle(lane)

    def bury_failed(self, lane: Lane, now: float) -> None:
        """The dead-letter append failed: the event stays unsettled and the append is tried again."""
        if lane.part.live:
            lane.part.in_flight -= 1
            lane.state = BURY_WAITING
            self._let_go(lane)
            self._waiting.push(lane, now + self._settings.bury_retry_s)

    def vanished(self, lane: Lane, now: float) -> None:
        """The head's payload can no longer be read (retention took it): settled, and the rim has told of the gap."""
        if lane.part.live:
            self.limiter.end(lane, now)
            self.breaker.dropped()
            lane.part.in_flight -= 1
            self._settle(lane)

    def release(self, partition: Hashable, key: bytes) -> bool:
        """An operator lets a parked or held key go on, its head tried afresh; False when nothing stood there."""
        part = self._parts[partition]
        was_parked = part.parked.pop(key, None) is not None
        lane = part.lanes.get(key)
        if lane is None or lane.state is not HELD:
            return was_parked
        lane.attempts, lane.first_failed_at, lane.state = 0, None, READY
        part.attempts.pop(lane.offset, None)
        self._ready.append(lane)
        return True

    def _wait(self, lane: Lane, due: float) -> None:
        lane.state = WAITING
        self._let_go(lane)
        self._waiting.push(lane, due)

    def _let_go(self, lane: Lane) -> None:
        self._hold(lane.part, -lane.forget_payloads())

    def _end_in_dead_letter(self, lane: Lane) -> None:
        policy = self._settings.on_dead_letter
        if policy == "block":
            lane.state = HELD
            self._let_go(lane)
            return
        if policy == "park" and lane.key is not None:
            lane.part.parked[lane.key] = reason_of(lane)
        self._bury(lane)

    def _bury(self, lane: Lane) -> None:
        lane.state = BURYING
        self._buries.append(lane)

    def _settle(self, lane: Lane) -> None:
        part, head = lane.part, lane.head
        self.settled += 1
        offset = head if isinstance(head, int) else head.offset
        part.watermark.finish(offset)
        if part.attempts:
            part.attempts.pop(offset, None)
        self._hold(part, -payload_bytes(head))
        if lane.next_head():
            self._begin_head(lane)
        elif lane.key is not None:
            del part.lanes[lane.key]

    # -- how far the cursor may go -----------------------------------------------------------------------------------

    def commit_of(self, partition: Hashable) -> Commit:
        """The pointer of ``partition``: safe to commit at any time."""
        part = self._parts[partition]
        return Commit(part.watermark.position, part.watermark.finished_above(), dict(part.attempts))
