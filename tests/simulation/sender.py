"""The sender that a run of a simulated worker has: its requests travel, so what was broken off may still arrive."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.push.reading import Reading
from pipeline.record import Record
from pipeline.webhook.bundle import BundledEvent
from tests.simulation.broker import Broker
from tests.simulation.endpoint import Arrival, Endpoint, shown, shown_record
from tests.simulation.world import Process

TIMEOUT_S = 3.0


class SimSender:
    """What a run of ``reading`` delivers to: single records and batches, each event under its id."""

    def __init__(
        self,
        process: Process,
        reading: Reading,
        *,
        endpoint: Endpoint,
        broker: Broker,
        may_act: Callable[[float], bool],
        id_prefix: Callable[[str], str],
    ) -> None:
        self._process, self._reading, self._endpoint, self._broker = process, reading, endpoint, broker
        self._may_act, self._id_prefix = may_act, id_prefix
        self._open: dict[int, tuple[object, Callable[[], object]]] = {}
        self._number = 0
        # Asked once per topic, as the real one does.
        self._prefixes: dict[str, str] = {}
        # Taken, but with others behind that are still on their way: nobody was told yet.
        self._untold: dict[int, list[Record]] = {}

    def send(
        self,
        content: Record | Sequence[BundledEvent],
        attempt: int,
        done: Callable[[Any, Reply | Fault], None],
        arg: Any,
        *_: object,
    ) -> None:
        world, number = self._process.world, self._number
        events = self._events(content)
        records = [record for _, record in events]
        if not self._may_act(world.now):
            world.broken = f"P4 {self._process.name} sent {shown_record(records[0])} without the lease"
        self._number += 1
        sent_at = world.now

        def arrive() -> None:
            answer = self._endpoint.answer(records)
            took = "took" if answer.taken else f"did not take ({shown(answer.outcome)})"
            told = " and ".join(map(shown_record, records))
            world.note(self._endpoint.name, f"{took} {told} attempt {attempt} of {self._process.name}{self._run()}")
            awaited = self._is_awaited(number)
            self._endpoint.on_arrival(Arrival(self._process.name, self._reading.group, events, answer.taken, awaited))
            world.at(answer.after_s + world.latency(), self._process.tell, finish, answer.outcome)

        def finish(outcome: Reply | Fault) -> None:
            entry = self._open.pop(number, None)
            if entry is not None:
                entry[1]()
                if isinstance(outcome, Reply) and outcome.status < 300:
                    self._untold.setdefault(id(arg), []).extend(records)
                done(arg, outcome)
                self._tell(arg, world.now - sent_at)

        timer = self._process.loop.call_later(TIMEOUT_S, finish, Fault(FaultKind.TIMEOUT, "no answer", TIMEOUT_S))
        self._open[number] = (arg, timer.cancel)
        world.at(world.latency(), arrive)

    def _tell(self, arg: object, elapsed_s: float) -> None:
        """A batch is in flight until the last request that is made of it has ended."""
        if all(open_arg is not arg for open_arg, _ in self._open.values()):
            self._endpoint.on_known(self._reading.group, self._untold.pop(id(arg), []), elapsed_s)

    def _run(self) -> str:
        return "" if self._reading.run_id is None else f" for {self._reading.group}"

    def _events(self, content: Record | Sequence[BundledEvent]) -> list[tuple[str, Record]]:
        if isinstance(content, Record):
            prefix = self._prefixes.get(content.topic)
            if prefix is None:
                prefix = self._prefixes[content.topic] = self._id_prefix(content.topic)
            return [(f"{prefix}{content.partition}_{content.offset}", content)]
        return [(event.webhook_id.decode(), self._as_published(event)) for event in content]

    def _as_published(self, event: BundledEvent) -> Record:
        """A batch holds JSON: which event it is, its data tells."""
        told = orjson.loads(event.json)
        value = base64.b64decode(told["data_base64"]) if "data_base64" in told else str(told["data"]).encode()
        return self._broker.published[value][0]

    def _is_awaited(self, number: int) -> bool:
        """Whether somebody still waits for what becomes of it: it was not broken off, and the worker is well."""
        process = self._process
        return number in self._open and process.alive and not process.frozen and not process.cut

    def abort(self, arg: object, /) -> None:
        for number, (open_arg, cancel) in list(self._open.items()):
            if open_arg is arg:
                cancel()
                del self._open[number]
        self._untold.pop(id(arg), None)

    async def close(self) -> None:
        for _, cancel in self._open.values():
            cancel()
        self._open.clear()
        self._untold.clear()
