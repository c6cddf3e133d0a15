"""One simulated town: a topic, subscriptions with their endpoints, workers that come and go, and their history."""

from __future__ import annotations

from typing import Any

import orjson

from pipeline.kafka.offsets import Committed
from pipeline.names import dead_letter_topic_of
from pipeline.push.parts import BridgeSettings
from pipeline.record import Record
from tests.fakes.log import MemoryPartition
from tests.simulation.broker import TOPIC, Broker, Place
from tests.simulation.crew import Crew
from tests.simulation.endpoint import SimSender
from tests.simulation.group import Group
from tests.simulation.ledger import Ledger
from tests.simulation.nemesis import Nemesis
from tests.simulation.operators import Operators
from tests.simulation.world import Process, Violation, World

ACTIVE_S = 40.0
DRAIN_S_MAX = 400.0
AUDIT = "_pipeline-audit"
TABLES = (AUDIT, "_pipeline-attempts", "_pipeline-ackmaps")
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
        self.operators = Operators(self.broker)
        self._events = 0
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
            sender_of=lambda process, reading, may_act: SimSender(
                process, self.operators.endpoints[reading.spec.name], may_act
            ),
            on_seen=self._seen,
        )

    @property
    def ledgers(self) -> list[Ledger]:
        return list(self.operators.ledgers.values())

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
            # Whatever broke in these days is put right 14 s later at the latest.
            self.world.run_until(begun + ACTIVE_S + 15.0)
            self._settle()
        finally:
            self.world.end()

    def _settle(self) -> None:
        self.world.note("town", "quiet days begin")
        for endpoint in self.operators.endpoints.values():
            endpoint.poison.clear()
        if not any(process.alive for process in self.world.processes):
            self.crew.start()
        until = self.world.now + DRAIN_S_MAX
        while self.world.now < until:
            self.world.run_until(self.world.now + 1.0)
            self.operators.put_right()
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
        partition = self.some_partition()
        for _ in range(self.chance.randint(1, 5)):
            self._events += 1
            value = b"event %d" % self._events
            if self.chance.random() < 0.05:
                for endpoint in self.operators.endpoints.values():
                    endpoint.poison.add(value)
            if self.chance.random() < 0.2:
                self.broker.log.skip(TOPIC, partition, self.chance.randint(1, 3))
            self.broker.append(TOPIC, value, self.chance.choice(KEYS), (), partition)
        if self.chance.random() < 0.2:
            self.broker.log.skip(TOPIC, partition)

    def some_partition(self) -> int:
        return self.chance.randrange(len(self.broker.log.topics[TOPIC].partitions))

    def add_partition(self) -> None:
        self.broker.log.topics[TOPIC].partitions.append(MemoryPartition())

    # -- what the ledgers are told -----------------------------------------------------------------------------------

    def _appended(self, topic: str, record: Record) -> None:
        if topic == TOPIC:
            for ledger in self.ledgers:
                ledger.appended(record)
        elif topic == AUDIT:
            self._audited(orjson.loads(record.value or b""))
        for ledger in self.ledgers:
            if topic == dead_letter_topic_of(ledger.group):
                self.world.note("dead letters", f"of {ledger.group}: {record.key!r} {record.value!r}")
                ledger.buried(record)

    def _audited(self, line: dict[str, Any]) -> None:
        self.world.note("audit", " ".join(f"{name}={fact}" for name, fact in line.items() if name != "at"))
        for ledger in self.ledgers:
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
