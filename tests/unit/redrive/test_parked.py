"""Parked keys: released after their dead letters, never while those come back."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.parking import ParkedKey
from pipeline.redrive import ParkedKeyNotFound
from pipeline.runs import StampedRun
from tests.fakes.bridge import eventually
from tests.unit.redrive.graveyard import DLQ, Graveyard


async def parked(yard: Graveyard, key: bytes = b"k", policy: str = "park", group: str = "app.hook") -> ParkedKey:
    """``key`` waits in orders/0."""
    row = ParkedKey(
        group=group,
        topic="orders",
        partition=0,
        key=key,
        policy=policy,  # type: ignore[arg-type]  # one of the two, from a parameter
        reason="exhausted",
    )
    await yard.parked_rows.put(row.name, row.value(), based_on=None)
    return row


async def worker(yard: Graveyard, *, fails: bool = False) -> list[StampedRun]:
    """Delivers every redrive that is begun, or fails at each letter; those it saw."""
    seen: list[StampedRun] = []
    while True:
        for one in yard.runs.of("hook", "redrive"):
            if one.run.state == "active":
                seen.append(one)
                if fails:
                    for filed in await yard.filed(keys=("k",)):
                        if one.run.takes(*filed.place):
                            yard.bury_again(filed.letter.id)
                await yard.finish(one)
        await asyncio.sleep(0.001)


async def test_its_letters_are_redriven_in_order_before_it_goes_on(yard: Graveyard) -> None:
    for key in (b"k", b"else", b"k", b"k", b"k"):  # k lies in orders/0 at 0, 2, 4 and in orders/1 at 3
        yard.bury(key=key)
    row = await parked(yard)
    working = asyncio.create_task(worker(yard))
    done = await yard.parked_keys.release(row, wait_s=5, who="ann")
    working.cancel()
    assert (done.state, done.redriven) == ("released", 3)
    assert yard.parked_rows.content == {}
    (run,) = [one.run for one in yard.runs.of("hook", "redrive")]
    assert run.picked == {DLQ: {0: ((0, 3),)}}
    ((released),) = yard.audit.of("released")
    assert (released["who"], released["key"], released["redriven"]) == ("ann", "k", 3)


async def test_what_comes_meanwhile_is_redriven_too(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    row = await parked(yard)
    releasing = asyncio.create_task(yard.parked_keys.release(row, wait_s=5))
    await eventually(lambda: bool(yard.runs.of("hook", "redrive")), "the first redrive")
    yard.bury(key=b"else")
    yard.bury(key=b"k")
    working = asyncio.create_task(worker(yard))
    done = await releasing
    working.cancel()
    assert (done.state, done.redriven) == ("released", 2)
    assert len(yard.runs.of("hook", "redrive")) == 2


async def test_a_key_whose_letters_come_back_stays_parked(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    row = await parked(yard)
    working = asyncio.create_task(worker(yard, fails=True))
    done = await yard.parked_keys.release(row, wait_s=5)
    working.cancel()
    assert (done.state, done.redriven) == ("failed", 1)
    assert list(yard.parked_rows.content) == [row.name]


async def test_a_release_that_takes_long_goes_on_when_asked_again(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    row = await parked(yard)
    first = await yard.parked_keys.release(row, wait_s=0)
    again = await yard.parked_keys.release(row, wait_s=0)
    assert first.state == again.state == "redriving" and first.run == again.run
    await yard.finish(yard.runs.get("hook", "redrive", first.run or ""))
    assert (await yard.parked_keys.release(row, wait_s=0)).state == "released"


async def test_skipping_leaves_its_letters(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    row = await parked(yard)
    assert (await yard.parked_keys.release(row, skip=True)).state == "released"
    assert await yard.states() == ["open"] and yard.runs.of("hook", "redrive") == []


async def test_a_held_key_goes_on_at_once(yard: Graveyard) -> None:
    row = await parked(yard, policy="block")
    assert (await yard.parked_keys.release(row)).state == "released"
    assert (await yard.parked_keys.release(row)).state == "released"


async def test_keys_that_a_redrive_parked_are_its_own_and_go_with_it(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    run = await yard.redrive()
    theirs = await parked(yard, group=f"app.hook.redrive.{run.run.id}")
    own = await parked(yard)
    assert yard.parked_keys.of("hook") == [own] == yard.parked_keys.find("hook", b"k")
    with pytest.raises(ParkedKeyNotFound):
        yard.parked_keys.find("hook", b"other")
    await yard.runs.end_of("hook", forget=True)
    assert theirs.name not in yard.parked_rows.content and own.name in yard.parked_rows.content


async def test_asked_twice_at_once_both_wait_for_one_redrive(yard: Graveyard) -> None:
    yard.bury(key=b"k")
    row = await parked(yard)
    working = asyncio.create_task(worker(yard))
    done = await asyncio.gather(*(yard.parked_keys.release(row, wait_s=5) for _ in range(3)))
    working.cancel()
    assert {one.state for one in done} == {"released"}
    assert len(yard.runs.of("hook", "redrive")) == 1
    assert len(yard.audit.of("released")) == 1
