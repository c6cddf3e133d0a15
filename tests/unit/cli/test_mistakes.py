"""Mistakes of a first day: each is answered in one line that says what, where and what would be right; no traceback."""

from __future__ import annotations

import json
import socket

import pytest

from tests.unit.cli.commands import Program

DECLARATION = 'topics: [orders]\nstart: earliest\nendpoint: {url: "https://receiver.example/hook"}\n'


@pytest.fixture
def shop(program: Program) -> Program:
    """A topic of one event and the subscription ``hook``."""
    program.house.log.create("orders", 1)
    program.house.log.append("orders", b"{}", key=b"k")
    (program.folder / "hook.yaml").write_text(DECLARATION)
    assert program("subs", "apply", "--file", "hook.yaml").status == 0
    return program


@pytest.mark.parametrize(
    ("line", "status", "parts"),
    [
        ("subs show nope", 1, ["'nope'", "pipeline subs list"]),
        ("tail nope --once", 1, ["'nope'", "pipeline topics list"]),
        ("replay status hook nope", 1, ["'nope'", "pipeline replay list"]),
        ("subs create x --topic orders --url nonsense", 1, ["/endpoint/url", "'nonsense'", "http or https URL"]),
        ("subs create x --topic orders --url https://10.0.0.5/", 3, ["10.0.0.5", "private", "webhook"]),
        ("subs create x --topic nope --url https://receiver.example/", 1, ["/topics/0", "'nope'", "topics list"]),
        ("subs create x --topic orders", 1, ["--url"]),
        ("subs create hook --topic orders --url https://receiver.example/", 3, ["hook", "pipeline subs edit"]),
        ("subs reset hook", 1, ["--to, --shift or --offset"]),
        ("subs reset hook --to yesterday", 1, ["--to", "'yesterday'", "RFC 3339"]),
        ("subs reset hook --offset orders=1", 1, ["'orders=1'", "TOPIC:PARTITION=OFFSET"]),
        ("subs edit hook --unset nonsense", 1, ["--unset", "'nonsense'", "a member it has"]),
        ("subs edit hook --set nonsense=1", 1, ["/nonsense", "expected one of"]),
        ("subs attempts hook --since monday", 1, ["--since", "'monday'", "RFC 3339"]),
        ("subs apply --file /nowhere.yaml", 1, ["--file", "/nowhere.yaml", "does not exist"]),
        ("replay plan hook", 1, ["--from", "--shift"]),
        ("replay plan hook --from-duration soon", 1, ["--from-duration", "'soon'", "PT2H30M"]),
        ("replay plan hook --from-offset orders/0=99", 3, ["orders/0", "--allow-clamp"]),
        ("replay plan hook --from-file /nowhere.csv", 1, ["--from-file", "/nowhere.csv", "does not exist"]),
        ("replay plan hook --from earliest --rate 0", 1, ["--rate", "'0.0'", "more than 0"]),
        ("dlq list hook --reason tired", 1, ["--reason", "'tired'", "exhausted"]),
        ("dlq edit hook x --value-file /nowhere.json", 1, ["--value-file", "/nowhere.json", "does not exist"]),
        ("tail orders --limit 0", 1, ["--limit"]),
        ("config --dir /nowhere", 1, ["--dir", "/nowhere", "does not exist"]),
        ("subz list", 1, ["'subz'", "subs"]),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(shop: Program, line: str, status: int, parts: list[str]) -> None:
    ended = shop(*line.split())
    assert (ended.status, ended.out) == (status, "")
    assert [part for part in parts if part not in ended.err] == [], ended.err
    assert "Traceback" not in ended.err


def test_a_receivers_port_in_use_is_told(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = program("receiver", "--port", str(taken.getsockname()[1]))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: --port: '127.0.0.1:")
    assert "an address that is free" in ended.err


def test_a_plan_names_each_member_and_what_was_not_set(shop: Program) -> None:
    (shop.folder / "hook.yaml").write_text(DECLARATION + "rate_per_s: 5\n")
    ended = shop("subs", "plan", "--file", "hook.yaml")
    assert ended.status == 2
    assert ended.out.splitlines()[-1] == "hook /rate_per_s: not set -> 5.0"
    (row,) = (json.loads(line) for line in shop("subs", "plan", "--file", "hook.yaml", "--json").out.splitlines())
    assert row["differences"] == [{"pointer": "/rate_per_s", "before": None, "after": 5.0}]


def test_an_edit_is_planned_until_it_is_told_to_be_done(shop: Program) -> None:
    ended = shop("subs", "edit", "hook", "--set", "rate_per_s=5")
    assert ended.status == 2
    assert "--execute" in ended.err
    assert shop("subs", "edit", "hook", "--set", "rate_per_s=5", "--execute").status == 0
