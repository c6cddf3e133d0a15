"""The worker: owns partitions as a member of the bridge's group and keeps a run for every active reading of them.

Everything that changes what should run (rows of the subscriptions and runs tables, partitions assigned, a run that
ends or cannot go on) only marks the worker dirty; one task, `_tend`, brings what runs in line with what should, one
step at a time. Partitions taken away are the exception: sending for them stops at once, before any turn is waited
for. Three take turns, so that no two of them race: `revoked`, `_tend` (and `Taking`, which it calls), and the walk of
`Settling`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pipeline.errors import BrokerUnavailable, PipelineError
from pipeline.faces import StoredRow
from pipeline.kafka.membership import Membership, MembershipSettings
from pipeline.names import state_topic_of
from pipeline.push import attempts, audit
from pipeline.push.audit import Audit
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.push.runkeeper import RunKeeper
from pipeline.push.senders import make_sender
from pipeline.push.settling import Settling
from pipeline.push.stops import Stops
from pipeline.push.taking import MakesSender, Taking
from pipeline.push.wanted import Wanted

RETRY_S = 1.0


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
        sender_of: MakesSender = make_sender,
    ) -> None:
        self._parts, self._settings = parts, settings
        self._owned: set[Place] = set()
        self._keepers: dict[str, RunKeeper] = {}
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._unwatch: list[Callable[[], None]] = []
        self.membership = self._joined(join)
        self._wanted = Wanted(
            parts.subscriptions,
            parts.runs,
            namespace=settings.namespace,
            defaults=parts.defaults,
            on_error=parts.hooks.on_consumer_error,
        )
        self._stops = self._made_stops()
        self._settling = self._made_settling()
        self._taking = self._made_taking(sender_of)

    def _joined(self, join: Callable[..., Membership]) -> Membership:
        settings = self._settings
        lasting = MembershipSettings(
            session_timeout_s=settings.session_timeout_s,
            drain_s=settings.drain_s,
            static_as=settings.instance if settings.static else "",
        )
        return join(self._parts.kafka, f"{settings.namespace}._bridge", lasting, self, self._parts.hooks)

    def _made_stops(self) -> Stops:
        parts, settings = self._parts, self._settings
        return Stops(
            parts.subscriptions,
            parts.runs,
            parts.offsets,
            audit=Audit(parts.producer, state_topic_of(settings.namespace, audit.TABLE), settings.instance),
            hooks=parts.hooks,
            let_go=self._let_go,
            happenings=parts.happenings,
        )

    def _made_settling(self) -> Settling:
        return Settling(
            self._parts,
            self._settings,
            self._keepers,
            self._turn,
            settled=self._publish_positions,
            stop=self._stop_run,
            failed=self._failed,
        )

    def _made_taking(self, sender_of: MakesSender) -> Taking:
        return Taking(
            self._parts,
            self._settings,
            sender_of,
            self._keepers,
            self._owned,
            may_act=self.membership.may_act,
            on_stop=self._stop_run,
            on_changed=self._settling.rounds.changed,
            on_taken=self._settling.taken,
        )

    async def start(self) -> None:
        """Make the bridge's own topics where they are missing and join the group."""
        for table in (attempts.TABLE, audit.TABLE):
            await self._parts.admin.create(state_topic_of(self._settings.namespace, table), partitions=1)
        for rows in (self._parts.subscriptions, self._parts.runs):
            self._unwatch.append(rows.watch(lambda _key, _row: self._dirty.set()))
        self._unwatch.append(self._parts.parked.watch(self._parked_changed))
        self.membership.start()
        self._tasks = [asyncio.create_task(self._tend()), asyncio.create_task(self._settling.walk())]
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
        """What runs here, one entry per run; see `RunKeeper.status`."""
        return [keeper.status() for keeper in self._keepers.values()]

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
        leaving = [keeper for group, keeper in self._keepers.items() if not keeper.fits(wanted.get(group))]
        for keeper in leaving:
            keeper.is_leaving = True
        await asyncio.gather(*(keeper.run.drain(list(keeper.places), self._settings.drain_s) for keeper in leaving))

    async def _reconcile(self, wanted: Mapping[str, Reading]) -> None:
        stays: BrokerUnavailable | None = None
        for group, keeper in list(self._keepers.items()):
            if not keeper.fits(wanted.get(group)):
                try:
                    await keeper.leave()  # it was drained
                except BrokerUnavailable as error:
                    stays = error
                    continue
                await keeper.run.close()
                del self._keepers[group]
                self._settling.rounds.forget(group)
                for topic in {*keeper.reading.topics, *keeper.reading.spec.topics}:
                    # It may be begun again because its topic was made again: under the old id it would send other ids.
                    self._parts.catalog.forget(topic)
        self.membership.set_topics({topic for reading in wanted.values() for topic in reading.topics})
        await self._taking.take_all(wanted)
        if stays is not None:
            raise stays

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

    def _stop_run(self, reading: Reading, state: str, reason: str) -> None:
        self._stops.add(reading, state, reason)
        self._dirty.set()

    async def _let_go(self, group: str) -> None:
        keeper = self._keepers.get(group)
        if keeper is not None:
            await keeper.leave(self._settings.drain_s)

    def _failed(self, error: PipelineError) -> None:
        self._parts.hooks.on_consumer_error(error)
        self._dirty.set()

    def _publish_positions(self, keeper: RunKeeper) -> None:
        """Show the group how far a live run is, per partition; that commit is also the lease's proof."""
        if keeper.reading.run is not None and any(place in self.membership.positions for place in keeper.places):
            return
        for place, pointer in keeper.keeper.last.items():
            if place in self._owned:
                self.membership.positions[place] = pointer.offset
