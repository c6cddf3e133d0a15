"""Sweeping: parked rows go when they hold nobody any more, and no sooner."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.parking import ParkedKey, Policy
from pipeline.push.sweeping import Sweeper
from pipeline.subscription import StoredRun
from tests.fakes.bridge import row_of
from tests.fakes.table import FakeTable


class Bench:
    def __init__(self) -> None:
        self.parked, self.subscriptions, self.runs = FakeTable(), FakeTable(), FakeTable()
        self.sweeper = Sweeper(self.parked, self.subscriptions, self.runs)

    async def park(self, group: str, policy: Policy = "block", key: bytes | None = b"k") -> None:
        one = ParkedKey(group=group, topic="t", partition=0, key=key, policy=policy, reason="exhausted")
        await self.parked.put(one.name, one.value(), based_on=None)

    async def declare(self, policy: str) -> None:
        row = self.subscriptions.get("hook")
        value = msgspec.json.encode(row_of("hook", on_dead_letter=policy))
        await self.subscriptions.put("hook", value, based_on=row.version if row else None)

    async def run(self, state: str) -> None:
        run = StoredRun(id="r1", subscription="hook", kind="redrive", window={}, state=state)  # type: ignore[arg-type]
        await self.runs.put("r1", msgspec.json.encode(run), based_on=None)

    async def swept(self) -> int:
        return await self.sweeper.sweep() + await self.sweeper.sweep()


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(("state", "count"), [("active", 0), ("paused", 0), ("done", 1), ("cancelled", 1)])
async def test_a_side_runs_keys_wait_until_it_is_over(bench: Bench, state: str, count: int) -> None:
    await bench.run(state)
    await bench.park("app.hook.redrive.r1", "park")
    assert await bench.swept() == count
    assert len(bench.parked.content) == 1 - count


async def test_the_keys_of_a_run_that_is_not_known_are_left_to_whoever_forgets_it(bench: Bench) -> None:
    await bench.park("app.hook.redrive.r1", "park")
    assert await bench.swept() == 0


@pytest.mark.parametrize(("policy", "left"), [("block", 3), ("park", 1), ("continue", 1)])
async def test_held_keys_wait_while_the_policy_holds_and_parked_ones_until_released(
    bench: Bench, policy: str, left: int
) -> None:
    await bench.declare(policy)
    await bench.park("app.hook")
    await bench.park("app.hook", key=None)
    await bench.park("app.hook", "park", key=b"other")
    await bench.swept()
    assert len(bench.parked.content) == left


async def test_one_look_is_not_enough_nor_two_at_different_rows(bench: Bench) -> None:
    await bench.declare("continue")
    await bench.park("app.hook")
    assert await bench.sweeper.sweep() == 0
    ((name, row),) = bench.parked.content.items()
    await bench.parked.put(name, row.value, based_on=row.version)
    assert await bench.sweeper.sweep() == 0
    assert await bench.sweeper.sweep() == 1


async def test_what_cannot_be_read_or_is_deleted_holds_on(bench: Bench) -> None:
    await bench.park("app.hook")
    assert await bench.swept() == 0
    await bench.subscriptions.put("hook", b"{", based_on=None)
    await bench.runs.put("r1", b"{", based_on=None)
    await bench.park("app.hook.replay.r1", "park")
    await bench.parked.put("app.hook/t/0/!", b"{", based_on=None)
    assert await bench.swept() == 0
