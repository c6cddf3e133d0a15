"""Redrives: dead letters delivered once more to the subscription that gave them up, under the same event ids.

It writes to no topic: the run feeds the endpoint, and what fails again becomes a new dead letter.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.redrive.drafts import check_untaken, draft_of
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.latest import latest_for_key
from pipeline.redrive.letters import DeadLetters
from pipeline.redrive.selection import Selection
from pipeline.runs import Runs, StampedRun, eta_s_of
from pipeline.subscription import StoredRun, StoredSubscription

TRAILS = (
    "redriven events reach the endpoint after newer events of their keys; "
    "`only_if_latest_for_key` leaves out those that were overtaken"
)


class RedriveAsked(msgspec.Struct, frozen=True, kw_only=True):
    """``only_if_latest_for_key``: leave out letters whose key has a newer event on its topic."""

    select: Selection = Selection()
    rate_per_s: float | None = None
    only_if_latest_for_key: bool = False

    def __post_init__(self) -> None:
        if self.rate_per_s is not None and not 0 < self.rate_per_s <= 1_000_000:
            raise DeclarationInvalid("/rate_per_s", self.rate_per_s, "more than 0 and at most 1000000, or absent")


class RedrivePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a redrive would take: ``count`` dead letters, by reason; those taken before are never taken again.

    Left out are ``parking`` ones, which must be named by id, and ``overtaken`` ones where only the latest of a key are
    wanted. ``eta_s``: how long it takes at the rate cap (None: there is none).
    """

    draft: StoredRun
    count: int
    reasons: dict[str, int]
    parking: int
    overtaken: int
    eta_s: float | None
    warnings: tuple[str, ...]


class Redrives:
    """``subscription_of`` gives a subscription's row or raises `SubscriptionNotFound`.

    ``scanned_max`` bounds one plan: a dead-letter topic with more than that must be selected from by place.
    """

    def __init__(
        self,
        runs: Runs,
        letters: DeadLetters,
        subscription_of: Callable[[str], StoredSubscription],
        *,
        scanned_max: int = 1_000_000,
    ) -> None:
        self.runs, self._letters, self._subscription_of = runs, letters, subscription_of
        self._scanned_max = scanned_max
        self._locks: dict[str, asyncio.Lock] = {}

    async def plan(self, subscription: str, asked: RedriveAsked | None = None) -> RedrivePlan:
        """Look through the dead letters that lie there now; later ones are no part of the plan."""
        asked = asked or RedriveAsked()
        row = self._subscription_of(subscription)
        named = await self._letters.chooser(subscription, asked.select)
        found = [
            filed async for filed in self._letters.all(subscription, self._scanned_max, asked.select) if filed.is_open
        ]
        chosen = [filed for filed in found if filed.fate.state == "open" or named.names(filed.letter)]
        parking = len(found) - len(chosen)
        kept = await latest_for_key(chosen, self._letters.source) if asked.only_if_latest_for_key else chosen
        rate = asked.rate_per_s if asked.rate_per_s is not None else row.spec.rate_per_s
        return RedrivePlan(
            draft=msgspec.structs.replace(
                draft_of(subscription, "redrive", kept), reasons=asked.select.reasons, rate_per_s=asked.rate_per_s
            ),
            count=len(kept),
            reasons=reasons_of(kept),
            parking=parking,
            overtaken=len(chosen) - len(kept),
            eta_s=eta_s_of(len(kept), 0, 0.0, rate),
            warnings=() if asked.only_if_latest_for_key or not kept else (TRAILS,),
        )

    async def create(self, plan: RedrivePlan, *, who: str | None = None) -> StampedRun:
        """Begin it. Raises as `begin`."""
        return await self.begin(plan.draft, who=who)

    async def begin(self, draft: StoredRun, *, who: str | None = None) -> StampedRun:
        """Begin the redrive that ``draft`` describes.

        Raises `Conflict` while another redrive of the subscription is not over, when somebody took a letter of it
        meanwhile, or when there is nothing to do.
        """
        name = draft.subscription
        async with self._locks.setdefault(name, asyncio.Lock()):
            self._check_alone(draft, "")
            begun = await self.runs.add(self.runs.named(draft), who=who)
            try:
                # Another process may have begun one at the same moment: both see it now, and neither goes on.
                self._check_alone(draft, begun.run.id)
            except Conflict:
                await self.runs.cancel(name, "redrive", begun.run.id)
                raise
            return begun

    def _check_alone(self, draft: StoredRun, own_id: str) -> None:
        subscription = draft.subscription
        for other in self.runs.of(subscription, "redrive"):
            if other.run.state in ("active", "paused") and other.run.id != own_id:
                raise Conflict(
                    f"redrive {other.run.id} of {subscription} is {other.run.state}; wait for it or cancel it"
                )
        check_untaken(draft, self.runs.takers(subscription), own_id)


def reasons_of(letters: Sequence[FiledLetter]) -> dict[str, int]:
    """How many of each reason."""
    return dict(sorted(Counter(filed.letter.reason for filed in letters).items()))
