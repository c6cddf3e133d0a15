"""What the delivery core promises, said again in the plainest way: a model that checks every step of the machine.

The model knows the log, what was finished on it, and who owns a partition. It keeps a list of what is owed and no
queues: an attempt the core begins is compared with the rules, never predicted.
"""

from __future__ import annotations

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane, payload_bytes
from pipeline.delivery.limiter import BORROWED_S
from pipeline.delivery.pointer import Pointer, read_pointer
from pipeline.delivery.settings import CoreSettings
from pipeline.delivery.verdict import Sign, Verdict, VerdictKind
from pipeline.record import Record
from tests.property.delivery_log import Outstanding, PartitionLog, Tenure


class Model:
    def __init__(self, settings: CoreSettings) -> None:
        self.settings = settings
        self.core = Core(settings)
        self.now = 100.0
        self.tenures: dict[int, Tenure] = {}
        self.outstanding: dict[Lane, Outstanding] = {}
        self.probe: Lane | None = None
        self.last_probe: Lane | None = None
        self.failing: list[tuple[Lane, int, Verdict]] = []
        self.failing_since = 0.0
        self.succeeded_at = float("-inf")
        self.asked_until = 0.0
        self.sends = 0

    # -- ownership ---------------------------------------------------------------------------------------------------

    def assign(self, log: PartitionLog) -> None:
        offset, metadata = log.committed
        pointer = read_pointer(offset, metadata) or Pointer(epoch=1, owner="w", offset=offset)
        tenure = self.tenures[log.number] = Tenure(log, pointer)
        self.core.assign(
            log.number,
            pointer.offset,
            finished=pointer.finished,
            attempts=tenure.attempts,
            parked=dict(log.parked),
            held=set(log.held),
        )

    def look_again(self, tenure: Tenure) -> None:
        """What an earlier owner left of heads under ``block``: an event without a key that is spent waits; one whose
        key is not held (an operator released it meanwhile, or nobody got to note it) is tried afresh.
        """
        if self.settings.on_dead_letter != "block":
            return
        for at in tenure.inherited & tenure.unsettled.keys() & tenure.attempts.keys():
            key = self.lane_key(tenure.unsettled[at])
            spent = tenure.attempts[at][0] > len(self.settings.retry.schedule_s)
            if spent and key is None:
                tenure.held.add(at)
            elif spent and key not in tenure.held_keys and at == self._head_of(tenure, key):
                del tenure.attempts[at]
                tenure.inherited.discard(at)

    def _head_of(self, tenure: Tenure, key: bytes | None) -> int:
        return next(at for at, record in tenure.unsettled.items() if self.lane_key(record) == key)

    def commit(self, tenure: Tenure) -> None:
        offset, finished, attempts = self.core.commit_of(tenure.log.number)
        whole = {at: (count, int(first)) for at, (count, first) in attempts.items()}
        pointer = Pointer(epoch=7, owner="worker-1", offset=offset, finished=finished, attempts=whole)
        tenure.log.committed = (offset, pointer.metadata())

    def revoke(self, tenure: Tenure) -> list[tuple[Lane, Outstanding]]:
        """Returns the results that may still come, late."""
        gone = [(lane, left) for lane, left in self.outstanding.items() if left.tenure is tenure]
        broken_off = self.core.revoke(tenure.log.number)
        assert set(broken_off) == {lane for lane, left in gone if left.kind == "send"}
        for lane, _ in gone:
            del self.outstanding[lane]
            if lane is self.probe:
                self.probe = None
        del self.tenures[tenure.log.number]
        return gone

    # -- attempts out ------------------------------------------------------------------------------------------------

    def act(self) -> None:
        breaker = self.core.breaker
        state, probe_at = breaker.state.value, breaker.probe_at
        # Lanes that are due are read again before they can be probed with.
        due = self.now if self.settings.fetches_max else float("-inf")
        others = [*self.core._queues.ready, *(lane for at, _, lane in self.core._queues.retries._heap if at > due)]
        was_gone = self.core.gone
        actions = self.core.actions(self.now)
        assert not (actions.sends and was_gone), "sent to an endpoint that is gone"
        if state != "closed" and actions.sends:
            assert len(actions.sends) == 1 and state == "open" and self.probe is None, "more than one probe"
            assert self.now >= max(probe_at, self.asked_until), "probed too soon"
            self.probe = actions.sends[0]
            assert self.probe is not self.last_probe or set(others) <= {self.probe}, "the same lane probed again"
            self.last_probe = self.probe
        for lane in actions.holds:
            if lane.key is not None:
                # The rim remembers a held key for the next owner.
                self._tenure_of(lane).log.held.add(lane.key)
        for lane in actions.sends:
            self._check_send(lane, state)
            self.outstanding[lane] = Outstanding(self._tenure_of(lane), lane.offset, "send", self.now)
        for lane in actions.fetches:
            tenure, record = self._check_head(lane)
            assert isinstance(lane.head, int), "read again what is in memory"
            self.outstanding[lane] = Outstanding(tenure, record.offset, "fetch")
        for lane in actions.buries:
            self._check_bury(lane)
            self.outstanding[lane] = Outstanding(self._tenure_of(lane), lane.offset, "bury")
            log = self._tenure_of(lane).log
            if lane.key is not None and self.settings.on_dead_letter == "park":
                # The rim remembers a parked key before its first dead letter is appended.
                log.parked.setdefault(lane.key, "exhausted")
        self._check_wakeup()

    def _tenure_of(self, lane: Lane) -> Tenure:
        number = lane.part.name
        assert isinstance(number, int) and lane.part.live
        return self.tenures[number]

    def lane_key(self, record: Record) -> bytes | None:
        return {"key": record.key, "partition": b"", "none": None}[self.settings.ordering]

    def _check_head(self, lane: Lane) -> tuple[Tenure, Record]:
        """Only the first unsettled event of its key, of a partition that is not being drained, and only once."""
        tenure = self._tenure_of(lane)
        assert not tenure.draining, "began something while draining"
        assert lane not in self.outstanding, "two in flight in one lane"
        record = tenure.unsettled[lane.offset]
        assert isinstance(lane.head, int) or lane.head is record
        key = self.lane_key(record)
        if key is not None:
            ahead = [at for at, other in tenure.unsettled.items() if self.lane_key(other) == key and at < lane.offset]
            assert not ahead, f"{lane.offset} attempted while {ahead} of its key are not settled"
        return tenure, record

    def _check_send(self, lane: Lane, state: str) -> None:
        tenure, record = self._check_head(lane)
        self.look_again(tenure)
        at = record.offset
        assert self.lane_key(record) not in tenure.held_keys, "sent although an operator has not released its key"
        assert at not in tenure.doomed and at not in tenure.held, "sent again after it was given up"
        assert self.lane_key(record) not in lane.part.parked, "sent although its key is parked"
        assert self.now >= tenure.asked_until.get(at, 0.0), "Retry-After was not honoured"
        assert state == "open" or self.now >= tenure.due.get(at, 0.0), "sent before its time"
        assert lane.attempts == tenure.attempts.get(at, (0, 0.0))[0]
        self.sends += 1
        rate = self.settings.limiter.rate_per_s
        if rate is not None:
            borrowed = rate * BORROWED_S
            saved = max(1.0, rate * self.settings.limiter.burst_s)
            assert self.sends <= 1.01 + borrowed + saved + rate * (self.now - 100.0), "over the rate"

    def _check_bury(self, lane: Lane) -> None:
        tenure, record = self._check_head(lane)
        assert self.settings.on_dead_letter != "block", "buried although the policy is to block"
        assert record.offset in tenure.doomed or self.lane_key(record) in tenure.parked_once, "buried for no reason"

    def _check_wakeup(self) -> None:
        """Nothing is left to do now, and the time named is one at which there may be."""
        again = self.core.actions(self.now)
        assert not any(again), "actions left some behind"
        due = self.core.next_wakeup(self.now)
        assert due is None or due > self.now, "a wake-up that is due at once, for nothing"

    # -- results in --------------------------------------------------------------------------------------------------

    def read_again(self, lane: Lane) -> None:
        left = self.outstanding[lane]
        self.core.payload(lane, left.tenure.unsettled[left.offset])
        assert lane.head is left.tenure.unsettled[left.offset]

    def fetched(self, lane: Lane, *, well: bool = True) -> None:
        """The payload was read for a lane that waited for it in no slot; or could not be."""
        left = self._end(lane)
        if well:
            unsettled, positions = left.tenure.unsettled, self.core.behind(lane)
            mine = [at for at, other in unsettled.items() if self.lane_key(other) == lane.key and at > left.offset]
            assert positions == mine[: len(positions)], "not the next of its key"
            assert not any(at in left.tenure.attempts for at in positions)
            # Now and then the last of them was not found.
            self.core.payload(lane, unsettled[left.offset], [unsettled[at] for at in positions[: 1 + left.offset % 3]])
            assert lane.head is unsettled[left.offset]
        else:
            self.core.unread(lane, self.now)
            assert isinstance(lane.head, int)

    def _end(self, lane: Lane) -> Outstanding:
        if lane is self.probe:
            self.probe = None
        return self.outstanding.pop(lane)

    def followers(self, lane: Lane, events_max: int, bytes_max: int) -> int:
        """How many events may go in the same request; each is checked to be the next of its key."""
        tenure = self.outstanding[lane].tenure
        limiter = self.core.limiter
        followers = lane.followers(
            min(events_max, limiter.along_max(self.now)) if limiter.is_rated else events_max, bytes_max
        )
        assert len(followers) <= events_max
        assert sum(payload_bytes(record) for record in followers) <= bytes_max
        if lane.key is not None:
            behind = [at for at, other in tenure.unsettled.items() if self.lane_key(other) == lane.key]
            assert [record.offset for record in followers] == behind[1 : 1 + len(followers)], "not the next of its key"
        assert not any(record.offset in tenure.attempts or record.offset in tenure.held for record in followers)
        self.sends += len(followers)
        self.core.limiter.went_along(len(followers))
        return len(followers)

    def succeed(self, lane: Lane, events_max: int = 0, bytes_max: int = 0) -> None:
        """Delivered, with as many events behind it as the limits allow, in one request."""
        count = 1 + self.followers(lane, events_max, bytes_max)
        left = self._end(lane)
        self.probe = self.last_probe = None
        key = None if lane.key is None else self.lane_key(left.tenure.unsettled[left.offset])
        mine = [at for at, other in left.tenure.unsettled.items() if key is not None and self.lane_key(other) == key]
        self.core.succeeded(lane, self.now, count)
        for offset in mine[:count] or [left.offset]:
            left.tenure.settle(offset)
        self.failing.clear()
        self.succeeded_at = self.now
        self.asked_until = 0.0
        assert self.core.breaker.state.value == "closed"

    def fail(self, lane: Lane, verdict: Verdict, draw: float) -> None:
        was_closed = self.core.breaker.state.value == "closed"
        left = self._end(lane)
        since_success = left.began_at >= self.succeeded_at
        tenure, at = left.tenure, left.offset
        tenure.inherited.discard(at)
        count, first = tenure.attempts.get(at, (0, lane.first_failed_at))
        self.core.failed(lane, verdict, self.now, draw)
        self.check_probe()
        if verdict.kind is VerdictKind.GONE:
            assert self.core.gone
            return
        first = self.now if first is None else first
        counted = was_closed or verdict.kind is VerdictKind.REJECT
        count += counted
        if count:
            tenure.attempts[at] = (count, first)
        policy = self.settings.retry
        spent = counted and count > len(policy.schedule_s)
        if verdict.kind is VerdictKind.REJECT or spent or self.now - first >= policy.give_up_after_s:
            self._give_up(tenure, at, count, first)
        else:
            tenure.due[at] = self.now + (policy.schedule_s[count - 1] * (1 - draw) if counted else 0.0)
        if verdict.kind is VerdictKind.RETRY:
            if verdict.retry_after_s:
                tenure.asked_until[at] = self.now + verdict.retry_after_s
                self.asked_until = max(self.asked_until, tenure.asked_until[at])
            self._check_breaker(lane, at, verdict, (was_closed, since_success))

    def _give_up(self, tenure: Tenure, at: int, count: int, first: float) -> None:
        if self.settings.on_dead_letter == "block":
            tenure.held.add(at)
            tenure.inherited.discard(at)
            tenure.attempts[at] = (max(count, len(self.settings.retry.schedule_s) + 1), first)
            return
        tenure.doomed.add(at)
        key = self.lane_key(tenure.unsettled[at])
        if key is not None and self.settings.on_dead_letter == "park":
            tenure.parked_once.add(key)

    def check_probe(self) -> None:
        """The breaker is probing exactly while a probe is under way."""
        assert (self.core.breaker.state.value == "probing") == (self.probe is not None)

    def _check_breaker(self, lane: Lane, at: int, verdict: Verdict, when: tuple[bool, bool]) -> None:
        was_closed, since_success = when
        if not was_closed:
            assert self.core.breaker.state.value != "closed"
            return
        if not since_success:
            assert self.core.breaker.state.value == "closed"
            return
        if not self.failing:
            self.failing_since = self.now
        self.failing.append((lane, at, verdict))
        assert (self.core.breaker.state.value == "open") == self._nothing_succeeds()

    def _nothing_succeeds(self) -> bool:
        limits, count, lasted_s = self.settings.breaker, len(self.failing), self.now - self.failing_since
        lanes = {lane for lane, _, _ in self.failing}
        events = {(lane, at) for lane, at, _ in self.failing}
        long_enough = lasted_s >= limits.patience * self.core.limiter.latency_s
        refused = all(verdict.sign is Sign.UNREACHABLE for _, _, verdict in self.failing)
        many = count >= limits.failures_to_open and len(lanes) >= limits.lanes_to_open
        few = count >= limits.few_failures and len(events) >= limits.few_events and lasted_s >= limits.few_after_s
        return (refused and count >= limits.unreachable_to_open) or (long_enough and (many or few))

    def untried(self, lane: Lane) -> None:
        """It was sent in company, and nothing is known of it: it may go again at once, no attempt is counted."""
        left = self._end(lane)
        known = left.tenure.attempts.get(left.offset)
        self.core.untried(lane)
        self.check_probe()
        left.tenure.due.pop(left.offset, None)
        assert left.tenure.attempts.get(left.offset) == known and lane.offset == left.offset

    def bury_acknowledged(self, lane: Lane) -> None:
        left = self._end(lane)
        self.core.buried(lane)
        left.tenure.settle(left.offset)

    def bury_failed(self, lane: Lane) -> None:
        self._end(lane)
        self.core.bury_failed(lane, self.now)

    def vanish(self, lane: Lane) -> None:
        left = self._end(lane)
        self.core.vanished(lane, self.now)
        left.tenure.settle(left.offset)

    def release(self, tenure: Tenure, key: bytes | None) -> None:
        self.look_again(tenure)
        held = {at for at in tenure.held if at in tenure.unsettled and self.lane_key(tenure.unsettled[at]) == key}
        parked = key is not None and key in self.core._parts[tenure.log.number].parked
        inherited = key in tenure.held_keys
        if inherited and (heads := [at for at, record in tenure.unsettled.items() if self.lane_key(record) == key]):
            held.add(heads[0])
        assert self.core.release(tenure.log.number, key) == (parked or inherited or bool(held))
        if key is None:
            spent = len(self.settings.retry.schedule_s) + 1
            for at in [at for at, (count, _) in tenure.attempts.items() if at >= tenure.read and count >= spent]:
                del tenure.attempts[at]
        else:
            tenure.log.parked.pop(key, None)
            tenure.log.held.discard(key)
            tenure.held_keys.discard(key)
        tenure.held -= held
        for at in held:
            for known in (tenure.attempts, tenure.due, tenure.asked_until):
                known.pop(at, None)
