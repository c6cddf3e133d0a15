"""The workers of a simulated town: how they start, stop and are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from pipeline.errors import PipelineError
from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.client import KafkaSettings
from pipeline.push.delivers import Delivers
from pipeline.push.parts import BridgeSettings, WorkerParts
from pipeline.push.reading import Reading
from pipeline.push.worker import Worker
from pipeline.sealing import KeyRing
from tests.simulation import clients
from tests.simulation.broker import Broker, Place
from tests.simulation.group import Group, Member
from tests.simulation.log_view import SimView
from tests.simulation.world import Process

SenderOf = Callable[[Process, Reading, Callable[[float], bool], Callable[[str], str]], Delivers]


class Crew:
    """``sender_of`` makes what a run of a process delivers to; ``on_seen`` hears what pointers it was answered with."""

    def __init__(
        self,
        broker: Broker,
        group: Group,
        settings: BridgeSettings,
        *,
        sender_of: SenderOf,
        on_seen: Callable[[str, str, dict[Place, Any]], None],
    ) -> None:
        self._world, self._broker, self._group, self._settings = broker.world, broker, group, settings
        self._sender_of, self._on_seen = sender_of, on_seen
        self._workers: dict[str, Worker] = {}
        self._named = 0

    def living(self) -> list[Process]:
        return [process for process in self._world.processes if process.alive and process.name in self._workers]

    def start(self) -> None:
        self._named += 1
        process = Process(self._world, f"w{self._named}")
        self._world.note(process.name, "starts")
        process.tell(lambda: process.loop.create_task(self._begin(process)))

    async def _begin(self, process: Process) -> None:
        settings = msgspec.structs.replace(self._settings, instance=process.name)
        worker = Worker(
            self._parts(process),
            settings,
            join=lambda _kafka, _group, member, listener, _hooks: cast(
                "Any", Member(self._group, process, member, listener)
            ),
            sender_of=lambda reading, _parts, prefix: self._sender_of(
                process, reading, worker.membership.may_act, prefix
            ),
        )
        try:
            await worker.start()
        except PipelineError as error:
            # The process ends, and whoever watches over it starts another.
            self._world.note(process.name, f"could not start: {error}")
            self._world.at(0.0, process.kill)
            self._world.at(1.0, self.start)
            return
        self._workers[process.name] = worker

    def stop(self, process: Process) -> None:
        """SIGTERM: it drains, commits and goes."""
        self._world.note(process.name, "is asked to stop")
        worker = self._workers.pop(process.name)

        async def stop() -> None:
            await worker.stop()
            self._world.note(process.name, "has stopped")
            self._world.at(0.0, process.kill)

        process.tell(lambda: process.loop.create_task(stop()))

    def _parts(self, process: Process) -> WorkerParts:
        admin = clients.SimAdmin(process, self._broker)
        offsets = clients.SimOffsets(process, self._broker)
        offsets.on_seen = self._on_seen
        fakes: dict[str, Any] = {
            "view": SimView(process, self._broker),
            "offsets": offsets,
            "catalog": Catalog(admin, clock=process.monotonic),
            "admin": admin,
            "producer": clients.SimProducer(process, self._broker),
            "journal": clients.SimJournal(),
            "subscriptions": clients.SimTable(process, self._broker.subscriptions),
            "runs": clients.SimTable(process, self._broker.runs),
            "parked": clients.SimTable(process, self._broker.parked),
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
