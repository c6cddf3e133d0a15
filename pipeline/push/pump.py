"""The pump of a run: takes records in, asks the delivery core what to do, does it, and tells the core what came of it.

What happens in what order, always on the event loop: results and feeds that are ready wake its `Turns`; once per turn
of the loop it takes records in, asks the core for actions and carries them out. Every step asks ``may_act`` first: a
worker its group has not heard of lately sends nothing. What is done per delivery is all in this file, and it is
compiled (`make compiled`): a call more costs every delivery.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.delivery.verdict import DELIVERED, Fault, FaultKind, Reply, VerdictKind, verdict_of
from pipeline.errors import PipelineError
from pipeline.push.attempts import AttemptWriter
from pipeline.push.batch import Taken
from pipeline.push.batcher import Batcher
from pipeline.push.clock import wall_minus_monotonic
from pipeline.push.company import Company
from pipeline.push.dead_ends import DeadEnds
from pipeline.push.delivers import Delivers
from pipeline.push.intake import Intake
from pipeline.push.owner import Owner
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.payloads import Payloads
from pipeline.push.reading import Place, Reading
from pipeline.push.reports import Reports
from pipeline.push.turns import Turns
from pipeline.record import Record
from pipeline.webhook.bundle import EventRenderer

# While this worker may not act it looks so often whether it may.
LEASE_LOOK_S = 0.2
# Attempts a run begins in one turn of the loop: 5 ms of work.
SENDS_MAX = 256
# So many of them before this worker asks again whether it may act: asking for each would cost every delivery.
SENDS_UNASKED = 8


class Pump:
    """Of one run. ``changed``: there may be something to commit; whoever commits sets it back."""

    def __init__(
        self,
        reading: Reading,
        sender: Delivers,
        parts: WorkerParts,
        settings: BridgeSettings,
        owner: Owner,
        *,
        core: Core,
        payloads: Payloads,
        dead_ends: DeadEnds,
        reports: Reports,
        attempts: AttemptWriter,
    ) -> None:
        self._reading, self._settings, self._owner = reading, settings, owner
        self._core, self._payloads, self._dead_ends, self._reports = core, payloads, dead_ends, reports
        self._may_act, self._on_stop, self._clock = owner.may_act, owner.on_stop, parts.clock
        self.turns = Turns(self._work, self._faulty)
        self.batcher = self._made_batcher(sender, parts) if reading.spec.format == "batch" else None
        self._sender = self.batcher or sender
        self.intake = self._made_intake(parts)
        self._attempts = attempts
        self._met, self._spanned = parts.hooks.meter(reading.group), parts.hooks.span_maker(reading.group)
        self._wall_offset = wall_minus_monotonic(parts.clock)
        self._as_it_lies = not reading.redrives
        self._reject_status = frozenset(reading.spec.retry.reject_status)
        self._unsent: deque[Lane] = deque()
        self._breaker_state = core.breaker.state
        self._may_not_call = ""
        self.changed = False

    def _made_batcher(self, sender: Delivers, parts: WorkerParts) -> Batcher:
        return Batcher(
            sender,
            self._reading.spec,
            EventRenderer(self._owner.id_prefix, parts.defaults),
            behind=Company(self._core, self._reading, self._clock, delivered=self._done, wake=self.turns.wake),
            may_act=lambda: self._may_act(self._clock.monotonic()),
        )

    def _made_intake(self, parts: WorkerParts) -> Intake:
        return Intake(
            parts.view,
            self._reading,
            self._core,
            on_ready=self.turns.wake,
            on_gap=self._reports.gap,
            on_broken=self._broken,
            dispatcher=self._owner.dispatcher,
        )

    def abort(self, lanes: Iterable[Lane]) -> None:
        """Break off the attempts of ``lanes``, which were revoked."""
        for lane in lanes:
            self._sender.abort(lane)

    async def close(self) -> None:
        """Stop for good; nothing is left to be sent."""
        await self.turns.close()
        await self._sender.close()

    # -- turns -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        now = self._clock.monotonic()
        self._wall_offset = self._clock.wall() - now
        self._core.tick(now)
        if self._may_act(now):
            # Not before: a gap is told when it is read, and may be another's to tell.
            self.intake.take(self._settings.take_records_max)
            actions = self._core.actions(now)
            self._send_all(actions.sends)
            for lane in actions.fetches:
                self.turns.spawn(self._payloads.fetch(lane))
            for lane in actions.buries:
                self.turns.spawn(self._dead_ends.bury(lane))
            for lane in actions.holds:
                self.turns.spawn(self._dead_ends.hold(lane))
            if actions.gone:
                self._stop_sending()
        if self._core.breaker.state is not self._breaker_state:
            before, self._breaker_state = self._breaker_state, self._core.breaker.state
            self._reports.breaker(before, self._breaker_state)
        self._has_changed()
        due = self._core.next_wakeup(now) if self._may_act(now) else now + LEASE_LOOK_S
        if due is not None:
            self.turns.wake_at(due, now)

    def _stop_sending(self) -> None:
        """Nothing was buried: every event waits on the log for an operator."""
        if self._may_not_call:
            self._on_stop("blocked", f"address-blocked: {self._may_not_call}")
        else:
            # What a shadow says of itself ends its run, not the subscription.
            self._on_stop("blocked" if self._reading.is_shadow else "gone", "the endpoint answered 410")

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _send_all(self, lanes: list[Lane]) -> None:
        """`SENDS_MAX` of them now, the others in the next turns, so that other runs have theirs between. A process that
        was frozen in the middle of them notices within `SENDS_UNASKED`, and the others wait until it may act again.
        """
        if self._unsent or len(lanes) > SENDS_MAX:
            self._unsent.extend(lanes)
            begun = [self._unsent.popleft() for _ in range(min(len(self._unsent), SENDS_MAX))]
            lanes = [lane for lane in begun if lane.part.live]
        for first in range(0, len(lanes), SENDS_UNASKED):
            if first and not self._may_act(self._clock.monotonic()):
                self._unsent.extendleft(reversed(lanes[first:]))
                break
            for lane in lanes[first : first + SENDS_UNASKED]:
                self._send(lane)
        if self._unsent:
            self.turns.wake()

    def _send(self, lane: Lane) -> None:
        head = lane.head
        if isinstance(head, int):
            self.turns.spawn(self._read_and_send(lane))
        elif self._reading.unreadable and (why := self._reading.unreadable.get(head.position)) is not None:
            asyncio.get_running_loop().call_soon(self._done, lane, Fault(FaultKind.UNDECODABLE, why, 0.0))
        else:
            sent = head if self._as_it_lies else self._reading.delivery(head)
            self._sender.send(sent, lane.attempts + 1, self._done, lane)

    async def _read_and_send(self, lane: Lane) -> None:
        if await self._payloads.wait(lane):
            self._send(lane)

    def _done(self, lane: Lane, result: Reply | Fault, behind: Taken = ()) -> None:
        """An attempt ended. Called by the sender once per send; ``behind``: what was delivered of the lane besides."""
        if not lane.part.live:
            return
        now = self._clock.monotonic()
        attempt, head = lane.attempts + 1, lane.head
        if type(result) is Reply and 200 <= result.status < 300:
            status, verdict = result.status, DELIVERED
            age_s = 0.0 if isinstance(head, int) else now + self._wall_offset - head.timestamp_ms / 1000
            # A producer's clock may be ahead of ours; a negative age would mean that it was not delivered.
            self._met(status, result.elapsed_s, age_s if age_s > 0.0 else 0.0)
            self._core.succeeded(lane, now, 1 + len(behind))
        else:
            status = result.status if isinstance(result, Reply) else 0
            verdict = verdict_of(result, self._reject_status, self._clock.wall())
            self._met(status, result.elapsed_s, -1.0)
            if verdict.kind is VerdictKind.BLOCKED:
                self._may_not_call = verdict.summary
            self._core.failed(lane, verdict, now, self._clock.draw())
        if self._spanned is not None and not isinstance(head, int):
            self._spanned(head.headers, attempt, status, result.elapsed_s)
        if self._settings.record_attempts and not isinstance(head, int):
            sent = head if self._as_it_lies else self._reading.delivery(head)
            self._attempts.write(sent, attempt, status, verdict, result.elapsed_s)
        for record, reply in behind:
            self._delivered_behind(record, reply, now)
        if self.turns.is_due or (verdict is DELIVERED and self._rests(lane, now)):
            return
        self.turns.wake()

    def _delivered_behind(self, record: Record, reply: Reply, now: float) -> None:
        """Tell of an event that was delivered in one request with the head of its lane."""
        self._met(reply.status, reply.elapsed_s, max(now + self._wall_offset - record.timestamp_ms / 1000, 0.0))
        if self._spanned is not None:
            self._spanned(record.headers, 1, reply.status, reply.elapsed_s)
        if self._settings.record_attempts:
            self._attempts.write(self._reading.delivery(record), 1, reply.status, DELIVERED, reply.elapsed_s)

    def _rests(self, lane: Lane, now: float) -> bool:
        """Whether nothing is left to do after ``lane`` was delivered: of a thousand runs with an event now and then,
        most pumps would find just that.
        """
        core, key = self._core, lane.key
        if core.limiter.in_flight or self.intake.is_ready or core.breaker.state is not self._breaker_state:
            return False
        if (key is not None and lane.part.lanes.get(key) is lane) or core.next_wakeup(now) is not None:
            return False
        self._has_changed()
        return True

    def _has_changed(self) -> None:
        if not self.changed:
            self.changed = True
            self._owner.on_changed()

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _broken(self, place: Place, error: PipelineError) -> None:
        self._on_stop("blocked", f"{error.code}: {place[0]}/{place[1]}: {error}")

    def _faulty(self, error: BaseException) -> None:
        self._on_stop("blocked", f"internal: {error!r}")
