"""Endpoints that take, refuse, hang and lose replies, and the sender a worker has of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Record
from tests.simulation.world import Process, World

TIMEOUT_S = 3.0
NEVER_S = 1e9


class Answer(NamedTuple):
    """``taken``: the endpoint did what the event asks for; ``outcome`` may never come, or say otherwise."""

    taken: bool
    outcome: Reply | Fault
    after_s: float


class Endpoint:
    """How it answers is set from outside. ``on_arrival`` and ``on_known`` are told what it took, and whether the worker
    got to know.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.mode = "ok"
        self.hanging_keys: set[bytes | None] = set()
        self.poison: set[bytes] = set()
        self.on_arrival: Callable[[str, Record, bool, bool], None] = lambda *_: None
        self.on_known: Callable[[str, Record], None] = lambda *_: None

    def answer(self, record: Record) -> Answer:
        quick_s = 0.001 + 0.02 * self.world.chance.random()
        if (record.value or b"") in self.poison:
            return Answer(False, Reply(500, None, quick_s), quick_s)
        if self.mode == "hangs" or record.key in self.hanging_keys:
            return Answer(False, Reply(503, None, 5.0), 5.0)
        chance = self.world.chance.random()
        match self.mode:
            case "down":
                return Answer(False, Reply(500, None, quick_s), quick_s)
            case "refuses":
                return Answer(False, Fault(FaultKind.CONNECT, "refused", quick_s), quick_s)
            case "busy" if chance < 0.5:
                return Answer(False, Reply(429, "2", quick_s), quick_s)
            case "flaky" if chance < 0.4:
                return Answer(False, Reply(502, None, quick_s), quick_s)
            case "resets" if chance < 0.3:
                return Answer(True, Fault(FaultKind.RESET, "reset after it was taken", quick_s), quick_s)
            case "slow" if chance < 0.3:
                return Answer(True, Reply(204, None, 4.0), 4.0)
            case "gone" if chance < 0.2:
                return Answer(False, Reply(410, None, quick_s), quick_s)
        return Answer(True, Reply(204, None, quick_s), quick_s)


class SimSender:
    """What a run delivers to: requests travel, so what was broken off may still arrive."""

    def __init__(self, process: Process, endpoint: Endpoint, may_act: Callable[[float], bool]) -> None:
        self._process, self._endpoint, self._may_act = process, endpoint, may_act
        self._open: dict[int, tuple[object, Callable[[], object]]] = {}
        self._number = 0

    def send(
        self,
        record: Record,
        attempt: int,
        done: Callable[[Any, Reply | Fault], None],
        arg: Any,
        *_: object,
    ) -> None:
        world, number = self._process.world, self._number
        if not self._may_act(world.now):
            world.broken = f"P4 {self._process.name} sent {shown_record(record)} without the lease"
        self._number += 1

        def arrive() -> None:
            answer = self._endpoint.answer(record)
            took = "took" if answer.taken else f"did not take ({shown(answer.outcome)})"
            world.note(self._endpoint.name, f"{took} {shown_record(record)} attempt {attempt} of {self._process.name}")
            self._endpoint.on_arrival(self._process.name, record, answer.taken, self._is_awaited(number))
            world.at(answer.after_s + world.latency(), self._process.tell, finish, answer.outcome)

        def finish(outcome: Reply | Fault) -> None:
            entry = self._open.pop(number, None)
            if entry is not None:
                entry[1]()
                if isinstance(outcome, Reply) and outcome.status < 300:
                    self._endpoint.on_known(self._process.name, record)
                done(arg, outcome)

        timer = self._process.loop.call_later(TIMEOUT_S, finish, Fault(FaultKind.TIMEOUT, "no answer", TIMEOUT_S))
        self._open[number] = (arg, timer.cancel)
        world.at(world.latency(), arrive)

    def _is_awaited(self, number: int) -> bool:
        """Whether somebody still waits for what becomes of it: it was not broken off, and the worker is well."""
        process = self._process
        return number in self._open and process.alive and not process.frozen and not process.cut

    def abort(self, arg: object, /) -> None:
        for number, (open_arg, cancel) in list(self._open.items()):
            if open_arg is arg:
                cancel()
                del self._open[number]

    async def close(self) -> None:
        for _, cancel in self._open.values():
            cancel()
        self._open.clear()


def shown(outcome: Reply | Fault) -> str:
    return str(outcome.status) if isinstance(outcome, Reply) else outcome.kind.value


def shown_record(record: Record) -> str:
    key = "-" if record.key is None else record.key.decode()
    return f"{record.topic}/{record.partition}@{record.offset} key {key}"
