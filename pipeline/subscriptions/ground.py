"""What lies under a subscription before its row does: a group of its own, a dead-letter topic, start positions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pipeline.errors import Conflict, DeclarationInvalid, GroupActive
from pipeline.faces import CommittedOffset, Partition, Pointers, Table, TopicFacts
from pipeline.names import check_topic_name, dead_letter_topic_of
from pipeline.runs import Kind, Runs
from pipeline.subscription import Subscription
from pipeline.subscriptions.means import GroupAdmin
from pipeline.subscriptions.standing import commit_start, places_of

# Longer than the sources by default: dead letters wait for an operator, not for a machine.
DEAD_LETTER_CONFIG = {"retention.ms": str(30 * 24 * 3600 * 1000), "cleanup.policy": "delete"}
_EMPTY = ("Empty", "Dead")
# A worker that lets go of a run drains it for at most `bridge.drain_s` (10 s), then commits.
LET_GO_S_MAX = 12.0
# One that has nothing under way lets go as soon as its table tells it to.
LET_GO_IDLE_S = 3.0
LOOK_EVERY_S = 0.25


class Ground:
    """Groups and topics of one cluster."""

    def __init__(
        self,
        admin: GroupAdmin,
        offsets: Pointers,
        cursors: Table,
        *,
        bridge_group: str,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._admin, self._offsets, self._cursors = admin, offsets, cursors
        self._bridge_group, self._sleep = bridge_group, sleep

    async def check_free(self, name: str, group: str) -> None:
        """Raises `Conflict` or `GroupActive` when somebody else has the group."""
        if self._cursors.get(name) is not None:
            raise Conflict(f"{name} is a named cursor, whose group a subscription of this name would share")
        if (state := await self._admin.group_state(group)) not in _EMPTY:
            raise GroupActive(f"group {group} has members ({state}): another consumer uses this name")

    async def forget(self, group: str, topics: Mapping[str, TopicFacts], *, while_worked_on: bool) -> None:
        """Delete the group with its offsets, and again when a worker that lets go commits once more.

        A worker drains first, so that may be `LET_GO_S_MAX` later, or `LET_GO_IDLE_S` where all was delivered and
        nothing was appended since; without one at work it is done at once.
        """
        places = places_of(topics)
        committed = await self._offsets.read(group, places)
        await self._admin.delete_group(group)
        if not while_worked_on or await self._admin.group_state(self._bridge_group) in _EMPTY:
            return
        for look in range(1, 1 + int(LET_GO_S_MAX / LOOK_EVERY_S)):
            await self._sleep(LOOK_EVERY_S)
            if await self._offsets.read(group, places):
                await self._admin.delete_group(group)
                return
            if look == int(LET_GO_IDLE_S / LOOK_EVERY_S) and await self._is_at_end(committed, places):
                return

    async def _is_at_end(self, committed: Mapping[Partition, CommittedOffset], places: list[Partition]) -> bool:
        ends = await self._admin.offsets(places, "latest")
        return all(place in committed and committed[place].offset >= end for place, end in ends.items())

    async def prepare(self, group: str, spec: Subscription, topics: Mapping[str, TopicFacts]) -> None:
        """Make the dead-letter topic, or widen it, and commit the start of every partition that has none."""
        dead_letters = check_topic_name(dead_letter_topic_of(group))
        if dead_letters in spec.topics:
            raise DeclarationInvalid("/topics", dead_letters, "topics other than its own dead letters; redrive those")
        partitions = max(facts.partitions for facts in topics.values())
        known = (await self._admin.describe([dead_letters])).get(dead_letters)
        if known is None:
            await self._admin.create(dead_letters, partitions, DEAD_LETTER_CONFIG)
        elif known.partitions < partitions:
            # A dead letter lies in the partition of its record: there must be as many.
            await self._admin.add_partitions(dead_letters, partitions)
        await commit_start(group, topics, spec.start, admin=self._admin, offsets=self._offsets)


async def end_runs(runs: Runs, name: str) -> None:
    """Cancel the runs of ``name`` that are not over."""
    kinds: tuple[Kind, ...] = ("replay", "redrive")
    for kind in kinds:
        for one in runs.of(name, kind):
            if one.run.state in ("active", "paused"):
                try:
                    await runs.cancel(name, kind, one.run.id)
                except Conflict:
                    continue  # it ended meanwhile
