"""Taking: the partitions a worker owns are begun, for every reading that should run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from pipeline.errors import BrokerUnavailable, LogError, PipelineError, PositionBeyondEnd
from pipeline.push.delivers import Delivers
from pipeline.push.dispatch import Dispatcher
from pipeline.push.owner import Owner
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Place, Reading
from pipeline.push.run import Run
from pipeline.push.runkeeper import RunKeeper
from pipeline.webhookid import id_prefix

MakesSender = Callable[[Reading, WorkerParts, Callable[[str], str]], Delivers]
# Runs begun at once: each waits for the broker a few times.
TAKE_AT_ONCE = 16


class Taking:
    """``keepers`` and ``owned`` are the worker's: what runs, by group, and its partitions. ``may_act`` is asked by
    every run. ``on_stop`` is told the reading that cannot go on, with state and reason; ``on_changed`` the group of one
    that may have something to commit; ``on_taken`` a keeper that began partitions, and those it found no pointer of.
    """

    def __init__(
        self,
        parts: WorkerParts,
        settings: BridgeSettings,
        sender_of: MakesSender,
        keepers: dict[str, RunKeeper],
        owned: set[Place],
        *,
        may_act: Callable[[float], bool],
        on_stop: Callable[[Reading, str, str], None],
        on_changed: Callable[[str], None],
        on_taken: Callable[[RunKeeper, list[Place]], None],
    ) -> None:
        self._parts, self._settings, self._sender_of = parts, settings, sender_of
        self._keepers, self._owned = keepers, owned
        self._may_act, self._on_stop, self._on_changed, self._on_taken = may_act, on_stop, on_changed, on_taken
        self._dispatcher = Dispatcher(
            parts.view,
            parts.defaults,
            records_max=settings.take_records_max,
            may_act=lambda: may_act(parts.clock.monotonic()),
        )
        self._id_prefixes: dict[str, str] = {}

    async def take_all(self, wanted: Mapping[str, Reading]) -> None:
        """Begin what is owned and not begun; those that begin together are dispatched together. Raises the LogError of
        one, after the others.
        """
        self._dispatcher.gather()
        try:
            await self._take_all(wanted)
        finally:
            self._dispatcher.settle()

    async def _take_all(self, wanted: Mapping[str, Reading]) -> None:
        owned, begun = sorted(self._owned), self._keepers
        lacking = [one for one in wanted.values() if one.group not in begun or begun[one.group].lacks(owned)]
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

    async def _take(self, reading: Reading, owned: list[Place]) -> None:
        """Raises LogError only."""
        try:
            keeper = self._keepers.get(reading.group)
            if keeper is None:
                keeper = self._keepers[reading.group] = await self._keeper_of(reading)
            missing = await keeper.take(owned)
        except PipelineError as error:
            if isinstance(error, LogError) and not isinstance(error, PositionBeyondEnd):
                raise
            # This one cannot run (a topic is gone, its log lost what was delivered, a secret does not open): an
            # operator decides; the others go on.
            self._on_stop(reading, "blocked", f"{error.code}: {error}")
            return
        self._on_taken(keeper, missing)

    async def _keeper_of(self, reading: Reading) -> RunKeeper:
        for topic in {*reading.topics, *reading.spec.topics}:
            await self._parts.catalog.get(topic)
        owner = Owner(
            may_act=self._may_act,
            id_prefix=self._id_prefix,
            on_stop=lambda state, reason: self._on_stop(reading, state, reason),
            on_changed=lambda: self._on_changed(reading.group),
            dispatcher=self._dispatcher,
        )
        sender = self._sender_of(reading, self._parts, self._id_prefix)
        run = Run(reading, sender, self._parts, self._settings, owner)
        still_owned = self._owned.__contains__
        return RunKeeper(reading, run, self._parts, self._settings, may_act=self._may_act, still_owned=still_owned)

    def _id_prefix(self, topic: str) -> str:
        """What the ids of the topic's events begin with; asked per attempt, so it is worked out once per topic id."""
        topic_id = self._parts.catalog.id_of(topic)
        assert topic_id is not None, f"{topic} was asked for before its run was made"
        prefix = self._id_prefixes.get(topic_id)
        if prefix is None:
            prefix = self._id_prefixes[topic_id] = id_prefix(topic_id)
        return prefix
