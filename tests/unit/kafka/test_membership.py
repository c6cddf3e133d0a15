"""Membership: a worker may act while its group has heard of it lately; no Kafka is needed to tell."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple, cast

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from pipeline.hooks import Hooks
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.membership import Membership, MembershipSettings
from tests.fakes.bridge import NotingHooks, eventually

T0, T1 = ("t", 0), ("t", 1)
SETTINGS = MembershipSettings(session_timeout_s=6, drain_s=2)


class Answered(NamedTuple):
    """A partition in the broker's answer to a commit."""

    error: KafkaError | None = None


class FakeConsumer:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.committed: list[list[tuple[str, int, int]]] = []
        self.paused: list[Any] = []

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.committed.append([(one.topic, one.partition, one.offset) for one in offsets])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused += partitions


class Listening:
    def __init__(self) -> None:
        self.told: list[tuple[str, list[tuple[str, int]]]] = []

    def assigned(self, partitions: list[tuple[str, int]]) -> None:
        self.told.append(("assigned", partitions))

    async def revoked(self, partitions: list[tuple[str, int]]) -> None:
        self.told.append(("revoked", partitions))

    def lost(self, partitions: list[tuple[str, int]]) -> None:
        self.told.append(("lost", partitions))


class Bench:
    """A membership whose thread does not run: the test is the client that calls it back."""

    def __init__(self, hooks: Hooks | None = None) -> None:
        self.listener, self.fake = Listening(), FakeConsumer()
        self.consumer = cast("Consumer", self.fake)
        self.member = Membership(KafkaSettings(), "app._bridge", SETTINGS, self.listener, hooks or Hooks())

    async def assign(self, *places: tuple[str, int]) -> None:
        parts = [TopicPartition(*place) for place in places]
        await asyncio.to_thread(self.member._on_assign, self.consumer, parts)
        await eventually(lambda: ("assigned", list(places)) in self.listener.told)
        for place in places:
            self.member.positions[place] = 5

    def renew(self) -> float:
        """Ask for a proof; just before."""
        before = time.monotonic()
        self.member._renew(self.consumer)
        return before


async def test_nobody_may_act_before_the_group_has_heard_of_him() -> None:
    assert not Bench().member.may_act(time.monotonic())


async def test_being_given_partitions_is_a_proof_that_lasts_a_session() -> None:
    bench = Bench()
    await bench.assign(T0, T1)
    now = time.monotonic()
    assert bench.member.may_act(now)
    assert not bench.member.may_act(now + SETTINGS.session_timeout_s)
    assert len(bench.fake.paused) == 2, "it fetches nothing"


async def test_a_commit_that_was_taken_extends_the_lease_from_when_it_was_issued() -> None:
    bench = Bench()
    await bench.assign(T0)
    issued_at = bench.renew()
    bench.member._issued_at = issued_at + 4.0  # as if it had been asked for four seconds later
    bench.member._on_commit(None, cast("Any", [Answered()]))
    assert bench.member.may_act(issued_at + 9.9)
    assert not bench.member.may_act(issued_at + 10.1)
    assert bench.fake.committed == [[("t", 0, 5)]]


async def test_one_partition_taken_is_proof_enough_and_none_is_none() -> None:
    gone = Answered(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    bench = Bench()
    await bench.assign(T0, T1)
    for answer, heard in (([gone, gone], False), ([gone, Answered()], True)):
        bench.member._issued_at = ahead = time.monotonic() + 60
        bench.member._on_commit(None, cast("Any", answer))
        assert bench.member.may_act(ahead + 1) is heard


async def test_a_refused_commit_proves_nothing_and_is_told() -> None:
    hooks = NotingHooks()
    bench = Bench(hooks)
    await bench.assign(T0)
    bench.member._issued_at = ahead = time.monotonic() + 60
    bench.member._on_commit(KafkaError(KafkaError.UNKNOWN_MEMBER_ID), cast("Any", [Answered()]))
    assert not bench.member.may_act(ahead + 1)
    assert len(hooks.of("on_consumer_error")) == 1


async def test_until_the_loop_knows_of_a_change_nobody_may_act() -> None:
    bench = Bench()
    await bench.assign(T0)
    bench.member._changes += 1
    assert not bench.member.may_act(time.monotonic())


async def test_what_was_revoked_is_not_committed_any_more() -> None:
    bench = Bench()
    await bench.assign(T0, T1)
    await asyncio.to_thread(bench.member._on_revoke, bench.consumer, [TopicPartition(*T0)])
    assert bench.listener.told[-1] == ("revoked", [T0])
    bench.renew()
    assert bench.fake.committed == [[("t", 1, 5)]]
    assert bench.member.may_act(time.monotonic())


async def test_what_was_lost_ends_the_lease_at_once() -> None:
    bench = Bench()
    await bench.assign(T0, T1)
    await asyncio.to_thread(bench.member._on_lost, bench.consumer, [TopicPartition(*T0)])
    assert not bench.member.may_act(time.monotonic())
    await eventually(lambda: bench.listener.told[-1] == ("lost", [T0]))
    assert not bench.member.may_act(time.monotonic())


async def test_one_that_was_never_started_can_be_stopped() -> None:
    await Bench().member.stop()


@pytest.mark.parametrize(("session_timeout_s", "drain_s"), [(6.0, 4.0), (6.0, 7.0), (2.0, -3.0)])
def test_a_drain_that_outlasts_the_lease_is_refused(session_timeout_s: float, drain_s: float) -> None:
    with pytest.raises(ValueError, match="session_timeout_s"):
        MembershipSettings(session_timeout_s=session_timeout_s, drain_s=drain_s)


async def test_the_lease_is_renewed_before_anything_is_known_of_what_is_owned() -> None:
    """Claiming pointers needs the lease; where the first claim failed there is no position yet to commit."""
    bench = Bench()
    await bench.assign(T0, T1)
    bench.member.positions.clear()
    issued_at = bench.renew()
    bench.member._issued_at = issued_at + 4.0  # as if it had been asked for four seconds later
    bench.member._on_commit(None, cast("Any", [Answered()]))
    assert bench.member.may_act(issued_at + SETTINGS.session_timeout_s + 3.9)
    assert bench.fake.committed == [[("t", 0, 0)]]
