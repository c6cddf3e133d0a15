from __future__ import annotations

from pipeline.record import Position, Record


def test_a_position_reads_as_topic_partition_offset() -> None:
    assert str(Record("orders", 3, 1042, 0, None, None).position) == "orders/3/1042"
    assert Position("orders", 3, 1042).offset == 1042


def test_of_several_headers_of_a_name_the_last_counts() -> None:
    record = Record("t", 0, 0, 0, None, None, (("a", b"1"), ("b", b"2"), ("a", None)))
    assert (record.header("a"), record.header("b"), record.header("c")) == (None, b"2", None)


def test_the_size_is_that_of_key_and_value() -> None:
    assert Record("t", 0, 0, 0, b"key", b"value").size_bytes == 8
    assert Record("t", 0, 0, 0, None, None).size_bytes == 0
