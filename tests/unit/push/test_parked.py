"""Parked keys of a run: written once, found again by the next owner, released by their row's deletion."""

from __future__ import annotations

import pytest

from pipeline.errors import PayloadTooLarge
from pipeline.parking import KEY_BYTES_MAX, read_row
from pipeline.push.clock import SYSTEM_CLOCK
from pipeline.push.parked import Parked, Waiting
from pipeline.subscription import RetryPolicy
from tests.fakes.bridge import reading_of, row_of
from tests.fakes.table import FakeTable

T0, T1 = ("t", 0), ("t", 1)


def parked(table: FakeTable, policy: str = "block") -> Parked:
    return Parked(table, reading_of(row_of(on_dead_letter=policy)), SYSTEM_CLOCK)


async def test_the_next_owner_finds_the_keys_of_its_partition() -> None:
    table = FakeTable()
    first = parked(table)
    assert await first.remember(T0, b"a", policy="park", reason="exhausted", offset=3)
    assert await first.remember(T0, b"L" * 5000, policy="block", reason="rejected_4xx", offset=4)
    assert await first.remember(T1, b"c", policy="park", reason="exhausted", offset=5)
    expected = Waiting({b"a": "exhausted"}, frozenset({b"L" * 5000}), frozenset({4}), keyless=False)
    assert parked(table).restore(T0) == expected
    assert parked(table, "continue").restore(T0).held is None, "the policy holds nothing"


async def test_what_is_spent_but_held_by_no_row_was_released() -> None:
    table = FakeTable()
    await parked(table).remember(T0, b"a", policy="block", reason="exhausted", offset=3)
    attempts = {3: (2, 1.0), 4: (2, 1.0), 5: (1, 1.0)}
    retry = RetryPolicy(schedule_s=(1.0,))
    assert parked(table).restore(T0).of(attempts, retry) == {3: (2, 1.0), 5: (1, 1.0)}
    assert parked(table, "continue").restore(T0).of(attempts, retry) == attempts
    await parked(table).remember(T0, None, policy="block", reason="exhausted", offset=4)
    assert parked(table).restore(T0).of(attempts, retry) == attempts


async def test_a_key_is_written_once_whoever_was_first() -> None:
    table = FakeTable()
    ours = parked(table)
    assert await ours.remember(T0, b"a", policy="park", reason="exhausted", offset=3)
    assert not await ours.remember(T0, b"a", policy="park", reason="expired", offset=9)
    (name,) = table.content
    row = read_row(name, table.content[name].value)
    assert row is not None
    assert (row.reason, row.offset) == ("exhausted", 3)


async def test_a_row_that_another_writes_at_the_same_time_stands() -> None:
    class Raced(FakeTable):
        def get(self, key: str) -> None:
            return None

    table = Raced()
    assert await parked(table).remember(T0, b"a", policy="park", reason="exhausted", offset=3)
    assert not await parked(table).remember(T0, b"a", policy="park", reason="expired", offset=9)


async def test_a_deleted_row_names_its_key_once_and_only_to_its_owner() -> None:
    table = FakeTable()
    ours = parked(table)
    await ours.remember(T0, b"L" * 5000, policy="park", reason="exhausted", offset=3)
    await ours.remember(T1, None, policy="block", reason="exhausted", offset=3)
    long, keyless = table.content
    assert ours.released(long) == (T0, b"L" * 5000)
    assert ours.released(long) is None
    ours.forget(T1)
    assert ours.released(keyless) is None


async def test_a_key_that_no_row_can_hold_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        await parked(FakeTable()).remember(T0, bytes(KEY_BYTES_MAX + 1), policy="park", reason="exhausted", offset=3)
