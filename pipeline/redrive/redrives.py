"""Redrives: dead letters delivered once more to the subscription that gave them up, under the same event ids.

It writes to no topic: the run feeds the endpoint, and what fails again becomes a new dead letter.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.redrive.letters import DeadLetters, FiledLetter
from pipeline.redrive.selection import IDS_MAX, Selection
from pipeline.runs import Runs, StampedRun, in_rows
from pipeline.subscription import StoredRun, StoredSubscription


class RedrivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive would take: ``count`` dead letters, by reason; those redriven before are never taken again."""

    draft: StoredRun
    count: int
    reasons: dict[str, int]


class Redrives:
    """``subscription_of`` gives a subscription's row or raises `SubscriptionNotFound`.

    ``scanned_max`` bounds one plan: a dead-letter topic with more than that must be redriven in several steps.
    """

    def __init__(
        self,
        runs: Runs,
        letters: DeadLetters,
        subscription_of: Callable[[str], StoredSubscription],
        *,
        scanned_max: int = 100_000,
    ) -> None:
        self.runs, self._letters, self._subscription_of = runs, letters, subscription_of
        self._scanned_max = scanned_max
        self._locks: dict[str, asyncio.Lock] = {}

    async def plan(self, subscription: str, selection: Selection, rate_per_s: float | None = None) -> RedrivePlan:
        """Look through the dead letters that lie there now; later ones are no part of the plan."""
        if rate_per_s is not None and not 0 < rate_per_s <= 1_000_000:
            raise DeclarationInvalid("/rate_per_s", rate_per_s, "more than 0 and at most 1000000, or absent")
        self._subscription_of(subscription)
        chosen: list[FiledLetter] = []
        passed: list[FiledLetter] = []
        async for filed in self._letters.all(subscription, self._scanned_max):
            if selection.takes(filed.letter):
                (passed if filed.redriven_by else chosen).append(filed)
        window = _window(chosen)
        ids = selection.ids
        if any(_lies_in(filed, window) for filed in passed):
            # Between them lie some that were redriven before: name those that were not.
            ids = tuple(sorted({filed.letter.id for filed in chosen}))
            if len(ids) > IDS_MAX:
                raise Conflict(
                    f"{len(ids)} dead letters between others already redriven; select by reason to take fewer"
                )
        draft = StoredRun(
            id="",
            subscription=subscription,
            kind="redrive",
            window=in_rows(window),
            reasons=selection.reasons,
            ids=ids,
            rate_per_s=rate_per_s,
        )
        reasons = Counter(filed.letter.reason for filed in chosen)
        return RedrivePlan(draft=draft, count=len(chosen), reasons=dict(sorted(reasons.items())))

    async def create(self, plan: RedrivePlan) -> StampedRun:
        """Begin it.

        Raises `Conflict` while another redrive of the subscription is active, or when there is nothing to do.
        """
        name = plan.draft.subscription
        async with self._locks.setdefault(name, asyncio.Lock()):
            self._check_alone(name, "")
            begun = await self.runs.add(self.runs.named(plan.draft))
            try:
                # Another process may have begun one at the same moment: both see it now, and neither goes on.
                self._check_alone(name, begun.run.id)
            except Conflict:
                await self.runs.cancel(name, "redrive", begun.run.id)
                raise
            return begun

    def _check_alone(self, subscription: str, own_id: str) -> None:
        for other in self.runs.of(subscription, "redrive"):
            if other.run.state == "active" and other.run.id != own_id:
                raise Conflict(f"redrive {other.run.id} of {subscription} is active; wait for it or cancel it")


def _window(chosen: list[FiledLetter]) -> dict[tuple[str, int], tuple[int, int]]:
    """Per partition from the first chosen dead letter to behind the last."""
    window: dict[tuple[str, int], tuple[int, int]] = {}
    for filed in chosen:
        topic, partition, offset = filed.place
        first, until = window.get((topic, partition), (offset, offset + 1))
        window[topic, partition] = (min(first, offset), max(until, offset + 1))
    return window


def _lies_in(filed: FiledLetter, window: dict[tuple[str, int], tuple[int, int]]) -> bool:
    first, until = window.get((filed.place.topic, filed.place.partition), (0, 0))
    return first <= filed.place.offset < until
