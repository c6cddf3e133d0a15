"""Spills on their topic: acknowledged before anybody names them, and never somebody else's."""

from __future__ import annotations

from pipeline.errors import TopicNotFound
from pipeline.push.ackmaps import AckMaps
from tests.fakes.log import MemoryLog
from tests.fakes.producer import FakeProducer
from tests.fakes.view import FakeView

TOPIC = "_pipeline-ackmaps"
T0, T1 = ("t", 0), ("t", 1)


async def test_a_spill_is_found_where_it_was_written_and_nowhere_else() -> None:
    log = MemoryLog()
    log.create(TOPIC)
    maps = AckMaps(FakeProducer(log), FakeView(log), TOPIC)
    first, second = await maps.write("g", T0, b"one"), await maps.write("g", T1, b"two")
    assert (await maps.read("g", T0, first), await maps.read("g", T1, second)) == (b"one", b"two")
    assert await maps.read("g", T1, first) is None
    assert await maps.read("other", T0, first) is None
    assert await maps.read("g", T0, 99) is None


async def test_what_no_commit_names_is_left_to_compaction() -> None:
    log = MemoryLog()
    log.create(TOPIC)
    maps = AckMaps(FakeProducer(log), FakeView(log), TOPIC)
    await maps.write("g", T0, b"one")
    maps.drop("g", T0)
    assert [(record.key, record.value) for record in log.topics[TOPIC].partitions[0].records] == [
        (b"g/t/0", b"one"),
        (b"g/t/0", None),
    ]


async def test_no_topic_is_no_spill() -> None:
    class NoTopic(FakeView):
        async def fetch(self, topic: str, partition: int, offset: int) -> None:
            raise TopicNotFound(topic)

    log = MemoryLog()
    assert await AckMaps(FakeProducer(log), NoTopic(log), TOPIC).read("g", T0, 0) is None
