"""Attempt records: lines of JSON that say what was tried and what came of it, many to a record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from pipeline.delivery.verdict import DELIVERED, Verdict, VerdictKind
from pipeline.push.attempt import Attempt, read_attempts
from pipeline.push.attempts import BYTES_MAX, LINES_MAX, LINGER_S, AttemptWriter
from pipeline.record import Record

RECORD = Record('or"ders', 3, 42, 0, b"k", b"{}", (("ce_specversion", b"1.0"), ("ce_id", b"e-1")))
TOPIC = "_pipeline-attempts"


class Written:
    """A journal, and the timers that were asked for."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def write(self, topic: str, key: bytes, value: bytes) -> None:
        self.records.append((topic, key, value))

    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        self.timers.append((delay_s, function))

    @property
    def lines(self) -> list[Attempt]:
        return [line for _, _, value in self.records for line in read_attempts(value)]


def writer(written: Written, run_id: str | None = None, prefix: str = "evt_abcdefghij_") -> AttemptWriter:
    return AttemptWriter(written, TOPIC, "hook", run_id, lambda topic: prefix, later=written.later)


def test_a_delivery_is_told_with_its_place_number_and_time() -> None:
    written = Written()
    before = int(time.time() * 1000)
    told = writer(written)
    told.write(RECORD, 1, 204, DELIVERED, 0.0129)
    told.flush()
    ((topic, key, value),) = written.records
    assert (topic, key) == (TOPIC, b"hook")
    line = json.loads(value)
    assert before <= line.pop("at") <= int(time.time() * 1000)
    assert line == {
        "subscription": "hook",
        "topic": 'or"ders',
        "partition": 3,
        "offset": 42,
        "id": "evt_abcdefghij_3_42",
        "attempt": 1,
        "status": 204,
        "verdict": "delivered",
        "ms": 12,
        "event": "e-1",
    }


@pytest.mark.parametrize("kind", list(VerdictKind))
def test_every_verdict_can_be_told(kind: VerdictKind) -> None:
    written = Written()
    told = writer(written)
    told.write(RECORD, 1, 500, Verdict(kind), 0.0)
    told.flush()
    assert written.lines[0].verdict == kind.value


def test_a_failure_says_why_and_a_run_which_it_was() -> None:
    written = Written()
    told = writer(written, "r1")
    told.write(RECORD, 7, 0, Verdict(VerdictKind.RETRY, "exhausted", 'connect: "refused"\x07\n'), 1.0)
    told.flush()
    (line,) = written.lines
    assert (line.run, line.attempt, line.status, line.ms) == ("r1", 7, 0, 1000)
    assert line.error == 'connect: "refused"\x07\n'


def test_the_id_prefix_is_asked_for_once_per_topic() -> None:
    asked: list[str] = []
    written = Written()

    def prefix(topic: str) -> str:
        asked.append(topic)
        return "evt_x_"

    told = AttemptWriter(written, TOPIC, "hook", None, prefix, later=written.later)
    for _ in range(3):
        told.write(RECORD, 1, 204, DELIVERED, 0.0)
    assert asked == ['or"ders']


def test_lines_keep_each_other_company_for_a_tenth_of_a_second() -> None:
    written = Written()
    told = writer(written)
    for number in range(3):
        told.write(RECORD, number, 204, DELIVERED, 0.0)
    assert written.records == []
    ((delay_s, flush),) = written.timers
    assert delay_s == LINGER_S
    flush()
    assert len(written.records) == 1
    assert [line.attempt for line in written.lines] == [0, 1, 2]
    told.write(RECORD, 4, 204, DELIVERED, 0.0)
    assert len(written.timers) == 2, "the next line asks for a timer of its own"


def test_a_record_is_bounded_in_lines_and_in_bytes() -> None:
    written = Written()
    told = writer(written)
    for _ in range(LINES_MAX):
        told.write(RECORD, 1, 204, DELIVERED, 0.0)
    assert len(written.records) == 1, "full, it waits for no timer"
    why = Verdict(VerdictKind.RETRY, "exhausted", "x" * 1000)
    for number in range(LINES_MAX):
        told.write(RECORD, number, 500, why, 0.0)
    assert len(written.records) > 2
    assert all(len(value) <= BYTES_MAX for _, _, value in written.records)
    assert [line.attempt for line in written.lines[LINES_MAX:]] == list(range(LINES_MAX))


def test_nothing_is_written_where_nothing_waits() -> None:
    written = Written()
    writer(written).flush()
    assert written.records == []


def test_records_of_one_line_are_read_and_lines_that_are_none_left_out() -> None:
    old = b'{"subscription":"hook","topic":"t","partition":0,"offset":1,"id":"evt_a_0_1","attempt":1,"status":204'
    old += b',"verdict":"delivered","ms":1,"at":5}'
    (line,) = read_attempts(old)
    assert (line.offset, line.event, line.run) == (1, "", None)
    assert [one.offset for one in read_attempts(old + b"\nnonsense\n{}\n" + old)] == [1, 1]
    assert list(read_attempts(None)) == []


@pytest.mark.parametrize(
    ("value", "content_type", "event"),
    [
        (b'{"specversion":"1.0","id":"e-7","source":"/s","type":"t"}', b"application/cloudevents+json", "e-7"),
        (b'{"specversion":"1.0","id":"e-7"', b"application/cloudevents+json", ""),
        (b"[]", b"application/cloudevents-batch+json", ""),
        (b'{"id":"e-7"}', b"application/json", ""),
        (None, b"application/cloudevents+json", ""),
    ],
)
def test_an_event_in_structured_mode_is_named_by_its_id_too(
    value: bytes | None, content_type: bytes, event: str
) -> None:
    written = Written()
    told = writer(written)
    told.write(Record("orders", 0, 5, 0, None, value, (("content-type", content_type),)), 1, 204, DELIVERED, 0.01)
    told.flush()
    assert [line.event for line in written.lines] == [event]
