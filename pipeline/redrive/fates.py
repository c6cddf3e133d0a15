"""Fates: what became of a dead letter, told by the runs that took it alone; nothing is written at the letter. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from pipeline.deadletter import DeadLetter
from pipeline.faces import Partition
from pipeline.record import Position
from pipeline.runs import picked_in, places_of
from pipeline.subscription import StoredRun
from pipeline.subscription.spans import Spans, holds, joined

State = Literal["open", "parking", "redriven", "discarded", "written-back"]
_STATES: dict[str, State] = {"redrive": "redriven", "discard": "discarded", "writeback": "written-back"}


class Fate(NamedTuple):
    """``open``: nobody did anything. ``parking``: it came back from so many redrives that only a redrive that names it
    takes it. Else which run took it, and what that was for.
    """

    state: State
    run: str | None = None
    note: str = ""


class FiledLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, where it lies, when it was appended there, and what became of it.

    ``webhook_id``: what its event is delivered under; None where its topic is gone.
    """

    place: Position
    at_ms: int
    letter: DeadLetter
    fate: Fate
    webhook_id: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for somebody."""
        return self.fate.state in ("open", "parking")


class Fates:
    """Asks the runs of one subscription. A redrive that failed again left a new dead letter at a place of its own, so
    the old one counts as redriven; a cancelled run's window was cut to what it had done.
    """

    def __init__(self, takers: Iterable[StoredRun], redrives_max: int) -> None:
        self._redrives_max = redrives_max
        self._by_place: dict[Partition, list[tuple[StoredRun, Spans]]] = {}
        for run in takers:
            for place in places_of(run):
                self._by_place.setdefault(place, []).append((run, picked_in(run, place)))
        # Most letters were taken by nobody, and are known so at once.
        self._any = {
            place: joined(one for _, spans in found for one in spans) for place, found in self._by_place.items()
        }

    def of(self, place: Position, letter: DeadLetter) -> Fate:
        partition = (place.topic, place.partition)
        if holds(self._any.get(partition, ()), place.offset):
            for run, spans in self._by_place[partition]:
                if holds(spans, place.offset) and (not run.reasons or letter.reason in run.reasons):
                    return Fate(_STATES[run.kind], run.id, run.note)
        return Fate("parking" if letter.redrives >= self._redrives_max else "open")
