"""How a batch that an endpoint refused is narrowed down to the event it refuses, and how large batches may be. Pure.

One poison event must neither bury the events it travels with nor hold them up. Rules, each held by
``tests/property/test_batching.py``:

1. a refused batch is sent again at once in parts, uncounted: first its first half, then one event alone;
2. when neither was taken the endpoint, not an event, is taken for the cause: three requests, then the batch has failed;
   the one alone is of a row that was not in the half refused, where there is one;
3. when the one alone was taken the rest is halved until what is refused is alone; a row of refusals longer than such a
   descent ends it too, for then the endpoint went down meanwhile;
4. an event is not sent again once it was taken, nor before those ahead of it in its row (lane) were;
5. an event that failed once goes in small batches, one that failed twice, or whose next failure would bury it, alone:
   so only what was refused alone is ever buried;
6. where something was taken, a row fails by a refusal of its own event alone, or by a request of its own that was not
   answered with one; any other is untried.

Status 413 says that the request was too large, not that an event in it is bad: its halves are merely unknown, and the
byte cap of later batches halves, to grow back by successes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import isqrt
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)
# A dead endpoint costs a batch this many requests.
REQUESTS_MAX_WITHOUT_SUCCESS = 3
# A cap below this helps nobody: an event larger than the cap goes alone anyway.
CAP_BYTES_MIN = 1024
# The byte cap grows by this part of itself with each batch taken: at most one in five is too large then, wherever the
# endpoint's limit is.
_CAP_GROWS_BY = 8
TOO_LARGE = 413


def events_max_of(attempts: int, events_max: int, *, is_last_chance: bool = False) -> int:
    """With how many others an event goes that failed ``attempts`` times; ``is_last_chance``: failing buries it."""
    if attempts >= 2 or is_last_chance:
        return 1
    return isqrt(events_max) if attempts else events_max


def requests_max_of(events: int) -> int:
    """How many requests a batch of so many events may take with one bad event in it; for time limits."""
    return REQUESTS_MAX_WITHOUT_SUCCESS + 2 * events.bit_length()


def may_narrow(status: int, *, asked_to_wait: bool) -> bool:
    """Whether sending less at once may help: not where the endpoint is gone or asked for patience."""
    return status not in (410, 429) and not (status == 503 and asked_to_wait)


class ByteCap:
    """How many bytes a batch may have: ``now``, at most ``bytes_max``."""

    __slots__ = ("_bytes_max", "now")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = self.now = bytes_max

    def refused(self, size: int) -> None:
        """A request of ``size`` bytes was too large."""
        self.now = max(min(self.now, size) // 2, CAP_BYTES_MIN)

    def taken(self) -> None:
        self.now = min(self.now + self.now // _CAP_GROWS_BY, self._bytes_max)


class Ended(NamedTuple, Generic[T]):
    """A row is through: its first ``delivered`` events were taken; ``refused_alone``: the next one was not, alone.
    ``is_untried``: others were taken, and nothing is known of this row.
    """

    row: T
    delivered: int
    refused_alone: bool
    is_untried: bool = False


class _Group:
    """Events still to be settled, in order. ``is_bad``: one of them is known to be refused. ``twin``: the group that is
    bad should this one be taken whole.
    """

    __slots__ = ("events", "is_bad", "twin")

    def __init__(self, events: Sequence[int], *, is_bad: bool = False) -> None:
        self.events = list(events)
        self.is_bad = is_bad
        self.twin: _Group | None = None


class Narrowing(Generic[T]):
    """One batch from its first request to its last. Send the events `request` names (by their places in ``rows``), say
    what came of it, look at `ended`, and go on until `request` is empty.

    ``rows`` names the row of each event; events of one row stand in their order.
    """

    def __init__(self, rows: Sequence[T]) -> None:
        self._rows = tuple(rows)
        self._left = Counter(self._rows)
        self._delivered: Counter[T] = Counter()
        self._todo: list[_Group] = []  # a stack: what comes first is on top
        self._now = _Group(range(len(self._rows)))
        self._is_alive = False
        self._refusals = 0  # since the last success
        self._descent_max = len(self._rows).bit_length() + 2
        self._ended: list[Ended[T]] = []

    @property
    def request(self) -> Sequence[int]:
        return self._now.events

    def ended(self) -> list[Ended[T]]:
        """The rows that are through since this was asked last."""
        ended, self._ended = self._ended, []
        return ended

    def taken(self) -> None:
        """The request was answered 2xx."""
        self._is_alive, self._refusals = True, 0
        for event in self._now.events:
            row = self._rows[event]
            self._delivered[row] += 1
            self._leave(row)
        if self._now.twin is not None:
            self._now.twin.is_bad = True
        self._go_on()

    def refused(self, status: int) -> None:
        """The request was answered otherwise, in a way that `may_narrow`."""
        group, too_large = self._now, status == TOO_LARGE
        self._refusals += 1
        if len(group.events) == 1:
            self._end_row(self._rows[group.events[0]], refused_alone=True)
        else:
            group.is_bad, group.twin = not too_large, None
            self._push_halves(group)
        without_success = not self._is_alive and not too_large
        if self._refusals >= (REQUESTS_MAX_WITHOUT_SUCCESS if without_success else self._descent_max):
            self._end_all(tried=frozenset() if self._is_alive else frozenset(self._left))
        elif without_success and self._refusals == REQUESTS_MAX_WITHOUT_SUCCESS - 1:
            self._now = self._probe(group)
        else:
            self._go_on()

    def give_up(self) -> None:
        """The request was answered in a way that does not `may_narrow`, or not at all: send no more."""
        self._end_all(tried=frozenset(self._rows[event] for event in self._now.events))

    def _end_all(self, tried: frozenset[T]) -> None:
        """All rows end as they stand; those that are not ``tried`` are untried, where something was taken."""
        self._todo.clear()
        self._now = _Group(())
        for row in list(self._left):
            self._end_row(row, refused_alone=False, is_untried=self._is_alive and row not in tried)

    def without(self, rows: frozenset[T]) -> list[T]:
        """The events not settled yet, by their rows, but for those of ``rows``: what a new batch may be made of."""
        events = sorted(event for group in (self._now, *self._todo) for event in group.events)
        return [self._rows[event] for event in events if self._rows[event] not in rows]

    def _go_on(self) -> None:
        while self._todo:
            group = self._todo.pop()
            if group.is_bad and len(group.events) > 1:
                self._push_halves(group)
            elif group.events:
                self._now = group
                return
        self._now = _Group(())

    def _push_halves(self, group: _Group) -> None:
        middle = len(group.events) // 2
        first, second = _Group(group.events[:middle]), _Group(group.events[middle:])
        if group.is_bad:
            first.twin = second
        self._todo += (second, first)

    def _probe(self, refused: _Group) -> _Group:
        """One event alone, the first of its row: from behind what was just refused, where there is one."""
        suspects = {self._rows[event] for event in refused.events}
        heads: dict[T, tuple[int, _Group]] = {}
        for group in reversed(self._todo):
            for event in group.events:
                heads.setdefault(self._rows[event], (event, group))
        if not heads:
            return _Group(())
        row = next((row for row in heads if row not in suspects), next(iter(heads)))
        event, group = heads[row]
        group.events.remove(event)
        return _Group([event])

    def _leave(self, row: T) -> None:
        self._left[row] -= 1
        if not self._left[row]:
            self._end_row(row, refused_alone=False)

    def _end_row(self, row: T, *, refused_alone: bool, is_untried: bool = False) -> None:
        del self._left[row]
        for group in self._todo:
            group.events = [event for event in group.events if self._rows[event] != row]
        self._ended.append(Ended(row, self._delivered[row], refused_alone, is_untried))
