"""``pipeline dlq`` and ``pipeline replay``: looking first, doing only when told to."""

from __future__ import annotations

import json

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.record import Record
from tests.unit.cli.commands import Program

FAILURE = Failure(
    reason="rejected_4xx",
    attempts=1,
    first_failed_at="2026-11-20T22:00:00Z",
    last_failed_at="2026-11-20T22:10:00Z",
    http_status=422,
    error="status 422\x1b[31m",
)


@pytest.fixture
def shop(program: Program) -> Program:
    """Three events, two of them in the dead-letter topic of ``hook``."""
    house = program.house
    house.log.create("orders", 1)
    (program.folder / "hook.yaml").write_text('topics: [orders]\nendpoint: {url: "https://receiver.example/"}\n')
    assert program("subs", "apply", "--file", "hook.yaml").status == 0
    for number in range(3):
        house.log.append("orders", b'{"n":%d}' % number, key=b"k\x1b[2J", headers=(("ce_id", b"e%d" % number),))
    for record in house.log.topics["orders"].partitions[0].records[:2]:
        key, value, headers = wrap(record, "app.hook", FAILURE)
        house.log.append("app.hook.dlq", value, key=key, headers=headers, partition=0)
    return program


def letter_ids(program: Program) -> list[str]:
    return [row["id"] for row in program("dlq", "list", "hook", "--json").json_lines]


def test_dead_letters_are_listed_with_why_they_died(shop: Program) -> None:
    first, second = shop("dlq", "list", "hook", "--json").json_lines
    assert (first["event"], first["reason"], first["status"], first["attempts"]) == ("e0", "rejected_4xx", 422, 1)
    assert first["redriven_by"] is None
    assert first["id"] != second["id"]
    assert shop("dlq", "list", "hook", "--reason", "expired", "--json").out == ""
    assert "no dead letters" in shop("dlq", "list", "hook", "--reason", "expired").out


def test_nothing_that_came_from_outside_moves_the_terminals_cursor(shop: Program) -> None:
    for words in (("dlq", "list", "hook"), ("dlq", "show", "hook", letter_ids(shop)[0])):
        assert "\x1b" not in shop(*words).out


def test_one_letter_is_shown_whole(shop: Program) -> None:
    shown = json.loads(shop("dlq", "show", "hook", letter_ids(shop)[1], "--json").out)
    assert (shown["value"], shown["headers"]) == ('{"n":1}', {"ce_id": "e1"})
    assert shown["lies_at"] == "app.hook.dlq/0/1"
    unknown = shop("dlq", "show", "hook", "no-such-id")
    assert (unknown.status, unknown.out) == (1, "")
    assert "dlq list" in unknown.err


def test_a_redrive_is_planned_and_ends_with_2_until_it_is_told_to_execute(shop: Program) -> None:
    planned = shop("dlq", "redrive", "hook", "--json")
    assert planned.status == 2
    assert planned.json_lines == [{"dead_letters": 2, "reasons": {"rejected_4xx": 2}, "state": "planned"}]
    assert "--execute" in planned.err
    assert shop.house.run_rows.content == {}
    begun = shop("dlq", "redrive", "hook", "--execute", "--no-wait", "--json", "--id", letter_ids(shop)[0])
    assert (begun.status, begun.json_lines[0]["state"]) == (0, "active")
    assert begun.json_lines[0]["dead_letters"] == 1
    assert len(shop.house.run_rows.content) == 1


def test_a_second_redrive_while_one_is_active_is_refused_with_3(shop: Program) -> None:
    first, second = letter_ids(shop)
    assert shop("dlq", "redrive", "hook", "--execute", "--no-wait", "--id", first).status == 0
    refused = shop("dlq", "redrive", "hook", "--execute", "--no-wait", "--id", second)
    assert (refused.status, refused.out) == (3, "")
    assert refused.err.startswith("refused: redrive ")


def test_letters_that_were_redriven_are_listed_only_when_asked_for(shop: Program) -> None:
    assert shop("dlq", "redrive", "hook", "--execute", "--no-wait").status == 0
    assert letter_ids(shop) == []
    rows = shop("dlq", "list", "hook", "--all", "--json").json_lines
    assert len(rows) == 2
    assert all(row["redriven_by"] for row in rows)


def test_with_nothing_to_redrive_nothing_is_made_and_all_is_well(shop: Program) -> None:
    ended = shop("dlq", "redrive", "hook", "--reason", "expired", "--execute", "--json")
    assert ended.status == 0
    assert ended.json_lines[0]["dead_letters"] == 0
    assert shop.house.run_rows.content == {}
    assert shop("dlq", "redrive", "hook", "--reason", "nonsense").status == 1


def test_a_replay_is_planned_and_ends_with_2_until_it_is_told_to_execute(shop: Program) -> None:
    planned = shop("replay", "hook", "--from", "earliest", "--json")
    assert planned.status == 2
    *parts, total = planned.json_lines
    assert parts == [{"topic": "orders", "partition": 0, "first": 0, "until": 3, "count": 3}]
    assert total == {"events": 3, "state": "planned"}
    begun = shop("replay", "hook", "--from", "earliest", "--execute", "--no-wait", "--rate", "5", "--json")
    assert (begun.status, begun.json_lines[-1]["state"]) == (0, "active")


def test_an_empty_window_is_no_error(shop: Program) -> None:
    ended = shop("replay", "hook", "--from", "latest", "--execute")
    assert ended.status == 0
    assert "nothing lies in that window" in ended.out


@pytest.mark.parametrize("start", ["yesterday", "2026-11-20T22:00:00", "v1.nonsense"])
def test_a_start_that_is_none_is_an_error(shop: Program, start: str) -> None:
    ended = shop("replay", "hook", "--from", start)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")


def test_a_dead_letter_of_another_group_is_not_shown(shop: Program) -> None:
    record = Record("orders", 0, 0, 0, b"k", b"{}", ())
    key, value, headers = wrap(record, "app.other", FAILURE)
    shop.house.log.append("app.hook.dlq", value, key=key, headers=headers, partition=0)
    assert len(letter_ids(shop)) == 2
