"""Turns: work at the end of a turn of the loop, once, however it was asked for."""

from __future__ import annotations

import asyncio

from pipeline.push.turns import Turns
from tests.fakes.bridge import eventually


class Bench:
    """``worked`` counts; ``failures`` lists what was told."""

    def __init__(self) -> None:
        self.worked = 0
        self.failures: list[BaseException] = []
        self.mistake: Exception | None = None
        self.turns = Turns(self._work, self.failures.append)

    def _work(self) -> None:
        self.worked += 1
        if self.mistake is not None:
            raise self.mistake

    async def pass_turns(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)


async def test_however_often_it_is_woken_it_works_once_a_turn() -> None:
    bench = Bench()
    bench.turns.wake()
    bench.turns.wake()
    assert (bench.worked, bench.turns.is_due) == (0, True), "not before the turn ends"
    await bench.pass_turns()
    assert (bench.worked, bench.turns.is_due) == (1, False)
    bench.turns.wake()
    await bench.pass_turns()
    assert bench.worked == 2


async def test_a_timer_wakes_it_and_an_earlier_one_takes_its_place() -> None:
    bench, loop = Bench(), asyncio.get_running_loop()
    now = loop.time()
    bench.turns.wake_at(now + 60, now)
    bench.turns.wake_at(now - 1, now)
    bench.turns.wake_at(now + 30, now)
    await eventually(lambda: bench.worked == 1)
    bench.turns.wake_at(now, now)
    await eventually(lambda: bench.worked == 2, "a timer that fired stands no more")


async def test_what_ends_beside_wakes_it_and_closing_breaks_it_off() -> None:
    bench, ended = Bench(), asyncio.Event()

    async def wait() -> None:
        await ended.wait()

    bench.turns.spawn(wait())
    ended.set()
    await eventually(lambda: bench.worked == 1)
    ended.clear()
    bench.turns.spawn(wait())
    bench.turns.wake_at(0.0, 0.0)
    await bench.pass_turns()
    await bench.turns.close()
    await bench.pass_turns()
    assert (bench.worked, bench.failures) == (1, []), "neither timer nor task is left"


async def test_a_fault_in_the_work_or_beside_it_is_told() -> None:
    bench, told = Bench(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    bench.mistake = ZeroDivisionError("in it")
    bench.turns.wake()
    await bench.pass_turns()
    bench.mistake = None

    async def fail() -> None:
        raise ZeroDivisionError("beside it")

    bench.turns.spawn(fail())
    await eventually(lambda: bench.worked == 2)
    assert [str(failure) for failure in bench.failures] == ["in it", "beside it"]
    assert [str(one) for one in told] == ["in it"], "with its traceback, for the log"


class Late(asyncio.SelectorEventLoop):
    """Answers as uvloop does when what was asked for is there at once: with a handle that does not know its time."""

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def,override]  # as it is
        return self.call_soon(callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def,override]  # as it is
        return self.call_soon(callback, *args, context=context)


def test_a_timer_that_does_not_know_its_time_is_no_fault() -> None:
    async def woken_twice() -> None:
        bench = Bench()
        bench.turns.wake_at(5.0, 5.0)
        bench.turns.wake_at(4.0, 4.0)
        await bench.pass_turns()
        assert (bench.worked, bench.failures) == (1, [])

    with asyncio.Runner(loop_factory=Late) as runner:
        runner.run(woken_twice())
