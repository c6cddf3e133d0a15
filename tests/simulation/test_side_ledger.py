"""Which letter of an event a redrive was at, and when its order is broken: the rule that the simulation judges by."""

from __future__ import annotations

import pytest

from pipeline.delivery.pointer import Pointer
from pipeline.kafka.offsets import Committed
from pipeline.record import Record
from pipeline.subscription import StoredRun
from tests.simulation.broker import Broker
from tests.simulation.side_ledger import RedriveLedger
from tests.simulation.world import Violation, World

PLACE = ("app.hook.dlq", 0)
TWICE, BETWEEN = Record("t", 0, 7, 0, b"k", b"twice"), Record("t", 0, 8, 0, b"k", b"between")


def redrive_of(*events: Record) -> RedriveLedger:
    """Of one letter each, in this order."""
    letters = [Record(*PLACE, offset, 0, event.key, event.value) for offset, event in enumerate(events)]
    run = StoredRun(id="r", subscription="hook", kind="redrive", window={PLACE[0]: {PLACE[1]: (0, len(events))}})
    return RedriveLedger(Broker(World(1)), "app.hook.redrive.r", "key", run, letters)


def burial_heard_of() -> RedriveLedger:
    """Of the first of two letters of one event."""
    ledger = redrive_of(TWICE, BETWEEN, TWICE)
    ledger.letter_settled(TWICE)
    ledger.burial_known(TWICE)
    return ledger


def claimed(ledger: RedriveLedger, *, offset: int) -> None:
    """By another owner, when the one before had committed ``offset``."""
    before, after = (
        Committed(offset, Pointer(offset=offset, epoch=epoch, owner=f"w{epoch}").metadata()) for epoch in (1, 2)
    )
    ledger.broker.committed[ledger.group] = {PLACE: before}
    ledger.committed("w2", PLACE, before, after)


def test_a_burial_whose_answer_was_lost_may_be_done_again() -> None:
    ledger = redrive_of(TWICE, BETWEEN, TWICE)
    ledger.letter_settled(TWICE)
    ledger.letter_settled(TWICE)


def test_a_burial_that_was_heard_of_is_not_done_again() -> None:
    ledger = burial_heard_of()
    with pytest.raises(Violation, match=r"P3 .* buried .* 2.* while 1 of its key"):
        ledger.letter_settled(TWICE)


def test_a_burial_that_a_lost_owner_had_not_committed_may_be_done_again() -> None:
    ledger = burial_heard_of()
    claimed(ledger, offset=0)
    ledger.letter_settled(TWICE)


def test_a_burial_that_was_committed_is_not_done_again_by_the_next_owner() -> None:
    ledger = burial_heard_of()
    claimed(ledger, offset=1)
    with pytest.raises(Violation, match=r"P3 .* while 1 of its key"):
        ledger.arrived("w2", TWICE, taken=False, awaited=True)


def test_letters_of_a_topic_that_was_made_again_are_others_even_with_the_same_offsets() -> None:
    namesake = Record("t", 0, 7, 0, None, b"of the new topic")
    ledger = redrive_of(BETWEEN, TWICE, namesake)
    ledger.arrived("w1", namesake, taken=True, awaited=True)
    assert ledger.taken == {(PLACE, 2)}
