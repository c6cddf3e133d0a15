"""Who tells the ledgers of a simulated town what: arrivals, dead letters, gaps, commits, and owners that were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.kafka.offsets import Committed
from pipeline.names import dead_letter_topic_of
from pipeline.record import Record
from tests.simulation.broker import TOPIC, Broker, Place
from tests.simulation.burials import Burials
from tests.simulation.endpoint import Arrival
from tests.simulation.ledger import Ledger
from tests.simulation.operators import Operators
from tests.simulation.runs import SideRuns
from tests.simulation.side_ledger import RedriveLedger
from tests.simulation.world import Process, Violation

AUDIT = "_pipeline-audit"


class Books:
    """All ledgers: of live delivery, and of runs. ``owner`` tells who has a partition."""

    def __init__(self, broker: Broker, owner: Mapping[Place, str]) -> None:
        self._broker, self._world, self._owner = broker, broker.world, owner
        broker.on_commit, broker.on_append, broker.on_heard = self.committed, self.appended, self.heard
        self.operators = Operators(broker, on_arrival=self.arrived, on_known=self.known, ledgers=lambda: self.ledgers)
        self.runs = SideRuns(broker, self.operators)
        self._burials = Burials(broker, self.runs, self.operators.eras)

    @property
    def ledgers(self) -> list[Ledger]:
        """Of live delivery, and of the runs that are not over."""
        return [
            *self.operators.ledgers.values(),
            *(ledger for ledger in self.runs.ledgers.values() if not ledger.is_over),
        ]

    def arrived(self, arrival: Arrival) -> None:
        """Of a request that was not taken only the first event of each key tells of order: the others are with it."""
        ledger, lanes = self._ledger_of(arrival.group), set()
        for webhook_id, record in arrival.events:
            if not self._is_owed(ledger, record, webhook_id):
                continue
            ledger.attempted.add(((record.topic, record.partition), record.offset))
            lane = lane_of(record, ledger.ordering)
            if arrival.taken or lane is None or lane not in lanes:
                lanes.add(lane)
                ledger.arrived(arrival.who, record, arrival.taken, arrival.awaited)

    def _is_owed(self, ledger: Ledger, record: Record, webhook_id: str) -> bool:
        """Whether the ledger knows of the event, which must be as it was published."""
        (published, own_id), eras = self._broker.published[record.value], self.operators.eras
        # A dead letter does not say of which topic of that name it is: made again, it gives the event another id.
        is_moved = isinstance(ledger, RedriveLedger) and eras.is_lost(record.value)
        if webhook_id != own_id and eras.may_be_unaware(ledger.group, webhook_id):
            return False
        if record != published or (webhook_id != own_id and not is_moved):
            raise Violation(f"{ledger.group}: {own_id} was sent as {webhook_id}: {record}")
        if isinstance(ledger, RedriveLedger):
            return True
        if not eras.is_lost(record.value) and (record.topic, record.partition) in eras.unstarted.get(ledger.group, ()):
            raise Violation(f"{ledger.group}: {record} is of another topic, and nobody said where to start")
        return not eras.is_lost(record.value)

    def known(self, group: str, records: Sequence[Record], elapsed_s: float) -> None:
        for record in records:
            self._ledger_of(group).known(record, elapsed_s)

    def _ledger_of(self, group: str) -> Ledger:
        return next(
            one for one in (*self.operators.ledgers.values(), *self.runs.ledgers.values()) if one.group == group
        )

    def appended(self, topic: str, record: Record) -> None:
        if topic == TOPIC:
            self.operators.appended(record)
            for ledger in self.runs.ledgers.values():
                ledger.appended(record)
        elif topic == AUDIT:
            self._audited(orjson.loads(record.value or b""))
        for live in self.operators.ledgers.values():
            if topic == dead_letter_topic_of(live.group):
                self._world.note("dead letters", f"of {live.group}: {record.key!r} {record.value!r}")
                self._burials.tell(live, record)

    def heard(self, record: Record) -> None:
        for live in self.operators.ledgers.values():
            if record.topic == dead_letter_topic_of(live.group):
                self._burials.heard(live, record)

    def _audited(self, line: dict[str, Any]) -> None:
        self._world.note("audit", " ".join(f"{name}={fact}" for name, fact in line.items() if name != "at"))
        for ledger in self.ledgers if TOPIC in self._broker.log.topics else ():
            if line["what"] == "gap" and line["name"] == ledger.group:
                ledger.gap((line["topic"], line["partition"]), line["first"], line["until"])

    def mark_dirty(self, process: Process) -> None:
        owned = [place for place, owner in self._owner.items() if owner == process.name]
        self.expelled(process, owned)

    def expelled(self, _: Process, places: list[Place]) -> None:
        for ledger in self.ledgers:
            ledger.dirty.update(places)

    def committed(self, who: str, group: str, place: Place, before: Committed | None, after: Committed) -> None:
        self._world.note(who, f"commits {group} {place[0]}/{place[1]}: {after.offset} {after.metadata}")
        for ledger in self.ledgers:
            if ledger.group == group:
                ledger.committed(who, place, before, after)

    def seen(self, who: str, group: str, found: dict[Place, Committed]) -> None:
        for ledger in self.ledgers:
            if ledger.group == group:
                ledger.seen(who, found)


def lane_of(record: Record, ordering: str) -> tuple[int, bytes | None] | None:
    """What it waits its turn in; None: nothing goes before it."""
    if ordering == "none" or (ordering == "key" and record.key is None):
        return None
    return record.partition, record.key if ordering == "key" else None
