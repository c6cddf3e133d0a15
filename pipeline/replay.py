"""Replays: a window of a subscription's topics sent to its endpoint once more, beside live delivery."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from pipeline.cursor import Cursor, CursorToken
from pipeline.errors import Conflict, CursorEpochChanged, CursorExpired, DeclarationInvalid, InputError
from pipeline.faces import At, Partition, TopicAdmin, TopicFacts
from pipeline.moment import ms_from_rfc3339
from pipeline.runs import Runs, StampedRun, in_rows
from pipeline.subscription import StoredRun, StoredSubscription


class ReplayAsked(msgspec.Struct, frozen=True, kw_only=True):
    """``start``: earliest, an RFC 3339 time or a token. ``until`` (exclusive): latest, a time or a token."""

    start: str
    until: str = "latest"
    rate_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.rate_per_s is not None and not 0 < self.rate_per_s <= 1_000_000:
            raise DeclarationInvalid("/rate_per_s", self.rate_per_s, "more than 0 and at most 1000000, or absent")


class WindowPart(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a plan: ``count`` offsets from ``first`` to ``until`` (exclusive), at most so many events."""

    topic: str
    partition: int
    first: int
    until: int
    count: int


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do, its window frozen: what is published later is no part of it."""

    draft: StoredRun
    parts: list[WindowPart]

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)


class Replays:
    """``subscription_of`` gives a subscription's row or raises `SubscriptionNotFound`."""

    def __init__(self, runs: Runs, admin: TopicAdmin, subscription_of: Callable[[str], StoredSubscription]) -> None:
        self.runs, self._admin, self._subscription_of = runs, admin, subscription_of

    async def plan(self, subscription: str, asked: ReplayAsked) -> ReplayPlan:
        """The window, resolved now. Raises `CursorExpired` when part of it is gone: nothing is clamped silently."""
        spec = self._subscription_of(subscription).spec
        topics = await self._admin.describe(list(spec.topics))
        if absent := [name for name in spec.topics if name not in topics]:
            raise Conflict(f"topics {absent} do not exist any more")
        starts = await self._resolved(topics, asked.start, "/from")
        untils = await self._resolved(topics, asked.until, "/until")
        rows = in_rows({place: (starts[place], untils[place]) for place in starts if place in untils})
        draft = StoredRun(id="", subscription=subscription, kind="replay", window=rows, rate_per_s=asked.rate_per_s)
        parts = [
            WindowPart(topic=topic, partition=partition, first=first, until=until, count=until - first)
            for topic, ends in rows.items()
            for partition, (first, until) in ends.items()
        ]
        return ReplayPlan(draft=draft, parts=parts)

    async def create(self, plan: ReplayPlan) -> StampedRun:
        """Begin it. Raises `Conflict` when the window is empty."""
        return await self.runs.add(self.runs.named(plan.draft))

    async def _resolved(self, topics: Mapping[str, TopicFacts], text: str, field: str) -> dict[Partition, int]:
        places = [(name, number) for name, facts in topics.items() for number in range(facts.partitions)]
        if text.startswith("v1."):
            return await self._from_token(topics, Cursor.parse(text), field)
        found: dict[Partition, int] = dict(await self._admin.offsets(places, _at(text, field)))
        return found

    async def _from_token(
        self, topics: Mapping[str, TopicFacts], token: CursorToken, field: str
    ) -> dict[Partition, int]:
        """A token names the partitions of one topic; those it does not name are no part of the window."""
        own = [facts for facts in topics.values() if token.fits(facts.topic_id)]
        if not own:
            raise CursorEpochChanged(f"{field}: a cursor of none of the topics {sorted(topics)} as they are now")
        (facts, *_) = own
        places = [(facts.name, number) for number in token.next_offsets if number < facts.partitions]
        starts, ends = await self._admin.offsets(places, "earliest"), await self._admin.offsets(places, "latest")
        for place in places:
            if not starts[place] <= (offset := token.next_offsets[place[1]]) <= ends[place]:
                raise CursorExpired(
                    f"{field}: {place[0]}/{place[1]} holds {starts[place]} to {ends[place]}, not {offset}"
                )
        return {place: token.next_offsets[place[1]] for place in places}


def _at(text: str, field: str) -> At:
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    try:
        return max(0, ms_from_rfc3339(text, field=field))
    except InputError as error:
        raise DeclarationInvalid(field, text, f"earliest, latest, a token, or {error.expected}") from None
