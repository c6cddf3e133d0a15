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
        r"([A-Za-z0-9_-]*)\.\$",
        "([A-Za-z0-9_-]*)",
    ),
    Fault(
        "attempts of records that are gone are kept",
        "the pointer can be written",
        "core.py",
        "if offset in mark.unfinished or offset >= mark.next_offset",
        "if True",
    ),
    Fault(
        "count after revoke",
        "nothing counts after revoke",
        "core.py",
        "        if lane.part.live:\n            self._pace.end(lane, now)",
        "        if True:\n            self._pace.end(lane, now)",
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
        "        if lane == self._probe:\n            self._wait_s",
        "        if self.state is PROBING:\n            self._wait_s",
    ),
    Fault(
        "open lets everything through",
        "one probe at a time",
        "pace.py",
        "            slots = 1\n",
        "",
    ),
    Fault(
        "the same lane probes again",
        "another lane probes next",
        "queues.py",
        "if self.ready and self.ready[0] is last and len(self.ready) > 1:",
        "if False:",
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
        'if self._policy == "block" and spent',
        "if False and spent",
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
        "slots = int(self.cap) - len(self.in_flight)",
        "slots = int(self.cap)",
    ),
    Fault(
        "slow cap ignored",
        "in flight is bounded",
        "limiter.py",
        " or len(self.slow) + len(moved) >= self._settings.slow_max:",
        ":",
    ),
    Fault(
        "rate ignored",
        "the rate is kept",
        "limiter.py",
        "            self._tokens -= 1.0\n",
        "            pass\n",
    ),
    Fault(
        "held bytes leak",
        "held bytes are what is held",
        "lanes.py",
        "            self.part.hold(-sum(map(payload_bytes, self.queue)))\n",
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
        "may_begin_at if state is CLOSED else max(may_begin_at, self._breaker.probe_at)",
        "may_begin_at if state is CLOSED else self._breaker.probe_at",
    ),
)
