"""What the replay rule promises, record by record."""

from __future__ import annotations

from pipeline.kafka.replay_rule import DELETED, FORGET_AFTER_MS, TURN, VERSION, ReplayRule, Row, Write
from pipeline.record import Headers, Record


class Log:
    """A table's topic in memory, replayed by one rule as it grows."""

    def __init__(self) -> None:
        self.rule = ReplayRule()
        self.records: list[Record] = []

    def append(self, key: str, write: Write, *, at_ms: int = 0) -> bool:
        return self.raw(key.encode(), write.value, write.headers, at_ms=at_ms)

    def raw(self, key: bytes | None, value: bytes | None, headers: Headers = (), *, at_ms: int = 0) -> bool:
        record = Record("t", 0, len(self.records), at_ms, key, value, headers)
        self.records.append(record)
        return self.rule.apply(record)


def turn(number: int) -> Headers:
    return ((TURN, b"%d" % number),)


def test_a_row_is_what_was_written_at_its_offset() -> None:
    log = Log()
    log.append("other", log.rule.write("other", b"x"))
    assert log.append("a", log.rule.write("a", b"1"))
    assert log.rule.get("a") == Row(b"1", 1)


def test_of_two_writes_based_on_the_same_row_the_first_on_the_log_wins() -> None:
    log = Log()
    first, second = log.rule.write("a", b"1"), log.rule.write("a", b"2")
    assert (log.append("a", first), log.append("a", second)) == (True, False)
    assert log.rule.get("a") == Row(b"1", 0)


def test_a_key_whose_last_record_was_ignored_is_unsettled_until_repaired() -> None:
    log = Log()
    first, second = log.rule.write("a", b"1"), log.rule.write("a", b"2")
    log.append("a", first)
    log.append("a", second, at_ms=5)
    assert (log.rule.unsettled(6), log.rule.unsettled(5)) == (["a"], [])
    repair = log.rule.repair("a")
    assert repair is not None
    assert log.append("a", repair)
    assert not log.rule.is_unsettled("a")


def test_a_repair_changes_neither_value_nor_version() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    repair = log.rule.repair("a")
    assert repair is not None
    log.append("a", repair)
    assert log.rule.get("a") == Row(b"1", 0)


def test_a_deleted_row_is_gone_but_a_late_write_does_not_bring_it_back() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    late = log.rule.write("a", b"late")
    log.append("a", log.rule.write("a", None))
    assert log.rule.rows() == {}
    assert not log.append("a", late)
    assert log.rule.get("a") is None


def test_the_repair_of_a_deleted_key_is_a_deletion() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    late = log.rule.write("a", b"late")
    log.append("a", log.rule.write("a", None))
    log.append("a", late)
    repair = log.rule.repair("a")
    assert repair is not None
    assert DELETED in dict(repair.headers)
    assert log.append("a", repair)
    assert log.rule.get("a") is None


def test_an_empty_value_is_a_row_and_no_deletion() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b""))
    assert log.rule.get("a") == Row(b"", 0)


def test_a_deleted_key_is_forgotten_after_its_time_and_may_begin_anew() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    log.append("a", log.rule.write("a", None), at_ms=10)
    assert list(log.rule.forgettable(10 + FORGET_AFTER_MS)) == []
    assert list(log.rule.forgettable(11 + FORGET_AFTER_MS)) == ["a"]
    assert log.append("a", log.rule.forget("a"))
    assert list(log.rule.forgettable(11 + FORGET_AFTER_MS)) == []
    assert log.append("a", log.rule.write("a", b"2"))
    assert log.rule.get("a") == Row(b"2", 3)


def test_forgetting_loses_against_a_row_that_came_first() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    log.append("a", log.rule.write("a", None))
    forget = log.rule.forget("a")
    log.append("a", log.rule.write("a", b"2"))
    assert not log.append("a", forget)
    assert log.rule.get("a") == Row(b"2", 2)
    assert log.rule.is_unsettled("a")


def test_what_an_operator_writes_by_hand_counts_at_once() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    racing = log.rule.write("a", b"2")
    assert log.raw(b"a", b"by hand")
    assert not log.append("a", racing)
    assert log.rule.get("a") == Row(b"by hand", 1)
    assert log.append("a", log.rule.write("a", b"3"))


def test_a_tombstone_by_hand_removes_the_row() -> None:
    log = Log()
    log.append("a", log.rule.write("a", b"1"))
    assert log.raw(b"a", None)
    assert log.rule.rows() == {}
    assert log.append("a", log.rule.write("a", b"2"))


def test_records_without_a_readable_key_are_ignored() -> None:
    log = Log()
    assert not log.raw(None, b"x")
    assert not log.raw(b"\xff", b"x")
    assert log.rule.rows() == {}


def test_a_turn_that_is_no_number_counts_as_written_by_hand() -> None:
    log = Log()
    for text in (b"", b"-1", b"1.5", b"9" * 20, b"\xb2"):
        assert log.raw(b"a", b"x", ((TURN, text),))


def test_nothing_is_said_again_of_a_key_nobody_knows() -> None:
    assert ReplayRule().repair("a") is None


def test_a_version_given_by_a_repair_survives_the_loss_of_the_row_it_repaired() -> None:
    log = Log()
    log.raw(b"a", b"1", (*turn(7), (VERSION, b"3")))
    assert log.rule.get("a") == Row(b"1", 3)
