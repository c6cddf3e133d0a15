"""Settling: the walk over a worker's runs that commits their pointers, and looks whether their topics are the same.

Often, since what is not committed is delivered twice after a crash, but never for more than `COMMIT_SHARE` of a core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pipeline.errors import PipelineError, PositionBeyondEnd
from pipeline.push.identity import TopicRecreated, check_identity
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.push.rounds import Rounds
from pipeline.push.runkeeper import RunKeeper

# Runs settled at once: each waits for the broker a few times.
SETTLE_AT_ONCE = 8
# CPU of reading back and committing one group of 12 partitions, measured, and how much of a core may go there.
COMMIT_COST_S = 0.0005
COMMIT_SHARE = 0.05
# What moved is looked after again so soon: a transaction marker may have ended behind the last record.
FOLLOW_UP_S = 1.0


class Settling:
    """``keepers``: the worker's, by group. ``turn`` is held while runs are settled: nobody else takes partitions or
    lets them go meanwhile. ``settled`` is told of each that was; ``stop`` of a reading that cannot go on, with state
    and reason; ``failed`` of an error, after which what should run is to be looked at again.
    """

    def __init__(
        self,
        parts: WorkerParts,
        settings: BridgeSettings,
        keepers: Mapping[str, RunKeeper],
        turn: asyncio.Lock,
        *,
        settled: Callable[[RunKeeper], None],
        stop: Callable[[Reading, str, str], None],
        failed: Callable[[PipelineError], None],
    ) -> None:
        self._settings, self._clock, self._admin, self._hooks = settings, parts.clock, parts.admin, parts.hooks
        self._keepers, self._turn = keepers, turn
        self._settled, self._stop, self._failed = settled, stop, failed
        self.rounds = Rounds(settings.commit_interval_s)
        self._topics_checked_at = self._clock.monotonic()

    async def walk(self) -> None:
        """Without end: what changed, some runs at a time and the longest due first, then rest."""
        clock, interval_s = self._clock, self._settings.commit_interval_s
        while True:
            groups = self.rounds.take(clock.monotonic(), SETTLE_AT_ONCE)
            if groups:
                async with self._turn:
                    await asyncio.gather(*map(self._settle_safely, groups))
            rest_s = len(groups) * COMMIT_COST_S / COMMIT_SHARE
            if self.rounds.next_due > clock.monotonic():
                rest_s = max(rest_s, interval_s)
            await asyncio.sleep(rest_s)
            if clock.monotonic() - self._topics_checked_at >= self._settings.topic_check_s:
                await self._check_topics()

    def taken(self, keeper: RunKeeper, missing: list[Place]) -> None:
        """``keeper`` has just begun partitions; ``missing``: those that it found no pointer of."""
        self._look_again(keeper, self._settings.check_s)
        self._settled(keeper)
        self._miss(keeper.reading, missing)

    async def _settle_safely(self, group: str) -> None:
        """An error leaves the pointers as they were: what is finished is still known, and the next walk tries again."""
        keeper = self._keepers.get(group)
        if keeper is None:
            self.rounds.forget(group)
            return
        moved = keeper.run.pump.changed
        try:
            await self._settle(keeper)
        except TopicRecreated as error:
            self._stop(keeper.reading, "blocked", f"{error.code}: {error}")
        except PipelineError as error:
            # What it was to begin afresh with, and could not, is taken up by the next look at what should run.
            self._failed(error)
        again_s = min(self._settings.check_s, FOLLOW_UP_S) if moved else self._settings.check_s
        self._look_again(keeper, again_s)

    async def _settle(self, keeper: RunKeeper) -> None:
        missing = await keeper.settle()
        self._settled(keeper)
        self._miss(keeper.reading, missing)
        if await keeper.is_through():
            self._stop(keeper.reading, "done", "the window is delivered")

    def _look_again(self, keeper: RunKeeper, again_s: float) -> None:
        self.rounds.settled(keeper.reading.group, self._clock.monotonic(), again_s)
        if keeper.run.pump.changed:
            self.rounds.changed(keeper.reading.group)

    def _miss(self, reading: Reading, missing: list[Place]) -> None:
        if missing:
            places = ", ".join(f"{topic}/{number}" for topic, number in missing[:5])
            self._stop(reading, "blocked", f"pointer-missing: {places}")

    async def _check_topics(self) -> None:
        """A topic deleted and made again has another id: offsets of the old one mean nothing there. And the end of a
        window that its log does not reach any more would be waited for for ever.
        """
        self._topics_checked_at = self._clock.monotonic()
        keepers = list(self._keepers.values())
        try:
            found = await self._admin.describe({topic for keeper in keepers for topic in keeper.topic_ids})
        except PipelineError as error:
            self._hooks.on_consumer_error(error)
            return
        for keeper in keepers:
            try:
                check_identity(found, keeper.topic_ids)
                if keeper.reading.run is not None:
                    await keeper.check_window()
            except (TopicRecreated, PositionBeyondEnd) as error:
                self._stop(keeper.reading, "blocked", f"{error.code}: {error}")
            except PipelineError as error:
                self._hooks.on_consumer_error(error)
