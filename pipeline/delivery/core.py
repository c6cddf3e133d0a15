"""The delivery machine of one run: records in, attempts out, and how far the cursor may go.

Rules, each checked by the state machine in ``tests/property``:

1. per lane at most one attempt in flight, and the next event not before the one ahead is settled;
2. the position to commit never passes a received event that is not settled;
3. settled means delivered, or buried with the append acknowledged, or taken by retention (events the filter left
   out are never given to the core);
4. after `Core.revoke` nothing is counted any more, whatever arrives;
5. attempts under way never exceed ``in_flight_max + slow_max``, dead-letter appends ``buries_max``; payload bytes
   exceed ``held_bytes_max`` by one batch, the heads under way read again and, behind heads, a quarter, at most;
6. once failures stop, everything received is settled.

Times are monotonic seconds, ``draw`` a random number in [0, 1). Not thread-safe: one event loop owns it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from pipeline.delivery.actions import Actions
from pipeline.delivery.breaker import Breaker
from pipeline.delivery.dead_ends import DeadEnds
from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.limiter import Limiter
from pipeline.delivery.outcome import Fate, Times, fate_of, may_be_spent
from pipeline.delivery.owned import Owned
from pipeline.delivery.pace import Pace
from pipeline.delivery.queues import Queues
from pipeline.delivery.settings import CoreSettings
from pipeline.delivery.states import BURYING, FETCHING, PROVEN, SUSPECT
from pipeline.delivery.verdict import Sign, Verdict
from pipeline.delivery.waiting import NEVER
from pipeline.record import Record


class Core(Owned):
    """See the module's rules. Give it records, ask for `actions`, tell it results, commit `commit_of`."""

    def __init__(self, settings: CoreSettings) -> None:
        super().__init__(settings)
        self._queues = Queues(settings.fetches_max)
        self._dead_ends = DeadEnds(settings.on_dead_letter, settings.retry, self._queues)
        self.breaker = Breaker(settings.breaker)
        self.limiter: Limiter[Lane] = Limiter(settings.limiter)
        self._pace = Pace(self.breaker, self.limiter, self._queues)
        self._burying = 0
        self._gone_told = False
        self.settled = 0
        self.gone = False

    # -- partitions --------------------------------------------------------------------------------------------------

    def drain(self, partition: Hashable) -> None:
        """Begin nothing more for ``partition``; results of what is in flight still count. Only `revoke` ends it."""
        part = self._parts[partition]
        part.draining = True
        self._queues.drop(part)

    def revoke(self, partition: Hashable) -> list[Lane]:
        """Forget ``partition``: results that still come for it count for nothing. Returns the attempts to break off."""
        part = self._parts.pop(partition)
        part.live = False
        broken_off = [lane for lane in (*self.limiter.in_flight, *self.limiter.slow) if lane.part is part]
        for lane in broken_off:
            self._pace.call_off(lane)
        self._queues.drop(part)
        self._burying -= part.burying
        part.hold(-part.held_bytes)
        return broken_off

    def release(self, partition: Hashable, key: bytes | None) -> bool:
        """An operator lets a parked or held key go on, a held head tried afresh; ``None``: all held events that have
        no key. False when nothing stood there.
        """
        return self._dead_ends.release(self._parts[partition], key)

    # -- records in --------------------------------------------------------------------------------------------------

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
                part.hold(lane.head_bytes)
                self._dead_ends.begin_head(lane)
            else:
                lane.push(record)
        watermark.advance(next_offset)

    def behind(self, lane: Lane) -> list[int]:
        """The positions behind the head of ``lane`` (one of `Actions.fetches`) to be read again with it, in order."""
        return self._queues.read_with(lane) if lane.part.live else []

    def payload(self, lane: Lane, record: Record, behind: Iterable[Record] = ()) -> None:
        """The head's payload, read again from the log (its lane had kept the offset only). Another's is ignored.
        ``behind``: those of `behind` in order, up to the first that was not found; kept as far as there is room.
        """
        if lane.part.live and lane.head == record.offset:
            lane.head, lane.head_bytes = record, payload_bytes(record)
            lane.part.hold(lane.head_bytes)
            lane.put_back(behind, self.room_to_put_back)
            if lane.state is FETCHING:
                self._queues.has_payload(lane)

    def unread(self, lane: Lane, now: float) -> None:
        """The head's payload could not be read: tried again after ``fetch_retry_s``."""
        if lane.part.live and self._queues.has_no_payload(lane):
            self._queues.wait(lane, now + self._settings.fetch_retry_s)

    # -- attempts out ------------------------------------------------------------------------------------------------

    def actions(self, now: float) -> Actions:
        """What to do now. Call it after anything changed and when `next_wakeup` is reached."""
        queues = self._queues
        if queues.next_due <= now:
            queues.wake(now)
        sends = [] if self.gone else self._pace.begin(now)
        if self._held.total * 2 >= self._settings.held_bytes_max and self.limiter.slow_is_full:
            # What hangs has taken every place it may: what nobody knows to be better waits as positions, and those
            # that deliver are read on.
            queues.forget_payloads_of_new()
        buries = queues.take_buries(self._settings.buries_max - self._burying) if queues.buries.count else []
        self._burying += len(buries)
        gone, self._gone_told = self.gone and not self._gone_told, self.gone
        holds, self._dead_ends.holds = [lane for lane in self._dead_ends.holds if lane.part.live], []
        fetches = queues.take_fetches()
        return Actions(sends, buries, gone, holds, fetches)

    def next_wakeup(self, now: float) -> float | None:
        """When `actions` may have something new although nothing was told to the core; None: only after that."""
        due = self._queues.next_due
        if not self.gone:
            due = min(due, self._pace.next_at(now))
        return None if due == NEVER else max(due, now)

    def tick(self, now: float) -> None:
        """Set hanging attempts aside (see ``limiter``). Call it a few times a second while attempts are in flight."""
        self._pace.set_slow_aside(now)

    # -- results in --------------------------------------------------------------------------------------------------

    def succeeded(self, lane: Lane, now: float, count: int = 1) -> None:
        """The attempt was delivered (2xx): the lane's head and the ``count - 1`` events behind it."""
        if lane.part.live:
            self._pace.end(lane, now, delivered=True)
            if self.breaker.succeeded(now):
                self.limiter.outage_over()
            if count > 1:
                self._settle_all_but_one(lane, count)
            self._settle(lane)

    def failed(self, lane: Lane, verdict: Verdict, now: float, draw: float) -> None:
        """The attempt was not delivered; ``verdict`` (not DELIVERED) says what that means."""
        part, queues = lane.part, self._queues
        if not part.live:
            return
        limiter, was_proven = self.limiter, lane.standing is PROVEN
        took_s = self._pace.end(lane, now, delivered=False)
        if verdict.sign is Sign.BUSY:
            limiter.asked_for_patience(now)
        elif verdict.sign is Sign.STRAINED and (was_proven or lane.standing is not SUSPECT):
            # A key that hangs and never did otherwise says nothing of the rest: it has left their cap.
            limiter.strained(now)
        times = Times(now, now - took_s, limiter.latency_s)
        fate, due = fate_of(lane, verdict, self._settings.retry, self.breaker, times=times, draw=draw)
        if lane.attempts and lane.first_failed_at is not None:
            part.attempts[lane.offset] = (lane.attempts, lane.first_failed_at)
        if fate is Fate.DEAD:
            self._dead_ends.give_up(lane)
        elif fate is Fate.WAIT or fate is Fate.WAIT_AS_ASKED:
            lane.forget_payloads()
            (queues.wait if fate is Fate.WAIT else queues.wait_as_asked)(lane, due)
        else:
            self.gone = self.gone or fate is Fate.GONE
            queues.make_ready(lane)

    def untried(self, lane: Lane) -> None:
        """The attempt says nothing of its head, which goes again as it is: it was sent in company, and others of that
        were taken.
        """
        if lane.part.live:
            self._pace.call_off(lane)
            self._queues.make_ready(lane)

    def is_last_chance(self, lane: Lane, until: float) -> bool:
        """Whether the head of ``lane`` is given up should its attempt fail by ``until``: its attempts or time spent."""
        return may_be_spent(lane, self._settings.retry, until)

    def buried(self, lane: Lane) -> None:
        """The dead-letter append of the lane's head is acknowledged by all in-sync replicas."""
        if lane.part.live:
            self._end_bury(lane)
            self._settle(lane)

    def bury_failed(self, lane: Lane, now: float) -> None:
        """The dead-letter append failed: the event stays unsettled and the append is tried again."""
        if lane.part.live:
            self._end_bury(lane)
            lane.forget_payloads()
            self._queues.wait_to_bury(lane, now + self._settings.bury_retry_s)

    def vanished(self, lane: Lane, now: float) -> None:  # noqa: ARG002 - results carry their time, as the others do
        """The head's payload can no longer be read (retention took it): settled, and the rim has told of the gap."""
        if not lane.part.live:
            return
        if lane.state is BURYING:
            self._end_bury(lane)
        elif lane.state is FETCHING:
            self._queues.has_no_payload(lane)
        else:
            self._pace.call_off(lane)
        self._settle(lane)

    def _end_bury(self, lane: Lane) -> None:
        self._burying -= 1
        lane.part.burying -= 1
        lane.part.in_flight -= 1

    def _settle_all_but_one(self, lane: Lane, count: int) -> None:
        for _ in range(count - 1):
            self._settle_head(lane)
            if not lane.next_head():
                raise ValueError(f"{count} events delivered of a lane that has fewer")

    def _settle(self, lane: Lane) -> None:
        self._settle_head(lane)
        if lane.next_head():
            self._dead_ends.begin_head(lane)
        elif lane.key is not None:
            del lane.part.lanes[lane.key]

    def _settle_head(self, lane: Lane) -> None:
        part, head = lane.part, lane.head
        self.settled += 1
        offset = head if isinstance(head, int) else head.offset
        part.watermark.finish(offset)
        if part.attempts:
            part.attempts.pop(offset, None)
        part.hold(-lane.head_bytes)
