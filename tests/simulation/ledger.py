"""What one subscription is owed and what became of it: the promises, checked at every step and again at the end.

P1 nothing is lost; P2 a commit passes nothing unfinished; P3 order per key; P4 second deliveries only where something
happened that explains them; P6 what retention took is told, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.deadletter import unwrap
from pipeline.delivery.ackmap import AckMap
from pipeline.delivery.pointer import Pointer, read_pointer
from pipeline.kafka.offsets import Committed
from pipeline.parking import name_of, read_row
from pipeline.record import Record
from tests.simulation.broker import Broker, Place
from tests.simulation.world import EPOCH, Violation, World

At = tuple[Place, int]
NOTHING = AckMap()
CLAIM_S_MAX = 4.0
# The shortest `drain_s` that workers are given.
DRAIN_S_MIN = 0.5
TAKEN_BACK_S_MAX = 20.0
# A commit is on its way, and read back, for so long.
WAY_S_MAX = 0.1


class Ledger:
    """``settled``: delivered, buried or told as a gap, since the last rewind; ``ever``: at any time. ``excused``: owed
    no more (an operator skipped it, compaction took it). ``exposed``: may be delivered again, since an owner that was
    lost had not committed it; ``unknown``: was taken, and the worker has not heard of it. ``told``: as gone, since
    the last owner claimed it or before what that knows. ``hung``: the answer took longer than a drain may wait, so
    it may have come when the last commit was on its way.
    """

    def __init__(self, world: World, broker: Broker, group: str, ordering: str) -> None:
        self.world, self.broker, self.group, self.ordering = world, broker, group, ordering
        self.records: dict[Place, dict[int, Record]] = defaultdict(dict)
        self.settled: set[At] = set()
        self.ever: set[At] = set()
        self.excused: set[At] = set()
        self.attempted: set[At] = set()
        self.told: set[At] = set()
        self.hung: set[At] = set()
        self.heard_at: dict[At, float] = {}
        self.committed_at: dict[Place, float] = {}
        self.taken: set[At] = set()
        self.exposed: set[At] = set()
        self.unknown: set[At] = set()
        self.dirty: set[Place] = set()
        self.resets: dict[Place, int] = {}
        self.deleted_at: dict[Place, float] = {}
        self.last_written: dict[Place, tuple[int, str]] = {}
        self.newest_seen: dict[tuple[str, Place], int] = {}
        self.second_deliveries = self.commits = self.buried_count = 0

    def appended(self, record: Record) -> None:
        self.records[record.topic, record.partition][record.offset] = record

    # -- deliveries --------------------------------------------------------------------------------------------------

    def arrived(self, who: str, record: Record, taken: bool, awaited: bool) -> None:
        """An attempt reached the endpoint; ``awaited``: by a worker that is well and has not broken it off."""
        at = ((record.topic, record.partition), record.offset)
        self._check_order(at, record, f"{who} attempted")
        if awaited and record.key is not None and self.ordering == "key":
            row = self.broker.parked.get(name := name_of(self.group, at[0], record.key))
            waits = None if row is None else read_row(name, row.value)
            # One written by the last owner just after it let go is taken back.
            if waits is not None and EPOCH + self.world.now - waits.at_ms / 1000 > TAKEN_BACK_S_MAX:
                raise Violation(f"{self.group}: {who} attempted {at} although its key waits for an operator")
        if not taken:
            return
        if at in self.taken:
            self.second_deliveries += 1
            if awaited and at not in self.exposed and at not in self.unknown:
                raise Violation(f"P4 {self.group}: {who} delivered {at} again, and nothing happened")
        self.taken.add(at)
        self.unknown.add(at)
        self._settle(at)

    def known(self, record: Record, elapsed_s: float) -> None:
        """The worker heard of a delivery, so long after it had begun."""
        at = (record.topic, record.partition), record.offset
        self.unknown.discard(at)
        self.heard_at[at] = self.world.now
        if elapsed_s > DRAIN_S_MIN:
            self.hung.add(at)

    def buried(self, dead_letter: Record) -> None:
        letter = unwrap(dead_letter)
        at = ((letter.origin.topic, letter.origin.partition), letter.origin.offset)
        original = self.records[at[0]][at[1]]
        if (dead_letter.key, dead_letter.value) != (original.key, original.value):
            raise Violation(f"P7 {self.group}: the dead letter of {at} is not its record")
        self._check_order(at, original, "buried")
        self.buried_count += 1
        self._settle(at)

    def owes(self, at: At) -> bool:
        return at[1] in self.records[at[0]] and not self._is_done(at)

    def gap(self, place: Place, first: int, until: int) -> None:
        """Offsets that were gone are told."""
        part = self.broker.part(place)
        here = {record.offset for record in part.records if record.offset >= part.start}
        for offset in range(first, until):
            if offset in here:
                raise Violation(f"P6 {self.group}: {place} told a gap {first} to {until}, but {offset} is there")
            if (place, offset) in self.told:
                raise Violation(f"P6 {self.group}: {place} told a gap {first} to {until}, but told {offset} before")
            self.told.add((place, offset))
            if offset in self.records[place]:
                self._settle((place, offset))

    def _settle(self, at: At) -> None:
        self.settled.add(at)
        self.ever.add(at)

    def _check_order(self, at: At, record: Record, what: str) -> None:
        if (earlier := self._waits_for(at, record)) is not None:
            raise Violation(f"P3 {self.group}: {what} {at} while {earlier} of its key is not settled")

    def _waits_for(self, at: At, record: Record) -> int | None:
        """The first that must be settled before its turn comes; None: it is its turn."""
        if self.ordering == "none" or (self.ordering == "key" and record.key is None):
            return None
        place, offset = at
        for earlier, other in self.records[place].items():
            if earlier >= offset:
                break
            same = self.ordering == "partition" or other.key == record.key
            if same and (place, earlier) not in self.ever and (place, earlier) not in self.excused:
                return earlier
        return None

    # -- pointers ----------------------------------------------------------------------------------------------------

    def seen(self, who: str, found: dict[Place, Committed]) -> None:
        """A worker was answered with these pointers."""
        for place, committed in found.items():
            pointer = read_pointer(committed.offset, committed.metadata)
            if pointer is not None:
                key = (who, place)
                self.newest_seen[key] = max(pointer.epoch, self.newest_seen.get(key, 0))

    def committed(self, who: str, place: Place, before: Committed | None, after: Committed) -> None:
        pointer = read_pointer(after.offset, after.metadata)
        if pointer is None:
            raise Violation(f"{self.group}: {who} committed {after} for {place}, which cannot be read back")
        self.commits += 1
        earlier = None if before is None else read_pointer(before.offset, before.metadata)
        claims = earlier is None or (earlier.epoch, earlier.owner) != (pointer.epoch, pointer.owner)
        wrote = (pointer.epoch, pointer.owner)
        # Deleted just now, between a claim's reading and its commit, it is not missed.
        long_gone = self.world.now - self.deleted_at.get(place, 0.0) > CLAIM_S_MAX
        others = [number for topic, number in self.broker.committed[self.group] if (topic, number) != place]
        # Above all that are committed it looks as if it was added later: begun at 0, delivered twice, nothing lost.
        looks_new = pointer.offset == 0 and place[1] > max(others, default=-1)
        if before is None and long_gone and not looks_new and self.last_written.get(place, wrote) != wrote:
            raise Violation(f"{self.group}: the pointer of {place} was deleted, and {who} guessed {pointer.offset}")
        self.last_written[place] = wrote
        if pointer.epoch < self.newest_seen.get((who, place), 0):
            raise Violation(f"fencing {self.group}: {who} committed {place} although it saw a newer owner's commit")
        if claims:
            self._claimed(who, place, before, pointer)
        self.committed_at[place] = self.world.now
        self._check_commit(who, place, pointer)

    def _claimed(self, who: str, place: Place, before: Committed | None, pointer: Pointer) -> None:
        wanted = self.resets.get(place)
        if wanted is not None and pointer.offset == wanted and not pointer.finished:
            self._rewound(place, wanted)
        again = uncommitted(self.taken, place, before)
        fresh = again - self.exposed - self.unknown - self.hung - self._heard_meanwhile(place)
        if fresh and place not in self.dirty and self.world.now > self.world.trouble_until:
            raise Violation(f"P4 {self.group}: {who} took over {place}, and {sorted(fresh)} were not committed")
        self.exposed |= again
        self.told -= uncommitted(self.told, place, before)
        self.dirty.discard(place)

    def _heard_meanwhile(self, place: Place) -> set[At]:
        """What was heard of while the last commit was on its way: of a batch that was being narrowed down when the
        drain ran out, however quick its last part was.
        """
        last = self.committed_at.get(place, float("-inf"))
        return {at for at, heard_at in self.heard_at.items() if at[0] == place and abs(heard_at - last) <= WAY_S_MAX}

    def _rewound(self, place: Place, to: int) -> None:
        del self.resets[place]
        self.world.note("operator", f"the reset of {self.group} {place} to {to} was taken")
        self.dirty.add(place)
        for offset in self.records[place]:
            at = (place, offset)
            if offset >= to:
                self.settled.discard(at)
                self.excused.discard(at)
            elif at not in self.settled:
                self.excused.add(at)
        here = {record.offset for record in self.broker.part(place).records}
        start = self.broker.part(place).start
        self.excused |= {
            (place, offset) for offset in self.records[place] if offset >= max(to, start) and offset not in here
        }

    def _check_commit(self, who: str, place: Place, pointer: Pointer) -> None:
        for offset in self.records[place]:
            at = (place, offset)
            if (offset < pointer.offset or offset in pointer.finished) and not self._is_done(at):
                raise Violation(
                    f"P2 {self.group}: {who} committed {place} at {pointer.offset} with {pointer.finished.ranges} "
                    f"above, but {offset} is not finished"
                )

    def _is_done(self, at: At) -> bool:
        return at in self.settled or at in self.excused

    # -- the end -----------------------------------------------------------------------------------------------------

    def owed(self) -> list[At]:
        return [
            (place, offset)
            for place, records in self.records.items()
            for offset in records
            if not self._is_done((place, offset))
        ]

    def behind(self) -> list[str]:
        """Partitions whose pointer is not at the end, with nothing above it and no failing head."""
        out = []
        for place in self.records:
            committed = self.broker.committed.get(self.group, {}).get(place)
            pointer = None if committed is None else read_pointer(committed.offset, committed.metadata)
            end = self.broker.part(place).end
            if pointer is None or pointer.offset != end or pointer.finished or pointer.attempts:
                out.append(f"{place}: {committed}, end {end}")
        return out


def uncommitted(ats: Iterable[At], place: Place, before: Committed | None) -> set[At]:
    """Those of ``ats`` at ``place`` that the pointer ``before`` does not tell of: a new owner does them again."""
    known = None if before is None else read_pointer(before.offset, before.metadata)
    base = 0 if before is None else before.offset
    finished = NOTHING if known is None else known.finished
    return {at for at in ats if at[0] == place and at[1] >= base and at[1] not in finished}
