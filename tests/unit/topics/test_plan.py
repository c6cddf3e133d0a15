"""A plan holds what is safe, refuses what would lose something, and says why."""

from __future__ import annotations

import pytest

from pipeline.topic import Topic
from pipeline.topics.plan import Allowed, LiveTopic, Plan, plan

WEEK_MS, DAY_MS = "604800000", "86400000"


def live(config: dict[str, str] | None = None, partitions: int = 3) -> dict[str, LiveTopic]:
    settings = {"retention.ms": WEEK_MS, "cleanup.policy": "delete"} | (config or {})
    return {"t": LiveTopic(name="t", partitions=partitions, config=settings)}


def planned(config: dict[str, str], found: dict[str, LiveTopic], allowed: Allowed | None = None) -> Plan:
    return plan([Topic(name="t", partitions=3, config=config)], found, allowed)


def test_a_topic_that_is_not_there_is_created_whole() -> None:
    made = plan([Topic(name="t", partitions=3, replication=2, config={"retention.ms": DAY_MS})], {})
    assert made.lines() == [f"+ t: create with 3 partitions, replication 2, retention.ms={DAY_MS}"]
    assert not made.refused


def test_a_topic_that_is_as_declared_needs_nothing() -> None:
    made = planned({"retention.ms": WEEK_MS, "cleanup.policy": " DELETE ".lower()}, live())
    assert (made.steps, made.refused, made.unchanged) == ((), (), ("t",))
    assert made.lines() == ["= t"]


def test_a_topic_nobody_declares_is_left_alone() -> None:
    made = plan([], live())
    assert made.lines() == []


def test_settings_no_file_names_are_left_alone() -> None:
    assert planned({}, live({"segment.ms": "1000"})).unchanged == ("t",)


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("retention.ms", DAY_MS, WEEK_MS),
        ("retention.ms", WEEK_MS, "-1"),
        ("retention.bytes", "1000", "-1"),
        ("max.message.bytes", "1000", "2000"),
        ("min.insync.replicas", "1", "2"),
        ("compression.type", "producer", "zstd"),
        ("cleanup.policy", "compact,delete", "compact"),
        ("unclean.leader.election.enable", "true", "false"),
    ],
)
def test_a_change_that_loses_nothing_is_made(key: str, before: str, after: str) -> None:
    made = planned({key: after}, live({key: before}))
    assert [(step.field, step.before, step.after) for step in made.steps] == [(f"config/{key}", before, after)]
    assert made.lines() == [f"~ t: config/{key} {before} -> {after}"]


@pytest.mark.parametrize(
    ("key", "before", "after", "reason"),
    [
        ("retention.ms", WEEK_MS, DAY_MS, "older than that become deletable"),
        ("retention.ms", "-1", WEEK_MS, "older than that become deletable"),
        ("retention.bytes", "-1", "1000", "become deletable"),
        ("retention.ms", WEEK_MS, "0", "become deletable"),
        ("max.message.bytes", "2000", "1000", "accepted today"),
        ("min.insync.replicas", "2", "1", "fewer brokers"),
        ("cleanup.policy", "compact", "compact,delete", "old events would be deleted"),
        ("cleanup.policy", "compact", "delete", "old events would be deleted"),
        ("cleanup.policy", "delete", "compact", "all but the last event of a key"),
        ("unclean.leader.election.enable", "false", "true", "may be lost"),
        ("delete.retention.ms", "2", "1", "tombstones"),
    ],
)
def test_a_change_that_loses_something_is_refused_until_allowed(key: str, before: str, after: str, reason: str) -> None:
    found = live({key: before})
    made = planned({key: after}, found)
    assert not made.steps
    assert reason in made.refused[0].refused
    assert "retention_cut" in made.lines()[0]
    assert made.lines()[0].startswith(f"! t: config/{key} {before} -> {after}  refused: ")
    assert not planned({key: after}, found, Allowed(partition_increase=True)).steps
    assert len(planned({key: after}, found, Allowed(retention_cut=True)).steps) == 1


def test_more_partitions_are_refused_until_allowed_and_the_price_is_told() -> None:
    made = planned({}, live(partitions=2))
    assert "about 33 % of the keys" in made.refused[0].refused
    assert not planned({}, live(partitions=2), Allowed(retention_cut=True)).steps
    (step,) = planned({}, live(partitions=2), Allowed(partition_increase=True)).steps
    assert str(step) == "~ t: partitions 2 -> 3"


def test_fewer_partitions_are_refused_whatever_is_allowed() -> None:
    made = planned({}, live(partitions=4), Allowed(partition_increase=True, retention_cut=True))
    assert not made.steps
    assert "cannot take partitions away" in made.refused[0].refused


def test_one_refused_change_does_not_hold_up_the_others() -> None:
    made = planned({"retention.ms": DAY_MS, "compression.type": "zstd"}, live({"compression.type": "producer"}))
    assert [step.field for step in made.steps] == ["config/compression.type"]
    assert [step.field for step in made.refused] == ["config/retention.ms"]


def test_a_limit_the_broker_does_not_tell_counts_as_none() -> None:
    assert planned({"max.message.bytes": "1000"}, live()).refused
