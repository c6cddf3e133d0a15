"""Burial: what a dead letter says of the failure, and that it counts only when it is appended."""

from __future__ import annotations

from typing import cast

import pytest

from pipeline.deadletter import Edit, unwrap, wrap
from pipeline.delivery.lanes import Held, Lane, Part
from pipeline.delivery.verdict import Verdict, VerdictKind
from pipeline.delivery.watermark import Watermark
from pipeline.errors import BrokerUnavailable
from pipeline.kafka.producer import Producer
from pipeline.push.burial import Burial, failure_of
from pipeline.record import Record
from pipeline.subscription import StoredRun
from tests.fakes.bridge import FakeBridge, reading_of

RECORD = Record("t", 1, 42, 1_795_219_200_000, b"k", b"body", (("ce_id", b"e"),))
# The monotonic clock began at midnight, so to say.
WALL = 1_795_219_200.0


def failed_lane(**known: object) -> Lane:
    lane = Lane(Part(("t", 1), Watermark(42), Held()), b"k", RECORD)
    for name, value in known.items():
        setattr(lane, name, value)
    return lane


def test_a_failure_tells_how_often_when_and_why() -> None:
    verdict = Verdict(VerdictKind.RETRY, "exhausted", "status 500 after 0.010 s", None, 500)
    failure = failure_of(failed_lane(attempts=4, first_failed_at=1.5, last_failed_at=60.0, verdict=verdict), 61.0, WALL)
    assert (failure.reason, failure.attempts, failure.http_status) == ("exhausted", 4, 500)
    assert failure.first_failed_at == "2026-11-21T00:00:01.500Z"
    assert failure.last_failed_at == "2026-11-21T00:01:00.000Z"
    assert failure.error == "status 500 after 0.010 s"


def test_an_event_parked_behind_another_was_never_tried() -> None:
    lane = failed_lane()
    lane.part.parked[b"k"] = "rejected_4xx"
    failure = failure_of(lane, 2.0, WALL)
    assert (failure.reason, failure.attempts, failure.http_status) == ("rejected_4xx", 0, None)
    assert (failure.first_failed_at, failure.last_failed_at) == ("2026-11-21T00:00:02.000Z",) * 2
    assert "parked" in failure.error


def test_an_event_given_up_for_its_age_is_expired() -> None:
    verdict = Verdict(VerdictKind.RETRY, "exhausted", "connect: refused")
    assert failure_of(failed_lane(expired=True, verdict=verdict, last_failed_at=1.0), 2.0, WALL).reason == "expired"


async def test_the_letter_lies_in_the_partition_of_its_record() -> None:
    bridge = FakeBridge()
    burial = Burial(cast("Producer", bridge.producer), reading_of())
    assert await burial.bury(RECORD, failed_lane(attempts=1), 1.0, WALL) == "exhausted"
    (lies_there,) = bridge.log.topics["app.hook.dlq"].partitions[1].records
    assert (lies_there.key, lies_there.value) == (b"k", b"body")
    assert unwrap(lies_there).record == RECORD
    assert (unwrap(lies_there).id, unwrap(lies_there).redrives) == ("t/1/42/app.hook", 0)


async def test_what_a_redrive_could_not_deliver_is_the_same_letter_redriven_once_more() -> None:
    bridge = FakeBridge()
    producer = cast("Producer", bridge.producer)
    await Burial(producer, reading_of()).bury(RECORD, failed_lane(), 1.0, WALL)
    (first,) = bridge.log.topics["app.hook.dlq"].partitions[1].records
    stored = StoredRun(id="r", subscription="hook", kind="redrive", window={"app.hook.dlq": {1: (0, 1)}})
    await Burial(producer, reading_of(None, stored)).bury(first, failed_lane(), 1.0, WALL)
    again = unwrap(bridge.log.topics["app.hook.dlq"].partitions[1].records[1])
    assert (again.id, again.redrives, again.record) == (unwrap(first).id, 1, RECORD)


async def test_an_edited_event_that_dies_again_still_says_who_edited_it() -> None:
    bridge = FakeBridge()
    edit = Edit(by="ann", original="app.hook.dlq/1/0", sha256="ab" * 32)
    lane = failed_lane()
    key, value, headers = wrap(RECORD, "app.hook", failure_of(lane, 1.0, WALL), edit=edit)
    edited = Record("app.hook.dlq", 1, 0, 1, key, value, headers)
    stored = StoredRun(id="r", subscription="hook", kind="redrive", window={"app.hook.dlq": {1: (0, 1)}})
    await Burial(cast("Producer", bridge.producer), reading_of(None, stored)).bury(edited, lane, 1.0, WALL)
    (again,) = bridge.log.topics["app.hook.dlq"].partitions[1].records
    assert unwrap(again).edit == edit


async def test_an_append_that_failed_is_the_callers_to_try_again() -> None:
    bridge = FakeBridge()
    bridge.producer.down = True
    with pytest.raises(BrokerUnavailable):
        await Burial(cast("Producer", bridge.producer), reading_of()).bury(RECORD, failed_lane(), 1.0, WALL)
    assert bridge.log.topics["app.hook.dlq"].partitions[1].records == []
