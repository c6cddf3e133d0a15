"""Attempt records: one line of JSON that says what was tried and what came of it."""

from __future__ import annotations

import time

import pytest

from pipeline.delivery.verdict import DELIVERED, Verdict, VerdictKind
from pipeline.push.attempts import AttemptWriter
from pipeline.record import Record
from tests.fakes.bridge import ATTEMPTS, FakeJournal

RECORD = Record('or"ders', 3, 42, 0, b"k", b"{}")


def writer(journal: FakeJournal, run_id: str | None = None) -> AttemptWriter:
    return AttemptWriter(journal, ATTEMPTS, "hook", run_id, lambda topic: "evt_abcdefghij_")


def test_a_delivery_is_told_with_its_place_number_and_time() -> None:
    journal = FakeJournal()
    before = int(time.time() * 1000)
    writer(journal).write(RECORD, 1, 204, DELIVERED, 0.0129)
    ((topic, key, line),) = journal.lines
    assert (topic, key) == (ATTEMPTS, b"hook")
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
    }


@pytest.mark.parametrize("kind", list(VerdictKind))
def test_every_verdict_can_be_told(kind: VerdictKind) -> None:
    journal = FakeJournal()
    writer(journal).write(RECORD, 1, 500, Verdict(kind), 0.0)
    assert journal.lines[0][2]["verdict"] == kind.value


def test_a_failure_says_why_and_a_run_which_it_was() -> None:
    journal = FakeJournal()
    verdict = Verdict(VerdictKind.RETRY, "exhausted", 'connect: "refused"\x07')
    writer(journal, "r1").write(RECORD, 7, 0, verdict, 1.0)
    ((_, _, line),) = journal.lines
    assert (line["run"], line["attempt"], line["status"], line["ms"]) == ("r1", 7, 0, 1000)
    assert line["error"] == 'connect: "refused"\x07'


def test_the_id_prefix_is_asked_for_once_per_topic() -> None:
    asked: list[str] = []
    journal = FakeJournal()

    def prefix(topic: str) -> str:
        asked.append(topic)
        return "evt_x_"

    told = AttemptWriter(journal, ATTEMPTS, "hook", None, prefix)
    for _ in range(3):
        told.write(RECORD, 1, 204, DELIVERED, 0.0)
    assert asked == ['or"ders']
