"""Rounds go on whatever one of them raises, and none is under way once they are stopped."""

from __future__ import annotations

import asyncio

from pipeline.errors import LogError
from pipeline.periodic import Periodic


async def test_a_round_that_raises_is_told_and_the_next_one_comes() -> None:
    raised = [LogError("looking", "the broker is away"), KeyError("a fault of ours")]
    told: list[Exception] = []
    enough = asyncio.Event()
    left = list(raised)

    async def act() -> None:
        if left:
            raise left.pop(0)
        enough.set()

    rounds = Periodic(act, 0.0, told.append)
    rounds.start()
    await enough.wait()
    await rounds.stop()
    assert told == raised


async def test_stopping_cancels_the_round_under_way_and_begins_none() -> None:
    begun, ended, told = asyncio.Event(), asyncio.Event(), list[Exception]()

    async def act() -> None:
        assert not begun.is_set()
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rounds = Periodic(act, 0.0, told.append)
    rounds.start()
    await begun.wait()
    await rounds.stop()
    assert ended.is_set()
    await asyncio.sleep(0)
    assert told == []


async def test_the_first_round_comes_after_one_rest() -> None:
    rounds = Periodic(_never, 3600.0, _unexpected)
    rounds.start()
    await asyncio.sleep(0)
    await rounds.stop()


async def test_what_never_started_can_be_stopped() -> None:
    await Periodic(_never, 1.0, _unexpected).stop()


async def _never() -> None:
    raise AssertionError("a round began")


def _unexpected(error: Exception) -> None:
    raise error
