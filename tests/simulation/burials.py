"""Whose a dead letter is: live delivery and replays of a subscription bury in one topic, and no letter tells which."""

from __future__ import annotations

from pipeline.deadletter import unwrap
from pipeline.kafka.table import Row
from pipeline.parking import read_row
from pipeline.record import Record
from tests.simulation.broker import Broker
from tests.simulation.eras import Eras
from tests.simulation.ledger import At, Ledger
from tests.simulation.runs import SideRuns
from tests.simulation.side_ledger import RedriveLedger, SideLedger


class Burials:
    """Tells ledgers of dead letters. Of a redrive are those that count as redriven; of others those are told that owe
    the event and have attempted it, or have parked keys where it lies.
    """

    def __init__(self, broker: Broker, runs: SideRuns, eras: Eras) -> None:
        self._runs, self._eras = runs, eras
        self._parked: set[str] = set()
        broker.parked.watch(self._waits)

    def _waits(self, name: str, row: Row | None) -> None:
        parked = None if row is None else read_row(name, row.value)
        if parked is not None and parked.policy == "park":
            self._parked.add(name.rpartition("/")[0])

    def tell(self, live: Ledger, record: Record) -> None:
        letter = unwrap(record)
        if letter.redrives:
            for redrive in self._redrives(live):
                redrive.letter_settled(letter.record)
            return
        if self._eras.is_lost(record.value):
            return
        at = (letter.origin.topic, letter.origin.partition), letter.origin.offset
        tried = [one for one in (live, *filter(_buries, self._own(live))) if self._may_have_buried(one, at)]
        if len(tried) > 1:
            for ledger in tried:
                if ledger.owes(at):
                    ledger.settled.add(at)
                    ledger.ever.add(at)
        else:
            (tried or [live])[0].buried(record)

    def heard(self, live: Ledger, record: Record) -> None:
        """Whoever appended it knows that it is there."""
        letter = unwrap(record)
        if letter.redrives:
            for redrive in self._redrives(live):
                redrive.burial_known(letter.record)

    def _own(self, live: Ledger) -> list[SideLedger]:
        return [one for one in self._runs.ledgers.values() if one.run.subscription == live.group.removeprefix("app.")]

    def _redrives(self, live: Ledger) -> list[RedriveLedger]:
        return [one for one in self._own(live) if isinstance(one, RedriveLedger) and not one.is_over]

    def _may_have_buried(self, ledger: Ledger, at: At) -> bool:
        (topic, partition), offset = at
        here = offset in ledger.records[topic, partition]
        return here and (at in ledger.attempted or f"{ledger.group}/{topic}/{partition}" in self._parked)


def _buries(ledger: SideLedger) -> bool:
    return not isinstance(ledger, RedriveLedger) and ledger.run.endpoint is None
