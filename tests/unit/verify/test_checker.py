"""The checker finds each planted violation, and nothing in a good history."""

from __future__ import annotations

import pytest

from pipeline.errors import FormatUnreadable
from pipeline.verify import Appended, Buried, Committed, Ended, Incident, Line, Received, Sent, Unsure, check

T = "evt_abcdefghij_"


def at(partition: int, offset: int) -> str:
    return f"{T}{partition}_{offset}"


def appended(offset: int, key: str = "k", when: float = 0.0) -> Line:
    return Appended(at=when, id=at(0, offset), key=key)


def got(offset: int, when: float, status: int = 204) -> Line:
    return Received(at=when, id=at(0, offset), status=status)


GOOD: list[Line] = [
    appended(0), appended(1), appended(2, "other"), appended(5),
    Sent(at=1.0, id=at(0, 0), attempt=1), got(0, 1.1, 503), Ended(at=1.2, id=at(0, 0), attempt=1, status=503),
    got(2, 1.3),
    got(0, 2.0), Committed(at=2.1, topic=T, partition=0, offset=1),
    got(1, 2.2), Buried(at=2.3, id=at(0, 5)), Committed(at=2.4, topic=T, partition=0, offset=6),
]  # fmt: skip


def test_nothing_is_found_in_a_good_history() -> None:
    verified = check(GOOD)
    assert verified.ok
    assert (verified.events, verified.delivered, verified.buried) == (4, 3, 1)
    assert (verified.duplicates, verified.commits, verified.recovery_s) == (0, 2, None)


def test_an_event_neither_delivered_nor_buried_is_lost() -> None:
    verified = check([line for line in GOOD if line != got(2, 1.3)])
    assert verified.lost == 1
    assert any(at(0, 2) in finding for finding in verified.findings)


def test_a_failing_answer_is_no_delivery() -> None:
    assert check([appended(0), got(0, 1.0, 503)]).lost == 1


def test_a_later_event_of_a_key_before_an_earlier_one_is_out_of_order() -> None:
    verified = check([appended(0), appended(1), got(1, 1.0), got(0, 2.0)])
    assert (verified.out_of_order, verified.ok) == (1, False)


def test_a_second_delivery_of_an_earlier_event_is_not_out_of_order() -> None:
    lines = [appended(0), appended(1), got(0, 1.0), got(1, 2.0), got(0, 3.0)]
    verified = check([*lines, Incident(at=0.5, name="kill", duplicates_max=1)])
    assert (verified.out_of_order, verified.duplicates, verified.ok) == (0, 1, True)


def test_other_keys_have_no_order_among_them() -> None:
    assert check([appended(0, "a"), appended(1, "b"), got(1, 1.0), got(0, 2.0)]).ok


def test_more_second_deliveries_than_the_incidents_allow_are_found() -> None:
    lines = [appended(0), got(0, 1.0), got(0, 2.0), got(0, 3.0)]
    assert not check([*lines, Incident(at=0.5, name="kill", duplicates_max=1)]).ok
    assert check([*lines, Incident(at=0.5, name="kill", duplicates_max=2)]).ok
    assert not check(lines).ok


def test_a_commit_past_an_unfinished_event_is_found_even_if_it_finished_later() -> None:
    lines = [appended(0), appended(1, "b"), got(1, 1.0), Committed(at=1.5, topic=T, partition=0, offset=2), got(0, 2.0)]
    verified = check(lines)
    assert verified.commits_past_unfinished == 1
    assert check(lines, skew_s=0.6).ok


def test_a_commit_of_another_partition_or_topic_says_nothing_of_this_one() -> None:
    lines = [appended(0), Committed(at=0.5, topic=T, partition=1, offset=9)]
    assert check([*lines, Committed(at=0.5, topic="evt_bbbbbbbbbb_", partition=0, offset=9), got(0, 1.0)]).ok


def test_a_commit_may_pass_holes() -> None:
    assert check([appended(3), got(3, 1.0), Committed(at=1.5, topic=T, partition=0, offset=7)]).ok


def test_what_nobody_appended_is_a_stray_unless_an_append_was_unsure() -> None:
    lines: list[Line] = [appended(0), got(0, 1.0), got(1, 1.1)]
    assert (check(lines).strays, check(lines).ok) == (1, False)
    assert check([*lines, Unsure(at=0.0)]).ok


def test_recovery_is_the_longest_time_a_partition_with_work_finished_nothing() -> None:
    lines: list[Line] = [
        appended(0), appended(1), appended(2), Appended(at=0.0, id=at(1, 0)), Appended(at=20.0, id=at(1, 1)),
        got(0, 1.0), Incident(at=2.0, name="kill"),
        got(1, 2.1), got(2, 7.5), Received(at=5.0, id=at(1, 0), status=204), Received(at=20.5, id=at(1, 1), status=204),
    ]  # fmt: skip
    assert check(lines).recovery_s == 5.4


def test_an_id_that_is_none_of_ours_is_refused() -> None:
    with pytest.raises(FormatUnreadable, match="evt_abcdefghij_0_17"):
        check([Received(at=0.0, id="msg_1", status=200)])


def test_an_attempt_below_what_was_committed_is_sent_again() -> None:
    lines: list[Line] = [appended(0), Sent(at=0.5, id=at(0, 0), attempt=1), got(0, 1.0)]
    commit = Committed(at=1.5, topic=T, partition=0, offset=1, acknowledged=True)
    again = [Sent(at=2.0, id=at(0, 0), attempt=1), got(0, 2.1), Incident(at=0.0, name="kill", duplicates_max=9)]
    verified = check([*lines, commit, *again])
    assert (verified.sent_again, verified.ok) == (1, False)
    assert check([*lines, commit, *again, Incident(at=0.0, name="freeze", again_max=1)]).ok
    assert check([*lines, *again]).ok
    unanswered = Committed(at=1.5, topic=T, partition=0, offset=1)
    assert check([*lines, unanswered, *again]).ok


def test_a_cursor_that_was_moved_back_is_gone_from_there() -> None:
    lines: list[Line] = [appended(0), Sent(at=0.5, id=at(0, 0), attempt=1), got(0, 1.0)]
    commits = [
        Committed(at=when, topic=T, partition=0, offset=to, acknowledged=True) for when, to in ((1.5, 1), (1.6, 0))
    ]
    again = [Sent(at=2.0, id=at(0, 0), attempt=1), got(0, 2.1), Incident(at=0.0, name="rewind", duplicates_max=1)]
    assert check([*lines, *commits, *again]).ok
