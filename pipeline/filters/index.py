"""Index: of many filters, those that hold for an event, at a cost of those that might.

A filter with an exact comparison lies in a table under the text it wants (its anchor); an event looks up its own text
once per key that anybody compares. Filters without an anchor are evaluated one by one. Which of several anchors a
filter lies under: attributes before headers before data, since data has to be parsed; among equals the key that most
others use, so that an event looks up few.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from pipeline.errors import InputError
from pipeline.filters.compiling import Anchor, Filter, Predicate
from pipeline.filters.keys import HEADER_PREFIX, Facts, Key

T = TypeVar("T")


class Selected(NamedTuple, Generic[T]):
    """``matched``: whose filters hold. ``unjudged``: whose filters need what cannot be read of this event; ``reason``
    says why.
    """

    matched: list[T]
    unjudged: list[T]
    reason: str


class FilterIndex(Generic[T]):
    """Members (hashable) with their filters, None for those that take everything. Not thread-safe."""

    def __init__(self) -> None:
        self._anchored: dict[Key, dict[str | None, dict[T, Predicate | None]]] = {}
        self._evaluated: dict[T, Predicate] = {}
        self._unfiltered: dict[T, None] = {}
        self._lies_under: dict[T, Anchor] = {}
        self._filters: dict[T, Predicate] = {}
        self._users: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._lies_under) + len(self._evaluated) + len(self._unfiltered)

    def add(self, member: T, wanted: Filter | None) -> None:
        """``member`` must not be in it."""
        if wanted is None:
            self._unfiltered[member] = None
        elif wanted.anchors:
            anchor = min(wanted.anchors, key=lambda one: (_cost(one.key), -self._users.get(one.key, 0)))
            self._lies_under[member], self._filters[member] = anchor, wanted.holds
            self._users[anchor.key] = self._users.get(anchor.key, 0) + 1
            table = self._anchored.setdefault(anchor.key, {})
            for text in anchor.texts:
                table.setdefault(text, {})[member] = None if anchor.whole else wanted.holds
        else:
            self._evaluated[member] = wanted.holds

    def remove(self, member: T) -> None:
        """Not an error where it is not in it."""
        self._evaluated.pop(member, None)
        self._unfiltered.pop(member, None)
        anchor = self._lies_under.pop(member, None)
        if anchor is None:
            return
        del self._filters[member]
        table = self._anchored[anchor.key]
        for text in anchor.texts:
            del table[text][member]
            if not table[text]:
                del table[text]
        self._users[anchor.key] -= 1
        if not table:
            del self._anchored[anchor.key], self._users[anchor.key]

    def select(self, facts: Facts) -> Selected[T]:
        """Whom the event of ``facts`` is for; the same as evaluating every filter."""
        matched, unjudged, reason = [*self._unfiltered], [], ""
        asked: list[tuple[T, Predicate]] = []
        for key, table in self._anchored.items():
            try:
                under = table.get(facts.text(key))
            except InputError:
                # Each is asked itself: another of its conditions may be read, and not hold.
                asked += {member: self._filters[member] for under in table.values() for member in under}.items()
                continue
            if under is not None:
                for member, holds in under.items():
                    if holds is None:
                        matched.append(member)
                    else:
                        asked.append((member, holds))
        if self._evaluated:
            asked += self._evaluated.items()
        for member, holds in asked:
            try:
                if holds(facts):
                    matched.append(member)
            except InputError as error:
                unjudged.append(member)
                reason = str(error)
        return Selected(matched, unjudged, reason)


def _cost(key: Key) -> int:
    if isinstance(key, tuple):
        return 2
    return 1 if key.startswith(HEADER_PREFIX) else 0
