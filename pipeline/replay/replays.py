"""Planning and beginning replays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.errors import Conflict, CursorExpired
from pipeline.faces import At, Partition, Pointers, TopicAdmin, TopicFacts
from pipeline.filters import check_no_avro, compile_filters
from pipeline.guard import Guard
from pipeline.moment import rfc3339_from_ms
from pipeline.names import group_of
from pipeline.record import Record
from pipeline.replay.asked import Bound, ReplayAsked
from pipeline.replay.command import reset_command
from pipeline.replay.window import (
    Clamp,
    Held,
    WindowPart,
    bounded,
    named_offsets,
    picked_by_ids,
    taken_by_retention,
    token_offsets,
    told,
)
from pipeline.runs import Runs, StampedRun, eta_s_of, in_rows, total_of
from pipeline.subscription import StoredRun, StoredSubscription
from pipeline.subscription.spans import Spans, count

# The offset at either end of a window may be a transaction's marker: looked at so many times before giving up.
LOOKS_MAX = 3


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do, its window frozen: what is published later is no part of it.

    ``eta_s``: how long it takes at the rate cap (None: there is none). ``command``: what moves the live cursor there
    with Kafka's own tool.
    """

    draft: StoredRun
    parts: list[WindowPart]
    eta_s: float | None
    command: str

    @property
    def count(self) -> int:
        return total_of(self.draft)


class RereadsLog(Protocol):
    async def fetch(self, topic: str, partition: int, offset: int, /) -> Record | None: ...


class Replays:
    """``subscription_of`` gives a subscription's row or raises `SubscriptionNotFound`. ``is_avro``: whether the data of
    a topic lies there in Avro.
    """

    def __init__(
        self,
        runs: Runs,
        admin: TopicAdmin,
        subscription_of: Callable[[str], StoredSubscription],
        *,
        log: RereadsLog,
        offsets: Pointers,
        guard: Guard,
        now_ms: Callable[[], int],
        is_avro: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.runs, self._admin, self._subscription_of = runs, admin, subscription_of
        self._log, self._offsets, self._guard, self._now_ms = log, offsets, guard, now_ms
        self._is_avro = is_avro

    async def plan(self, subscription: str, asked: ReplayAsked) -> ReplayPlan:
        """The window, resolved now.

        Raises `CursorExpired` when part of it is gone or not there yet and that is not allowed, `DeclarationInvalid`,
        `FilterInvalid` for filters on data that lies in Avro, `AddressBlocked` for a shadow that may not be called.
        """
        row = self._subscription_of(subscription)
        if asked.endpoint is not None:
            self._guard.check_url(asked.endpoint.url)
        check_no_avro(compile_filters(asked.filters), row.spec.topics, self._is_avro)
        topics = await self._topics(row)
        held = await self._held(topics)
        picked = picked_by_ids(asked.ids, topics, held) if asked.ids else None
        if picked is not None:
            spans, clamps = picked
            window = {place: (found[0][0], found[-1][1]) for place, found in spans.items()}
        else:
            spans = {}
            window, clamps = await self._window(subscription, asked, topics, held)
        if clamps and not asked.allow_clamp:
            raise CursorExpired(f"{told(clamps)} (allow_clamp takes what there is)")
        draft = StoredRun(
            id="",
            subscription=subscription,
            kind="replay",
            window=in_rows(window),
            picked=_rows_of(spans),
            filters=asked.filters,
            ids=() if picked is not None else asked.ids,
            endpoint=asked.endpoint,
            rate_per_s=asked.rate_per_s,
        )
        return await self._planned(row, draft, asked.begin(), clamps)

    async def create(self, plan: ReplayPlan, *, who: str | None = None) -> StampedRun:
        """Begin it. Raises `Conflict` when the window is empty."""
        return await self.runs.add(self.runs.named(plan.draft), who=who)

    async def _planned(
        self, row: StoredSubscription, draft: StoredRun, begin: Bound, clamps: Sequence[Clamp]
    ) -> ReplayPlan:
        clamped = {clamp.place: str(clamp) for clamp in clamps}
        looks = [
            self._part(topic, partition, bounds, draft.picked.get(topic, {}).get(partition), clamped)
            for topic, parts in draft.window.items()
            for partition, bounds in parts.items()
        ]
        parts = list(await asyncio.gather(*looks))
        rate = draft.rate_per_s if draft.rate_per_s is not None else row.spec.rate_per_s
        return ReplayPlan(
            draft=draft,
            parts=parts,
            eta_s=eta_s_of(total_of(draft), 0, 0.0, rate),
            command=reset_command(group_of(self.runs.namespace, draft.subscription), begin, parts),
        )

    async def _part(
        self,
        topic: str,
        partition: int,
        bounds: tuple[int, int],
        spans: Spans | None,
        clamped: Mapping[Partition, str],
    ) -> WindowPart:
        first, until = bounds
        begin, end = await asyncio.gather(
            self._made_at(topic, partition, range(first, min(first + LOOKS_MAX, until))),
            self._made_at(topic, partition, range(until - 1, max(until - 1 - LOOKS_MAX, first - 1), -1)),
        )
        return WindowPart(
            topic=topic,
            partition=partition,
            first=first,
            until=until,
            count=until - first if spans is None else count(spans),
            first_at=begin,
            last_at=end,
            clamped=clamped.get((topic, partition)),
        )

    async def _made_at(self, topic: str, partition: int, offsets: range) -> str | None:
        for offset in offsets:
            record = await self._log.fetch(topic, partition, offset)
            if record is not None:
                return rfc3339_from_ms(record.timestamp_ms) if record.timestamp_ms >= 0 else None
        return None

    async def _topics(self, row: StoredSubscription) -> Mapping[str, TopicFacts]:
        names = list(row.spec.topics)
        topics = await self._admin.describe(names)
        if absent := [name for name in names if name not in topics]:
            raise Conflict(f"topics {absent} do not exist any more")
        return topics

    async def _held(self, topics: Mapping[str, TopicFacts]) -> dict[Partition, Held]:
        places = [(name, number) for name, facts in topics.items() for number in range(facts.partitions)]
        starts, ends = await self._admin.offsets(places, "earliest"), await self._admin.offsets(places, "latest")
        return {place: Held(starts[place], ends[place]) for place in places}

    async def _window(
        self, subscription: str, asked: ReplayAsked, topics: Mapping[str, TopicFacts], held: Mapping[Partition, Held]
    ) -> tuple[dict[Partition, tuple[int, int]], list[Clamp]]:
        starts, before = await self._resolved(subscription, asked.begin(), "/from", topics, held)
        untils, behind = await self._resolved(subscription, asked.end(), "/until", topics, held)
        if asked.begin().kind in ("time", "ago"):
            before = taken_by_retention(starts, held)
        window = {place: (starts[place], untils[place]) for place in starts if place in untils}
        return window, [clamp for clamp in (*before, *behind) if clamp.place in window]

    async def _resolved(
        self,
        subscription: str,
        bound: Bound,
        field: str,
        topics: Mapping[str, TopicFacts],
        held: Mapping[Partition, Held],
    ) -> tuple[dict[Partition, int], list[Clamp]]:
        """The offset of each partition that ``bound`` stands for, within the log, and where it was not."""
        match bound.kind:
            case "earliest":
                return {place: start for place, (start, _) in held.items()}, []
            case "latest":
                return {place: end for place, (_, end) in held.items()}, []
            case "time" | "ago":
                at: At = bound.number if bound.kind == "time" else max(0, self._now_ms() - bound.number)
                found = await self._admin.offsets(list(held), at)
                return {place: min(max(found[place], start), end) for place, (start, end) in held.items()}, []
            case "offset":
                return bounded(dict.fromkeys(held, bound.number), held)
            case "offsets":
                return bounded(named_offsets(bound, topics, f"{field}_offset"), held)
            case "token":
                return bounded(token_offsets(bound, topics, field), held)
            case _:
                return bounded(await self._shifted(subscription, bound.number, held), held)

    async def _shifted(self, subscription: str, by: int, held: Mapping[Partition, Held]) -> dict[Partition, int]:
        group = group_of(self.runs.namespace, subscription)
        committed = await self._offsets.read(group, list(held))
        if missing := [f"{topic}/{number}" for topic, number in held if (topic, number) not in committed]:
            raise Conflict(f"group {group} has no committed offset for {', '.join(missing[:5])} to shift from")
        return {place: committed[place].offset + by for place in held}


def _rows_of(spans: Mapping[Partition, Spans]) -> dict[str, dict[int, Spans]]:
    rows: dict[str, dict[int, Spans]] = {}
    for (topic, partition), found in sorted(spans.items()):
        rows.setdefault(topic, {})[partition] = found
    return rows
