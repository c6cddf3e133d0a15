"""``pipeline subs``: made from files, looked at, stopped, resumed, deleted."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli.commands import Ended, Program

DECLARATION = 'topics: [orders]\nstart: earliest\nendpoint: {url: "https://receiver.example/hook"}\n'


@pytest.fixture
def applied(program: Program) -> Program:
    """A subscription ``hook`` on a topic of two events."""
    program.house.log.create("orders", 2)
    for number in range(2):
        program.house.log.append("orders", b"{}", key=b"k%d" % number)
    folder = program.folder / "subscriptions"
    folder.mkdir()
    (folder / "hook.yaml").write_text(DECLARATION)
    assert apply(program).status == 0
    return program


def apply(program: Program, *words: str) -> Ended:
    return program("subs", "apply", "--json", *words)


def test_a_file_makes_a_subscription_once_and_says_its_secret_once(program: Program) -> None:
    program.house.log.create("orders", 2)
    (program.folder / "subscriptions").mkdir()
    (program.folder / "subscriptions" / "hook.yaml").write_text(DECLARATION)
    (made,) = apply(program).json_lines
    assert (made["name"], made["change"]) == ("hook", "created")
    assert made["secret"].startswith("whsec_")
    (again,) = apply(program).json_lines
    assert again == {"name": "hook", "change": "unchanged", "differences": [], "secret": None}
    (program.folder / "subscriptions" / "hook.yaml").write_text(DECLARATION + "in_flight_max: 3\n")
    (changed,) = apply(program).json_lines
    assert changed["change"] == "changed"
    assert changed["differences"] == [{"pointer": "/in_flight_max", "before": 128, "after": 3}]


def test_one_file_by_name_and_a_name_of_its_own(applied: Program) -> None:
    (applied.folder / "other.yaml").write_text(f"name: named\n{DECLARATION}")
    (made,) = apply(applied, "--file", str(applied.folder / "other.yaml")).json_lines
    assert made["name"] == "named"


@pytest.mark.parametrize("text", ["- a list", "topics: [", "topics: [orders]\n"])
def test_a_file_that_declares_nothing_usable_is_an_error(program: Program, text: str) -> None:
    program.house.log.create("orders", 2)
    (program.folder / "bad.yaml").write_text(text)
    ended = apply(program, "--file", str(program.folder / "bad.yaml"))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_an_address_that_may_not_be_called_is_refused_with_3(program: Program) -> None:
    program.house.log.create("orders", 2)
    (program.folder / "inner.yaml").write_text(DECLARATION.replace("receiver.example", "169.254.169.254"))
    ended = apply(program, "--file", str(program.folder / "inner.yaml"))
    assert ended.status == 3
    assert ended.err.startswith("refused: ")


def test_listing_shows_state_lag_and_where_it_goes(applied: Program) -> None:
    (row,) = applied("subs", "list", "--json").json_lines
    assert row == {
        "name": "hook",
        "state": "active",
        "lag": 2,
        "lag_s": 0.0,
        "topics": "orders",
        "endpoint": "https://receiver.example/hook",
        "reason": "",
    }
    table = applied("subs", "list").out
    assert "hook" in table
    assert "active" in table


def test_without_any_it_says_how_to_make_one(program: Program) -> None:
    assert "subscriptions/" in program("subs", "list").out
    assert program("subs", "list", "--json").out == ""


def test_showing_one_tells_all_but_its_secret(applied: Program) -> None:
    ended = applied("subs", "show", "hook", "--json")
    shown = json.loads(ended.out)
    assert (shown["name"], shown["state"], shown["group"]) == ("hook", "active", "app.hook")
    assert [part["lag"] for part in shown["partitions"]] == [1, 1]
    assert "whsec_" not in ended.out
    assert "sealed1." not in ended.out


def test_pause_and_resume_change_its_state(applied: Program) -> None:
    assert applied("subs", "pause", "hook").out == "hook is paused\n"
    assert applied("subs", "list", "--json").json_lines[0]["state"] == "paused"
    assert applied("subs", "resume", "hook").out == "hook is active\n"
    assert applied("subs", "list", "--json").json_lines[0]["state"] == "active"


def test_deleting_keeps_its_offsets_unless_told_to_forget(applied: Program) -> None:
    assert applied("subs", "delete", "hook").out == "hook is deleted\n"
    assert "app.hook" in applied.house.offsets.committed
    apply(applied)
    assert "forgotten" in applied("subs", "delete", "hook", "--forget").out
    assert "app.hook" not in applied.house.offsets.committed
    assert applied("subs", "delete", "hook").status == 1


def test_lag_is_told_per_partition(applied: Program) -> None:
    rows = applied("lag", "hook", "--json").json_lines
    assert [(row["group"], row["partition"], row["lag"]) for row in rows] == [("app.hook", 0, 1), ("app.hook", 1, 1)]
    assert all(row["lag_seconds"] >= 0 for row in rows)
    assert applied("lag").status == 0
    assert applied("lag", "nobody").status == 1
