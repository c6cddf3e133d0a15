"""Endpoints that take, refuse, hang and lose replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.delivery.verdict import Fault, FaultKind, Reply
from pipeline.record import Record
from tests.simulation.world import World


class Answer(NamedTuple):
    """``taken``: the endpoint did what the events ask for; ``outcome`` may never come, or say otherwise."""

    taken: bool
    outcome: Reply | Fault
    after_s: float


class Arrival(NamedTuple):
    """A request that arrived: of which run of whom, the events in it with the ids they came under, and whether the
    sender still waits for the answer (it is well and has not broken the request off).
    """

    who: str
    group: str
    events: Sequence[tuple[str, Record]]
    taken: bool
    awaited: bool


class Endpoint:
    """How it answers is set from outside. ``on_arrival`` is told of each request, ``on_known`` of the events of one
    whose sender got to know that they were taken, and how long that took.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.mode = "ok"
        self.hanging_keys: set[bytes | None] = set()
        self.poison: set[bytes] = set()
        # A request with more events than this is too large; 0: none is.
        self.events_max = 0
        self.on_arrival: Callable[[Arrival], None] = lambda _: None
        self.on_known: Callable[[str, Sequence[Record], float], None] = lambda *_: None

    def answer(self, records: Sequence[Record]) -> Answer:
        quick_s = 0.001 + 0.02 * self.world.chance.random()
        if any((record.value or b"") in self.poison for record in records):
            return Answer(False, Reply(500, None, quick_s), quick_s)
        if self.mode == "hangs" or any(record.key in self.hanging_keys for record in records):
            return Answer(False, Reply(503, None, 5.0), 5.0)
        if 0 < self.events_max < len(records):
            return Answer(False, Reply(413, None, quick_s), quick_s)
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


def shown(outcome: Reply | Fault) -> str:
    return str(outcome.status) if isinstance(outcome, Reply) else outcome.kind.value


def shown_record(record: Record) -> str:
    key = "-" if record.key is None else record.key.decode()
    return f"{record.topic}/{record.partition}@{record.offset} key {key}"
