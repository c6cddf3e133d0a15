"""Resets: a subscription's pointer moved by an operator, planned partition by partition before it is done.

A reset is a commit into the group, as the stock tool's is, and a running worker honours it within seconds: its next
walk reads back what it did not write, drops its state and goes on from there, under a new epoch. A walk that was
between reading and committing may write over it once; so it is watched until the worker has taken it up, and written
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from pipeline.delivery.pointer import read_pointer
from pipeline.errors import DeclarationInvalid
from pipeline.faces import CommittedOffset, Partition, Pointers
from pipeline.moment import ms_from_rfc3339
from pipeline.subscriptions.means import GroupAdmin
from pipeline.subscriptions.reset_plan import (
    Bounds,
    ResetAsked,
    ResetDone,
    ResetPart,
    ResetPlan,
    WouldClamp,
    between,
    fault_of,
    named,
    part_of,
)
from pipeline.subscriptions.standing import found_topics, places_of
from pipeline.subscriptions.stock_tool import stock_commands
from pipeline.subscriptions.subscriptions import Subscriptions

# A worker looks after others' doings every few seconds (`bridge.check_s`); this covers it twice.
TAKEN_UP_S_MAX = 12.0
LOOK_EVERY_S = 0.25
WRITTEN_TIMES_MAX = 5


class Resets:
    """Resets of the subscriptions of one namespace. ``bridge_group`` is that of the workers."""

    def __init__(
        self,
        subscriptions: Subscriptions,
        admin: GroupAdmin,
        offsets: Pointers,
        *,
        bridge_group: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._subscriptions, self._admin, self._offsets = subscriptions, admin, offsets
        self._bridge_group, self._sleep = bridge_group, sleep

    async def plan(self, name: str, asked: ResetAsked) -> ResetPlan:
        """What it would do. Raises `SubscriptionNotFound`, `DeclarationInvalid` for topics and partitions that are not
        its own.
        """
        row, _ = self._subscriptions.get(name)
        group = self._subscriptions.group(name)
        places = places_of(await found_topics(self._admin, row.spec.topics))
        bounds = Bounds(
            await self._offsets.read(group, places),
            await self._admin.offsets(places, "earliest"),
            await self._admin.offsets(places, "latest"),
        )
        wanted = await self._wanted(asked, places, bounds)
        parts = [part_of(place, offset, bounds) for place, offset in sorted(wanted.items())]
        commands = stock_commands(group, wanted, to=asked.to, shift=asked.shift)
        return ResetPlan(subscription=name, group=group, parts=await self._timed(parts), commands=commands)

    async def reset(self, name: str, asked: ResetAsked, *, who: str | None = None) -> ResetDone:
        """Do it, and wait until it has been taken up, at most `TAKEN_UP_S_MAX`.

        Raises as `plan` does, and `WouldClamp` unless clamps are allowed.
        """
        async with self._subscriptions.rows.lock(name):
            plan = await self.plan(name, asked)
            clamps = [fault_of(part) for part in plan.parts if part.clamped]
            if clamps and not asked.allow_clamp:
                raise WouldClamp(clamps)
            target = {(part.topic, part.partition): part.to for part in plan.parts}
            taken_up = await self._move(name, plan.group, target)
            self._tell(plan, who)
        return ResetDone(plan=plan, taken_up=taken_up)

    async def _move(self, name: str, group: str, target: Mapping[Partition, int]) -> bool:
        """Commit, and again where a worker wrote over it; whether it has been taken up."""
        before = _epochs(await self._offsets.read(group, list(target)))
        left, over = dict(target), dict(target)
        for _ in range(WRITTEN_TIMES_MAX):
            await self._write(group, over)
            if not await self._is_delivered(name):
                return True
            left, over = await self._watched(group, left, before)
            if not left or not over:
                return not left
        return False

    async def _watched(
        self, group: str, left: dict[Partition, int], before: Mapping[Partition, int]
    ) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Those of ``left`` that are not taken up when all are, some were written over, or the time is over; and those
        that were written over: they stand under the epoch they had ``before``.
        """
        for _ in range(int(TAKEN_UP_S_MAX / LOOK_EVERY_S)):
            await self._sleep(LOOK_EVERY_S)
            now = _epochs(await self._offsets.read(group, list(left)))
            left = {place: offset for place, offset in left.items() if now.get(place, 0) <= before.get(place, 0)}
            over = {place: offset for place, offset in left.items() if now.get(place, 0)}
            if over or not left:
                return left, over
        return left, {}

    async def _write(self, group: str, target: Mapping[Partition, int]) -> None:
        await self._offsets.commit(group, {place: (offset, None) for place, offset in target.items()})

    async def _is_delivered(self, name: str) -> bool:
        """Whether a worker may be at it: its state says so, and there is one."""
        row, _ = self._subscriptions.get(name)
        return row.state == "active" and await self._admin.group_state(self._bridge_group) not in ("Empty", "Dead")

    async def _wanted(self, asked: ResetAsked, places: list[Partition], bounds: Bounds) -> dict[Partition, int]:
        if asked.offsets is not None:
            return named(asked.offsets, places)
        if asked.shift is not None:
            missing = [f"{topic}/{number}" for topic, number in places if (topic, number) not in bounds.committed]
            if missing:
                raise DeclarationInvalid("/shift", asked.shift, f"to or offsets: {', '.join(missing)} has no pointer")
            return {place: bounds.committed[place].offset + asked.shift for place in places}
        if asked.to == "earliest":
            return dict(bounds.starts)
        if asked.to == "latest":
            return dict(bounds.ends)
        at_ms = max(0, ms_from_rfc3339(asked.to or "", field="/to"))
        return dict(await self._admin.offsets(places, at_ms))

    async def _timed(self, parts: list[ResetPart]) -> list[ResetPart]:
        ends = {id(part): between(part) for part in parts}
        asked = [(part.topic, part.partition, at) for part in parts for at in ends[id(part)] or ()]
        times = await self._subscriptions.standing.times(asked)

        def timed(part: ResetPart) -> ResetPart:
            if (between := ends[id(part)]) is None:
                return part
            first, last = (times.get((part.topic, part.partition, at)) for at in between)
            return msgspec.structs.replace(part, first_time_ms=first, last_time_ms=last)

        return [timed(part) for part in parts]

    def _tell(self, plan: ResetPlan, who: str | None) -> None:
        moved = [part for part in plan.parts if part.before != part.to]
        ledgers = self._subscriptions.rows.ledgers
        before = {f"{part.topic}/{part.partition}": part.before for part in moved}
        after = {f"{part.topic}/{part.partition}": part.to for part in moved}
        ledgers.audit.tell("pointer-reset", plan.subscription, who=who, before=before, after=after)
        ledgers.happenings.tell("pointer-moved", plan.subscription, offsets=after)


def _epochs(found: Mapping[Partition, CommittedOffset]) -> dict[Partition, int]:
    """Of each partition found the epoch its pointer was last written under, 0 where a tool wrote it."""
    pointers = {place: read_pointer(committed.offset, committed.metadata) for place, committed in found.items()}
    return {place: pointer.epoch if pointer else 0 for place, pointer in pointers.items()}
