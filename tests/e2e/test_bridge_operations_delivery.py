"""What a receiver gets, and what becomes of events it does not take: on a real broker, judged from outside."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from pipeline.errors import DeclarationInvalid
from tests.e2e.operations import header, letters, produce, subscribe, until_lag_0, until_state
from tests.e2e.rig import Rig, until
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


def signature_of(secret: str, got: Got) -> str:
    """What the independent library signs; its ``verify`` wants JSON bodies."""
    at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
    signature: str = Webhook(secret).sign(got.webhook_id, at, got.body.decode())
    return signature


async def test_every_attempt_carries_the_same_id_its_number_and_a_signature_that_verifies(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 20, keys=5)
    sink.answer = lambda got: (204 if int(got.headers["webhook-attempt"]) == 3 else 503, 0.0)
    async with rig.worker() as node:
        secret = await subscribe(node, topic_name, sink)
        await sink.until(lambda s: len(s.ids) == 20, 30)
        await until_lag_0(node)
    assert {got.webhook_id for got in sink.got} == sink.ids
    for webhook_id in sink.ids:
        attempts = [got.headers["webhook-attempt"] for got in sink.got if got.webhook_id == webhook_id]
        # Attempts made while the breaker probes do not count.
        assert attempts == sorted(attempts)
        assert set(attempts) == {"1", "2", "3"}
    for got in sink.got:
        Webhook(secret).verify(got.body, got.headers)
    assert sink.violations == []


async def test_attributes_arrive_percent_encoded_and_a_tombstone_is_a_delete(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    event = {
        "ce_specversion": b"1.0",
        "ce_id": b"e-1",
        "ce_source": b"/shop",
        "ce_type": b"shop.order",
        "ce_subject": 'Zürich "10 %"'.encode(),
        "content-type": b"text/plain",
    }
    produce(rig, topic_name, b"hello", b"k1", event)
    produce(rig, topic_name, None, b"k1")
    produce(rig, topic_name, b"", b"k1")
    async with rig.worker() as node:
        secret = await subscribe(node, topic_name, sink)
        await sink.until(lambda s: len(s.acked) == 3, 20)
    full, tombstone, empty = sink.got
    assert full.headers["ce-subject"] == "Z%C3%BCrich%20%2210%20%25%22"
    assert (full.headers["ce-id"], full.headers["ce-type"], full.headers["content-type"]) == (
        "e-1",
        "shop.order",
        "text/plain",
    )
    assert (full.body, full.headers["ce-partitionkey"]) == (b"hello", "k1")
    assert (tombstone.body, tombstone.headers["ce-method"]) == (b"", "DELETE")
    assert (empty.body, "ce-method" in empty.headers) == (b"", False)
    for got in sink.got:
        assert signature_of(secret, got) in got.headers["webhook-signature"].split()


async def test_what_cannot_be_delivered_lies_in_the_dead_letter_topic_as_it_was(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 3)
    rig.append(topic_name, 30, keys=10)
    produce(rig, topic_name, b"\x00\xffpoison", b"\xfe\xed", {"content-type": b"application/x", "dlq.id": b"forged"})
    sink.answer = lambda got: (500 if b"poison" in got.body else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        await until_lag_0(node)
    (letter,) = letters(rig)
    (origin,) = [message for message in rig.records(topic_name) if message.key() == b"\xfe\xed"]
    assert (letter.key(), letter.value(), letter.partition()) == (origin.key(), origin.value(), origin.partition())
    named = dict(letter.headers() or [])
    assert (named["content-type"], named["producer-dlq.id"]) == (b"application/x", b"forged")
    assert header(letter, "dlq.id") == f"{topic_name}/{origin.partition()}/{origin.offset()}/{rig.namespace}.hook"
    assert header(letter, "dlq.reason") == "exhausted"
    assert (header(letter, "dlq.attempts"), header(letter, "dlq.http_status")) == ("4", "500")
    assert header(letter, "dlq.origin.offset") == str(origin.offset())
    assert letter.timestamp()[1] > origin.timestamp()[1]
    assert len(sink.ids) == 30
    assert len([got for got in sink.got if b"poison" in got.body]) == 4


async def test_a_status_that_rejects_buries_at_once(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 6, keys=3)
    sink.answer = lambda got: (422 if got.key == "k1" else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"reject_status": [422]})
        await until_lag_0(node)
        lines = await rig.table_lines("attempts", 6, subscription="hook")
    assert [header(letter, "dlq.reason") for letter in letters(rig)] == ["rejected_4xx"] * 2
    assert [header(letter, "dlq.attempts") for letter in letters(rig)] == ["1"] * 2
    assert sorted(line["verdict"] for line in lines) == ["delivered"] * 4 + ["reject"] * 2
    assert {line["status"] for line in lines} == {204, 422}


async def test_without_its_dead_letter_topic_a_partition_stalls_loudly_and_goes_on_when_it_is_back(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    sink.answer = lambda got: (400 if got.key == "k0" else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"reject_status": [400]})
        await node.admin.delete(f"{rig.namespace}.hook.dlq")
        rig.append(topic_name, 20, keys=2)

        async def complains() -> bool:
            return b'pipeline_bury_failures_total{kind="live",subscription="hook"}' in node.metrics.text()

        await until(complains, 20, "a metric of failed burials")
        await sink.until(lambda s: len(s.ids) == 10, 20)
        assert await rig.committed("hook", topic_name, 1) == {0: 0}
        rig.make_topic(f"{rig.namespace}.hook.dlq", 1)
        await until_lag_0(node, timeout_s=25)
    assert len(letters(rig)) == 10


async def test_an_endpoint_that_is_gone_stops_its_subscription_and_buries_nothing(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 20, keys=4)
    sink.answer = lambda got: (410 if got.seq == 2 else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink)
        assert "410" in await until_state(node, "gone")
        assert letters(rig) == []
        sink.answer = lambda _: (204, 0.0)
        await node.subscriptions.resume("hook")
        await sink.until(lambda s: len(s.ids) == 20, 20)
        await until_lag_0(node)
    assert (letters(rig), sink.violations) == ([], [])


async def test_half_the_keys_failing_leaves_the_other_half_at_speed(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 4)
    rig.append(topic_name, 2000, keys=100)
    sink.answer = lambda got: (503 if int(got.key[1:]) % 2 else 204, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"schedule_s": [300] * 5})
        await sink.until(lambda s: len(s.ids) == 1000, 30)
        assert node.worker is not None
        assert [run["breaker"] for run in node.worker.status()] == ["closed"]
        # The stuck heads were tried once each; those behind them wait. A breaker that hears of failures first may open
        # for a moment, and probes with one of them.
        assert 1050 <= len(sink.got) <= 1053
        sink.answer = lambda _: (204, 0.0)
    assert (sink.violations, letters(rig)) == ([], [])


async def test_an_endpoint_that_is_down_uses_up_no_attempts_and_comes_back_in_order(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 400, keys=40)
    sink.answer = lambda _: (503, 0.0)
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, retry={"schedule_s": [0.1] * 12})

        async def is_open() -> bool:
            assert node.worker is not None
            return [run["breaker"] for run in node.worker.status()] != ["closed"]

        await until(is_open, 20, "an open breaker")
        tried = len(sink.got)
        await sink.until(lambda s: len(s.got) >= tried + 2, 20)  # probes
        sink.answer = lambda _: (204, 0.0)
        await sink.until(lambda s: len(s.ids) == 400, 30)
        await until_lag_0(node)
    assert (sink.violations, sink.duplicates, letters(rig)) == ([], 0, [])


async def test_a_subscription_whose_secrets_do_not_open_is_blocked_and_others_go_on(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 10, keys=2)
    async with rig.node() as node:
        await subscribe(node, topic_name, sink, name="locked")
    (rig.folder / ".pipeline" / "secret.key").unlink()
    async with rig.node() as node:
        with pytest.raises(DeclarationInvalid, match="key"):
            _ = node.keyring
    Rig(rig.folder, rig.servers, rig.namespace)  # makes another key
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, name="open")
        assert "format-unreadable" in await until_state(node, "blocked", name="locked")
        await sink.until(lambda s: len(s.ids) == 10, 20)
        await until_lag_0(node, "open")
    assert sink.duplicates == 0


async def test_a_row_that_cannot_be_read_stops_no_other_subscription(rig: Rig, topic_name: str, sink: Sink) -> None:
    rig.make_topic(topic_name, 1)
    rig.append(topic_name, 10, keys=2)
    async with rig.worker() as node:
        await node.table("subscriptions").put("newer", b'{"spec": {"of": "a later release"}}', based_on=None)
        await node.table("runs").put("newer", b"{", based_on=None)
        await subscribe(node, topic_name, sink)
        await sink.until(lambda s: len(s.ids) == 10, 20)
        assert node.worker is not None
        assert node.worker.is_healthy()


async def test_a_record_whose_attributes_cannot_be_read_is_buried_and_nothing_beside_it_is_lost(
    rig: Rig, topic_name: str, sink: Sink
) -> None:
    rig.make_topic(topic_name, 1)
    for number in range(5):
        produce(
            rig,
            topic_name,
            b"{}",
            b"k",
            {"ce_specversion": b"1.0", "ce_id": str(number).encode(), "ce_type": b"t", "ce_source": b"/s"},
        )
    produce(rig, topic_name, b"{}", b"k", {"ce_specversion": b"1.0", "ce_id": b"\xff\xfe", "ce_type": b"t"})
    for number in range(5, 10):
        produce(
            rig,
            topic_name,
            b"{}",
            b"k",
            {"ce_specversion": b"1.0", "ce_id": str(number).encode(), "ce_type": b"t", "ce_source": b"/s"},
        )
    async with rig.worker() as node:
        await subscribe(node, topic_name, sink, filters=[{"exact": {"type": "t"}}])
        await until_lag_0(node)
    assert [got.headers["ce-id"] for got in sink.got] == [str(number) for number in range(10)]
    assert [(letter.offset(), header(letter, "dlq.reason")) for letter in letters(rig)] == [(0, "undecodable")]
