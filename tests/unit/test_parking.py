"""Parked keys: rows that name them, however long they are, and tell them again."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.parking import ParkedKey, name_of, parked_keys, read_row
from tests.fakes.table import FakeTable


def parked(key: bytes | None, topic: str = "t", partition: int = 0) -> ParkedKey:
    return ParkedKey(
        group="app.hook",
        topic=topic,
        partition=partition,
        key=key,
        policy="park",
        reason="exhausted",
        offset=7,
        at_ms=9,
    )


@given(st.none() | st.binary(max_size=2000))
def test_a_row_tells_its_key_again_under_a_name_the_table_takes(key: bytes | None) -> None:
    row = parked(key, topic="t" * 249, partition=9_999)
    assert len(row.name.encode()) <= 1024
    assert read_row(row.name, row.value()) == row


def test_no_two_keys_share_a_name() -> None:
    keys = [None, b"", b"~", b"a", b"A", b"a" * 600, b"a" * 601, b"/"]
    assert len({name_of("app.hook", ("t", 0), key) for key in keys}) == len(keys)


def test_rows_of_earlier_releases_are_read() -> None:
    name = f"app.hook/t/3/{urlsafe_b64encode(b'k1').decode()}"
    found = read_row(name, b"rejected_4xx")
    assert found is not None
    assert (found.key, found.policy, found.reason, found.partition) == (b"k1", "park", "rejected_4xx", 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("app.hook/t/3", b"exhausted"),
        ("app.hook/t/x/a2V5", b"exhausted"),
        ("app.hook/t/3/a2V5", b"{}"),
        ("app.hook/t/3/a2V5", b"\xff"),
        ("app.hook/t/3/a2V5", parked(b"another").value()),
        ("app.hook/t/3/~abc", b"exhausted"),
    ],
)
def test_what_is_no_row_of_a_key_is_left_alone(name: str, value: bytes) -> None:
    assert read_row(name, value) is None


async def test_the_keys_of_a_partition_are_found_by_their_prefix() -> None:
    table = FakeTable()
    for row in (parked(b"a"), parked(b"b"), parked(b"c", partition=1), parked(b"d", topic="t2")):
        await table.put(row.name, row.value(), based_on=None)
    assert [row.key for row in parked_keys(table.rows(), "app.hook/t/0/")] == [b"a", b"b"]
    assert len(list(parked_keys(table.rows(), "app.hook/"))) == 4
    assert list(parked_keys(table.rows(), "app.hook2/")) == []
