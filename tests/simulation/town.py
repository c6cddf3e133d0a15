"""One simulated town: a topic, subscriptions with their endpoints, workers that come and go, and their history."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import orjson

from pipeline.errors import PipelineError
from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.offsets import Committed
from pipeline.names import dead_letter_topic_of, group_of
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.worker import Worker
from pipeline.record import Record
from pipeline.sealing import KeyRing
from pipeline.subscription import StoredSubscription, subscription_from
from tests.fakes.log import MemoryPartition
from tests.simulation import broker as clients
from tests.simulation.broker import Broker, Place, drive
from tests.simulation.endpoint import Endpoint, SimSender
from tests.simulation.group import Group, Member
from tests.simulation.ledger import Ledger
from tests.simulation.nemesis import TOPIC, Nemesis
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
        self.endpoints: dict[str, Endpoint] = {}
        self.ledgers: dict[str, Ledger] = {}
        self.workers: dict[str, Worker] = {}
        self.group = Group(self.world, self.broker.log, self._expelled)
        self._events = self._named = 0
        self._rough = self.chance.random() < 0.8
        self._nemesis = Nemesis(self, rough=self._rough)
        self._settings = BridgeSettings(
            session_timeout_s=6.0,
            drain_s=self.chance.choice([0.5, 2.0]),
            commit_interval_s=self.chance.choice([0.1, 0.5]),
            check_s=self.chance.choice([1.0, 5.0]),
            touch_s=20.0,
            take_records_max=self.chance.choice([3, 500]),
            held_bytes_max=self.chance.choice([100, 100_000]),
            positions_max=self.chance.choice([10, 1_000]),
        )

    # -- its days ----------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Troubled days, then quiet ones in which everything must settle. Raises `Violation`."""
        try:
            for _ in range(self.chance.randint(0, 10)):
                self._produce()
            for number in range(self.chance.choice([1, 1, 2])):
                self._subscribe(f"hook{number}")
            for _ in range(self.chance.choice([1, 2, 3])):
                self.start_worker()
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
        for endpoint in self.endpoints.values():
            endpoint.poison.clear()
        if not any(process.alive for process in self.world.processes):
            self.start_worker()
        until = self.world.now + DRAIN_S_MAX
        while self.world.now < until:
            self.world.run_until(self.world.now + 1.0)
            self._operate()
            if not any(ledger.owed() or ledger.behind() or ledger.resets for ledger in self.ledgers.values()):
                return self._check_complaints()
        raise Violation(f"P1 not settled in {DRAIN_S_MAX:g} quiet seconds: " + "; ".join(self._left()))

    def _left(self) -> list[str]:
        rows = [row_of(row.value) for row in self.broker.subscriptions.rows().values()]
        states = [f"{row.spec.name} {row.state} ({row.reason})" for row in rows]
        return states + [f"{one.group}: owed {one.owed()}, behind {one.behind()}" for one in self.ledgers.values()]

    def _check_complaints(self) -> None:
        for process in self.world.processes:
            for complaint in process.complaints:
                raise Violation(f"{process.name} complained: {complaint.get('message')} {complaint.get('exception')!r}")

    def _operate(self) -> None:
        """What an operator does when things are quiet: sets going what stands, lets go what is held."""
        self.release_keys()
        for name, row in self.broker.subscriptions.rows().items():
            stored = row_of(row.value)
            if stored.state == "blocked" and not stored.reason.startswith("pointer-missing"):
                raise Violation(f"{name} is blocked: {stored.reason}")
            if stored.state != "active":
                self._give_pointers(name)
                self.set_state(name, "active")

    # -- events ------------------------------------------------------------------------------------------------------

    def _produce(self) -> None:
        """A few events, now and then with offsets that hold no record."""
        partition = self.some_partition()
        for _ in range(self.chance.randint(1, 5)):
            self._events += 1
            value = b"event %d" % self._events
            if self.chance.random() < 0.05:
                for endpoint in self.endpoints.values():
                    endpoint.poison.add(value)
            if self.chance.random() < 0.2:
                self.broker.log.skip(TOPIC, partition, self.chance.randint(1, 3))
            self.broker.append(TOPIC, value, self.chance.choice(KEYS), (), partition)
        if self.chance.random() < 0.2:
            self.broker.log.skip(TOPIC, partition)

    def _appended(self, topic: str, record: Record) -> None:
        if topic == TOPIC:
            for ledger in self.ledgers.values():
                ledger.appended(record)
        elif topic == AUDIT:
            self._audited(orjson.loads(record.value or b""))
        for name, ledger in self.ledgers.items():
            if topic == dead_letter_topic_of(group_of("app", name)):
                self.world.note("dead letters", f"of {name}: {record.key!r} {record.value!r}")
                ledger.buried(record)

    def _audited(self, line: dict[str, Any]) -> None:
        self.world.note("audit", " ".join(f"{name}={fact}" for name, fact in line.items() if name != "at"))
        for ledger in self.ledgers.values():
            if line["what"] == "gap" and line["name"] == ledger.group:
                ledger.gap((line["topic"], line["partition"]), line["first"], line["until"])

    # -- subscriptions -----------------------------------------------------------------------------------------------

    def _subscribe(self, name: str) -> None:
        group, latest = group_of("app", name), self.chance.random() < 0.3
        spec = {
            "name": name,
            "topics": [TOPIC],
            "endpoint": {"url": "https://receiver.example/hook"},
            "ordering": self.chance.choice(["key", "key", "key", "partition", "none"]),
            "on_dead_letter": self.chance.choice(["continue", "continue", "park", "block"]),
            "in_flight_max": self.chance.choice([1, 3, 8]),
            "retry": {
                "schedule_s": self.chance.choice([[0.5], [0.3, 2.0], [0.2, 0.5, 1.0, 2.0, 4.0]]),
                "give_up_after_s": self.chance.choice([10, 259_200]),
            },
        }
        parts = self.broker.log.topics[TOPIC].partitions
        self.broker.log.create(dead_letter_topic_of(group), len(parts))
        endpoint = self.endpoints[name] = Endpoint(self.world, f"endpoint of {name}")
        ledger = self.ledgers[name] = Ledger(self.world, self.broker, group, str(spec["ordering"]))
        endpoint.on_arrival = ledger.arrived
        endpoint.on_known = lambda _, record: ledger.known(record)
        starts = {(TOPIC, number): part.end if latest else part.start for number, part in enumerate(parts)}
        self.broker.committed[group] = {place: Committed(start, "") for place, start in starts.items()}
        for (topic, number), start in starts.items():
            for record in parts[number].records:
                ledger.appended(record)
                if record.offset < start:
                    ledger.excused.add(((topic, number), record.offset))
        row = StoredSubscription(spec=subscription_from(spec))
        drive(self.broker.subscriptions.put(name, msgspec.json.encode(row), based_on=None))
        self.world.note("operator", f"subscribes {name}: {spec}")

    def set_state(self, name: str, state: str) -> None:
        row = self.broker.subscriptions.get(name)
        assert row is not None
        stored = row_of(row.value)
        if state == "paused" and stored.state != "active":
            return
        self.world.note("operator", f"{name}: {stored.state} ({stored.reason}) -> {state}")
        changed = msgspec.structs.replace(stored, state=state, reason="")
        drive(self.broker.subscriptions.put(name, msgspec.json.encode(changed), based_on=row.version))

    def release_keys(self) -> None:
        for name, row in self.broker.parked.rows().items():
            self.world.note("operator", f"releases {name}")
            drive(self.broker.parked.put(name, None, based_on=row.version))

    def _give_pointers(self, name: str) -> None:
        """Where a pointer is missing, the operator says to begin at the log's start."""
        ledger = self.ledgers[name]
        known = self.broker.committed[ledger.group]
        for number, part in enumerate(self.broker.log.topics[TOPIC].partitions):
            if (TOPIC, number) not in known:
                self.world.note("operator", f"{name}: {TOPIC}/{number} begins at {part.start}")
                self.reset(name, (TOPIC, number), part.start)

    def reset(self, name: str, place: Place, to: int) -> None:
        """With a tool that knows nothing of us; done again until a worker has taken it."""
        ledger = self.ledgers[name]
        if place in ledger.resets:
            return
        ledger.resets[place] = to
        ledger.dirty.add(place)
        # Some tools leave the metadata as it was.
        self._reset_again(name, place, keeps_metadata=self.chance.random() < 0.3)

    def _reset_again(self, name: str, place: Place, keeps_metadata: bool) -> None:
        ledger = self.ledgers[name]
        if place in ledger.resets:
            self.world.note("operator", f"resets {name} {place} to {ledger.resets[place]}")
            known = self.broker.committed[ledger.group].get(place)
            stands = known is not None and f".{ledger.resets[place]}." in (known.metadata or "").partition(".n")[0]
            if known is not None and keeps_metadata and stands and known.offset == ledger.resets[place]:
                del ledger.resets[place]  # nothing was changed, and nobody can tell
                return
            metadata = known.metadata if known is not None and keeps_metadata else ""
            self.broker.committed[ledger.group][place] = Committed(ledger.resets[place], metadata)
            self.world.at(12.0, self._reset_again, name, place, keeps_metadata)

    # -- the log -----------------------------------------------------------------------------------------------------

    def some_partition(self) -> int:
        return self.chance.randrange(len(self.broker.log.topics[TOPIC].partitions))

    def add_partition(self) -> None:
        self.broker.log.topics[TOPIC].partitions.append(MemoryPartition())

    # -- workers -----------------------------------------------------------------------------------------------------

    def living(self) -> list[Process]:
        return [process for process in self.world.processes if process.alive and process.name in self.workers]

    def start_worker(self) -> None:
        self._named += 1
        process = Process(self.world, f"w{self._named}")
        self.world.note(process.name, "starts")
        process.tell(lambda: process.loop.create_task(self._begin(process)))

    async def _begin(self, process: Process) -> None:
        settings = msgspec.structs.replace(self._settings, instance=process.name)
        worker = Worker(
            self._parts(process),
            settings,
            join=lambda _kafka, _group, member, listener, _hooks: cast(
                "Any", Member(self.group, process, member, listener)
            ),
            sender_of=lambda reading, _parts, _prefix: SimSender(
                process, self.endpoints[reading.spec.name], worker.membership.may_act
            ),
        )
        try:
            await worker.start()
        except PipelineError as error:
            # The process ends, and whoever watches over it starts another.
            self.world.note(process.name, f"could not start: {error}")
            self.world.at(0.0, process.kill)
            self.world.at(1.0, self.start_worker)
            return
        self.workers[process.name] = worker

    def stop_worker(self, process: Process) -> None:
        """SIGTERM: it drains, commits and goes."""
        self.world.note(process.name, "is asked to stop")
        worker = self.workers.pop(process.name)

        async def stop() -> None:
            await worker.stop()
            self.world.note(process.name, "has stopped")
            self.world.at(0.0, process.kill)

        process.tell(lambda: process.loop.create_task(stop()))

    def _parts(self, process: Process) -> WorkerParts:
        admin = clients.SimAdmin(process, self.broker)
        offsets = clients.SimOffsets(process, self.broker)
        offsets.on_seen = self._seen
        fakes: dict[str, Any] = {
            "view": clients.SimView(process, self.broker),
            "offsets": offsets,
            "catalog": clients.SimCatalog(admin),
            "admin": admin,
            "producer": clients.SimProducer(process, self.broker),
            "journal": clients.SimJournal(),
            "subscriptions": clients.SimTable(process, self.broker.subscriptions),
            "runs": clients.SimTable(process, self.broker.runs),
            "parked": clients.SimTable(process, self.broker.parked),
        }
        return WorkerParts(
            kafka=KafkaSettings(),
            keyring=KeyRing([("k1", bytes(32))]),
            guard=Guard(),
            hooks=Hooks(),
            defaults=lambda topic: (f"/app/{topic}", f"{topic}.record"),
            clock=process,
            **fakes,
        )

    # -- what the ledgers are told -----------------------------------------------------------------------------------

    def mark_dirty(self, process: Process) -> None:
        owned = [place for place, owner in self.group.owner.items() if owner == process.name]
        for ledger in self.ledgers.values():
            ledger.dirty.update(owned)

    def _expelled(self, process: Process, places: list[Place]) -> None:
        for ledger in self.ledgers.values():
            ledger.dirty.update(places)

    def _committed(self, who: str, group: str, place: Place, before: Committed | None, after: Committed) -> None:
        self.world.note(who, f"commits {group} {place[0]}/{place[1]}: {after.offset} {after.metadata}")
        for ledger in self.ledgers.values():
            if ledger.group == group:
                ledger.committed(who, place, before, after)

    def _seen(self, who: str, group: str, found: dict[Place, Committed]) -> None:
        for ledger in self.ledgers.values():
            if ledger.group == group:
                ledger.seen(who, found)


def row_of(value: bytes) -> StoredSubscription:
    return msgspec.json.decode(value, type=StoredSubscription)
