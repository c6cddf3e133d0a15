"""Settling pointers: one walk of reading back, judging and committing for one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from pipeline.delivery.pointer import Pointer
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.pointers import Finding, PointerKeeper
from pipeline.push.reading import Place
from pipeline.push.run import Run, wall_minus_monotonic


class Settled(NamedTuple):
    """What a walk found: places others moved (to be begun afresh) and places a newer owner holds (to be let go)."""

    moved: list[Place]
    newer: list[Place]


class Committer:
    """Commits one run's pointers, never without having read them back first."""

    def __init__(
        self,
        run: Run,
        keeper: PointerKeeper,
        parts: WorkerParts,
        settings: BridgeSettings,
        may_act: Callable[[float], bool],
    ) -> None:
        self._run, self.keeper, self._parts, self._settings, self._may_act = run, keeper, parts, settings, may_act
        self._checked_at = 0.0
        self._committed_at: dict[Place, float] = {}

    def is_due(self, now: float) -> bool:
        """Whether a walk is worth a round trip: something changed, or it is time to look after others' doings."""
        if now - self._checked_at >= self._settings.check_s:
            return True
        return self._run.changed and bool(self._changed_pointers(now))

    async def settle(self) -> Settled:
        """Read back, then commit what changed (and what has stood unchanged for ``touch_s``). Raises LogError."""
        now = time.monotonic()
        places = [place for place in self._run.places if place in self.keeper.last]
        if not places or not self._may_act(now):
            return Settled([], [])
        findings = await self.keeper.find(places)
        moved = [place for place, (finding, _) in findings.items() if finding is Finding.MOVED]
        newer = [place for place, (finding, _) in findings.items() if finding is Finding.NEWER]
        missing = {place for place, (finding, _) in findings.items() if finding is Finding.MISSING}
        self._checked_at = now
        if not self._may_act(time.monotonic()):
            return Settled([], newer)
        self._run.changed = False
        changed = self._changed_pointers(now, missing)
        changed = {place: pointer for place, pointer in changed.items() if place not in moved and place not in newer}
        if changed:
            await self.keeper.commit(changed)
            self._committed_at.update(dict.fromkeys(changed, now))
            self._parts.hooks.on_committed(self._run.reading.group, len(changed))
        return Settled(moved, newer)

    def begun(self, place: Place, now: float) -> None:
        """``place`` was just claimed, which committed it."""
        self._committed_at[place] = now

    def forget(self, place: Place) -> None:
        self.keeper.forget((place,))
        self._committed_at.pop(place, None)

    def _changed_pointers(
        self, now: float, missing: frozenset[Place] | set[Place] = frozenset()
    ) -> dict[Place, Pointer]:
        """The pointers that differ from what was last written, were deleted, or want a touch."""
        wall = wall_minus_monotonic()
        out: dict[Place, Pointer] = {}
        for place in self._run.places:
            last = self.keeper.last.get(place)
            if last is None:
                continue
            offset, finished, attempts = self._run.core.commit_of(place)
            pointer = Pointer(
                epoch=last.epoch,
                owner=last.owner,
                offset=offset,
                finished=finished,
                attempts={at: (count, int(first + wall)) for at, (count, first) in attempts.items()},
            )
            stood_s = now - self._committed_at.get(place, 0.0)
            if _differs(pointer, last) or place in missing or stood_s >= self._settings.touch_s:
                out[place] = pointer
        return out


def _differs(pointer: Pointer, last: Pointer) -> bool:
    return (
        pointer.offset != last.offset
        or pointer.finished != last.finished
        or pointer.attempts.keys() != last.attempts.keys()
        or any(count != last.attempts[at][0] for at, (count, _) in pointer.attempts.items())
    )
