"""Dispatch: one shared reading per partition for all live runs that have read equally far.

A run joins with the offset it has come to, and is given what its filter takes from there on, found by an index: a
record costs the runs that match it. A run that matches nothing is not called at all; how far it is, is asked when its
pointer is committed (`Dispatcher.position`). A run that has no room leaves and reads a feed of its own, so that nobody
waits for it; so does one that is behind, until it has come near. Bounded readings are never members.

One turn of the loop hands out about ``records_max`` records, whatever lies ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pipeline.errors import PipelineError
from pipeline.filters import Filter, FilterIndex
from pipeline.kafka.view import Feed, Gap, LogView
from pipeline.push.facts import RecordFacts
from pipeline.record import Position, Record

Place = tuple[str, int]

SPAN = 10_000
"""Offsets. So far ahead of the shared reading a run may join: it waits for that to come up instead of reading itself.
Runs that are to begin so near to each other begin as one.
"""
AGAIN_S = 0.2


class Member(Protocol):
    """A run that reads with others. It may leave while it is being given something."""

    @property
    def wanted(self) -> Filter | None: ...

    def given(
        self, place: Place, records: Sequence[Record], next_offset: int, unjudged: Mapping[Position, str]
    ) -> None:
        """Its ``records`` of ``place``, all below ``next_offset``; ``unjudged``: those its filter could not judge."""

    def alone(self, place: Place, offset: int) -> None:
        """It is to read ``place`` itself, from ``offset`` on."""

    def missed(self, place: Place, gap: Gap) -> None: ...

    def broken(self, place: Place, error: PipelineError) -> None:
        """``place`` cannot be read on; the membership has ended."""


class _Shared:
    """The reading of one partition. ``since``: its members, and from which offset on each is given something."""

    __slots__ = ("everything", "feed", "index", "next_offset", "since")

    def __init__(self, feed: Feed, next_offset: int) -> None:
        self.feed, self.next_offset = feed, next_offset
        self.since: dict[Member, int] = {}
        self.everything: dict[Member, None] = {}
        self.index: FilterIndex[Member] = FilterIndex()

    def add(self, member: Member, offset: int) -> None:
        self.since[member] = offset
        if member.wanted is None:
            self.everything[member] = None
        else:
            self.index.add(member, member.wanted)

    def remove(self, member: Member) -> int:
        self.everything.pop(member, None)
        self.index.remove(member)
        return max(self.since.pop(member), self.next_offset)


class Dispatcher:
    """Used on the loop only; ``defaults`` as `RecordFacts` has them. While the worker may not act nothing is read: a
    gap is told when it is read, and may be another's to tell.
    """

    def __init__(
        self,
        view: LogView,
        defaults: Callable[[str], tuple[str, str]],
        *,
        records_max: int,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._view, self._defaults, self._records_max, self._may_act = view, defaults, records_max, may_act
        self._loop = asyncio.get_running_loop()
        self._shared: dict[Place, _Shared] = {}
        self._ready: dict[Place, None] = {}
        self._due = False
        self._gathered: dict[Place, dict[Member, int]] | None = None

    # -- members -----------------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """From now on until `settle`, who would begin is collected, so that those near to each other begin as one."""
        self._gathered = {}

    def settle(self) -> None:
        """Begin with whom was gathered: the largest company in a shared reading, the others in one that is near, or
        alone.
        """
        gathered, self._gathered = self._gathered or {}, None
        for place, waiting in gathered.items():
            if place not in self._shared and len(waiting) > 1:
                begin = largest_company(list(waiting.values()))
                if begin is not None:
                    self._open(place, begin)
            for member, offset in waiting.items():
                if not self.join(place, member, offset):
                    member.alone(place, offset)

    def seat(self, place: Place, member: Member, offset: int) -> bool:
        """Join, or be gathered and told later; False: it is to read alone."""
        if self._gathered is None:
            return self.join(place, member, offset)
        self._gathered.setdefault(place, {})[member] = offset
        return True

    def join(self, place: Place, member: Member, offset: int) -> bool:
        """Be given ``place`` from ``offset`` on, where a shared reading is at or shortly before it."""
        shared = self._shared.get(place)
        if shared is None or not shared.next_offset <= offset <= shared.next_offset + SPAN:
            return False
        shared.add(member, offset)
        return True

    def begin(self, place: Place, member: Member, offset: int) -> bool:
        """`join`, and where nobody reads ``place`` yet, be the first."""
        if place not in self._shared:
            self._open(place, offset)
        return self.join(place, member, offset)

    def leave(self, place: Place, member: Member) -> int:
        """Where ``member`` reads on from, also if it was gathered only: nobody else will tell it to begin."""
        if self._gathered is not None and member in self._gathered.get(place, ()):
            return self._gathered[place].pop(member)
        shared = self._shared[place]
        offset = shared.remove(member)
        if not shared.since:
            self._close(place)
        return offset

    def position(self, place: Place, member: Member) -> int | None:
        """Up to which offset ``member`` was given all that is its; None: it has not begun."""
        shared = self._shared.get(place)
        if shared is None or member not in shared.since:
            return None
        return max(shared.next_offset, shared.since[member])

    def end_of(self, place: Place) -> int | None:
        """The last known end of ``place``, None when it is not known or not read."""
        shared = self._shared.get(place)
        return None if shared is None else shared.feed.end()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _open(self, place: Place, offset: int) -> None:
        def ready() -> None:
            self._ready[place] = None
            self._wake()

        self._shared[place] = _Shared(self._view.feed(*place, offset, ready), offset)
        ready()

    def _close(self, place: Place) -> None:
        self._ready.pop(place, None)
        self._shared.pop(place).feed.close()

    def _wake(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        if not self._may_act():
            self._loop.call_later(AGAIN_S, self._pump)
            return
        self._due = False
        left = self._records_max
        while self._ready and left > 0:
            place = next(iter(self._ready))
            del self._ready[place]
            try:
                left -= self._hand_out(place, self._shared[place])
            except Exception as error:  # noqa: BLE001 - the root of this work: it stops who reads here, committing no more
                self._fail(place, list(self._shared[place].since) if place in self._shared else [], error)
        if self._ready:
            self._wake()

    def _hand_out(self, place: Place, shared: _Shared) -> int:
        """One slice of ``place``; how much work that was, in records."""
        try:
            piece = shared.feed.take(self._records_max)
        except PipelineError as error:
            self._close(place)
            for member in shared.since:
                member.broken(place, error)
            return 1
        if piece is None:
            return 0
        self._ready[place] = None  # behind the others
        shared.next_offset = piece.next_offset
        if piece.gap is not None:
            self._tell_gap(place, shared, piece.gap)
        self._give(place, shared, piece.records)
        return 1 + len(piece.records)

    def _tell_gap(self, place: Place, shared: _Shared, gap: Gap) -> None:
        for member, since in list(shared.since.items()):
            if since < gap.until:
                member.missed(place, Gap(max(gap.first, since), gap.until))

    def _give(self, place: Place, shared: _Shared, records: list[Record]) -> None:
        if not records:
            return
        since, next_offset, first = shared.since, shared.next_offset, records[0].offset
        shares: dict[Member, list[Record]] = {}
        unjudged: dict[Member, dict[Position, str]] = {}
        if len(shared.index):
            for record in records:
                selected = shared.index.select(RecordFacts(record, self._defaults))
                for member in (*selected.matched, *selected.unjudged):
                    if record.offset >= since[member]:
                        shares.setdefault(member, []).append(record)
                for member in selected.unjudged:
                    unjudged.setdefault(member, {})[record.position] = selected.reason
        for member in list(shared.everything):
            begins_at = since[member]
            share = records if begins_at <= first else [one for one in records if one.offset >= begins_at]
            if share:
                shares[member] = share
        for member, share in shares.items():
            try:
                member.given(place, share, next_offset, unjudged.get(member, {}))
            except Exception as error:  # noqa: BLE001 - one run's fault must not keep the others from their records
                self._fail(place, [member], error)

    def _fail(self, place: Place, members: Sequence[Member], error: Exception) -> None:
        """What is no error of the log is one of ours: who met it stops, loudly."""
        self._loop.call_exception_handler({"message": f"dispatch of {place} failed", "exception": error})
        for member in members:
            shared = self._shared.get(place)
            if shared is not None and member in shared.since:
                self.leave(place, member)
                member.broken(place, PipelineError(f"internal: {error!r}"))


def largest_company(offsets: Sequence[int]) -> int | None:
    """The lowest of the most ``offsets`` within one `SPAN`, the furthest on of equals; None: each is alone."""
    ordered = sorted(offsets)
    best, most, end = None, 1, 0
    for begin, offset in enumerate(ordered):
        while end < len(ordered) and ordered[end] <= offset + SPAN:
            end += 1
        if end - begin > 1 and end - begin >= most:
            best, most = offset, end - begin
    return best
