"""The lookout: lag in events and seconds, and a warning, once, before retention takes what was not delivered."""

from __future__ import annotations

from typing import cast

from pipeline.faces import TopicAdmin
from pipeline.hooks import RunState
from pipeline.push import lookout
from pipeline.push.lookout import Lookout, Watched
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.bridge import NotingHooks, Told
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

T0 = ("t", 0)


class Clock:
    """Stands where it is put."""

    def __init__(self, wall_s: float) -> None:
        self.at = wall_s

    def monotonic(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at

    def draw(self) -> float:
        return 0.5


class Runs:
    def __init__(self, **offsets: int) -> None:
        self.offsets = offsets

    def watched(self) -> dict[str, Watched]:
        return {f"app.{name}": OneRun(offset) for name, offset in self.offsets.items()}


class OneRun:
    def __init__(self, offset: int) -> None:
        self.offset = offset

    def state(self) -> RunState:
        return RunState("app.hook", 1, 2, 3, 4, "closed")

    def pointers(self) -> dict[tuple[str, int], int]:
        return {T0: self.offset}


class Bench:
    """Ten events on ``t``, a second apart; it is 100 s after the first; retention is 400 s."""

    def __init__(self, **offsets: int) -> None:
        self.log = MemoryLog()
        self.log.create("t", config={"cleanup.policy": "delete", "retention.ms": "400000"})
        begun_s = self.log.now_ms / 1000
        for _ in range(10):
            self.log.append("t", b"x", partition=0)
            self.log.now_ms += 1000
        self.clock, self.hooks, self.told, self.runs = Clock(begun_s + 100), NotingHooks(), Told(), Runs(**offsets)
        admin = cast("TopicAdmin", FakeAdmin(self.log, FakeOffsets()))
        parts = lookout.Parts(FakeView(self.log), admin, self.hooks, self.told, self.clock)
        self.lookout = Lookout(parts, self.runs.watched)


async def test_lag_is_counted_in_events_and_in_seconds_of_the_first_undelivered_one() -> None:
    bench = Bench(hook=4, done=10)
    await bench.lookout.look()
    behind, done = bench.lookout.place_states()
    assert (behind.run, behind.offset, behind.lag, behind.lag_s, behind.headroom) == ("app.hook", 4, 6, 96.0, 4)
    assert (done.lag, done.lag_s, done.headroom_ratio) == (0, 0.0, 1.0)
    assert behind.headroom_ratio == 1 - 96 / 400
    assert bench.lookout.run_states() == [OneRun(0).state(), OneRun(0).state()]


async def test_low_headroom_is_told_once_and_again_after_it_recovered() -> None:
    bench = Bench(hook=0)
    for waited_s in (100, 50, 60, 10):
        bench.clock.at += waited_s
        await bench.lookout.look()
    ((_, name, facts),) = bench.told.all
    assert (name, facts) == ("hook", {"topic": "t", "partition": 0, "ratio": 0.375, "lag": 10, "lag_s": 250.0})
    assert bench.hooks.of("on_headroom_low") == [("app.hook", "t", 0, 0.375)]
    bench.runs.offsets["hook"] = 10
    await bench.lookout.look()
    bench.log.append("t", b"x", partition=0)
    bench.clock.at += 1000
    await bench.lookout.look()
    assert len(bench.told.all) == 2


async def test_a_record_that_compaction_took_keeps_the_age_known_before() -> None:
    bench = Bench(hook=4)
    await bench.lookout.look()
    bench.log.topics["t"].partitions[0].records.pop(5)
    bench.runs.offsets["hook"] = 5
    bench.clock.at += 10
    await bench.lookout.look()
    (state,) = bench.lookout.place_states()
    assert state.lag_s == 106.0


async def test_ages_are_looked_up_for_so_many_a_round_and_all_have_their_turn(monkeypatch: object) -> None:
    bench = Bench(**{f"s{number}": number % 9 for number in range(lookout.FETCHES_MAX + 10)})
    await bench.lookout.look()
    assert sum(state.lag_s > 0 for state in bench.lookout.place_states()) == lookout.FETCHES_MAX
    await bench.lookout.look()
    assert all(state.lag_s > 0 for state in bench.lookout.place_states())


async def test_clocks_that_differ_make_no_negative_lag() -> None:
    bench = Bench(hook=4)
    bench.clock.at -= 5_000
    await bench.lookout.look()
    (state,) = bench.lookout.place_states()
    assert (state.lag_s, state.headroom_ratio) == (0.0, 1.0)
