"""A day of one endpoint in virtual time: a core, a log it reads as it has room, and answers that come in time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from pipeline.delivery.core import Core
from pipeline.delivery.lanes import Lane
from pipeline.delivery.settings import CoreSettings
from pipeline.delivery.verdict import DELIVERED, Verdict
from pipeline.record import Record

SLICE = 500
TICK_S = 0.1
PUMPS_MAX = 2_000_000


class Answer(NamedTuple):
    """What the endpoint says, and after how long."""

    after_s: float
    verdict: Verdict = DELIVERED


class Day:
    """Give it the log and how the endpoint answers; `run` it; look at ``delivered`` (when, per record)."""

    def __init__(
        self, settings: CoreSettings, log: dict[int, list[Record]], answer: Callable[[Record], Answer]
    ) -> None:
        self.core, self._answer = Core(settings), answer
        self.log, self.now = log, 0.0
        self.read = dict.fromkeys(log, 0)
        self.delivered: dict[tuple[int, int], float] = {}
        self.under_way_max = self.read_again = 0
        self.on_bury: Callable[[Lane], object] = lambda _: None
        self._due: list[tuple[float, int, Lane, Verdict]] = []
        self._ticket = count()
        for partition in log:
            self.core.assign(partition, 0)

    def run(self, until_s: float) -> None:
        for _ in range(PUMPS_MAX):
            self._intake()
            self._send()
            self.now = self._next_turn()
            if self.now >= until_s:
                return
            while self._due and self._due[0][0] <= self.now:
                _, _, lane, verdict = heapq.heappop(self._due)
                self._answered(lane, verdict)
        raise AssertionError("the core is woken again and again")

    def _intake(self) -> None:
        """Slice by slice, partitions in turn, as the rim does."""
        waiting = [p for p, records in self.log.items() if self.read[p] < len(records)]
        while waiting:
            for partition in list(waiting):
                if not self.core.has_room_for(partition):
                    waiting.remove(partition)
                    continue
                at = self.read[partition]
                piece = self.log[partition][at : at + SLICE]
                self.core.receive(partition, piece, at + len(piece))
                self.read[partition] = at + len(piece)
                if self.read[partition] >= len(self.log[partition]):
                    waiting.remove(partition)

    def _send(self) -> None:
        self.core.tick(self.now)
        actions = self.core.actions(self.now)
        for lane in actions.buries:
            self.on_bury(lane)
            self.core.buried(lane)
        for lane in actions.sends:
            if isinstance(lane.head, int):
                assert isinstance(lane.part.name, int)
                self.read_again += 1
                self.core.payload(lane, self.log[lane.part.name][lane.head])
            assert isinstance(lane.head, Record)
            answer = self._answer(lane.head)
            heapq.heappush(self._due, (self.now + answer.after_s, next(self._ticket), lane, answer.verdict))
        under_way = len(self.core.limiter.in_flight) + len(self.core.limiter.slow)
        self.under_way_max = max(self.under_way_max, under_way)

    def _next_turn(self) -> float:
        wake = self.core.next_wakeup(self.now)
        answer = self._due[0][0] if self._due else self.now + 60.0
        return min(answer, self.now + 60.0 if wake is None else max(wake, self.now + 0.001))

    def _answered(self, lane: Lane, verdict: Verdict) -> None:
        if verdict is DELIVERED:
            assert isinstance(lane.part.name, int)
            self.delivered[lane.part.name, lane.offset] = self.now
            self.core.succeeded(lane, self.now)
        else:
            self.core.failed(lane, verdict, self.now, 0.5)
