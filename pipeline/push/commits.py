"""Settling pointers: one walk of reading back, judging and committing for one run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from pipeline.delivery.pointer import Pointer
from pipeline.push.clock import wall_minus_monotonic
from pipeline.push.findings import Finding
from pipeline.push.identity import check_identity
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.pointers import PointerKeeper
from pipeline.push.reading import Place
from pipeline.push.run import Run

# At most this share of a core goes into writing down one run's ack maps, where that takes longer than so much; but what
# is not committed is delivered twice after a crash, and a tool's reset waits no longer than this.
MAP_SHARE = 0.05
MAP_COST_S = 0.01
REST_S_MAX = 2.0


class Settled(NamedTuple):
    """What a walk found: places others moved, and to where (to be begun afresh); places a newer owner holds (to be let
    go); places whose pointer was deleted and is written again.
    """

    moved: dict[Place, int]
    newer: list[Place]
    rewritten: list[Place]


class Committer:
    """Commits one run's pointers, never without having read them back first. ``topic_ids``: those the run reads."""

    def __init__(
        self,
        run: Run,
        keeper: PointerKeeper,
        parts: WorkerParts,
        settings: BridgeSettings,
        *,
        may_act: Callable[[float], bool],
        topic_ids: Mapping[str, str],
    ) -> None:
        self._topic_ids = topic_ids
        self._run, self.keeper, self._parts, self._settings, self._may_act = run, keeper, parts, settings, may_act
        self._rest_until = 0.0
        self._committed_at: dict[Place, float] = {}

    async def settle(self, *, at_last: bool = False) -> Settled:
        """Read back, then commit what changed (and what has stood unchanged for ``touch_s``).

        After a walk that took long to write large ack maps down, the next ones do nothing for a while, unless it is
        ``at_last``. Raises LogError, and `TopicRecreated` when pointers are missing because their topic is another one
        now.
        """
        now = self._parts.clock.monotonic()
        places = [place for place in self._run.places if place in self.keeper.last]
        rests = now < self._rest_until and not at_last
        if rests or not places or not self._may_act(now):
            return Settled({}, [], [])
        findings = await self.keeper.find(places)
        moved = {place: offset for place, (finding, offset) in findings.items() if finding is Finding.MOVED}
        newer = [place for place, (finding, _) in findings.items() if finding is Finding.NEWER]
        stale = [place for place, (finding, _) in findings.items() if finding is Finding.STALE]
        missing = [place for place, (finding, _) in findings.items() if finding is Finding.MISSING]
        gone: list[Place] = []
        if missing:
            found = await self._parts.admin.describe({topic for topic, _ in missing})
            check_identity(found, self._topic_ids)
            # With their topics; one made again before the commit arrives would believe it.
            gone = [place for place in missing if place[0] not in found]
            missing = [place for place in missing if place[0] in found]
        if not self._may_act(self._parts.clock.monotonic()):
            return Settled({}, newer, [])
        self._run.pump.changed = False
        began_at = self._parts.clock.monotonic()
        changed = self._changed_pointers(now, {*missing, *stale})
        # As long again to encode them.
        cost_s = 2 * (self._parts.clock.monotonic() - began_at)
        self._rest_until = now + min(cost_s / MAP_SHARE, REST_S_MAX) if cost_s > MAP_COST_S else 0.0
        left = {*moved, *newer, *gone}
        changed = {place: pointer for place, pointer in changed.items() if place not in left}
        if changed:
            await self.keeper.commit(changed)
            self._committed_at.update(dict.fromkeys(changed, now))
            self._parts.hooks.on_committed(self._run.reading.group, len(changed))
        return Settled(moved, newer, missing)

    def begun(self, place: Place, now: float) -> None:
        """``place`` was just claimed, which committed it."""
        self._committed_at[place] = now

    def forget(self, place: Place) -> None:
        self.keeper.forget((place,))
        self._committed_at.pop(place, None)

    def _changed_pointers(self, now: float, overwritten: Collection[Place]) -> dict[Place, Pointer]:
        """The pointers that differ from what was last written, were ``overwritten`` since, or want a touch."""
        wall = wall_minus_monotonic(self._parts.clock)
        out: dict[Place, Pointer] = {}
        for place in self._run.places:
            last = self.keeper.last.get(place)
            if last is None:
                continue
            offset, finished, attempts = self._run.commit_of(place)
            pointer = Pointer(
                epoch=last.epoch,
                owner=last.owner,
                offset=offset,
                finished=finished,
                attempts={at: (count, int(first + wall)) for at, (count, first) in attempts.items()},
            )
            stood_s = now - self._committed_at.get(place, 0.0)
            owes = place in overwritten or self.keeper.owes_spill(place) or stood_s >= self._settings.touch_s
            if owes or _differs(pointer, last):
                out[place] = pointer
        return out


def _differs(pointer: Pointer, last: Pointer) -> bool:
    return (
        pointer.offset != last.offset
        or pointer.finished != last.finished
        or pointer.attempts.keys() != last.attempts.keys()
        or any(count != last.attempts[at][0] for at, (count, _) in pointer.attempts.items())
    )
