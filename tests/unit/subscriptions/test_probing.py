"""Endpoints found down: what workers told last, read off the operational events."""

from __future__ import annotations

import json

import pytest

from pipeline.subscriptions.probing import LOOKED_BACK_MAX, Probing
from tests.fakes.admin import FakeAdmin, FakeOffsets
from tests.fakes.log import MemoryLog
from tests.fakes.view import FakeView

EVENTS = "app.pipeline-events"


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    log.create(EVENTS)
    return log


def probing(log: MemoryLog, *, slow: bool = False) -> Probing:
    return Probing(FakeView(log, slow=slow), FakeAdmin(log, FakeOffsets()), EVENTS)


def tell(log: MemoryLog, what: str, name: str = "hook", worker: str = "w1") -> None:
    headers = (("ce_type", f"pipeline.subscription.{what}".encode()), ("ce_subject", name.encode()))
    log.append(EVENTS, json.dumps({"subscription": name, "worker": worker}).encode(), headers=headers)


@pytest.mark.parametrize("slow", [False, True])
async def test_who_told_last_that_it_is_down_is_named(log: MemoryLog, slow: bool) -> None:
    seen = probing(log, slow=slow)
    assert await seen.workers() == {}
    tell(log, "probing")
    tell(log, "probing", worker="w2")
    tell(log, "probing", "other")
    assert await seen.workers() == {"hook": {"w1", "w2"}, "other": {"w1"}}
    tell(log, "recovered")
    assert (await seen.workers())["hook"] == {"w2"}


@pytest.mark.parametrize("what", ["paused", "gone", "blocked", "deleted"])
async def test_one_that_stopped_is_not_probed_any_more(log: MemoryLog, what: str) -> None:
    tell(log, "probing")
    tell(log, what)
    assert await probing(log).workers() == {}


async def test_only_the_latest_events_are_looked_at_first(log: MemoryLog) -> None:
    tell(log, "probing", "old")
    for _ in range(LOOKED_BACK_MAX):
        log.append(EVENTS, b"no JSON")
    tell(log, "probing", "new")
    assert set(await probing(log).workers()) == {"new"}


async def test_without_the_topic_nothing_is_known(log: MemoryLog) -> None:
    log.delete(EVENTS)
    assert await probing(log).workers() == {}


async def test_no_feed_stays_open(log: MemoryLog) -> None:
    view = FakeView(log)
    tell(log, "probing")
    await Probing(view, FakeAdmin(log, FakeOffsets()), EVENTS).workers()
    assert view.feeds_open == 0
