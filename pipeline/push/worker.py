"""The worker: owns partitions as a member of the bridge's group and keeps a run for every active reading of them.

Everything that changes what should run (rows of the subscriptions and runs tables, partitions assigned, a run that
ends or cannot go on) only marks the worker dirty; one task, `_tend`, brings what runs in line with what should, one
step at a time. Partitions taken away are the exception: sending for them stops at once, before any turn is waited
for. All who take turns are in this one file, long as it is, so that a reader can check that no two of them race.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pipeline.errors import BrokerUnavailable, LogError, PipelineError
from pipeline.faces import StoredRow
from pipeline.kafka.membership import Membership, MembershipSettings
from pipeline.names import state_topic_of
from pipeline.push import attempts, audit
from pipeline.push.audit import Audit
from pipeline.push.delivers import Delivers
from pipeline.push.dispatch import Dispatcher
from pipeline.push.identity import TopicRecreated, check_identity
from pipeline.push.owner import Owner
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.push.rounds import Rounds
from pipeline.push.run import Run
from pipeline.push.runkeeper import RunKeeper
from pipeline.push.senders import make_sender
from pipeline.push.stops import Stops
from pipeline.push.wanted import Wanted
from pipeline.webhookid import id_prefix

RETRY_S = 1.0
# Runs begun at once, and settled at once: each waits for the broker a few times.
TAKE_AT_ONCE = 16
SETTLE_AT_ONCE = 8
# CPU of reading back and committing one group of 12 partitions, measured, and how much of a core may go there.
COMMIT_COST_S = 0.0005
COMMIT_SHARE = 0.05
# What moved is looked after again so soon: a transaction marker may have ended behind the last record.
FOLLOW_UP_S = 1.0


class Worker:
    """One bridge worker. Start it on a running loop; `stop` drains and commits. ``join`` and ``sender_of`` are there
    for those that stand in for broker and endpoints: the simulation, and services whose endpoint is a coroutine.
    """

    def __init__(
        self,
        parts: WorkerParts,
        settings: BridgeSettings,
        *,
        join: Callable[..., Membership] = Membership,
        sender_of: Callable[[Reading, WorkerParts, Callable[[str], str]], Delivers] = make_sender,
    ) -> None:
        self._parts, self._settings, self._sender_of = parts, settings, sender_of
        self._owned: set[Place] = set()
        self._keepers: dict[str, RunKeeper] = {}
        self._wanted = Wanted(
            parts.subscriptions,
            parts.runs,
            namespace=settings.namespace,
            defaults=parts.defaults,
            on_error=parts.hooks.on_consumer_error,
        )
        self._stops = Stops(
            parts.subscriptions,
            parts.runs,
            parts.offsets,
            audit=Audit(parts.producer, state_topic_of(settings.namespace, audit.TABLE), settings.instance),
            hooks=parts.hooks,
            let_go=self._let_go,
            happenings=parts.happenings,
        )
        self._dispatcher = Dispatcher(
            parts.view,
            parts.defaults,
            records_max=settings.take_records_max,
            may_act=lambda: self.membership.may_act(parts.clock.monotonic()),
        )
        self._rounds = Rounds(settings.commit_interval_s)
        self._id_prefixes: dict[str, str] = {}
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._unwatch: list[Callable[[], None]] = []
        self._topics_checked_at = self._parts.clock.monotonic()
        self.membership = join(
            parts.kafka,
            f"{settings.namespace}._bridge",
            MembershipSettings(
                session_timeout_s=settings.session_timeout_s,
                drain_s=settings.drain_s,
                static_as=settings.instance if settings.static else "",
            ),
            self,
            parts.hooks,
        )

    async def start(self) -> None:
        """Make the bridge's own topics where they are missing and join the group."""
        for table in (attempts.TABLE, audit.TABLE):
            await self._parts.admin.create(state_topic_of(self._settings.namespace, table), partitions=1)
        for rows in (self._parts.subscriptions, self._parts.runs):
            self._unwatch.append(rows.watch(lambda _key, _row: self._dirty.set()))
        self._unwatch.append(self._parts.parked.watch(self._parked_changed))
        self.membership.start()
        self._tasks = [asyncio.create_task(self._tend()), asyncio.create_task(self._settle_all())]
        self._dirty.set()

    async def stop(self) -> None:
        """Leave the group (which drains and commits what is owned), then end every run."""
        for unwatch in self._unwatch:
            unwatch()
        await self.membership.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for keeper in self._keepers.values():
            await keeper.run.close()
        self._keepers.clear()

    def is_healthy(self) -> bool:
        """Whether the tasks and the membership thread are at work."""
        return self.membership.is_alive() and not any(task.done() for task in self._tasks)

    @property
    def keepers(self) -> Mapping[str, RunKeeper]:
        """What runs here, by group; it changes as we go."""
        return self._keepers

    def status(self) -> list[dict[str, object]]:
        """What runs here, one entry per run: group, partitions (and how many of them are read together with other
        runs), in flight, breaker.
        """
        return [
            {
                "group": keeper.reading.group,
                "partitions": sorted(f"{topic}/{number}" for topic, number in keeper.places),
                "shared": keeper.run.intake.shared,
                "in_flight": len(keeper.run.core.limiter.in_flight) + len(keeper.run.core.limiter.slow),
                "settled": keeper.run.core.settled,
                "breaker": keeper.run.core.breaker.state.value,
            }
            for keeper in self._keepers.values()
        ]

    # -- ownership (called by the membership) ------------------------------------------------------------------------

    def assigned(self, partitions: list[Place]) -> None:
        self._owned.update(partitions)
        self._dirty.set()

    async def revoked(self, partitions: list[Place]) -> None:
        """Stop, drain, commit, forget. `take` asks `still_owned`, so nothing is begun for them meanwhile."""
        self._owned.difference_update(partitions)
        keepers = list(self._keepers.values())
        for keeper in keepers:
            await keeper.run.drain(partitions, 0.0)
        async with self._turn:
            letting_go = (keeper.let_go(partitions, self._settings.drain_s) for keeper in keepers)
            for result in await asyncio.gather(*letting_go, return_exceptions=True):
                if isinstance(result, Exception):
                    self._parts.hooks.on_consumer_error(result)
        # Were some of them assigned again meanwhile, they are taken now.
        self._dirty.set()

    def lost(self, partitions: list[Place]) -> None:
        self._owned.difference_update(partitions)
        for keeper in self._keepers.values():
            keeper.lose([place for place in partitions if place in keeper.places])

    # -- what should run ---------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                async with self._turn:
                    await self._stops.record()
                wanted = self._wanted.readings()
                await self._drain_leaving(wanted)
                async with self._turn:
                    await self._reconcile(wanted)
            except PipelineError as error:
                self._parts.hooks.on_consumer_error(error)
                await asyncio.sleep(RETRY_S)
                self._dirty.set()

    async def _drain_leaving(self, wanted: Mapping[str, Reading]) -> None:
        """Outside of the turn: attempts that hang here hold up nobody else's commits."""
        leaving = [keeper for group, keeper in self._keepers.items() if not _fits(keeper, wanted.get(group))]
        for keeper in leaving:
            keeper.is_leaving = True
        await asyncio.gather(*(keeper.run.drain(list(keeper.places), self._settings.drain_s) for keeper in leaving))

    async def _reconcile(self, wanted: Mapping[str, Reading]) -> None:
        stays: BrokerUnavailable | None = None
        for group, keeper in list(self._keepers.items()):
            if not _fits(keeper, wanted.get(group)):
                try:
                    await keeper.leave()  # it was drained
                except BrokerUnavailable as error:
                    stays = error
                    continue
                await keeper.run.close()
                del self._keepers[group]
                self._rounds.forget(group)
        self.membership.set_topics({topic for reading in wanted.values() for topic in reading.topics})
        self._dispatcher.gather()
        try:
            await self._take_all(wanted)
        finally:
            self._dispatcher.settle()
        if stays is not None:
            raise stays

    async def _take_all(self, wanted: Mapping[str, Reading]) -> None:
        """Begin what is owned and not begun. Raises the LogError of one, after the others."""
        owned = sorted(self._owned)
        lacking = [reading for reading in wanted.values() if self._lacks(reading, owned)]
        failed: LogError | None = None
        for first in range(0, len(lacking), TAKE_AT_ONCE):
            taking = (self._take(reading, owned) for reading in lacking[first : first + TAKE_AT_ONCE])
            for result in await asyncio.gather(*taking, return_exceptions=True):
                if isinstance(result, LogError) and not isinstance(result, BrokerUnavailable):
                    failed = result  # tried again, after the others
                elif result is not None:
                    raise result
        if failed is not None:
            raise failed

    def _lacks(self, reading: Reading, owned: list[Place]) -> bool:
        keeper = self._keepers.get(reading.group)
        if keeper is None:
            return True
        if keeper.is_leaving:
            return False
        begun = keeper.places
        return any(place not in begun and reading.reads(place) for place in owned)

    async def _take(self, reading: Reading, owned: list[Place]) -> None:
        """Raises LogError only."""
        try:
            keeper = self._keepers.get(reading.group) or await self._keeper_of(reading)
            missing = await keeper.take(owned)
        except LogError:
            raise
        except PipelineError as error:
            # This one cannot run (a topic is gone, a secret does not open): an operator decides; the others go on.
            self._stop_run(reading, "blocked", f"{error.code}: {error}")
            return
        self._look_again(keeper, self._settings.check_s)
        self._publish_positions(keeper)
        if missing:
            self._miss(reading, missing)

    async def _keeper_of(self, reading: Reading) -> RunKeeper:
        for topic in {*reading.topics, *reading.spec.topics}:
            await self._parts.catalog.get(topic)
        run = Run(
            reading,
            self._sender_of(reading, self._parts, self._id_prefix),
            self._parts,
            self._settings,
            Owner(
                may_act=self.membership.may_act,
                id_prefix=self._id_prefix,
                on_stop=lambda state, reason: self._stop_run(reading, state, reason),
                on_changed=lambda: self._rounds.changed(reading.group),
                dispatcher=self._dispatcher,
            ),
        )
        keeper = RunKeeper(
            reading,
            run,
            self._parts,
            self._settings,
            may_act=self.membership.may_act,
            still_owned=self._owned.__contains__,
        )
        self._keepers[reading.group] = keeper
        return keeper

    def _id_prefix(self, topic: str) -> str:
        """What the ids of the topic's events begin with; asked per attempt, so it is worked out once per topic id."""
        topic_id = self._parts.catalog.id_of(topic)
        assert topic_id is not None, f"{topic} was asked for before its run was made"
        prefix = self._id_prefixes.get(topic_id)
        if prefix is None:
            prefix = self._id_prefixes[topic_id] = id_prefix(topic_id)
        return prefix

    def _parked_changed(self, name: str, row: StoredRow | None) -> None:
        """A row of the parked table that goes releases its key, wherever it is delivered."""
        keeper = self._keepers.get(name.partition("/")[0])
        if keeper is None:
            return
        if row is None:
            keeper.run.released(name)
        else:
            keeper.run.parked_elsewhere(name, row.version)

    # -- runs that end or cannot go on -------------------------------------------------------------------------------

    def _miss(self, reading: Reading, missing: list[Place]) -> None:
        places = ", ".join(f"{topic}/{number}" for topic, number in missing[:5])
        self._stop_run(reading, "blocked", f"pointer-missing: {places}")

    def _stop_run(self, reading: Reading, state: str, reason: str) -> None:
        self._stops.add(reading, state, reason)
        self._dirty.set()

    async def _let_go(self, group: str) -> None:
        keeper = self._keepers.get(group)
        if keeper is not None:
            await keeper.leave(self._settings.drain_s)

    # -- committing --------------------------------------------------------------------------------------------------

    async def _settle_all(self) -> None:
        """Commit what changed, some runs at a time and the longest due first, then rest: often, since what is not
        committed is delivered twice after a crash, but never for more than `COMMIT_SHARE` of a core.
        """
        clock, interval_s = self._parts.clock, self._settings.commit_interval_s
        while True:
            groups = self._rounds.take(clock.monotonic(), SETTLE_AT_ONCE)
            if groups:
                async with self._turn:
                    await asyncio.gather(*map(self._settle_safely, groups))
            rest_s = len(groups) * COMMIT_COST_S / COMMIT_SHARE
            if self._rounds.next_due > clock.monotonic():
                rest_s = max(rest_s, interval_s)
            await asyncio.sleep(rest_s)
            if clock.monotonic() - self._topics_checked_at >= self._settings.topic_check_s:
                await self._check_topics()

    async def _settle_safely(self, group: str) -> None:
        """An error leaves the pointers as they were: what is finished is still known, and the next walk tries again."""
        keeper = self._keepers.get(group)
        if keeper is None:
            self._rounds.forget(group)
            return
        moved = keeper.run.pump.changed
        try:
            await self._settle_one(keeper)
        except TopicRecreated as error:
            self._stop_run(keeper.reading, "blocked", f"{error.code}: {error}")
        except PipelineError as error:
            self._parts.hooks.on_consumer_error(error)
            # What it was to begin afresh with, and could not, is taken up by the next look at what should run.
            self._dirty.set()
        again_s = min(self._settings.check_s, FOLLOW_UP_S) if moved else self._settings.check_s
        self._look_again(keeper, again_s)

    def _look_again(self, keeper: RunKeeper, again_s: float) -> None:
        self._rounds.settled(keeper.reading.group, self._parts.clock.monotonic(), again_s)
        if keeper.run.pump.changed:
            self._rounds.changed(keeper.reading.group)

    async def _settle_one(self, keeper: RunKeeper) -> None:
        missing = await keeper.settle()
        self._publish_positions(keeper)
        if missing:
            self._miss(keeper.reading, missing)
        if await keeper.is_through():
            self._stop_run(keeper.reading, "done", "the window is delivered")

    def _publish_positions(self, keeper: RunKeeper) -> None:
        """Show the group how far a live run is, per partition; that commit is also the lease's proof."""
        if keeper.reading.run is not None and any(place in self.membership.positions for place in keeper.places):
            return
        for place, pointer in keeper.keeper.last.items():
            if place in self._owned:
                self.membership.positions[place] = pointer.offset

    async def _check_topics(self) -> None:
        """A topic deleted and made again has another id: offsets of the old one mean nothing there."""
        self._topics_checked_at = self._parts.clock.monotonic()
        keepers = list(self._keepers.values())
        try:
            found = await self._parts.admin.describe({topic for keeper in keepers for topic in keeper.topic_ids})
        except PipelineError as error:
            self._parts.hooks.on_consumer_error(error)
            return
        for keeper in keepers:
            try:
                check_identity(found, keeper.topic_ids)
            except TopicRecreated as error:
                self._stop_run(keeper.reading, "blocked", f"{error.code}: {error}")


def _fits(keeper: RunKeeper, reading: Reading | None) -> bool:
    """Whether what runs is what should."""
    if reading is None or keeper.is_leaving:
        return False
    return reading is keeper.reading or reading.row == keeper.reading.row
