"""One simulated town: a topic, subscriptions with their endpoints, workers that come and go, and their history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from pipeline.kafka.offsets import Committed
from pipeline.names import dead_letter_topic_of
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading
from pipeline.record import Headers, Record
from tests.fakes.log import MemoryPartition
from tests.simulation.broker import TOPIC, Broker, Place
from tests.simulation.burials import Burials
from tests.simulation.crew import Crew
from tests.simulation.endpoint import Arrival, Endpoint
from tests.simulation.group import Group
from tests.simulation.ledger import Ledger
from tests.simulation.nemesis import Nemesis
from tests.simulation.operators import MADE, Operators
from tests.simulation.runs import SideRuns
from tests.simulation.sender import SimSender
from tests.simulation.side_ledger import RedriveLedger
from tests.simulation.world import Process, Violation, World

ACTIVE_S = 40.0
DRAIN_S_MAX = 400.0
AUDIT = "_pipeline-audit"
TABLES = (AUDIT, "_pipeline-attempts", "_pipeline-ackmaps")
# Bytes that are nothing else, and events of two types.
HEADERS: list[Headers] = [
    (),
    *(
        (("ce_specversion", b"1.0"), ("ce_id", b"e"), ("ce_source", b"/s"), ("ce_type", kind))
        for kind in (MADE, b"lost")
    ),
]
KEYS: list[bytes | None] = [b"a", b"b", b"c", b"d", None]


class Town:
    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.chance = self.world.chance
        self.broker, self.keys = Broker(self.world), KEYS
        self.broker.log.create(TOPIC, self.chance.randint(1, 3))
        for name in TABLES:
            self.broker.log.create(name)
        self.broker.on_commit, self.broker.on_append = self._committed, self._appended
        self.group = Group(self.world, self.broker.log, self._expelled)
        self.operators = Operators(
            self.broker, on_arrival=self._arrived, on_known=self._known, ledgers=lambda: self.ledgers
        )
        self.runs = SideRuns(self.broker, self.operators)
        self._burials = Burials(self.broker, self.runs, self.operators.eras)
        self._events = 0
        # Partitions whose leader takes nothing.
        self.closed: set[int] = set()
        self._rough = self.chance.random() < 0.8
        self._nemesis = Nemesis(self, rough=self._rough)
        settings = BridgeSettings(
            session_timeout_s=6.0,
            drain_s=self.chance.choice([0.5, 2.0]),
            commit_interval_s=self.chance.choice([0.1, 0.5]),
            check_s=self.chance.choice([1.0, 5.0]),
            touch_s=20.0,
            take_records_max=self.chance.choice([3, 500]),
            held_bytes_max=self.chance.choice([100, 100_000]),
            positions_max=self.chance.choice([10, 1_000]),
        )
        self.crew = Crew(
            self.broker,
            self.group,
            settings,
            sender_of=lambda process, reading, may_act, id_prefix: SimSender(
                process,
                reading,
                endpoint=self._endpoint_of(reading),
                broker=self.broker,
                may_act=may_act,
                id_prefix=id_prefix,
            ),
            on_seen=self._seen,
        )

    @property
    def ledgers(self) -> list[Ledger]:
        """Of live delivery, and of the runs that are not over."""
        return [
            *self.operators.ledgers.values(),
            *(ledger for ledger in self.runs.ledgers.values() if not ledger.is_over),
        ]

    def _endpoint_of(self, reading: Reading) -> Endpoint:
        return self.operators.shadow if reading.is_shadow else self.operators.endpoints[reading.spec.name]

    # -- its days ----------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Troubled days, then quiet ones in which everything must settle. Raises `Violation`."""
        try:
            for _ in range(self.chance.randint(0, 10)):
                self._produce()
            for number in range(self.chance.choice([1, 1, 2])):
                self.operators.subscribe(f"hook{number}")
            for _ in range(self.chance.choice([1, 2, 3])):
                self.crew.start()
            begun = self.world.now
            for moment in sorted(self.chance.uniform(0.0, ACTIVE_S) for _ in range(self.chance.randint(0, 12))):
                self.world.at(moment, self._nemesis.strike)
            for moment in sorted(self.chance.uniform(0.0, ACTIVE_S) for _ in range(self.chance.randint(1, 60))):
                self.world.at(moment, self._produce)
            for moment in sorted(self.chance.uniform(0.0, ACTIVE_S) for _ in range(self.chance.choice([0, 0, 2, 6]))):
                self.world.at(moment, self.runs.act)
            # Whatever broke in these days is put right 14 s later at the latest.
            self.world.run_until(begun + ACTIVE_S + 15.0)
            self._settle()
        finally:
            self.world.end()

    def _settle(self) -> None:
        self.world.note("town", "quiet days begin")
        for endpoint in self.operators.endpoints.values():
            endpoint.poison.clear()
        if not self.crew.living():
            self.crew.start()
        until = self.world.now + DRAIN_S_MAX
        while self.world.now < until:
            self.world.run_until(self.world.now + 1.0)
            self.operators.put_right()
            self.runs.put_right()
            if not any(ledger.owed() or ledger.behind() or ledger.resets for ledger in self.ledgers):
                return self._check_complaints()
        left = [f"{one.group}: owed {one.owed()}, behind {one.behind()}" for one in self.ledgers]
        raise Violation(f"P1 not settled in {DRAIN_S_MAX:g} quiet seconds: " + "; ".join(self.operators.left() + left))

    def _check_complaints(self) -> None:
        for process in self.world.processes:
            for complaint in process.complaints:
                raise Violation(f"{process.name} complained: {complaint.get('message')} {complaint.get('exception')!r}")

    # -- the log -----------------------------------------------------------------------------------------------------

    def _produce(self) -> None:
        """A few events, now and then with offsets that hold no record."""
        if TOPIC not in self.broker.log.topics:
            return
        partition = self.some_partition()
        if not self.is_open(partition):
            return
        for _ in range(self.chance.randint(1, 5)):
            self._events += 1
            value = b"event %d" % self._events
            if self.chance.random() < 0.05:
                for endpoint in self.operators.endpoints.values():
                    endpoint.poison.add(value)
            if self.chance.random() < 0.2:
                self.broker.log.skip(TOPIC, partition, self.chance.randint(1, 3))
            self.broker.append(TOPIC, value, self.chance.choice(KEYS), self.chance.choice(HEADERS), partition)
        if self.chance.random() < 0.2:
            self.broker.log.skip(TOPIC, partition)

    def some_partition(self) -> int:
        return self.chance.randrange(len(self.broker.log.topics[TOPIC].partitions))

    def is_open(self, partition: int) -> bool:
        """Whether somebody may append there."""
        return partition not in self.closed

    def add_partition(self) -> None:
        self.broker.log.topics[TOPIC].partitions.append(MemoryPartition())

    # -- what the ledgers are told -----------------------------------------------------------------------------------

    def _arrived(self, arrival: Arrival) -> None:
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
        (published, own_id), eras = self.broker.published[record.value], self.operators.eras
        # A dead letter does not say of which topic of that name it is: made again, it gives the event another id.
        is_moved = isinstance(ledger, RedriveLedger) and eras.is_lost(record.value)
        if webhook_id != own_id and eras.may_be_unaware(webhook_id):
            return False
        if record != published or (webhook_id != own_id and not is_moved):
            raise Violation(f"{ledger.group}: {own_id} was sent as {webhook_id}: {record}")
        if isinstance(ledger, RedriveLedger):
            return True
        if not eras.is_lost(record.value) and (record.topic, record.partition) in eras.unstarted.get(ledger.group, ()):
            raise Violation(f"{ledger.group}: {record} is of another topic, and nobody said where to start")
        return not eras.is_lost(record.value)

    def _known(self, group: str, records: Sequence[Record]) -> None:
        for record in records:
            self._ledger_of(group).known(record)

    def _ledger_of(self, group: str) -> Ledger:
        return next(
            one for one in (*self.operators.ledgers.values(), *self.runs.ledgers.values()) if one.group == group
        )

    def _appended(self, topic: str, record: Record) -> None:
        if topic == TOPIC:
            self.operators.appended(record)
            for ledger in self.runs.ledgers.values():
                ledger.appended(record)
        elif topic == AUDIT:
            self._audited(orjson.loads(record.value or b""))
        for live in self.operators.ledgers.values():
            if topic == dead_letter_topic_of(live.group):
                self.world.note("dead letters", f"of {live.group}: {record.key!r} {record.value!r}")
                self._burials.tell(live, record)

    def _audited(self, line: dict[str, Any]) -> None:
        self.world.note("audit", " ".join(f"{name}={fact}" for name, fact in line.items() if name != "at"))
        for ledger in self.ledgers if TOPIC in self.broker.log.topics else ():
            if line["what"] == "gap" and line["name"] == ledger.group:
                ledger.gap((line["topic"], line["partition"]), line["first"], line["until"])

    def mark_dirty(self, process: Process) -> None:
        owned = [place for place, owner in self.group.owner.items() if owner == process.name]
        self._expelled(process, owned)

    def _expelled(self, _: Process, places: list[Place]) -> None:
        for ledger in self.ledgers:
            ledger.dirty.update(places)

    def _committed(self, who: str, group: str, place: Place, before: Committed | None, after: Committed) -> None:
        self.world.note(who, f"commits {group} {place[0]}/{place[1]}: {after.offset} {after.metadata}")
        for ledger in self.ledgers:
            if ledger.group == group:
                ledger.committed(who, place, before, after)

    def _seen(self, who: str, group: str, found: dict[Place, Committed]) -> None:
        for ledger in self.ledgers:
            if ledger.group == group:
                ledger.seen(who, found)


def lane_of(record: Record, ordering: str) -> tuple[int, bytes | None] | None:
    """What it waits its turn in; None: nothing goes before it."""
    if ordering == "none" or (ordering == "key" and record.key is None):
        return None
    return record.partition, record.key if ordering == "key" else None
