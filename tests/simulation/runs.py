"""Replays and redrives in a simulated town: begun, paused and cancelled by the product's own classes, and watched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from pipeline.errors import PipelineError
from pipeline.faces import TopicFacts
from pipeline.guard import Guard
from pipeline.kafka.admin import TopicState
from pipeline.kafka.catalog import Catalog
from pipeline.push.facts import RecordFacts
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Reading
from pipeline.record import Record
from pipeline.redrive import DeadLetters, Redrives
from pipeline.replay import ReplayAsked, Replays
from pipeline.runs import Runs, places_of
from pipeline.subscription import Endpoint as Declared
from pipeline.subscription import StoredRun, StoredSubscription
from tests.simulation import clients
from tests.simulation.broker import TOPIC, Broker
from tests.simulation.ledger import At
from tests.simulation.log_view import SimView
from tests.simulation.operators import FILTER, Operators, is_wanted, row_of
from tests.simulation.side_ledger import RedriveLedger, SideLedger
from tests.simulation.world import Process, Violation

SHADOW = "https://shadow.example/hook"
NAMESPACE = BridgeSettings().namespace


class SideRuns:
    """Whoever begins them sits at a process of his own: what he asks for may be lost, or done and not answered.
    ``ledgers`` by group.
    """

    def __init__(self, broker: Broker, operators: Operators) -> None:
        self._broker, self._world, self._chance = broker, broker.world, broker.world.chance
        self._operators = operators
        self.process = process = Process(self._world, "desk")
        self.ledgers: dict[str, SideLedger] = {}
        self._redriven: set[At] = set()
        admin: Any = clients.SimAdmin(process, broker)
        offsets: Any = clients.SimOffsets(process, broker)
        catalogue = Catalog(admin, clock=process.monotonic)
        table: Any = clients.SimTable(process, broker.runs)
        view: Any = SimView(process, broker)
        self._runs = Runs(
            table,
            offsets,
            admin=admin,
            namespace=NAMESPACE,
            now_ms=lambda: int(process.wall() * 1000),
            random_hex=lambda: f"{self._chance.getrandbits(32):08x}",
        )
        self._replays = Replays(
            self._runs,
            admin,
            self._row_of,
            log=view,
            offsets=offsets,
            guard=Guard(),
            now_ms=lambda: int(process.wall() * 1000),
        )
        letters = DeadLetters(
            Source(broker),
            self._runs,
            log=view,
            catalogue=catalogue,
            topics_of=lambda name: self._row_of(name).spec.topics,
            facts_of=lambda record: RecordFacts(record, defaults),
        )
        self._redrives = Redrives(self._runs, letters, self._row_of)
        broker.runs.watch(self._changed)

    # -- what an operator does ---------------------------------------------------------------------------------------

    def act(self) -> None:
        """Begin one, or turn one that there is."""
        if TOPIC in self._broker.log.topics:
            self._chance.choice([self.replay, self.replay, self.redrive, self.redrive, self.turn_one, self.turn_one])()

    def replay(self) -> None:
        name, place = self._some_subscription(), self._chance.randrange(len(self._broker.log.topics[TOPIC].partitions))
        part = self._broker.part((TOPIC, place))
        first = self._chance.randint(part.start, part.end)
        whole = self._chance.random() < 0.5
        asked = ReplayAsked(
            start="earliest" if whole else None,
            from_offset=None if whole else {f"{TOPIC}/{place}": first},
            filters=self._chance.choice([(), (FILTER,)]),
            endpoint=self._chance.choice([None, None, None, Declared(url=SHADOW)]),
            allow_clamp=True,
        )

        async def begin() -> None:
            await self._replays.create(await self._replays.plan(name, asked))

        self._do(f"replays {name}", begin)

    def redrive(self) -> None:
        name = self._some_subscription()

        async def begin() -> None:
            await self._redrives.create(await self._redrives.plan(name))

        self._do(f"redrives {name}", begin)

    def turn_one(self) -> None:
        """Pause, resume or cancel one that is not over."""
        open_ones = [ledger.run for ledger in self.ledgers.values() if not ledger.is_over]
        if open_ones:
            run = self._chance.choice(open_ones)
            verb = self._chance.choice([self._runs.pause, self._runs.pause, self._runs.resume, self._runs.cancel])
            self._do(f"{verb.__name__}s {run.kind} {run.id}", partial(verb, run.subscription, run.kind, run.id))

    def resume_all(self) -> None:
        """When things are quiet."""
        for run in [ledger.run for ledger in self.ledgers.values() if ledger.run.state == "paused"]:
            self._do(f"resumes {run.id}", partial(self._runs.resume, run.subscription, run.kind, run.id))

    def _do(self, what: str, act: Callable[[], Awaitable[object]]) -> None:
        self._world.note("operator", what)

        async def try_it() -> None:
            try:
                await act()
            except PipelineError as error:
                self._world.note("operator", f"{what}: {error.code}: {error}")

        self.process.tell(lambda: self.process.loop.create_task(try_it()))

    def _some_subscription(self) -> str:
        return self._chance.choice(list(self._operators.ledgers))

    def _row_of(self, name: str) -> StoredSubscription:
        row = self._broker.subscriptions.get(name)
        assert row is not None
        return row_of(row.value)

    # -- what is owed ------------------------------------------------------------------------------------------------

    def _changed(self, _key: str, row: Any) -> None:
        if row is None:
            return
        run = msgspec.json.decode(row.value, type=StoredRun)
        reading = Reading(NAMESPACE, self._row_of(run.subscription), run, defaults)
        ledger = self.ledgers.get(reading.group)
        self._world.note("runs", f"{reading.group} is {run.state}: {run.window} {run.picked or ''}")
        if ledger is None:
            self.ledgers[reading.group] = self._opened(reading, run)
        elif run.state in ("done", "cancelled"):
            ledger.ended(run)
            if run.kind == "redrive":
                self._redriven |= {at for at in _letters(ledger) if run.takes(*at[0], at[1])}
        else:
            ledger.run = run

    def _opened(self, reading: Reading, run: StoredRun) -> SideLedger:
        places = [place for place in places_of(run) if place[0] in self._broker.log.topics]
        here = [record for place in places for record in self._broker.part(place).records]
        filters = () if reading.redrives else (*reading.spec.filters, *run.filters)
        wanted = [record for record in here if run.takes(*record.position) and is_wanted(filters, record)]
        kind = RedriveLedger if reading.redrives else SideLedger
        ledger = kind(self._broker, reading.group, reading.spec.ordering, run, wanted)
        if again := self._redriven & set(_letters(ledger)) if reading.redrives else ():
            raise Violation(f"P7 {reading.group} takes {sorted(again)}, which were redriven before")
        return ledger


def _letters(ledger: SideLedger) -> list[At]:
    return [(place, offset) for place, letters in ledger.records.items() for offset in letters]


def defaults(topic: str) -> tuple[str, str]:
    return f"/app/{topic}", f"{topic}.record"


class Page(NamedTuple):
    topic: TopicFacts
    records: Sequence[Record]
    next_offsets: Mapping[int, int]
    next_cursor: str = "end"
    caught_up: bool = True


class Source:
    """Pages of a topic for those that look through dead letters: all of it in one."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def resolve(self, topic: str, _start: str | None) -> tuple[TopicFacts, Mapping[int, int]]:
        found = self._broker.topic(topic)
        ends = {number: part.end for number, part in enumerate(found.partitions)}
        return TopicState(topic, found.topic_id, len(found.partitions)), ends

    async def records(self, topic: str, _start: str | None, _limit: int) -> Page:
        facts, ends = await self.resolve(topic, "latest")
        parts = self._broker.topic(topic).partitions
        return Page(facts, [record for part in parts for record in part.records], ends)
