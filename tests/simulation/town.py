"""One simulated town: a topic, subscriptions with their endpoints, workers that come and go, and their history."""

from __future__ import annotations

from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading
from pipeline.record import Headers
from tests.fakes.log import MemoryPartition
from tests.simulation.books import AUDIT, Books
from tests.simulation.broker import TOPIC, Broker, Place
from tests.simulation.crew import Crew
from tests.simulation.endpoint import Endpoint
from tests.simulation.group import Group
from tests.simulation.nemesis import Nemesis
from tests.simulation.operators import MADE
from tests.simulation.sender import SimSender
from tests.simulation.world import Process, Violation, World

ACTIVE_S = 40.0
DRAIN_S_MAX = 400.0
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
        self.group = Group(self.world, self.broker.log, self._expelled)
        self.books = Books(self.broker, self.group.owner)
        self.operators, self.runs = self.books.operators, self.books.runs
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
            on_seen=self.books.seen,
        )

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
            self.runs.resume_all()
            if not any(ledger.owed() or ledger.behind() or ledger.resets for ledger in self.books.ledgers):
                return self._check_complaints()
        left = [f"{one.group}: owed {one.owed()}, behind {one.behind()}" for one in self.books.ledgers]
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

    def _expelled(self, process: Process, places: list[Place]) -> None:
        self.books.expelled(process, places)
