"""``pipeline topics``, ``tail`` and ``config``: what is declared, what lies there, what is set."""

from __future__ import annotations

import json

import pytest

from pipeline.topic import Topic
from tests.unit.cli.commands import Program


@pytest.fixture
def declared(program: Program) -> Program:
    """One topic as it is declared, one with fewer partitions, one missing."""
    program.house.log.create("orders", 2)
    program.house.log.create("few", 1)
    for name, partitions in (("orders", 2), ("few", 3), ("missing", 1)):
        program.declared[name] = Topic(name=name, partitions=partitions)
    return program


def test_topics_are_listed_with_what_lies_there_and_what_is_declared(declared: Program) -> None:
    declared.house.log.create("_internal", 1)
    declared.house.log.create("wild", 1)
    declared.house.log.append("orders", b"{}", key=b"k")
    rows = {row["topic"]: row for row in declared("topics", "list", "--json").json_lines}
    assert set(rows) == {"orders", "few", "missing", "wild"}
    assert (rows["orders"]["events"], rows["orders"]["declared"]) == (1, "yes")
    assert (rows["missing"]["partitions"], rows["wild"]["declared"]) == (None, "no")


def test_a_plan_with_something_refused_ends_with_3_and_changes_nothing(declared: Program) -> None:
    ended = declared("topics", "plan", "--json")
    assert ended.status == 3
    assert {line["topic"] for line in ended.json_lines} == {"few", "missing"}
    assert "missing" not in declared.house.log.topics


def test_a_plan_with_changes_ends_with_2_and_one_without_with_0(declared: Program) -> None:
    del declared.declared["few"]
    assert declared("topics", "plan").status == 2
    del declared.declared["missing"]
    assert declared("topics", "plan").status == 0


def test_applying_makes_what_is_safe_and_says_what_was_refused(declared: Program) -> None:
    ended = declared("topics", "apply")
    assert ended.status == 3
    assert "missing" in declared.house.log.topics
    assert len(declared.house.log.topics["few"].partitions) == 1
    assert declared("topics", "apply", "--allow-partition-increase").status == 0
    assert len(declared.house.log.topics["few"].partitions) == 3


def test_topics_applied_are_written_down_with_who_what_before_and_after(declared: Program) -> None:
    declared("topics", "apply", "--allow-partition-increase")
    told = {(what, name): facts for what, name, facts in declared.house.audit.lines}
    assert set(told) == {("topic-created", "missing"), ("topic-changed", "few")}
    few = told["topic-changed", "few"]
    assert (few["member"], few["before"], few["after"]) == ("partitions", "1", "3")
    assert str(few["who"]).startswith("cli ")
    declared.house.audit.lines.clear()
    declared("topics", "apply")
    assert declared.house.audit.lines == []


def test_tail_prints_what_lies_there_and_ends_when_told_to(declared: Program) -> None:
    json_headers = (("content-type", b"application/json"),)
    for number in range(3):
        body = b'{"n":"\\u001b[2J%d"}' % number
        declared.house.log.append("orders", body, key=b"k", headers=json_headers)
    ended = declared("tail", "orders", "--from", "earliest", "--once")
    assert (ended.status, len(ended.out.splitlines())) == (0, 3)
    assert "\x1b" not in ended.out
    assert len(declared("tail", "orders", "--from", "earliest", "--limit", "2").out.splitlines()) == 2
    event = declared("tail", "orders", "--from", "earliest", "--limit", "1", "--json").json_lines[0]
    assert (event["specversion"], event["data"]) == ("1.0", {"n": "\x1b[2J0"})


def test_tail_of_a_topic_that_is_not_there_is_an_error(declared: Program) -> None:
    ended = declared("tail", "nothing", "--once")
    assert (ended.status, ended.out) == (1, "")
    assert "nothing" in ended.err


def test_config_prints_every_setting_with_its_origin(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    (program.folder / "pipeline.toml").write_text('namespace = "shop"\n[secrets]\nkeys = ["k1:aHVudGVyMg=="]\n')
    monkeypatch.setenv("PIPELINE_GATEWAY_PORT", "81")
    ended = program("config", "--json")
    rows = {row["setting"]: (row["value"], row["origin"]) for row in map(json.loads, ended.out.splitlines())}
    assert rows["namespace"] == ("shop", "pipeline.toml")
    assert rows["gateway.port"] == (81, "PIPELINE_GATEWAY_PORT")
    assert rows["gateway.host"] == ("127.0.0.1", "default")
    assert rows["secrets.keys"][0] == "(hidden)"
    assert "aHVudGVyMg" not in program("config").out
