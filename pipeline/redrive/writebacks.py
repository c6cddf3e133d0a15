"""Write-backs: dead letters' events appended to a topic again, for everybody who reads it. An operator's own act.

A redrive writes to no topic; this does, so it is guarded (threat S31): the target is what the operator names, never
what a letter claims; internal and dead-letter topics are refused; whoever runs it needs the right to write there
himself; and the plan says who else will get the events. They get new places and so new webhook ids.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.faces import Partition, Pointers, TopicFacts
from pipeline.names import check_topic_name, events_topic_of
from pipeline.redrive.drafts import check_untaken, draft_of
from pipeline.redrive.edits import Appends
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.letters import DeadLetters
from pipeline.redrive.redrives import reasons_of
from pipeline.redrive.selection import Selection
from pipeline.runs import Runs
from pipeline.subscription import StoredRun, StoredSubscription

CHUNK = 100
"""Events appended before that is written down: as many come twice when it is killed in between."""
GROUPS_MAX = 500
"""Consumer groups looked at for who reads the topic."""


class WriteBackPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` events for ``topic``. ``readers``: the groups with a position there, which will receive them;
    ``groups_unseen``: how many groups were not looked at. Members without a committed position are not known.
    """

    topic: str
    count: int
    reasons: dict[str, int]
    readers: tuple[str, ...]
    groups_unseen: int
    letters: tuple[FiledLetter, ...]
    draft: StoredRun


class WriteBackAdmin(Protocol):
    async def describe(self, names: list[str], /) -> Mapping[str, TopicFacts]: ...
    async def groups(self) -> list[str]: ...


class WriteBacks:
    """``subscription_of`` gives a subscription's row or raises `SubscriptionNotFound`."""

    def __init__(
        self,
        runs: Runs,
        letters: DeadLetters,
        subscription_of: Callable[[str], StoredSubscription],
        *,
        admin: WriteBackAdmin,
        offsets: Pointers,
        producer: Appends,
        scanned_max: int = 1_000_000,
    ) -> None:
        self._runs, self._letters, self._subscription_of = runs, letters, subscription_of
        self._admin, self._offsets, self._producer = admin, offsets, producer
        self._scanned_max = scanned_max

    async def plan(self, subscription: str, select: Selection, topic: str) -> WriteBackPlan:
        """What would be written where, and who reads there. Raises `DeclarationInvalid` for a topic that may not be
        written to, `Conflict` for one that has too few partitions.
        """
        self._subscription_of(subscription)
        self._check_target(topic)
        facts = (await self._admin.describe([topic])).get(topic)
        if facts is None:
            raise DeclarationInvalid("/to_topic", topic, "a topic that exists")
        found = [filed async for filed in self._letters.all(subscription, self._scanned_max, select) if filed.is_open]
        needed = 1 + max((filed.letter.origin.partition for filed in found), default=0)
        if facts.partitions < needed:
            raise Conflict(f"{topic} has {facts.partitions} partitions; keeping each event's takes {needed}")
        readers, unseen = await self._readers(facts)
        return WriteBackPlan(
            topic=topic,
            count=len(found),
            reasons=reasons_of(found),
            readers=readers,
            groups_unseen=unseen,
            letters=tuple(found),
            draft=draft_of(subscription, "writeback", found, f"written to {topic}"),
        )

    async def write(self, plan: WriteBackPlan, *, who: str | None = None) -> int:
        """Append them, in their order; how many. Killed midway, the next plan has the rest (see `CHUNK`).

        Raises `Conflict` when somebody took one since the plan.
        """
        draft = plan.draft
        check_untaken(draft, self._runs.takers(draft.subscription))
        row = None
        for begun in range(0, plan.count, CHUNK):
            chunk = plan.letters[begun : begun + CHUNK]
            await asyncio.gather(*(self._append(plan.topic, filed) for filed in chunk))
            done = draft_of(draft.subscription, "writeback", plan.letters[: begun + len(chunk)], draft.note)
            if row is None:
                row = await self._runs.record(self._runs.named(done), who=who)
            else:
                named = msgspec.structs.replace(done, id=row.run.id, created_at=row.run.created_at)
                row = await self._runs.record(named, row.version, who=who)
        return plan.count

    async def _append(self, topic: str, filed: FiledLetter) -> None:
        record = filed.letter.record
        await self._producer.append(
            topic, key=record.key, value=record.value, headers=record.headers, partition=record.partition
        )

    def _check_target(self, topic: str) -> None:
        check_topic_name(topic, field="/to_topic")
        namespace = self._runs.namespace
        if topic.startswith("_") or topic.endswith(".dlq") or topic == events_topic_of(namespace):
            raise DeclarationInvalid("/to_topic", topic, "a topic that is neither internal nor one of dead letters")

    async def _readers(self, facts: TopicFacts) -> tuple[tuple[str, ...], int]:
        groups = await self._admin.groups()
        places: list[Partition] = [(facts.name, number) for number in range(facts.partitions)]
        seen: Sequence[str] = groups[:GROUPS_MAX]
        found = [group for group in seen if await self._offsets.read(group, places)]
        return tuple(found), len(groups) - len(seen)
