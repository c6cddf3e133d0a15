"""What a replay or a redrive owes, and what became of it: the promises of a bounded reading.

Exactly the window is delivered, through a group of its own, in its order, however often the run is paused or its
workers die; when its row says ``done`` all of it is settled, and when it says ``cancelled`` all that its window was cut
to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.delivery.pointer import Pointer
from pipeline.kafka.offsets import Committed
from pipeline.record import Record
from pipeline.runs import places_of
from pipeline.subscription import StoredRun
from tests.simulation.broker import Broker, Place
from tests.simulation.ledger import DRAIN_S_MIN, At, Ledger, uncommitted
from tests.simulation.world import Violation


class SideLedger(Ledger):
    """The ledger of a replay: ``records`` is what it is to deliver. A ``shadow`` buries nothing: what it refused is
    settled too.
    """

    def __init__(self, broker: Broker, group: str, ordering: str, run: StoredRun, records: Iterable[Record]) -> None:
        super().__init__(broker.world, broker, group, ordering)
        self.run, self.is_over = run, False
        for record in records:
            self.records[record.topic, record.partition][record.offset] = record

    def appended(self, record: Record) -> None:
        """Its window is frozen; what lies in it now, under an offset that was given out again, it may deliver."""
        if self.run.takes(*record.position):
            self.records[record.topic, record.partition][record.offset] = record
            self.excused.add(((record.topic, record.partition), record.offset))

    def arrived(self, who: str, record: Record, taken: bool, awaited: bool) -> None:
        if self.is_over:
            return  # cancelled; what its workers do until they hear of it may be done again
        at = self.place_of(record)
        if at[1] not in self.records[at[0]]:
            raise Violation(f"{self.group}: {who} attempted {at}, which is no part of it")
        super().arrived(who, self.records[at[0]][at[1]], taken, awaited)
        if not taken and self.run.endpoint is not None:
            self.excused.add(at)

    def place_of(self, record: Record) -> At:
        """Where on the log it reads lies what ``record`` was delivered for."""
        return (record.topic, record.partition), record.offset

    def ended(self, run: StoredRun) -> None:
        """Its row says that it is over."""
        self.is_over, before, self.run = True, self.run, run
        for place in places_of(before):
            until = run.window.get(place[0], {}).get(place[1], (0, 0))[1]
            left = [at for at in self.records[place] if at < until and not self._is_done((place, at))]
            if left:
                raise Violation(f"P1 {self.group} is {run.state}, but {place} {left} of it are not settled")

    def owed(self) -> list[At]:
        return [] if self.is_over else super().owed()

    def behind(self) -> list[str]:
        return [] if self.is_over else [f"it is {self.run.state}"]


class RedriveLedger(SideLedger):
    """``records`` are dead letters; what arrives are the events they are of.

    An event may have several letters, and which of them it was sent for nobody sees: it is taken to be the first that
    nothing was sent for, or, before the turn of that one, one that is done again; what settles one is believed to
    settle the others. Which event a letter is of its value tells: of a topic that was made again the offsets do not.

    ``_unheard``: buried, and the worker has not heard of it; ``_open``: done when an owner was lost that had not
    committed it.
    """

    def __init__(self, broker: Broker, group: str, ordering: str, run: StoredRun, records: Iterable[Record]) -> None:
        super().__init__(broker, group, ordering, run, records)
        self._used: set[At] = set()
        self._unheard: set[At] = set()
        self._open: set[At] = set()
        self._letters: dict[bytes | None, list[At]] = defaultdict(list)
        for place, letters in self.records.items():
            for offset, letter in letters.items():
                self._letters[letter.value].append((place, offset))

    def place_of(self, record: Record) -> At:
        found = self._letters.get(record.value, [])
        again = [at for at in found if at in self.exposed or at in self.unknown]
        waiting = [at for at in found if at not in self._used]
        if waiting and self._waits_for(waiting[0], record) is not None:
            waiting = [*again, *(at for at in found if at in self._unheard or at in self._open), *waiting]
        return next(iter([*waiting, *again, *found]), ((record.topic, record.partition), record.offset))

    def known(self, record: Record, elapsed_s: float) -> None:
        letters = self._letters.get(record.value, ())
        self.unknown.difference_update(letters)
        if elapsed_s > DRAIN_S_MIN:
            self.hung.update(letters)

    def letter_settled(self, origin: Record) -> None:
        """It failed again, and lies there as a new letter."""
        at = self.place_of(origin)
        self._check_order(at, self.records[at[0]][at[1]], "buried")
        self.buried_count += 1
        self._unheard.add(at)
        self._settle(at)

    def burial_known(self, origin: Record) -> None:
        """The worker heard that its new letter lies there."""
        self._unheard.difference_update(self._letters.get(origin.value, ()))

    def _claimed(self, who: str, place: Place, before: Committed | None, pointer: Pointer) -> None:
        super()._claimed(who, place, before, pointer)
        self._open |= uncommitted(self._used, place, before)

    def _settle(self, at: At) -> None:
        self._used.add(at)
        for one in self._letters[self.records[at[0]][at[1]].value]:
            super()._settle(one)
