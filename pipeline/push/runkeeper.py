"""RunKeeper: one run and its pointers: takes partitions, lets them go, and keeps what is committed true."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.delivery.census import census_of
from pipeline.errors import BrokerUnavailable, PipelineError
from pipeline.hooks import RunState
from pipeline.names import state_topic_of
from pipeline.push import ackmaps
from pipeline.push.ackmaps import AckMaps
from pipeline.push.commits import Committer
from pipeline.push.identity import check_identity, check_reach
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.pointers import PointerKeeper
from pipeline.push.reading import Place, Reading
from pipeline.push.run import Run


class RunKeeper:
    """All its coroutines are called one at a time, by the worker. ``still_owned`` is asked again after every wait."""

    def __init__(
        self,
        reading: Reading,
        run: Run,
        parts: WorkerParts,
        settings: BridgeSettings,
        *,
        may_act: Callable[[float], bool],
        still_owned: Callable[[Place], bool],
    ) -> None:
        self.reading, self.run = reading, run
        self._parts, self._settings = parts, settings
        self._may_act, self._still_owned = may_act, still_owned
        self.topic_ids: dict[str, str] = {}
        # Not wanted any more: it begins nothing, and is kept until its pointers are committed.
        self.is_leaving = False
        # How many partitions the dead-letter topic still has to get; 0: it has them.
        self._narrow, self._widened_at = 0, 0.0
        self.keeper = PointerKeeper(
            parts.offsets,
            reading.group,
            settings.instance,
            grows=reading.run is None,
            spills=AckMaps(parts.producer, parts.view, state_topic_of(settings.namespace, ackmaps.TABLE)),
            now=parts.clock.monotonic,
            on_error=parts.hooks.on_consumer_error,
        )
        self._committer = Committer(run, self.keeper, parts, settings, may_act=may_act, topic_ids=self.topic_ids)

    @property
    def places(self) -> set[Place]:
        return set(self.run.places)

    async def take(self, places: Iterable[Place]) -> list[Place]:
        """Begin those of ``places`` that are not begun, from their pointers; returns those whose pointer is missing.
        Raises `TopicRecreated` where the topic is not the one this run has read before, `PositionBeyondEnd` where the
        log does not reach any more to what was delivered from it: other events will come to lie there.
        """
        wanted = [place for place in places if place not in self.places and self.reading.reads(place)]
        if not wanted or self.is_leaving:
            return []
        counts = {}
        for topic in {topic for topic, _ in wanted}:
            if topic in self.topic_ids:
                # Taken away or moved by a tool, and wanted again: maybe because it was made again just now.
                self._parts.catalog.forget(topic)
            state = await self._parts.catalog.get(topic)
            check_identity({topic: state}, self.topic_ids)
            counts[topic] = state.partitions
            self.topic_ids.setdefault(topic, state.topic_id)
        await self._widen_dead_letters(1 + max(number for _, number in wanted))
        loaded = await self.keeper.load(wanted, counts, int(self._parts.clock.wall() * 1000), may_claim=self._may_claim)
        delivered = {at: one.finished.ranges[-1][1] for at, one in loaded.pointers.items() if one.finished}
        check_reach(await self._parts.admin.offsets(sorted(delivered), "latest"), delivered)
        for place, pointer in loaded.pointers.items():
            if self._still_owned(place):
                self._committer.begun(place, self._parts.clock.monotonic())
                self.run.begin(place, pointer)
            else:
                self._committer.forget(place)
        if any(self._still_owned(place) and place not in {*self.places, *loaded.missing} for place in wanted):
            raise BrokerUnavailable(f"{self.reading.group}: the lease ran out while pointers were read")
        return loaded.missing

    def _may_claim(self, place: Place) -> bool:
        """A worker that was frozen while it read would write over its successor's pointers."""
        return self._still_owned(place) and self._may_act(self._parts.clock.monotonic())

    async def _widen_dead_letters(self, partitions: int) -> None:
        """A dead letter lies in the partition of its record, so partitions added later need one each. Where that may
        not be done, burying there stalls, loudly, and it is tried again now and then.
        """
        topic, self._narrow, self._widened_at = self.reading.dead_letter_topic, 0, self._parts.clock.monotonic()
        try:
            if (await self._parts.catalog.get(topic)).partitions < partitions:
                self._parts.catalog.forget(topic)
                await self._parts.admin.add_partitions(topic, partitions)
        except PipelineError as error:
            self._narrow = partitions
            self._parts.hooks.on_consumer_error(error)

    async def let_go(self, places: Iterable[Place], drain_s: float) -> None:
        """Drain ``places``, commit what is finished, forget them. What hangs past ``drain_s`` is broken off."""
        going = [place for place in places if place in self.places]
        if not going:
            return
        await self.run.drain(going, drain_s)
        self.keeper.spill_afresh()
        try:
            await self._settle(at_last=True)
        finally:
            self.lose(going)

    async def leave(self, drain_s: float = 0.0) -> None:
        """`let_go` of everything. Raises `BrokerUnavailable`, and then nothing is forgotten, since nobody waits for the
        partitions: call it again, until it commits or the partitions are lost with the lease.
        """
        self.is_leaving = True
        await self.run.drain(list(self.places), drain_s)
        self.keeper.spill_afresh()
        try:
            await self._settle(at_last=True)
        except BrokerUnavailable:
            raise
        except PipelineError:
            self.lose(self.places)
            raise
        self.lose(self.places)

    def lose(self, places: Iterable[Place]) -> None:
        """Forget ``places`` at once and commit nothing."""
        for place in places:
            self.run.forget(place)
            self._committer.forget(place)

    def fits(self, reading: Reading | None) -> bool:
        """Whether what runs is what should."""
        if reading is None or self.is_leaving:
            return False
        return reading is self.reading or reading.row == self.reading.row

    def lacks(self, owned: Iterable[Place]) -> bool:
        """Whether some of ``owned`` is to be begun."""
        if self.is_leaving:
            return False
        begun = self.places
        return any(place not in begun and self.reading.reads(place) for place in owned)

    def status(self) -> dict[str, object]:
        """How it stands, for people: partitions (and how many of them are read together with other runs), in flight,
        breaker.
        """
        core = self.run.core
        return {
            "group": self.reading.group,
            "partitions": sorted(f"{topic}/{number}" for topic, number in self.places),
            "shared": self.run.intake.shared,
            "in_flight": len(core.limiter.in_flight) + len(core.limiter.slow),
            "settled": core.settled,
            "breaker": core.breaker.state.value,
        }

    def state(self) -> RunState:
        """How the run stands now."""
        core = self.run.core
        counted = census_of(core)
        return RunState(
            self.reading.group,
            counted.in_flight,
            counted.waiting,
            counted.held,
            core.held_bytes,
            core.breaker.state.value,
        )

    def pointers(self) -> dict[Place, int]:
        """Committed offsets of a live run; a bounded one's group has no lag that would mean anything."""
        if self.reading.run is not None:
            return {}
        return {place: pointer.offset for place, pointer in self.keeper.last.items()}

    async def settle(self) -> list[Place]:
        """Commit; begin afresh where an operator moved the cursor; returns places whose pointer was missing then."""
        moved = await self._settle()
        if self._narrow and self._parts.clock.monotonic() - self._widened_at >= self._settings.check_s:
            await self._widen_dead_letters(self._narrow)
        return await self.take([place for place in moved if self._still_owned(place)])

    async def _settle(self, *, at_last: bool = False) -> list[Place]:
        settled = await self._committer.settle(at_last=at_last)
        reports = self.run.reports
        for place in settled.newer:
            reports.fenced(place)
        for place, offset in settled.moved.items():
            reports.moved(place, offset)
        for place in settled.rewritten:
            reports.rewritten(place)
        self.lose([*settled.newer, *settled.moved])
        return list(settled.moved)

    async def is_through(self) -> bool:
        """Whether a bounded reading is done on all its partitions, whoever owned them."""
        stored = self.reading.run
        if stored is None or not all(self._reached(place) for place in self.places):
            return False
        window = {(t, p): until for t, parts in stored.window.items() for p, (_, until) in parts.items()}
        found = await self._parts.offsets.read(self.reading.group, list(window))
        return all(place in found and found[place].offset >= until for place, until in window.items())

    async def check_window(self) -> None:
        """Raises `PositionBeyondEnd` where a log does not reach to the end of the window any more."""
        bounds = {place: self.reading.until(place) for place in self.places if not self._reached(place)}
        untils = {place: until for place, until in bounds.items() if until is not None}
        if untils:
            check_reach(await self._parts.admin.offsets(sorted(untils), "latest"), untils)

    def _reached(self, place: Place) -> bool:
        until = self.reading.until(place)
        last = self.keeper.last.get(place)
        return until is not None and last is not None and last.offset >= until
