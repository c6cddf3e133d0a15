"""The local registry: rows that never change, ids without a hole, whoever else writes."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import Conflict, RegistryError, VersionConflict
from pipeline.kafka.table import Row
from pipeline.registry.local import PROBLEMS_SHOWN_MAX, RACES_MAX, LocalRegistry, check_backward
from tests.fakes.table import FakeTable


def schema(*fields: str) -> str:
    described = [{"name": name, "type": "string"} for name in fields]
    return json.dumps({"type": "record", "name": "Order", "fields": described})


class RacedTable(FakeTable):
    """Another process writes a row right before each of the first ``races`` writes of ours."""

    def __init__(self, races: int, subject: str, text: str) -> None:
        super().__init__()
        self.races, self.subject, self.text = races, subject, text

    async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
        if self.races:
            self.races -= 1
            theirs = json.dumps({"subject": self.subject, "schema": self.text}).encode()
            await super().put(key, theirs, based_on=None)
        return await super().put(key, value, based_on=based_on)


async def test_a_row_is_keyed_by_the_id_and_holds_subject_and_schema() -> None:
    table = FakeTable()
    await LocalRegistry(table).register("order", schema("id"))
    assert {key: json.loads(row.value) for key, row in table.rows().items()} == {
        "1": {"subject": "order", "schema": schema("id")}
    }


async def test_two_registries_over_one_table_know_the_same() -> None:
    table = FakeTable()
    here, there = LocalRegistry(table), LocalRegistry(table)
    first = await here.register("order", schema("id"))
    second = await there.register("payment", schema("id"))
    assert (first.id, second.id) == (1, 2)
    assert await here.latest("payment") == second
    assert await there.latest("order") == first


async def test_the_loser_of_a_race_takes_the_next_id() -> None:
    table = RacedTable(2, "payment", schema("id"))
    made = await LocalRegistry(table).register("order", schema("id"))
    assert made.id == 3


async def test_the_loser_of_a_race_for_the_same_schema_takes_the_winners() -> None:
    table = RacedTable(1, "order", schema("id"))
    made = await LocalRegistry(table).register("order", schema("id"))
    assert made.id == 1
    assert len(table.rows()) == 1


async def test_the_loser_of_a_race_is_checked_against_the_winners_schema() -> None:
    table = RacedTable(1, "order", schema("id"))
    with pytest.raises(Conflict):
        await LocalRegistry(table).register("order", schema("id", "total"))
    assert len(table.rows()) == 1


async def test_races_without_end_are_given_up_and_may_be_tried_again() -> None:
    class Contested(FakeTable):
        async def put(self, key: str, value: bytes | None, *, based_on: int | None) -> Row:
            self.written += 1
            raise VersionConflict(key)

    table = Contested()
    with pytest.raises(RegistryError) as raised:
        await LocalRegistry(table).register("order", schema("id"))
    assert raised.value.retryable
    assert table.written == RACES_MAX


async def test_a_row_that_is_not_ours_takes_its_id_and_nothing_more() -> None:
    table = FakeTable()
    await table.put("1", b"\xff{", based_on=None)
    registry = LocalRegistry(table)
    made = await registry.register("order", schema("id"))
    assert made.id == 2
    with pytest.raises(RegistryError, match="id 1 is unreadable"):
        await registry.by_id(1)


async def test_reading_the_latest_reads_new_rows_only() -> None:
    class Counting(FakeTable):
        asked = 0

        def get(self, key: str) -> Row | None:
            self.asked += 1
            return super().get(key)

    table = Counting()
    registry = LocalRegistry(table)
    for number in range(20):
        await registry.register(f"subject{number}", schema("id"))
    await registry.latest("subject3")
    before = table.asked
    await registry.latest("subject7")
    assert table.asked == before + 1


def test_of_many_problems_the_first_are_shown() -> None:
    with pytest.raises(Conflict) as raised:
        check_backward("order", schema("id", *[f"new{number}" for number in range(9)]), schema("id"))
    assert f"and {9 - PROBLEMS_SHOWN_MAX} more" in str(raised.value)
