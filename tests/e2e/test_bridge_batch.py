"""``format: batch`` on a real broker: every event arrives, in order per key, and only the refused one is buried."""

from __future__ import annotations

import json

import pytest

from tests.e2e.rig import Rig
from tests.sink import Got, Sink

pytestmark = [pytest.mark.kafka, pytest.mark.e2e]


async def test_events_go_in_batches_and_only_the_poison_one_is_buried(rig: Rig, sink: Sink, topic_name: str) -> None:
    poison = ("k3", 2)

    def answer(got: Got) -> tuple[int, float]:
        held = {(event["data"]["key"], event["data"]["seq"]) for event in json.loads(got.body)}
        return (422, 0.0) if poison in held else (204, 0.0)

    sink.answer = answer
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 80, keys=20)
    retry = {"schedule_s": [0.1, 0.1], "reject_status": [422]}
    await rig.subscribe(
        "b", topics=[topic_name], start="earliest", endpoint={"url": sink.url}, format="batch", retry=retry
    )
    async with rig.worker():
        await rig.until_lag_0("b")
    arrived = [(event["data"]["key"], event["data"]["seq"]) for got in sink.acked for event in json.loads(got.body)]
    expected = {(f"k{number % 20}", number // 20) for number in range(80)} - {poison}
    assert (len(arrived), set(arrived)) == (79, expected)
    for key in {key for key, _ in arrived}:
        seqs = [seq for one, seq in arrived if one == key]
        assert seqs == sorted(seqs)
    assert len(sink.acked) < 79
    letters = rig.records(f"{rig.namespace}.b.dlq")
    assert [json.loads(letter.value() or b"")["key"] for letter in letters] == ["k3"]


async def test_with_ordering_by_partition_a_batch_is_many_events_of_it_in_order(
    rig: Rig, sink: Sink, topic_name: str
) -> None:
    rig.make_topic(topic_name, 2)
    rig.append(topic_name, 200, keys=20)
    spec = {"start": "earliest", "format": "batch", "ordering": "partition"}
    await rig.subscribe("p", topics=[topic_name], endpoint={"url": sink.url}, **spec)
    async with rig.worker():
        await rig.until_lag_0("p")
    arrived = [event["webhookid"] for got in sink.acked for event in json.loads(got.body)]
    places = [tuple(map(int, webhook_id.rsplit("_", 2)[1:])) for webhook_id in arrived]
    assert len(set(places)) == len(places) == 200
    for partition in (0, 1):
        offsets = [offset for at, offset in places if at == partition]
        assert offsets == sorted(offsets)
    assert len(sink.acked) <= 20
