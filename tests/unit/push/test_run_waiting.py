"""Runs whose keys wait for an operator: parked and held keys are rows, and go on when their rows go."""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.delivery.pointer import Pointer
from pipeline.delivery.verdict import Reply
from pipeline.kafka.replay_rule import Row
from pipeline.parking import ParkedKey
from pipeline.push.run import Run
from tests.fakes.bridge import OK, FakeBridge, eventually, reading_of, row_of

T0 = ("t", 0)
ONCE: dict[str, Any] = {"retry": {"schedule_s": []}}
FAILED = Reply(500, None, 0.01)


class Bench(FakeBridge):
    """Its parked table is watched, as a worker does."""

    def begin(self, offset: int = 0, *, attempts: dict[int, tuple[int, int]] | None = None, **declared: Any) -> Run:
        run = self.run(reading_of(row_of(**ONCE, **declared)))

        def changed(name: str, row: Row | None) -> None:
            if row is None:
                run.released(name)
            else:
                run.parked_elsewhere(name, row.version)

        self.parked.watchers = [changed]
        run.begin(T0, Pointer(epoch=1, owner="w1", offset=offset, attempts=attempts or {}))
        return run

    async def answer(self, *outcomes: Reply) -> None:
        for outcome in outcomes:
            await eventually(lambda: bool(self.sender.open), "an attempt")
            self.sender.answer(outcome)

    async def release(self) -> None:
        ((name, row),) = self.parked.content.items()
        await self.parked.put(name, None, based_on=row.version)

    @property
    def bodies(self) -> list[bytes | None]:
        return [record.value for record, _ in self.sender.sent]


async def test_a_held_key_is_a_row_and_goes_on_when_the_row_goes() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin(on_dead_letter="block")
    await bench.answer(FAILED)
    await eventually(lambda: len(bench.parked.content) == 1, "the row")
    assert run.core.commit_of(T0).offset == 0
    await bench.release()
    await bench.answer(OK, OK)
    assert bench.bodies == [b"0", b"0", b"1"]
    assert (run.core.commit_of(T0).offset, bench.parked.content) == (2, {})
    assert ("released", "hook", {"topic": "t", "partition": 0, "key": "k"}) in bench.told.all


async def test_a_held_key_is_held_by_the_next_owner_too_until_its_row_goes() -> None:
    bench = Bench()
    bench.append(b"0", b"1")
    run = bench.begin(on_dead_letter="block")
    await bench.answer(FAILED)
    await eventually(lambda: len(bench.parked.content) == 1, "the row")
    attempts = {at: (count, 1) for at, (count, _) in run.core.commit_of(T0).attempts.items()}
    await run.close()
    bench.append(b"other", key=b"k2")
    bench.begin(on_dead_letter="block", attempts=attempts)
    await bench.answer(OK)
    assert bench.bodies == [b"0", b"other"]
    await bench.release()
    await bench.answer(OK, OK)
    assert bench.bodies == [b"0", b"other", b"0", b"1"]


async def test_a_row_holds_its_key_even_where_the_attempts_were_forgotten() -> None:
    bench = Bench()
    bench.append(b"0")
    run = bench.begin(on_dead_letter="block")
    await bench.answer(FAILED)
    await eventually(lambda: len(bench.parked.content) == 1, "the row")
    await run.close()
    bench.append(b"other", key=b"k2")
    bench.begin(on_dead_letter="block")  # a tool's reset wiped the metadata
    await bench.answer(OK)
    assert bench.bodies == [b"0", b"other"]


async def test_a_key_released_while_nobody_delivered_begins_afresh() -> None:
    bench = Bench()
    bench.append(b"0")
    bench.begin(on_dead_letter="block", attempts={0: (1, 1)})
    await bench.answer(OK)
    assert bench.bodies == [b"0"]


async def test_a_parked_key_goes_on_when_its_row_goes_and_is_not_parked_again_by_what_was_under_way() -> None:
    bench = Bench()
    bench.append(b"0")
    run = bench.begin(on_dead_letter="park")
    await bench.answer(FAILED)
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    await bench.release()
    bench.append(b"1")
    await bench.answer(OK)
    assert bench.bodies == [b"0", b"1"]
    assert (bench.parked.content, bench.told.whats()) == ({}, ["dead-lettered", "released"])


async def test_a_long_key_parks_and_buries_like_any_other() -> None:
    bench = Bench()
    bench.append(b"0", b"1", key=b"L" * 20_000)
    run = bench.begin(on_dead_letter="park")
    await bench.answer(FAILED)
    await eventually(lambda: run.core.commit_of(T0).offset == 2)
    await run.close()
    bench.append(b"2", key=b"L" * 20_000)
    heir = bench.begin(2, on_dead_letter="park")
    await eventually(lambda: heir.core.commit_of(T0).offset == 3)
    assert bench.bodies == [b"0"]


async def test_a_key_that_no_row_can_hold_is_buried_all_the_same() -> None:
    bench = Bench()
    bench.append(b"0", key=b"L" * 300_000)
    run = bench.begin(on_dead_letter="park")
    await bench.answer(FAILED)
    await eventually(lambda: run.core.commit_of(T0).offset == 1)
    assert len(bench.hooks.of("on_consumer_error")) == 1


LATE = ParkedKey(group="app.hook", topic="t", partition=0, key=b"k", policy="park", reason="exhausted")


async def test_a_row_that_the_last_owner_wrote_too_late_is_taken_back() -> None:
    bench = Bench()
    bench.begin(on_dead_letter="park")
    await bench.parked.put(LATE.name, LATE.value(), based_on=None)
    await eventually(lambda: not bench.parked.content, "the row gone")
    bench.append(b"0")
    await bench.answer(OK)
    assert "released" not in bench.told.whats(), "it never waited here"


async def test_a_worker_whose_lease_ran_out_takes_no_row_back() -> None:
    bench = Bench()
    bench.begin(on_dead_letter="park")
    bench.may_act = False
    await bench.parked.put(LATE.name, LATE.value(), based_on=None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert list(bench.parked.content) == [LATE.name]
