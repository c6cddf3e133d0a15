"""The world of one seed: virtual time, chance, and processes that can be killed, frozen and cut off."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from math import inf
from random import Random
from typing import Any

from pipeline.errors import BrokerUnavailable, PipelineError
from tests.simulation.virtual_loop import VirtualLoop

EPOCH = 1_795_219_200.0
REQUEST_TIMEOUT_S = 2.0
TURNS_MAX = 3_000_000


class Violation(AssertionError):
    """A promise was broken."""


class World:
    """``history`` lists what happened: (when, who, what). Whatever could differ from run to run is drawn here."""

    def __init__(self, seed: int) -> None:
        self.seed, self.now = seed, 1_000.0
        self.chance = Random(seed)
        self.history: list[tuple[float, str, str]] = []
        self.processes: list[Process] = []
        self.broker_down = False
        # What was seen where it could not be raised: inside of the code that is tried.
        self.broken = ""
        # Until then pointers may be older than what was delivered, for all that is known of the network.
        self.trouble_until = float("-inf")
        # Shares of requests whose request, or whose answer, is lost.
        self.request_loss = self.answer_loss = 0.0
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._ticket = count()

    def at(self, delay_s: float, happens: Callable[..., object], *arguments: Any) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._ticket), happens, arguments))

    def note(self, who: str, what: str) -> None:
        self.history.append((self.now, who, what))

    def latency(self) -> float:
        """Of one message: mostly some milliseconds, now and then much more."""
        draw = self.chance.random()
        return 0.5 + draw if self.chance.random() < 0.005 else 0.001 + 0.01 * draw

    def run_until(self, time: float) -> None:
        for _ in range(TURNS_MAX):
            soonest = self._events[0][0] if self._events else inf
            for process in self.processes:
                if process.alive and not process.frozen:
                    soonest = min(soonest, process.loop.next_time())
            if soonest >= time:
                self.now = time
                return
            self.now = max(self.now, soonest)
            self._turn()
            if self.broken:
                raise Violation(self.broken)
        raise Violation("the world never rests: something wakes up again and again")

    def _turn(self) -> None:
        while self._events and self._events[0][0] <= self.now:
            _, _, happens, arguments = heapq.heappop(self._events)
            happens(*arguments)
        for process in list(self.processes):
            if process.alive and not process.frozen and process.loop.next_time() <= self.now:
                process.loop.turn()

    def end(self) -> None:
        """Throw every process away."""
        for process in self.processes:
            process.throw_away()


class Process:
    """One worker's process. ``cut``: no message of it reaches the broker, nor the other way round."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.alive, self.frozen, self.cut = True, False, False
        self.complaints: list[dict[str, Any]] = []
        self.loop = VirtualLoop(lambda: world.now, self.complaints.append)
        self._on_thaw: list[Callable[[], object]] = []
        world.processes.append(self)

    # The clock of `WorkerParts`.

    def monotonic(self) -> float:
        return self.world.now

    def wall(self) -> float:
        return EPOCH + self.world.now

    def draw(self) -> float:
        return self.world.chance.random()

    # -- what happens to it ------------------------------------------------------------------------------------------

    def kill(self) -> None:
        self.alive = False

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        waiting, self._on_thaw = self._on_thaw, []
        for call in waiting:
            call()

    def throw_away(self) -> None:
        self.alive = False
        if not self.loop.is_closed():
            self.loop.throw_away()

    # -- talking to it -----------------------------------------------------------------------------------------------

    def tell(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call on its loop, as a message that arrived."""
        if self.alive:
            self.loop.call_soon(call, *arguments)

    def in_thread(self, call: Callable[[], object]) -> None:
        """Run in a thread of the process that is not the loop's: at once, or when it is thawed."""
        if self.alive:
            if self.frozen:
                self._on_thaw.append(call)
            else:
                call()

    async def ask(self, what: str, answer: Callable[[], Any]) -> Any:
        """A request to the broker. It may be lost, or done and its answer lost: both raise `BrokerUnavailable` after a
        while, and nobody can tell one from the other.
        """
        world, future = self.world, self.loop.create_future()

        def arrive() -> None:
            if world.broker_down or self.cut or world.chance.random() < world.request_loss:
                return
            result: Any
            try:
                result = answer()
            except PipelineError as error:
                result = error
            if world.chance.random() < world.answer_loss:
                world.note(self.name, f"{what}: done, its answer lost")
                return
            world.at(world.latency(), come_back, result)

        def come_back(result: Any) -> None:
            if not self.cut:
                self.tell(settle, result)

        def settle(result: Any) -> None:
            if not future.done():
                if isinstance(result, PipelineError):
                    future.set_exception(result)
                else:
                    future.set_result(result)

        world.at(world.latency(), arrive)
        timer = self.loop.call_later(REQUEST_TIMEOUT_S, settle, BrokerUnavailable(f"{what}: no answer"))
        try:
            return await future
        finally:
            timer.cancel()
