from __future__ import annotations

import gc

import pytest

from pipeline.record import FIELDS, Position, Record


def test_a_position_reads_as_topic_partition_offset() -> None:
    assert str(Record("orders", 3, 1042, 0, None, None).position) == "orders/3/1042"
    assert Position("orders", 3, 1042).offset == 1042


def test_of_several_headers_of_a_name_the_last_counts() -> None:
    record = Record("t", 0, 0, 0, None, None, (("a", b"1"), ("b", b"2"), ("a", None)))
    assert (record.header("a"), record.header("b"), record.header("c")) == (None, b"2", None)


def test_the_size_is_that_of_key_and_value() -> None:
    assert Record("t", 0, 0, 0, b"key", b"value").size_bytes == 8
    assert Record("t", 0, 0, 0, None, None).size_bytes == 0


def test_a_record_is_its_fields_and_cannot_be_changed() -> None:
    record = Record("orders", 3, 1042, 1, b"k", b"v", (("a", None),))
    same = Record("orders", 3, 1042, 1, b"k", b"v", (("a", None),))
    assert record == same
    assert hash(record) == hash(same)
    assert record != Record("orders", 3, 1042, 1, b"k", b"v")
    assert record != ("orders", 3, 1042, 1, b"k", b"v", (("a", None),))
    for name in FIELDS:
        with pytest.raises(AttributeError):
            setattr(record, name, getattr(record, name))
    assert record == same


def test_a_record_shows_its_fields_by_name() -> None:
    assert repr(Record("t", 0, 7, 1, None, b"v")) == (
        "Record(topic='t', partition=0, offset=7, timestamp_ms=1, key=None, value=b'v', headers=())"
    )


def test_other_content_lies_at_the_same_place() -> None:
    record = Record("t", 1, 2, 3, b"k", b"v", (("a", b"1"),))
    assert record.holding(None, b"w", ()) == Record("t", 1, 2, 3, None, b"w")
    assert record == Record("t", 1, 2, 3, b"k", b"v", (("a", b"1"),))


def test_records_are_no_work_for_the_collector_of_cycles() -> None:
    assert not gc.is_tracked(Record("t", 1, 2, 3, b"k", b"v"))
