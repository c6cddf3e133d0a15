"""Settling: whose pointers are committed, and what of a run is told on the way."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.errors import BrokerUnavailable, PipelineError
from pipeline.push import settling
from pipeline.push.identity import TopicRecreated
from pipeline.push.parts import BridgeSettings
from pipeline.push.reading import Place
from pipeline.push.settling import Settling
from tests.fakes.bridge import FakeBridge, eventually, reading_of, row_of

T0 = ("t", 0)
QUICK = BridgeSettings(instance="w1", commit_interval_s=0.001, check_s=0.001, topic_check_s=0.001)


class FakeKeeper:
    """Settles as it is told: ``missing`` places, a ``failure``, or being ``through`` with its window."""

    def __init__(self, name: str) -> None:
        self.reading = reading_of(row_of(name))
        self.run = SimpleNamespace(pump=SimpleNamespace(changed=False))
        self.topic_ids: dict[str, str] = {}
        self.missing: list[Place] = []
        self.failure: PipelineError | None = None
        self.through = False
        self.times = 0

    async def settle(self) -> list[Place]:
        self.times += 1
        if self.failure is not None:
            raise self.failure
        return self.missing

    async def is_through(self) -> bool:
        return self.through


class Bench(FakeBridge):
    def __init__(self, *names: str, settings: BridgeSettings = QUICK) -> None:
        super().__init__()
        self.keepers = {f"app.{name}": FakeKeeper(name) for name in names}
        self.turn = asyncio.Lock()
        self.shown: list[str] = []
        self.stops: list[tuple[str, str, str]] = []
        self.failures: list[PipelineError] = []
        self.settling = Settling(
            self.parts,
            settings,
            cast("Any", self.keepers),
            self.turn,
            settled=lambda keeper: self.shown.append(keeper.reading.group),
            stop=lambda reading, state, reason: self.stops.append((reading.group, state, reason)),
            failed=self.failures.append,
        )
        self.task = asyncio.create_task(self.settling.walk())
        for keeper in self.keepers.values():
            self.settling.taken(cast("Any", keeper), [])

    async def all_settled(self, times: int = 1) -> None:
        await eventually(lambda: all(one.times >= times for one in self.keepers.values()), "a walk")


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "COMMIT_COST_S", 0.0)


async def test_everybody_is_settled_again_and_again_and_told_of() -> None:
    bench = Bench("a", "b", "c")
    await bench.all_settled(times=3)
    assert set(bench.shown) == {"app.a", "app.b", "app.c"}
    assert bench.stops == []
    bench.task.cancel()


async def test_nobody_is_settled_while_another_has_the_turn() -> None:
    bench = Bench("a")
    async with bench.turn:
        for _ in range(20):
            await asyncio.sleep(0)
        assert bench.keepers["app.a"].times == 0
    await bench.all_settled()
    bench.task.cancel()


async def test_what_changed_while_it_was_settled_is_due_before_what_only_wants_a_look() -> None:
    bench = Bench("a", settings=BridgeSettings(instance="w1", commit_interval_s=0.001, check_s=60.0))
    keeper = bench.keepers["app.a"]
    bench.settling.rounds.changed("app.a")
    keeper.run.pump.changed = True
    await bench.all_settled(times=3)
    bench.task.cancel()


async def test_one_whose_pointer_is_gone_is_blocked_and_one_that_is_through_is_done() -> None:
    bench = Bench("a", "b", "c")
    bench.keepers["app.a"].missing = [T0, ("t", 1)]
    bench.keepers["app.b"].through = True
    await bench.all_settled()
    assert set(bench.stops) >= {
        ("app.a", "blocked", "pointer-missing: t/0, t/1"),
        ("app.b", "done", "the window is delivered"),
    }
    assert not [stop for stop in bench.stops if stop[0] == "app.c"]
    bench.task.cancel()


async def test_what_fails_is_told_and_tried_again_and_a_topic_made_again_blocks() -> None:
    bench = Bench("a", "b")
    bench.keepers["app.a"].failure = BrokerUnavailable("away")
    bench.keepers["app.b"].failure = TopicRecreated("t")
    await bench.all_settled(times=2)
    assert {type(failure) for failure in bench.failures} == {BrokerUnavailable}
    assert {(group, state) for group, state, _ in bench.stops} == {("app.b", "blocked")}
    bench.task.cancel()


async def test_now_and_then_it_looks_whether_topics_are_the_same() -> None:
    bench = Bench("a", "b")
    bench.keepers["app.a"].topic_ids = {"t": "another"}
    await eventually(lambda: bool(bench.stops), "the look")
    assert {(group, state) for group, state, _ in bench.stops} == {("app.a", "blocked")}
    bench.task.cancel()
