"""Happenings: CloudEvents of what operators should hear of; bounded, and never of who reads them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast, get_args

import msgspec
import pytest

from pipeline.faces import What
from pipeline.format.headers import event_from_kafka
from pipeline.push import happenings
from pipeline.push.happenings import TIMES_MAX, Happenings, topics_by
from pipeline.record import Record
from tests.fakes.bridge import row_of
from tests.fakes.log import MemoryLog
from tests.fakes.producer import FakeProducer
from tests.fakes.table import FakeTable

EVENTS = "app.pipeline-events"


class Told:
    """Happenings over a log in memory; ``reads`` is what each subscription reads."""

    def __init__(self, **reads: tuple[str, ...]) -> None:
        self.log = MemoryLog()
        self.log.create(EVENTS)
        self.producer = FakeProducer(self.log)
        self.happenings = Happenings(self.producer, "app", topics_of=lambda name: reads.get(name, ("t",)))

    @property
    def records(self) -> list[Record]:
        return self.log.topics[EVENTS].partitions[0].records

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(record.value or b"") for record in self.records]


def test_a_happening_is_a_cloudevent_about_its_subscription() -> None:
    told = Told()
    told.happenings.tell("gap", "hook", topic="t", partition=3, first=5, until=9)
    (record,) = told.records
    event = event_from_kafka(record, default_source="x", default_type="x", default_id="x")
    assert (event.type, event.source, event.subject) == ("pipeline.subscription.gap", "/app/pipeline", "hook")
    assert (event.datacontenttype, record.key) == ("application/json", b"hook")
    assert event.time is not None
    assert told.data == [{"subscription": "hook", "topic": "t", "partition": 3, "first": 5, "until": 9}]


@pytest.mark.parametrize("what", get_args(What))
def test_every_kind_can_be_told_each_under_an_id_of_its_own(what: What) -> None:
    told = Told()
    told.happenings.tell(what, "hook")
    told.happenings.tell(what, "hook")
    assert len({record.header("ce_id") for record in told.records}) == 2


def test_a_kind_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="exploded"):
        Told().happenings.tell(cast("What", "exploded"), "hook")


def test_nothing_is_told_of_a_subscription_that_reads_the_happenings() -> None:
    told = Told(ops=("t", EVENTS))
    told.happenings.tell("dead-lettered", "ops")
    told.happenings.tell("dead-lettered", "hook")
    assert [one["subscription"] for one in told.data] == ["hook"]


async def test_a_flood_is_told_by_its_count_and_nothing_of_it_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "WINDOW_S", 0.01)
    told = Told()
    for number in range(100):
        told.happenings.tell("dead-lettered", "hook", offset=number)
    told.happenings.tell("dead-lettered", "other", offset=7)
    assert len(told.records) == TIMES_MAX + 1, "another subscription's are not held up"
    await asyncio.sleep(0.03)
    assert len(told.records) == TIMES_MAX + 2
    assert told.data[-1] == {"subscription": "hook", "offset": 99, "count": 100 - TIMES_MAX}


async def test_what_was_counted_is_told_before_the_end() -> None:
    told = Told()
    for number in range(TIMES_MAX + 3):
        told.happenings.tell("gap", "hook", first=number)
    told.happenings.close()
    assert told.data[-1] == {"subscription": "hook", "first": TIMES_MAX + 2, "count": 3}


async def test_what_a_subscription_reads_stands_in_its_row() -> None:
    table = FakeTable()
    await table.put("hook", msgspec.json.encode(row_of()), based_on=None)
    await table.put("odd", b"{}", based_on=None)
    topics_of = topics_by(table)
    assert (topics_of("hook"), topics_of("odd"), topics_of("nobody")) == (("t",), (), ())
