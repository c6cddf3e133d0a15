"""``pipeline dlq`` and ``pipeline replay``: looking first, doing only when told to."""

from __future__ import annotations

import asyncio
import json

import pytest

from pipeline.deadletter import Failure, wrap
from pipeline.parking import ParkedKey
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
    assert (first["state"], first["taken_by"]) == ("open", None)
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


def test_a_redrive_of_nothing_says_so(shop: Program) -> None:
    for words in ((), ("--execute",)):
        ended = shop("dlq", "redrive", "hook", "--type", "never.seen", *words)
        assert ended.status == 0 and "nothing to do" in ended.err


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
    assert all(row["taken_by"] and row["state"] == "redriven" for row in rows)


def test_with_nothing_to_redrive_nothing_is_made_and_all_is_well(shop: Program) -> None:
    ended = shop("dlq", "redrive", "hook", "--reason", "expired", "--execute", "--json")
    assert ended.status == 0
    assert ended.json_lines[0]["dead_letters"] == 0
    assert shop.house.run_rows.content == {}
    assert shop("dlq", "redrive", "hook", "--reason", "nonsense").status == 1


def test_a_replay_is_planned_and_run_apart(shop: Program) -> None:
    planned = shop("replay", "plan", "hook", "--from", "earliest", "--rate", "2", "--json")
    assert planned.status == 2
    part, total = planned.json_lines
    assert {name: part[name] for name in ("topic", "partition", "first", "until", "count", "clamped")} == {
        "topic": "orders",
        "partition": 0,
        "first": 0,
        "until": 3,
        "count": 3,
        "clamped": None,
    }
    assert part["first_at"] == part["last_at"] == "2026-11-21T00:00:00.000Z"
    assert total == {"events": 3, "state": "planned", "eta_s": 1.5}
    assert "replay run" in planned.err and shop.house.run_rows.content == {}
    begun = shop("replay", "run", "hook", "--from", "earliest", "--no-wait", "--rate", "5", "--json")
    assert (begun.status, begun.json_lines[-1]["state"]) == (0, "active")
    assert "--reset-offsets --to-earliest" in shop("replay", "plan", "hook", "--from", "earliest").out


def test_a_window_may_be_given_in_every_way_the_stock_tool_knows(shop: Program) -> None:
    (shop.folder / "plan.csv").write_text('"orders",0,2\n')
    for words, count in (
        (("--from-offset", "1"), 2),
        (("--from-offset", "orders/0=2", "--until-offset", "orders/0=3"), 1),
        (("--from-duration", "1h"), 3),
        (("--shift", "1"), 2),
        (("--from-file", "plan.csv"), 1),
        (("--from", "2026-11-20T00:00:00Z", "--until", "latest"), 3),
        (("--id", "e1", "--filter", '{"exact": {"type": "x"}}'), 3),
    ):
        planned = shop("replay", "plan", "hook", *words, "--json")
        assert planned.json_lines[-1]["events"] == count, (words, planned)


def test_runs_are_listed_looked_at_paused_resumed_and_cancelled(shop: Program) -> None:
    assert shop("replay", "run", "hook", "--from", "earliest", "--no-wait").status == 0
    (row,) = shop("replay", "list", "hook", "--json").json_lines
    assert (row["kind"], row["state"], row["done"], row["total"]) == ("replay", "active", 0, 3)
    run = row["run"]
    shown = json.loads(shop("replay", "status", "hook", run, "--json").out)
    assert (shown["group"], shown["window"]) == (f"app.hook.replay.{run}", {"orders": {"0": [0, 3]}})
    for verb, state in (("pause", "paused"), ("resume", "active"), ("cancel", "cancelled")):
        assert shop("replay", verb, "hook", run).out == f"{run} is {state}\n"
    assert shop("replay", "pause", "hook", run).status == 3
    assert shop("replay", "status", "hook", "nosuchrun").status == 1
    assert "no runs" in shop("replay", "list", "hook").out or run in shop("replay", "list", "hook").out


def test_a_clamp_is_refused_with_3_unless_it_is_allowed(shop: Program) -> None:
    refused = shop("replay", "plan", "hook", "--from-offset", "9")
    assert (refused.status, refused.out) == (3, "")
    assert "9 lies outside, 3 is the nearest" in refused.err
    assert shop("replay", "plan", "hook", "--from-offset", "9", "--allow-clamp").status == 0


def test_in_place_the_live_cursor_itself_is_moved(shop: Program) -> None:
    done = shop("replay", "run", "hook", "--from-offset", "1", "--in-place", "--json")
    assert (done.status, done.json_lines[-1]["state"]) == (0, "moved")
    assert shop.house.offsets.committed["app.hook"]["orders", 0].offset == 1
    assert shop.house.run_rows.content == {}
    assert shop("replay", "run", "hook", "--from", "earliest", "--in-place", "--rate", "3").status == 1


def test_an_empty_window_is_no_error(shop: Program) -> None:
    ended = shop("replay", "run", "hook", "--from", "latest")
    assert ended.status == 0
    assert "nothing lies in that window" in ended.out


@pytest.mark.parametrize("start", ["yesterday", "2026-11-20T22:00:00", "v1.nonsense"])
def test_a_start_that_is_none_is_an_error(shop: Program, start: str) -> None:
    ended = shop("replay", "plan", "hook", "--from", start)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        ("--from-offset", "orders/0"),
        ("--from-offset", "1", "--from-offset", "2"),
        ("--filter", "{"),
        ("--from-file", "bad.csv"),
        ("--from", "earliest", "--shift", "1"),
        (),
    ],
)
def test_options_that_say_nothing_usable_are_errors(shop: Program, words: tuple[str, ...]) -> None:
    (shop.folder / "bad.csv").write_text("orders;0;2\n")
    assert shop("replay", "plan", "hook", *words).status == 1


def test_counts_tell_what_waits(shop: Program) -> None:
    stats = json.loads(shop("dlq", "stats", "hook", "--json").out)
    assert (stats["letters"], stats["states"], stats["reasons"]) == (2, {"open": 2}, {"rejected_4xx": 2})
    assert "reasons" in shop("dlq", "stats", "hook").out


def test_an_export_is_a_line_for_each_and_says_when_it_is_whole(shop: Program) -> None:
    *letters, last = shop("dlq", "export", "hook").json_lines
    assert [one["value"] for one in letters] == ['{"n":0}', '{"n":1}']
    assert last["caught_up"] is True
    assert len(shop("dlq", "export", "hook", "--status", "500").json_lines) == 1


def test_a_discard_is_planned_then_done_and_needs_a_reason(shop: Program) -> None:
    first, _ = letter_ids(shop)
    assert shop("dlq", "discard", "hook", "--id", first).status == 1
    planned = shop("dlq", "discard", "hook", "--id", first, "--why", "test order")
    assert planned.status == 2 and shop.house.run_rows.content == {}
    done = shop("dlq", "discard", "hook", "--id", first, "--why", "test order", "--execute", "--json")
    assert done.json_lines == [{"dead_letters": 1, "reasons": {"rejected_4xx": 1}, "state": "discarded"}]
    assert first not in letter_ids(shop)
    (facts,) = shop.house.audit.of("discard")
    assert facts["note"] == "test order" and str(facts["who"]).startswith("cli ")


def test_an_edit_appends_the_event_changed(shop: Program) -> None:
    first, _ = letter_ids(shop)
    (shop.folder / "mended.json").write_bytes(b'{"n":7}')
    words = ("--value-file", "mended.json", "--header", "ce_id=e7", "--by", "ann", "--json")
    done = json.loads(shop("dlq", "edit", "hook", first, *words).out)
    assert done == {"id": first, "lies_at": "app.hook.dlq/0/2", "instead_of": "app.hook.dlq/0/0"}
    shown = json.loads(shop("dlq", "show", "hook", first, "--json").out)
    assert (shown["value"], shown["event"], shown["edit"]["by"]) == ('{"n":7}', "e7", "ann")
    assert len(letter_ids(shop)) == 2
    assert shop("dlq", "edit", "hook", first).status == 1
    assert shop("dlq", "edit", "hook", first, "--header", "nothing").status == 1


def test_a_write_back_names_who_else_receives_it(shop: Program) -> None:
    planned = shop("dlq", "redrive", "hook", "--to-topic", "orders", "--json")
    assert (planned.status, planned.json_lines[0]["also_received_by"]) == (2, ["app.hook"])
    assert "1 groups read orders" in planned.err
    done = shop("dlq", "redrive", "hook", "--to-topic", "orders", "--execute", "--json")
    assert (done.status, done.json_lines[0]["state"]) == (0, "written")
    assert shop.house.log.topics["orders"].partitions[0].end == 5
    assert shop("dlq", "redrive", "hook", "--to-topic", "_pipeline-runs").status == 1


def test_foreign_records_are_shown_apart(shop: Program) -> None:
    forged = (("kafka_dlt-original-topic", b"salaries"),)
    shop.house.log.append("app.hook.dlq", b"{}", key=b"k", headers=forged, partition=0)
    (row,) = shop("dlq", "list", "hook", "--foreign", "--json").json_lines
    assert (row["dialect"], row["topic"], row["offset"]) == ("spring", "salaries", 2)
    assert len(letter_ids(shop)) == 2


def test_parked_keys_are_listed_and_released(shop: Program) -> None:
    async def park() -> None:
        row = ParkedKey(group="app.hook", topic="orders", partition=0, key=b"k", policy="block", reason="exhausted")
        await shop.house.parked_rows.put(row.name, row.value(), based_on=None)

    asyncio.run(park())
    assert [row["key"] for row in shop("subs", "parked", "hook", "--json").json_lines] == ["k"]
    assert shop("subs", "release", "hook", "other").status == 1
    assert shop("subs", "release", "hook", "k", "--json").json_lines == [
        {"state": "released", "redriven": 0, "run": None}
    ]
    assert "no key of hook waits" in shop("subs", "parked", "hook").out


def test_a_dead_letter_of_another_group_is_not_shown(shop: Program) -> None:
    record = Record("orders", 0, 0, 0, b"k", b"{}", ())
    key, value, headers = wrap(record, "app.other", FAILURE)
    shop.house.log.append("app.hook.dlq", value, key=key, headers=headers, partition=0)
    assert len(letter_ids(shop)) == 2
