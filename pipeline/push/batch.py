"""What a batcher holds: events of one lane, those that linger together, and a batch on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipeline.delivery.batching import Narrowing
from pipeline.delivery.lanes import payload_bytes
from pipeline.delivery.verdict import Fault, Reply
from pipeline.record import Record
from pipeline.webhook.bundle import BundledEvent

Done = Callable[[Any, Reply | Fault], None]
Taken = Sequence[tuple[Record, Reply]]


class Behind(Protocol):
    """What stands behind the event that an ``arg`` was sent with, its lane's head, and what came of the head besides a
    reply of its own.
    """

    def records(self, arg: Any, events_max: int, /) -> Sequence[Record]:
        """Those that may go with it, in order."""

    def as_sent(self, record: Record, /) -> Record:
        """What is delivered for one of them."""

    def went_along(self, count: int, /) -> None:
        """``count`` events were sent beside the heads that began: a rate counts them."""

    def is_last_chance(self, arg: Any, /) -> bool:
        """Whether the event would be buried if this attempt failed: it goes alone then."""

    def delivered(self, arg: Any, reply: Reply, taken: Taken, /) -> None:
        """In place of ``done``: those behind it were taken too, each with its own reply."""

    def untried(self, arg: Any, /) -> None:
        """In place of ``done``: others of its batch were taken, and nothing says that it would not be."""


class Item:
    """Events of one lane, the head first, and whom to tell of them; ``taken``: the replies to those already taken."""

    __slots__ = ("arg", "attempt", "behind", "done", "events", "is_dead", "taken")

    def __init__(self, event: BundledEvent, attempt: int, done: Done, arg: Any) -> None:
        self.events, self.attempt, self.done, self.arg = [event], attempt, done, arg
        self.behind: list[Record] = []
        self.taken: list[Reply] = []
        self.is_dead = False


class Lingering:
    """Items that wait for more: what their heads come to, and how much they would be with what stands behind them."""

    __slots__ = ("events", "head_bytes", "items", "size")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.head_bytes = 1
        self.events = self.size = 0

    def add(self, item: Item, behind: Sequence[Record]) -> None:
        self.items.append(item)
        self.head_bytes += size_of(item.events[0])
        self.events += 1 + len(behind)
        self.size += size_of(item.events[0]) + sum(map(payload_bytes, behind))


class Batch:
    """Items on their way, each a row of the narrowing; ``events`` names item and event by their place in it.
    ``is_counted``: its next request is what the rate has counted.
    """

    __slots__ = ("events", "is_broken", "is_counted", "items", "narrowing")

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        left = [(row, event) for row, item in enumerate(items) for event in item.events[len(item.taken) :]]
        self.events = [(items[row], event) for row, event in left]
        self.narrowing: Narrowing[int] = Narrowing([row for row, _ in left])
        self.is_broken = self.is_counted = False

    def requested(self) -> list[tuple[Item, BundledEvent]]:
        return [self.events[place] for place in self.narrowing.request]


def size_of(event: BundledEvent) -> int:
    """Bytes of ``event`` in the array."""
    return len(event.json) + 1
