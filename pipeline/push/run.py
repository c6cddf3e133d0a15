"""A run: one reading of one subscription on the partitions this worker owns. The rim around one delivery core.

What happens in what order, always on the event loop: results and feeds that are ready mark the run dirty; once per
turn of the loop a pump takes records in, asks the core for actions and carries them out. Committing is its own walk
(`push.commits.Committer`), because it waits for the broker. Every step asks ``may_act`` first: a worker its group has
not heard of lately sends and commits nothing.

Longer than files here mean to be: what follows what is the point of it, and reads best in one place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import takewhile

from pipeline.delivery.actions import Commit
from pipeline.delivery.breaker import CLOSED, BreakerState
from pipeline.delivery.core import Core
from pipeline.delivery.lanes import HELD, Lane, reason_of
from pipeline.delivery.pointer import Pointer
from pipeline.delivery.settings import BreakerSettings, CoreSettings, LimiterSettings
from pipeline.delivery.verdict import DELIVERED, Fault, FaultKind, Reply, VerdictKind, verdict_of
from pipeline.errors import PayloadTooLarge, PipelineError
from pipeline.faces import What
from pipeline.names import state_topic_of
from pipeline.parking import Policy
from pipeline.push import attempts, audit, no_waiting
from pipeline.push.attempts import AttemptWriter
from pipeline.push.audit import Audit
from pipeline.push.batcher import Batcher, Behind, Taken
from pipeline.push.burial import Burial, told_of
from pipeline.push.clock import wall_minus_monotonic
from pipeline.push.delivers import Delivers
from pipeline.push.dispatch import Dispatcher
from pipeline.push.intake import Intake
from pipeline.push.no_waiting import without_waits
from pipeline.push.parked import Parked, shown_key
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.push.shadow import Unburied
from pipeline.record import Record
from pipeline.webhook.bundle import EventRenderer

DRAIN_POLL_S = 0.01
AGAIN_S = 0.5
# Attempts a run begins in one turn of the loop: 5 ms of work.
SENDS_MAX = 256


class Run:
    """Give it partitions with pointers; it delivers until they are taken away. ``on_stop`` is told why it cannot go
    on, ``on_changed`` when ``changed`` becomes true: there may be something to commit.
    """

    def __init__(
        self,
        reading: Reading,
        sender: Delivers,
        parts: WorkerParts,
        settings: BridgeSettings,
        *,
        may_act: Callable[[float], bool],
        id_prefix: Callable[[str], str],
        on_stop: Callable[[str, str], None],
        dispatcher: Dispatcher | None = None,
        on_changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_changed = on_changed
        self.reading, self._sender, self._parts, self._settings = reading, sender, parts, settings
        self._may_act, self._on_stop, self._clock = may_act, on_stop, parts.clock
        self._loop = asyncio.get_running_loop()
        self._batcher: Batcher | None = None
        if reading.spec.format == "batch":
            self._sender = self._batcher = Batcher(
                sender,
                reading.spec,
                EventRenderer(id_prefix, parts.defaults),
                behind=Behind(self._behind, reading.delivery, self._done),
                may_act=lambda: may_act(parts.clock.monotonic()),
            )
        self.core = Core(core_settings(reading, settings))
        self.intake = Intake(
            parts.view,
            reading,
            self.core,
            on_ready=self.wake,
            on_gap=self._missed,
            on_broken=self._broken,
            dispatcher=dispatcher,
        )
        self._audit = Audit(parts.producer, state_topic_of(settings.namespace, audit.TABLE), settings.instance)
        self._burial = Unburied() if reading.is_shadow else Burial(parts.producer, reading)
        self._parked = Parked(parts.parked, reading, parts.clock)
        self._attempts = AttemptWriter(
            parts.journal,
            state_topic_of(settings.namespace, attempts.TABLE),
            reading.spec.name,
            reading.run_id,
            id_prefix,
            later=self._loop.call_later,
            clock=parts.clock,
        )
        self._met, self._spanned = parts.hooks.meter(reading.group), parts.hooks.span_maker(reading.group)
        self._wall_offset = wall_minus_monotonic(parts.clock)
        self._as_it_lies = not reading.redrives
        self._reject_status = frozenset(reading.spec.retry.reject_status)
        self._pump_due = False
        self._unsent: deque[Lane] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._breaker_state = self.core.breaker.state
        self._may_not_call = ""
        self.changed = False

    @property
    def places(self) -> list[Place]:
        """The partitions this run delivers."""
        return [place for place in self.core.partitions if isinstance(place, tuple)]

    # -- partitions --------------------------------------------------------------------------------------------------

    def begin(self, place: Place, pointer: Pointer) -> None:
        """Deliver ``place`` from ``pointer`` on."""
        self._assign(place, pointer)
        self.intake.open(place, pointer.offset, pointer.finished)

    def _assign(self, place: Place, pointer: Pointer) -> None:
        wall = wall_minus_monotonic(self._clock)
        counts = {offset: (n, first_at - wall) for offset, (n, first_at) in pointer.attempts.items()}
        waiting = self._parked.restore(place)
        self.core.assign(
            place,
            pointer.offset,
            finished=pointer.finished,
            attempts=waiting.of(counts, self.reading.spec.retry),
            parked=waiting.parked,
            held=waiting.held,
        )

    def commit_of(self, place: Place) -> Commit:
        """The pointer of ``place`` as it may be committed now; what the filter left out is passed."""
        self.intake.advance(place)
        return self.core.commit_of(place)

    async def drain(self, places: list[Place], drain_s: float) -> None:
        """Begin nothing more for ``places`` and wait up to ``drain_s`` for what is in flight."""
        owned = [place for place in places if place in self.core.partitions]
        for place in owned:
            self.core.drain(place)
            self.intake.close(place)
        deadline = self._loop.time() + drain_s
        while any(self.core.in_flight_of(place) for place in owned if place in self.core.partitions):
            if self._loop.time() >= deadline:
                return
            if self._batcher is not None:
                self._batcher.flush()
            await asyncio.sleep(DRAIN_POLL_S)

    def forget(self, place: Place) -> None:
        """Drop all state of ``place`` and break off its attempts; nothing of it counts any more."""
        self.intake.close(place)
        self._parked.forget(place)
        if place in self.core.partitions:
            for lane in self.core.revoke(place):
                self._sender.abort(lane)
        self.wake()

    async def close(self) -> None:
        """Stop for good; partitions were drained or forgotten before."""
        for place in self.places:
            self.forget(place)
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sender.close()
        self._attempts.flush()

    # -- the pump ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something changed: pump once at the end of this turn of the loop."""
        if not self._pump_due:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the root of this run's work: it stops the run, committing no more
            self._loop.call_exception_handler({"message": f"run {self.reading.group} failed", "exception": error})
            self._on_stop("blocked", f"internal: {error!r}")

    def _work(self) -> None:
        now = self._clock.monotonic()
        self._wall_offset = self._clock.wall() - now
        self.core.tick(now)
        if self._may_act(now):
            # Not before: a gap is told when it is read, and may be another's to tell.
            self.intake.take(self._settings.take_records_max)
            actions = self.core.actions(now)
            self._send_all(actions.sends)
            for lane in actions.fetches:
                self._spawn(self._fetch(lane))
            for lane in actions.buries:
                self._spawn(self._bury(lane))
            for lane in actions.holds:
                self._spawn(self._hold(lane))
            if actions.gone:
                self._stop_sending()
        if self.core.breaker.state is not self._breaker_state:
            self._breaker_changed(self._breaker_state, self.core.breaker.state)
        self._has_changed()
        self._arm(now)

    def _stop_sending(self) -> None:
        """Nothing was buried: every event waits on the log for an operator."""
        if self._may_not_call:
            self._on_stop("blocked", f"address-blocked: {self._may_not_call}")
        else:
            # What a shadow says of itself ends its run, not the subscription.
            self._on_stop("blocked" if self.reading.is_shadow else "gone", "the endpoint answered 410")

    def _breaker_changed(self, before: BreakerState, now: BreakerState) -> None:
        self._breaker_state = now
        self._parts.hooks.on_breaker(self.reading.group, now.value)
        if CLOSED in (before, now):
            self._tell("recovered" if now is CLOSED else "probing", worker=self._settings.instance)

    def _tell(self, what: What, **facts: object) -> None:
        """Operators should hear of it; a side run says which it is."""
        run = {} if self.reading.run_id is None else {"run": self.reading.run_id}
        self._parts.happenings.tell(what, self.reading.spec.name, **run, **facts)

    def _arm(self, now: float) -> None:
        """Wake up when the core next has something; a timer that stands early enough is left alone."""
        due = self.core.next_wakeup(now)
        if not self._may_act(now):
            due = now + 0.2
        if due is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due + 0.005:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(self._loop.time() + max(due - now, 0.001), self._time_is_up)

    def _time_is_up(self) -> None:
        # A timer may fire a little early by the clock that the core goes by: it stands no more, whatever that says.
        self._timer = None
        self.wake()

    # -- attempts ----------------------------------------------------------------------------------------------------

    def _send_all(self, lanes: list[Lane]) -> None:
        """`SENDS_MAX` of them now, the others in the next turns, so that other runs have theirs between."""
        if not self._unsent and len(lanes) <= SENDS_MAX:
            for lane in lanes:
                self._send(lane)
            return
        self._unsent.extend(lanes)
        for _ in range(min(len(self._unsent), SENDS_MAX)):
            lane = self._unsent.popleft()
            if lane.part.live:
                self._send(lane)
        if self._unsent:
            self.wake()

    def _send(self, lane: Lane) -> None:
        head = lane.head
        if isinstance(head, int):
            self._spawn(self._read_and_send(lane))
        elif self.reading.unreadable and (why := self.reading.unreadable.get(head.position)) is not None:
            self._loop.call_soon(self._done, lane, Fault(FaultKind.UNDECODABLE, why, 0.0))
        else:
            sent = head if self._as_it_lies else self.reading.delivery(head)
            self._sender.send(sent, lane.attempts + 1, self._done, lane)

    def _behind(self, lane: Lane, events_max: int) -> Sequence[Record]:
        """The events that may go in one request with the head of ``lane``; one that is to be buried is a head first."""
        if lane.part.draining:
            return ()
        found = self.core.followers(lane, events_max, self.reading.spec.batch.max_bytes)
        if unreadable := self.reading.unreadable:
            return list(takewhile(lambda record: record.position not in unreadable, found))
        return found

    async def _fetch(self, lane: Lane) -> None:
        """Read the lane's payload again, so that it can stand in line."""
        try:
            await self._read_again(lane)
        except PipelineError as error:
            self._parts.hooks.on_consumer_error(error)
            self.core.unread(lane, self._clock.monotonic())
        self.wake()

    async def _read_and_send(self, lane: Lane) -> None:
        """Nothing here says anything of the endpoint, so it is no failed attempt: it waits until it can be one."""
        while lane.part.live:
            try:
                if self._may_act(self._clock.monotonic()):
                    if await self._read_again(lane) is not None and lane.part.live:
                        self._send(lane)
                    return
            except PipelineError as error:
                self._parts.hooks.on_consumer_error(error)
            await asyncio.sleep(AGAIN_S)

    async def _read_again(self, lane: Lane) -> Record | None:
        """The payload of a lane that kept its position only; None when it is gone or not this worker's any more."""
        if not isinstance(lane.head, int):
            return lane.head
        topic, partition = _place_of(lane)
        offset = lane.offset
        record = await self._parts.view.fetch(topic, partition, offset)
        if not lane.part.live:
            return None
        if record is None:
            self._missed((topic, partition), offset, offset + 1)
            self.core.vanished(lane, self._clock.monotonic())
            self.wake()
            return None
        self.core.payload(lane, record)
        return record

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
            self.core.succeeded(lane, now, 1 + len(behind))
        else:
            status = result.status if isinstance(result, Reply) else 0
            verdict = verdict_of(result, self._reject_status, self._clock.wall())
            self._met(status, result.elapsed_s, -1.0)
            if verdict.kind is VerdictKind.BLOCKED:
                self._may_not_call = verdict.summary
            self.core.failed(lane, verdict, now, self._clock.draw())
        if self._spanned is not None and not isinstance(head, int):
            self._spanned(head.headers, attempt, status, result.elapsed_s)
        if self._settings.record_attempts and not isinstance(head, int):
            sent = head if self._as_it_lies else self.reading.delivery(head)
            self._attempts.write(sent, attempt, status, verdict, result.elapsed_s)
        for record, reply in behind:
            self._delivered_behind(record, reply, now)
        if self._pump_due or (verdict is DELIVERED and self._rests(lane, now)):
            return
        self.wake()

    def _delivered_behind(self, record: Record, reply: Reply, now: float) -> None:
        """Tell of an event that was delivered in one request with the head of its lane."""
        self._met(reply.status, reply.elapsed_s, max(now + self._wall_offset - record.timestamp_ms / 1000, 0.0))
        if self._spanned is not None:
            self._spanned(record.headers, 1, reply.status, reply.elapsed_s)
        if self._settings.record_attempts:
            self._attempts.write(self.reading.delivery(record), 1, reply.status, DELIVERED, reply.elapsed_s)

    def _rests(self, lane: Lane, now: float) -> bool:
        """Whether nothing is left to do after ``lane`` was delivered: of a thousand runs with an event now and then,
        most pumps would find just that.
        """
        core, key = self.core, lane.key
        if core.limiter.in_flight or self.intake.is_ready or core.breaker.state is not self._breaker_state:
            return False
        if (key is not None and lane.part.lanes.get(key) is lane) or core.next_wakeup(now) is not None:
            return False
        self._has_changed()
        return True

    def _has_changed(self) -> None:
        if not self.changed:
            self.changed = True
            self._on_changed()

    async def _bury(self, lane: Lane) -> None:
        try:
            record = await self._read_again(lane)
            if record is None:
                return
            if lane.key is not None and (why := lane.part.parked.get(lane.key)) is not None:
                # Before its first dead letter is appended: a crash between leaves it parked.
                await self._remember(lane, "park", why)
            reason = await self._burial.bury(record, lane, self._clock.monotonic(), wall_minus_monotonic(self._clock))
        except PipelineError as error:
            self._parts.hooks.on_bury_failed(self.reading.group, error)
            self.core.bury_failed(lane, self._clock.monotonic())
        else:
            self._parts.hooks.on_buried(self.reading.group, reason)
            self._tell("dead-lettered", **told_of(record, lane, reason))
            self.reading.unreadable.pop(record.position, None)
            self.core.buried(lane)
        self.wake()

    async def _hold(self, lane: Lane) -> None:
        """The lane waits for an operator: that is remembered, however long the broker is away."""
        while lane.part.live and lane.state is HELD:
            try:
                await self._remember(lane, "block", reason_of(lane))
            except PipelineError as error:
                self._parts.hooks.on_bury_failed(self.reading.group, error)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _remember(self, lane: Lane, policy: Policy, reason: str) -> None:
        try:
            await self._parked.remember(_place_of(lane), lane.key, policy=policy, reason=reason, offset=lane.offset)
        except PayloadTooLarge as error:
            # It waits as long as this worker has it; no row can hold such a key for the next.
            self._parts.hooks.on_consumer_error(error)

    def released(self, name: str) -> None:
        """The parked table's row ``name`` is gone: if it was a key of ours, it goes on."""
        found = self._parked.released(name)
        if found is not None and found[0] in self.core.partitions:
            place, key = found
            self.core.release(place, key)
            self._tell("released", topic=place[0], partition=place[1], key=shown_key(key))
            self.wake()

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _missed(self, place: Place, first: int, until: int) -> None:
        """Offsets of ``place`` were gone before they were delivered."""
        self._parts.hooks.on_gap(*place, first, until)
        topic, partition = place
        self._audit.tell("gap", self.reading.group, topic=topic, partition=partition, first=first, until=until)
        self._tell("gap", topic=topic, partition=partition, first=first, until=until)

    def _broken(self, place: Place, error: PipelineError) -> None:
        self._on_stop("blocked", f"{error.code}: {place[0]}/{place[1]}: {error}")

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)  # type: ignore[arg-type]  # always a coroutine of ours
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._on_stop("blocked", f"internal: {task.exception()!r}")


def core_settings(reading: Reading, settings: BridgeSettings) -> CoreSettings:
    """A subscription's policy as the core takes it; never faster than its endpoint allowed (CloudEvents Webhook 1.0,
    §4.2.2, WebHook-Allowed-Rate).
    """
    spec, run = reading.spec, reading.run
    wanted = run.rate_per_s if run is not None and run.rate_per_s is not None else spec.rate_per_s
    allowed = reading.row.allowed_rate_per_min
    rates = [rate for rate in (wanted, None if allowed is None else allowed / 60) if rate is not None]
    return CoreSettings(
        retry=without_waits(spec.retry) if settings.no_waiting else spec.retry,
        breaker=no_waiting.BREAKER if settings.no_waiting else BreakerSettings(),
        ordering=spec.ordering,
        on_dead_letter=spec.on_dead_letter,
        limiter=LimiterSettings(
            in_flight_max=spec.in_flight_max,
            slow_max=spec.in_flight_max * 4,
            # Lingering is ours, and says nothing of the endpoint.
            slow_after_s=settings.slow_after_s + (spec.batch.linger_ms / 1000 if spec.format == "batch" else 0.0),
            rate_per_s=min(rates, default=None),
        ),
        held_bytes_max=settings.held_bytes_max,
        fetches_max=settings.fetches_max,
        positions_max=settings.positions_max,
    )


def _place_of(lane: Lane) -> Place:
    name = lane.part.name
    assert isinstance(name, tuple)
    return name
