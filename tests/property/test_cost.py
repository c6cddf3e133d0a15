"""What a step of the core costs does not grow with what waits: lines of Python run are counted, not time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from pipeline.delivery.core import Core
from pipeline.delivery.settings import BreakerSettings, CoreSettings, LimiterSettings
from pipeline.delivery.verdict import Verdict, VerdictKind
from pipeline.record import Record
from pipeline.subscription import RetryPolicy

FAILED = Verdict(VerdictKind.RETRY, "exhausted", "status 500")
FEW, MANY, STEPS = 200, 10_000, 50
HOT, CROWD = 0, 1


def lines_of(step: Callable[[], None]) -> int:
    """Lines of this package that ``step`` runs: what loops, counts."""
    count, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "pipeline" in frame.f_code.co_filename else None

    sys.settrace(trace)
    try:
        step()
    finally:
        sys.settrace(before)
    return count


def made(fetches_max: int = 8, **limits: Any) -> Core:
    core = Core(
        CoreSettings(
            retry=RetryPolicy(schedule_s=(5.0, 5.0)),
            # What fails here must not open it.
            breaker=BreakerSettings(failures_to_open=10**9, few_failures=10**9),
            limiter=LimiterSettings(**{"in_flight_max": 4, "slow_max": 4, **limits}),
            fetches_max=fetches_max,
            positions_max=10**6,
        )
    )
    core.assign(HOT, 0)
    return core


def records(partition: int, count: int, *, one_key: bool = False) -> list[Record]:
    return [Record("t", partition, at, 0, b"k" if one_key else b"%d" % at, b"x") for at in range(count)]


def lanes_ready(count: int) -> Callable[[], None]:
    """``count`` lanes stand in line; each step some of them are delivered."""
    core = made()
    core.receive(HOT, records(HOT, count), count)

    def step() -> None:
        for _ in range(STEPS):
            for lane in core.actions(1.0).sends:
                core.succeeded(lane, 1.0)
            core.tick(1.0)
            core.next_wakeup(1.0)

    return step


def lanes_waiting(count: int) -> Callable[[], None]:
    """``count`` lanes failed and wait for their time, while others are delivered."""
    core = made(fetches_max=2)
    core.assign(CROWD, 0)
    core.receive(CROWD, records(CROWD, count), count)
    while sends := core.actions(1.0).sends:
        for lane in sends:
            core.failed(lane, FAILED, 1.0, 0.0)
    core.receive(HOT, records(HOT, 1_000), 1_000)

    def step() -> None:
        for _ in range(STEPS):
            for lane in core.actions(2.0).sends:
                core.succeeded(lane, 2.0)
            core.next_wakeup(2.0)

    return step


def lanes_to_be_read_again(count: int) -> Callable[[], None]:
    """``count`` lanes come due together and are read again, some at a time."""
    core = made()
    core.receive(HOT, records(HOT, count), count)
    while sends := core.actions(1.0).sends:
        for lane in sends:
            core.failed(lane, FAILED, 1.0, 0.0)
    while core._queues.next_due <= 10.0:
        core._queues.wake(10.0)

    def step() -> None:
        for _ in range(STEPS):
            actions = core.actions(10.0)
            for lane in actions.sends:
                core.succeeded(lane, 10.0)
            for lane in actions.fetches:
                core.payload(lane, Record("t", HOT, lane.offset, 0, lane.key, b"x"))

    return step


def a_long_lane_fails(count: int) -> Callable[[], None]:
    """``count`` events stand behind a head that fails again and again, and hangs."""
    core = made(fetches_max=0)
    core.receive(HOT, records(HOT, count, one_key=True), count)
    now = 0.0

    def once(failing: bool) -> None:
        nonlocal now
        now += 1e4
        (lane,) = core.actions(now).sends
        core.tick(now + 100.0)
        if failing:
            core.failed(lane, FAILED, now + 0.1, 0.5)
        else:
            core.succeeded(lane, now + 0.1)

    once(failing=True)
    once(failing=False)

    def step() -> None:
        for number in range(STEPS):
            once(failing=number % 2 == 0)

    return step


@pytest.mark.parametrize("scene", [lanes_ready, lanes_waiting, lanes_to_be_read_again, a_long_lane_fails])
def test_a_step_costs_the_same_however_much_waits(scene: Callable[[int], Callable[[], None]]) -> None:
    few, many = lines_of(scene(FEW)), lines_of(scene(MANY))
    assert few > STEPS
    assert many <= few * 1.1
