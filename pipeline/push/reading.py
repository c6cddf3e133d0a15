"""Readings: what a run reads and how a record on the log becomes a delivery.

A live run reads its subscription's topics without end; a replay reads a window of them; a redrive reads a window of the
dead-letter topic and delivers each dead letter's original record under the original's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pipeline.deadletter import DeadLetter, Edit, unwrap
from pipeline.errors import FormatUnreadable, InputError
from pipeline.filters import Predicate, compile_filters
from pipeline.names import dead_letter_topic_of, group_of
from pipeline.push.bounded import row_for, spec_for
from pipeline.push.facts import RecordFacts
from pipeline.record import Position, Record
from pipeline.subscription import StoredRun, StoredSubscription

Place = tuple[str, int]


class Reading:
    """One reading of a subscription: its group, its topics, its bounds, its filter. Pure.

    ``unreadable``: why the filter could not judge a record it was shown. Such a record is selected, so that it is
    neither lost nor left out by a guess; whoever delivers it must bury it instead, and then take it out here.
    """

    def __init__(
        self, namespace: str, row: StoredSubscription, run: StoredRun | None, defaults: Callable[[str], tuple[str, str]]
    ) -> None:
        self.row, self.run = row_for(row, run), run
        self.spec = spec = spec_for(self.row.spec, run)
        self.subscription_group = group_of(namespace, spec.name)
        self.dead_letter_topic = dead_letter_topic_of(self.subscription_group)
        self.group = self.subscription_group if run is None else f"{self.subscription_group}.{run.kind}.{run.id}"
        self.topics: tuple[str, ...] = spec.topics if run is None else tuple(run.window)
        self.run_id = None if run is None else run.id
        self.redrives = run is not None and run.kind == "redrive"
        self.is_shadow = run is not None and run.endpoint is not None
        self._defaults = defaults
        filters = (*spec.filters, *(run.filters if run is not None else ()))
        self.filter = compile_filters(filters) if filters and not self.redrives else None
        self.unreadable: dict[Position, str] = {}

    def until(self, place: Place) -> int | None:
        """The offset at which a bounded reading of ``place`` ends (exclusive); None: without end."""
        if self.run is None:
            return None
        return self.run.window[place[0]][place[1]][1]

    def reads(self, place: Place) -> bool:
        """Whether ``place`` is part of this reading."""
        topic, partition = place
        if self.run is None:
            return topic in self.spec.topics
        return partition in self.run.window.get(topic, {})

    def select(self, records: Iterable[Record]) -> list[Record]:
        """Those of ``records`` to deliver: the filter's choice, or the redrive's."""
        if self.redrives:
            return [record for record in records if self._is_selected(record)]
        if self.run is not None and (self.run.picked or self.run.ids):
            records = [record for record in records if self._is_picked(record, self.run)]
        if self.filter is None:
            return list(records)
        holds = self.filter.holds
        return [record for record in records if self._takes(record, holds)]

    def delivery(self, record: Record) -> Record:
        """What is sent for ``record``: itself, or the original (at its own position) that it is the dead letter of."""
        return unwrap(record).record if self.redrives else record

    def redrives_of(self, record: Record) -> int:
        """How often the event of ``record`` will have been redriven when this attempt is over."""
        return unwrap(record).redrives + 1 if self.redrives else 0

    def edit_of(self, record: Record) -> Edit | None:
        """Who changed the event of ``record`` by hand, which stays known when it dies again."""
        return unwrap(record).edit if self.redrives else None

    def _takes(self, record: Record, holds: Predicate) -> bool:
        try:
            return holds(RecordFacts(record, self._defaults))
        except InputError as error:
            self.unreadable[record.position] = str(error)
            return True

    def _is_selected(self, record: Record) -> bool:
        try:
            letter = unwrap(record)
        except FormatUnreadable:
            return False
        # A forged group or topic must not make this subscription's endpoint receive what was never its own (threat
        # S31).
        ours = letter.group == self.subscription_group and letter.origin.topic in self.spec.topics
        return ours and self.run is not None and self.run.takes(*record.position) and is_selected(letter, self.run)

    def _is_picked(self, record: Record, run: StoredRun) -> bool:
        """Whether a replay of chosen events takes ``record``; one whose id cannot be read is none of them."""
        if not run.takes(*record.position):
            return False
        try:
            return not run.ids or RecordFacts(record, self._defaults).attributes["id"] in run.ids
        except InputError:
            return False


def is_selected(letter: DeadLetter, run: StoredRun) -> bool:
    """Whether a redrive takes ``letter``: by reason and by id, each open when empty."""
    return (not run.reasons or letter.reason in run.reasons) and (not run.ids or letter.id in run.ids)
