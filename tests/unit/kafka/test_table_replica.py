"""What a process makes of a table's topic as it reads it, and whom it tells."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pipeline.errors import BrokerUnavailable
from pipeline.kafka import table_replica
from pipeline.kafka.replay_rule import TURN, Row
from pipeline.kafka.table_replica import TableReplica
from pipeline.record import Record


def record(offset: int, key: str, value: bytes | None, turn: int = 1) -> Record:
    return Record("t", 0, offset, 0, key.encode(), value, ((TURN, b"%d" % turn),))


def read(*records: Record) -> TableReplica:
    """A replica that has read these to the end."""
    replica = TableReplica("t")
    replica.begin()
    for each in records:
        replica.apply(each)
    replica.at_end()
    return replica


def test_rows_are_in_view_when_the_end_is_reached() -> None:
    replica = TableReplica("t")
    replica.begin()
    replica.apply(record(0, "a", b"1"))
    assert (replica.loaded.is_set(), replica.rule.rows()) == (False, {})
    replica.at_end()
    assert (replica.loaded.is_set(), replica.rule.rows()) == (True, {"a": Row(b"1", 0)})


def test_the_end_known_beforehand_is_enough() -> None:
    replica = TableReplica("t")
    replica.end = 2
    replica.begin()
    replica.apply(record(0, "a", b"1"))
    assert not replica.loaded.is_set()
    replica.apply(record(1, "b", b"1"))
    assert replica.loaded.is_set()


def test_an_empty_topic_is_read_at_once() -> None:
    replica = TableReplica("t")
    replica.end = 0
    replica.begin()
    assert replica.loaded.is_set()


def test_watchers_hear_changes_only_and_none_after_they_left() -> None:
    replica, heard = read(record(0, "a", b"1")), list[tuple[str, Row | None]]()
    leave = replica.watch(lambda key, row: heard.append((key, row)))
    replica.apply(record(1, "a", b"2", turn=2))
    replica.apply(record(2, "a", b"3", turn=2))
    replica.apply(record(3, "a", None, turn=2))
    leave()
    leave()
    replica.apply(record(4, "a", b"4", turn=3))
    assert heard == [("a", Row(b"2", 1)), ("a", None)]


def test_reading_again_tells_the_difference_and_keeps_the_old_rows_in_view_until_then() -> None:
    replica, heard = read(record(0, "a", b"1"), record(1, "b", b"1")), list[tuple[str, Row | None]]()
    replica.watch(lambda key, row: heard.append((key, row)))
    replica.begin()
    replica.apply(record(0, "b", b"2"))
    assert (heard, set(replica.rule.rows())) == ([], {"a", "b"})
    replica.at_end()
    assert sorted(heard) == [("a", None), ("b", Row(b"2", 0))]


async def test_a_watcher_that_raises_costs_the_others_nothing() -> None:
    replica, heard, complaints = read(), list[str](), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def broken(key: str, row: Row | None) -> None:
        raise ValueError(f"{key} {row}")

    replica.watch(broken)
    replica.watch(lambda key, _: heard.append(key))
    replica.apply(record(0, "a", b"1"))
    assert (heard, len(complaints)) == (["a"], 1)


async def test_the_verdict_on_a_write_already_read_is_there_at_once() -> None:
    replica = read(record(0, "a", b"1"), record(1, "a", b"2"))
    assert (await replica.verdict(0, 1.0), await replica.verdict(1, 1.0)) == (True, False)


async def test_the_verdict_comes_when_the_write_is_read_back() -> None:
    replica = read()
    waiting = asyncio.ensure_future(replica.verdict(0, 5.0))
    await asyncio.sleep(0)
    replica.apply(record(0, "a", b"1"))
    assert await waiting is True


async def test_a_write_that_is_not_read_back_in_time_is_told_so() -> None:
    with pytest.raises(BrokerUnavailable, match="offset 7 was not read back"):
        await read().verdict(7, 0.0)


async def test_no_more_ignored_offsets_are_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_replica, "IGNORED_MAX", 2)
    replica = read(record(0, "a", b"1"), *(record(offset, "a", b"x") for offset in (1, 2, 3)))
    assert [await replica.verdict(offset, 1.0) for offset in (2, 3)] == [False, False]
