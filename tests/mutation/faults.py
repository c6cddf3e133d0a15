"""Faults planted in the delivery core: what a hurried change might do, each against one promise.

A fault is a small patch of one file: ``before`` stands there exactly once and becomes ``after``.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """``breaks`` is the promise it breaks; ``file`` lies in ``pipeline/delivery``."""

    name: str
    breaks: str
    file: str
    before: str
    after: str


_FINISHED_ABOVE = "chain(read, self.restored.above(self.next_offset).ranges)"

FAULTS = (
    # -- how far the cursor may go
    Fault(
        "commit the next offset",
        "never past unfinished",
        "watermark.py",
        "return next(iter(self.unfinished), self.next_offset)",
        "return self.next_offset",
    ),
    Fault(
        "watermark by contiguous count",
        "gaps neither stall nor skip",
        "watermark.py",
        "return next(iter(self.unfinished), self.next_offset)",
        "return self.next_offset - len(self.unfinished)",
    ),
    Fault(
        "control records stall the cursor",
        "lag reaches 0",
        "watermark.py",
        "self.next_offset = max(self.next_offset, next_offset)",
        "pass",
    ),
    Fault(
        "ack map includes unfinished",
        "the map says only what is finished",
        "ackmap.py",
        "        first = offset + 1\n",
        "        first = offset\n",
    ),
    Fault(
        "restored map off by one",
        "the map says only what is finished",
        "ackmap.py",
        "    ranges: list[Range] = []\n    end = base\n",
        "    ranges: list[Range] = []\n    end = base + 1\n",
    ),
    Fault(
        "restored map forgotten when read",
        "nothing finished is sent again",
        "watermark.py",
        "if offset < self._restored_until and offset in self.restored:",
        "if offset < self._restored_until - 1 and offset in self.restored:",
    ),
    Fault(
        "restored map lost at the next commit",
        "nothing finished is sent again",
        "watermark.py",
        _FINISHED_ABOVE,
        "read",
    ),
    Fault(
        "metadata trusted after a reset",
        "a moved cursor wins",
        "pointer.py",
        "if int(base) != offset:",
        "if int(base) > offset:",
    ),
    Fault(
        "terminator not asked for",
        "a text cut short is not believed",
        "pointer.py",
        r"([0-9]{1,9}))?\.\$",
        "([0-9]{1,9}))?",
    ),
    Fault(
        "attempts of records that are gone are kept",
        "the pointer can be written",
        "owned.py",
        "if offset in mark.unfinished or offset >= mark.next_offset",
        "if True",
    ),
    Fault(
        "count after revoke",
        "nothing counts after revoke",
        "core.py",
        "        if lane.part.live:\n            self._pace.end(lane, now, delivered=True)",
        "        if True:\n            self._pace.end(lane, now, delivered=True)",
    ),
    # -- order
    Fault(
        "last in, first out",
        "order within a key",
        "lanes.py",
        "self.head = queue.popleft()",
        "self.head = queue.pop()",
    ),
    Fault(
        "two in flight on retry",
        "one in flight per key",
        "queues.py",
        "self._enter(self.retries, lane, WAITING, due)",
        "self._enter(self.retries, lane, WAITING, due)\n        self.ready.append(lane)",
    ),
    Fault(
        "a waiting key is overtaken",
        "order within a key",
        "core.py",
        "            if lane is None:\n",
        "            if lane is None or lane.state not in (READY, IN_FLIGHT):\n",
    ),
    Fault(
        "events without a key share a lane",
        "keyless events do not wait for each other",
        "core.py",
        "key = record.key if keyed",
        "key = (record.key or b'') if keyed",
    ),
    # -- retries and the breaker
    Fault(
        "schedule off by one",
        "as many attempts as the schedule says",
        "schedule.py",
        "return attempts > len(policy.schedule_s)",
        "return attempts >= len(policy.schedule_s)",
    ),
    Fault(
        "given up never",
        "an event is given up for its age",
        "schedule.py",
        "return now - first_failed_at >= policy.give_up_after_s",
        "return False",
    ),
    Fault(
        "Retry-After ignored",
        "Retry-After is honoured",
        "outcome.py",
        "asked_s = verdict.retry_after_s or 0.0",
        "asked_s = 0.0",
    ),
    Fault(
        "asked to wait, woken as a probe",
        "Retry-After is honoured",
        "outcome.py",
        "return Fate.WAIT_AS_ASKED, now",
        "return Fate.WAIT, now",
    ),
    Fault(
        "attempts counted while open",
        "an outage uses up no attempts",
        "breaker.py",
        "            self.probe_at = max(self.probe_at, self._asked_until)\n        return False",
        "            self.probe_at = max(self.probe_at, self._asked_until)\n        return True",
    ),
    Fault(
        "breaker opens on half-failures",
        "the other half goes on",
        "breaker.py",
        "        if self._failures:\n",
        "        if self._failures > 10**6:\n",
    ),
    Fault(
        "a late failure passes for the probe",
        "one probe at a time",
        "breaker.py",
        "        if failure.lane == self._probe:\n            self._wait_s",
        "        if self.state is PROBING:\n            self._wait_s",
    ),
    Fault(
        "open lets everything through",
        "one probe at a time",
        "pace.py",
        "            return self._probe(now) if ready or queues.retries else []",
        "            pass",
    ),
    Fault(
        "the same lane probes again",
        "another lane probes next",
        "queues.py",
        "or ready.new.take_untried(last) or ready.take_other(last)",
        "or ready.new.take_untried(None) or ready.take_other(None)",
    ),
    Fault(
        "probe lost on revoke",
        "everything is settled in the end",
        "pace.py",
        "self._breaker.dropped(id(lane))",
        "pass",
    ),
    Fault(
        "gone is sent to",
        "nothing is sent to an endpoint that is gone",
        "core.py",
        "[] if self.gone else self._pace.begin(now)",
        "self._pace.begin(now)",
    ),
    # -- dead letters
    Fault(
        "settled although the append failed",
        "a dead letter counts when acknowledged",
        "core.py",
        "self._queues.wait_to_bury(lane, now + self._settings.bury_retry_s)",
        "self._settle(lane)",
    ),
    Fault(
        "park forgets followers",
        "a parked key is buried until released",
        "dead_ends.py",
        "if part.parked and lane.key in part.parked:",
        "if False:",
    ),
    Fault(
        "block buries",
        "a blocked event waits for an operator",
        "dead_ends.py",
        '        if self._policy == "block":\n',
        '        if self._policy == "blocked":\n',
    ),
    Fault(
        "a held head is tried after a restart",
        "a blocked event waits for an operator",
        "dead_ends.py",
        'if self._policy == "block" and self._is_held(lane)',
        "if False",
    ),
    Fault(
        "restored attempts forgotten",
        "attempts survive a restart",
        "dead_ends.py",
        "lane.attempts, lane.first_failed_at = restored",
        "lane.first_failed_at = restored[1]",
    ),
    # -- owners
    Fault(
        "drain still sends",
        "a draining partition begins nothing",
        "core.py",
        "        part.draining = True\n        self._queues.drop(part)\n",
        "        part.draining = True\n",
    ),
    Fault(
        "revoke keeps the slots of dead-letter appends",
        "everything is settled in the end",
        "core.py",
        "self._burying -= part.burying",
        "pass",
    ),
    # -- limits and liveness
    Fault(
        "slots never full",
        "in flight is bounded",
        "limiter.py",
        "return self._granted(int(self.cap) - len(self.in_flight), now)",
        "return self._granted(int(self.cap), now)",
    ),
    Fault(
        "slow cap ignored",
        "in flight is bounded",
        "limiter.py",
        " or len(moved) >= room:",
        ":",
    ),
    Fault(
        "rate ignored",
        "the rate is kept",
        "limiter.py",
        "        self.in_flight[attempt] = now\n        if self._settings.rate_per_s is not None:\n",
        "        self.in_flight[attempt] = now\n        if False:\n",
    ),
    Fault(
        "held bytes leak",
        "held bytes are what is held",
        "lanes.py",
        "            self.part.hold(-payload_bytes(item))\n",
        "",
    ),
    Fault(
        "a wake-up is missed",
        "everything is settled in the end",
        "queues.py",
        "self.next_due = min(self.next_due, due)",
        "self.next_due = max(self.next_due, due)",
    ),
    Fault(
        "woken in vain, again and again",
        "no wake-up is due at once for nothing",
        "pace.py",
        "return max(limiter.may_begin_at(now), self._breaker.probe_at)",
        "return self._breaker.probe_at",
    ),
    # -- quiet outages, slow start, keys that hang, fair turns, batches
    Fault(
        "a quiet endpoint's outage is never seen",
        "an outage uses up no attempts",
        "breaker.py",
        "return few and lasted_s >= limits.few_after_s",
        "return False",
    ),
    Fault(
        "one poison event opens the breaker",
        "one poison event is given up",
        "breaker.py",
        " and len(self._events) >= limits.few_events",
        "",
    ),
    Fault(
        "failures that began before a success count",
        "the other half goes on",
        "breaker.py",
        "if failure.began_at >= self._succeeded_at:",
        "if True:",
    ),
    Fault(
        "a refused connection is like any failure",
        "an outage uses up no attempts",
        "breaker.py",
        "if failures >= limits.unreachable_to_open and self._unreachable == failures:",
        "if False:",
    ),
    Fault(
        "everything at once after an outage",
        "an endpoint that comes back gets few at first",
        "core.py",
        "                self.limiter.outage_over()\n",
        "                pass\n",
    ),
    Fault(
        "a key that hung takes a good key's slot",
        "hanging keys leave the others alone",
        "pace.py",
        "lane.standing = SUSPECT if hung else",
        "lane.standing = NEW if hung else",
    ),
    Fault(
        "unknown keys take every slot while others hang",
        "hanging keys leave the others alone",
        "pace.py",
        "        if not limiter.slow_is_full:\n",
        "        if True:\n",
    ),
    Fault(
        "suspects wait for ever",
        "everything is settled in the end",
        "pace.py",
        "return [*first, *others, *self._begin_suspects(now, halved=False)]",
        "return others",
    ),
    Fault(
        "a hot partition takes every turn",
        "partitions take turns",
        "ready.py",
        "                turns.rotate(-1)\n",
        "                pass\n",
    ),
    Fault(
        "a hot partition takes all the room",
        "partitions share the room",
        "owned.py",
        "if len(part.watermark.unfinished) > settings.positions_max - taken:",
        "if False:",
    ),
    Fault(
        "held keys are not told",
        "a blocked event waits for an operator",
        "dead_ends.py",
        "            self.holds.append(lane)\n",
        "",
    ),
    Fault(
        "what waited behind a failure goes one by one",
        "batches are whole again after a failure",
        "fetches.py",
        "self.fetching[lane] = 1 + len(lane.positions_behind(each))",
        "self.fetching[lane] = 1",
    ),
    Fault(
        "a payload stands behind a position",
        "what failed is read again in batches",
        "lanes.py",
        " and not (queue and isinstance(queue[-1], int)):",
        ":",
    ),
    Fault(
        "a payload that is missing is passed over",
        "order within a key",
        "lanes.py",
        "if not queue or queue[0] != record.offset or bytes_max <= 0:",
        "if not queue or bytes_max <= 0:",
    ),
    Fault(
        "what is read again has no bound",
        "held bytes are bounded",
        "owned.py",
        "return held_max + held_max // REREAD_SHARE - self._held.total",
        "return 10**9",
    ),
    Fault(
        "what goes along with a head costs no rate",
        "the rate counts events",
        "limiter.py",
        "            self._tokens -= count\n",
        "            pass\n",
    ),
    Fault(
        "a batch borrows without end",
        "the rate counts events",
        "limiter.py",
        "return max(int(self._tokens + rate * BORROWED_S), 0)",
        "return 10**9",
    ),
    Fault(
        "company counts an attempt of whom it tells nothing of",
        "only the event that is refused fails",
        "batching.py",
        "is_untried=self._is_alive and row not in tried",
        "is_untried=False",
    ),
    Fault(
        "nobody is ever tried",
        "an event that fails is given up",
        "batching.py",
        "is_untried=self._is_alive and row not in tried",
        "is_untried=True",
    ),
    Fault(
        "an old event fails in company",
        "what would be buried goes alone",
        "outcome.py",
        "return lane.first_failed_at is not None and given_up(policy, lane.first_failed_at, until)",
        "return False",
    ),
    Fault(
        "what was not tried keeps its slot",
        "everything is settled in the end",
        "core.py",
        "            self._pace.call_off(lane)\n            self._queues.make_ready(lane)",
        "            self._queues.make_ready(lane)",
    ),
    Fault(
        "a batch settles its head only",
        "one success settles the whole batch",
        "core.py",
        "for _ in range(count - 1):",
        "for _ in range(0):",
    ),
    Fault(
        "a follower with attempts goes in a batch",
        "an event that failed is a head first",
        "lanes.py",
        " or item.offset in self.part.attempts:",
        ":",
    ),
    Fault(
        "strain is believed among successes",
        "half the keys failing is no reason to slow down",
        "limiter.py",
        "if self._strains >= _STRAINS_MIN and self._strains > self._delivered * _STRAINS_PER_SUCCESS:",
        "if self._strains >= _STRAINS_MIN:",
    ),
)
