"""Discards: dead letters that nobody wants delivered any more. They stay on their topic and are never offered again."""

from __future__ import annotations

import msgspec

from pipeline.deadletter import one_line
from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.redrive.drafts import check_untaken, draft_of
from pipeline.redrive.letters import DeadLetters
from pipeline.redrive.redrives import reasons_of
from pipeline.redrive.selection import Selection
from pipeline.runs import Runs, StampedRun
from pipeline.subscription import StoredRun

REASON_CHARACTERS_MAX = 500


class DiscardPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``count`` dead letters that would be discarded, by reason of their death."""

    draft: StoredRun
    count: int
    reasons: dict[str, int]


class Discards:
    """A discard is one row that names the letters and why; the audit tells who."""

    def __init__(self, runs: Runs, letters: DeadLetters, *, scanned_max: int = 1_000_000) -> None:
        self._runs, self._letters, self._scanned_max = runs, letters, scanned_max

    async def plan(self, subscription: str, select: Selection, reason: str) -> DiscardPlan:
        """What would be discarded: of those selected, the ones that nobody took before.

        Raises `DeclarationInvalid` without a reason, or when the selection means everything.
        """
        if not 1 <= len(reason) <= REASON_CHARACTERS_MAX or one_line(reason, REASON_CHARACTERS_MAX * 4) != reason:
            raise DeclarationInvalid("/reason", reason, f"why: 1 to {REASON_CHARACTERS_MAX} characters on one line")
        if select.is_open:
            raise DeclarationInvalid("/select", "{}", "which ones: ids, or what they have in common")
        found = [filed async for filed in self._letters.all(subscription, self._scanned_max, select) if filed.is_open]
        draft = draft_of(subscription, "discard", found, reason)
        return DiscardPlan(draft=draft, count=len(found), reasons=reasons_of(found))

    async def create(self, plan: DiscardPlan, *, who: str | None = None) -> StampedRun:
        """Discard them. Raises `Conflict` when there are none, or somebody took one meanwhile."""
        if not plan.count:
            raise Conflict("no dead letter that waits is selected")
        check_untaken(plan.draft, self._runs.takers(plan.draft.subscription))
        made = await self._runs.record(self._runs.named(plan.draft), who=who)
        try:
            # A redrive may have begun in another process at the same moment: both see it now, and neither goes on.
            check_untaken(plan.draft, self._runs.takers(plan.draft.subscription), made.run.id)
        except Conflict:
            await self._runs.withdraw(made, who=who)
            raise
        return made
