"""What the log view promises, on the mock cluster and on real Kafka."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator

import pytest

from pipeline.errors import CursorEpochChanged, PositionBeyondEnd, TopicNotFound
from pipeline.hooks import Hooks
from pipeline.kafka.reading.reader import Reader
from pipeline.kafka.view import Gap, LogView, ViewSettings
from tests.contract.conftest import Cluster, until
from tests.contract.view_reading import Reading, append, append_transaction, delete_records, delete_topic, producer

SMALL = ViewSettings(
    segment_bytes_max=64 * 1024,
    view_bytes_max=256 * 1024,
    passed_bytes_max=16 * 1024,
    prefetch_bytes_max=128 * 1024,
    turn_bytes_max=64 * 1024,
    backlog_readers=2,
    stream_idle_s=1.0,
    tail_idle_s=2.0,
    doubt_s=1.0,
)
"""So little memory that everything is evicted, refused and read again."""


class Noting(Hooks):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def on_consumer_error(self, error: Exception) -> None:
        self.errors.append(error)


@pytest.fixture
async def view(cluster: Cluster) -> AsyncIterator[LogView]:
    made = LogView(cluster.settings)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def real_view(real: Cluster) -> AsyncIterator[LogView]:
    made = LogView(real.settings, ViewSettings(doubt_s=1.0))
    await made.start()
    yield made
    await made.stop()


def values(count: int, first: int = 0) -> list[bytes]:
    return [b"%08d" % number for number in range(first, first + count)]


async def test_the_backlog_comes_whole_and_in_order(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    for partition in range(4):
        append(cluster.bootstrap_servers, topic, partition, values(300 + partition))
    readings = [Reading(view, topic, partition, 0) for partition in range(4)]
    for partition, reading in enumerate(readings):
        await reading.until(300 + partition)
        assert [record.value for record in reading.records] == values(300 + partition)
        assert reading.offsets == list(range(300 + partition))
        assert reading.records[7].headers == (("ce_id", b"00000007"),)


async def test_nothing_is_missed_between_the_end_and_what_is_appended_next(
    cluster: Cluster, view: LogView, topic_name: str
) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(10))
    reading = Reading(view, topic, 0, 10)
    reading.take_all()
    append(cluster.bootstrap_servers, topic, 0, values(5))
    await reading.until(15)
    append(cluster.bootstrap_servers, topic, 0, values(5))
    await reading.until(20)
    assert reading.offsets == list(range(10, 20))


async def test_an_idle_feed_knows_the_end(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(7))
    reading = Reading(view, topic, 0, 3)
    await reading.until(7)
    await until(lambda: reading.feed.end() is not None)
    assert reading.feed.end() == 7


async def test_a_record_bigger_than_a_fetch_comes_through(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, [b"a", b"b" * 900_000, b"c"])
    reading = Reading(view, topic, 0, 0)
    await reading.until(3)
    assert [len(record.value or b"") for record in reading.records] == [1, 900_000, 1]


async def test_a_closed_feed_costs_the_next_one_nothing(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(500))
    position, seen = 0, []
    while position < 500:
        reading = Reading(view, topic, 0, position, records_max=20)
        await reading.until(position + 20)
        seen += reading.offsets
        position = reading.feed.position
        reading.feed.close()
    assert seen == list(range(500))


async def test_feeds_everywhere_under_little_memory_get_all(cluster: Cluster, topic_name: str) -> None:
    """Seeks, evictions, turns and re-reads on a live log: every feed sees every record once, in order."""
    topic, chance = await cluster.topic(topic_name), random.Random(5)
    for partition in range(2):
        append(cluster.bootstrap_servers, topic, partition, [b"%08d" % number * 20 for number in range(3000)])
    view = LogView(cluster.settings, SMALL)
    await view.start()

    async def read(partition: int) -> None:
        for _ in range(4):
            offset = chance.randrange(2900)
            until = min(3000, offset + chance.randrange(1, 700))
            reading = Reading(view, topic, partition, offset, records_max=chance.randrange(1, 80))
            await reading.until(until, 60)
            assert reading.offsets == list(range(offset, reading.feed.position))
            assert not reading.gaps
            reading.feed.close()

    await asyncio.gather(*(read(number % 2) for number in range(12)))
    await view.stop()


async def test_a_position_beyond_the_end_is_told(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(3))
    reading = Reading(view, topic, 0, 4)
    with pytest.raises(PositionBeyondEnd):
        await reading.until(5)


async def test_single_records_are_read_again(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(2000))
    wanted = [5, 1900, 6, 700, 5, 0, 1999]
    found = await asyncio.gather(*(view.fetch(topic, 0, offset) for offset in wanted))
    assert [record and record.offset for record in found] == wanted
    assert await view.fetch(topic, 0, 2000) is None


async def test_a_reader_that_crashes_is_replaced(
    cluster: Cluster, topic_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, hooks = await cluster.topic(topic_name), Noting()
    append(cluster.bootstrap_servers, topic, 0, values(50))
    view = LogView(cluster.settings, hooks=hooks)
    await view.start()
    sound, crashes = Reader._run_of, [2]

    def crashing(self: Reader, messages: list[object], said: list[object]) -> None:
        if messages and crashes[0]:
            crashes[0] -= 1
            raise RuntimeError("planted")
        sound(self, messages, said)  # type: ignore[arg-type]  # Said is the reader's own

    monkeypatch.setattr(Reader, "_run_of", crashing)
    reading = Reading(view, topic, 0, 0)
    await reading.until(50)
    assert reading.offsets == list(range(50))
    assert [str(error) for error in hooks.errors] == ["planted", "planted"]
    await view.stop()


async def test_stopping_ends_the_threads(cluster: Cluster, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(50))
    view = LogView(cluster.settings)
    await view.start()
    reading = Reading(view, topic, 0, 0)
    await reading.until(50)
    began = time.monotonic()
    await view.stop()
    assert time.monotonic() - began < 3
    reading.feed.close()
    late = Reading(view, topic, 1, 0)
    late.take_all()
    await asyncio.sleep(0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("log-view")]


# What the mock cluster does not know: transactions, deletion of records and topics.


@pytest.mark.kafka
async def test_a_record_at_the_tail_arrives_within_milliseconds(
    real: Cluster, real_view: LogView, topic_name: str
) -> None:
    """Not on the mock: it answers a fetch when its wait is over, data or not."""
    topic = await real.topic(topic_name)
    reading = Reading(real_view, topic, 0, 0)
    client = producer(real.bootstrap_servers)
    took_s = []
    for number in range(30):
        client.produce(topic, b"x", partition=0)
        client.flush(10)
        began = time.monotonic()
        await reading.until(number + 1)
        took_s.append(time.monotonic() - began)
    assert sorted(took_s)[15] < 0.05


@pytest.mark.kafka
async def test_only_committed_records_come_and_the_lag_reaches_zero(
    real: Cluster, real_view: LogView, topic_name: str
) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    append_transaction(servers, topic, 0, values(10), commit=True)  # 0-9, marker 10
    append_transaction(servers, topic, 0, values(10, 100), commit=False)  # 11-20, marker 21
    append(servers, topic, 0, values(2, 200))  # 22, 23
    append_transaction(servers, topic, 0, values(3, 300), commit=False)  # 24-26, marker 27
    reading = Reading(real_view, topic, 0, 0)
    await reading.until(28)
    assert [record.value for record in reading.records] == values(10) + values(2, 200)
    assert reading.feed.position == reading.feed.end() == 28
    append_transaction(servers, topic, 0, values(1, 400), commit=True)  # 28, marker 29
    append_transaction(servers, topic, 0, values(1, 500), commit=False)  # 30, marker 31
    await reading.until(32)
    assert reading.records[-1].value == b"00000400"
    assert reading.feed.position == reading.feed.end() == 32


@pytest.mark.kafka
async def test_records_of_an_open_transaction_wait_for_its_end(
    real: Cluster, real_view: LogView, topic_name: str
) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    client = producer(servers, **{"transactional.id": topic})
    client.init_transactions(20)
    client.begin_transaction()
    for value in values(3):
        client.produce(topic, value, partition=0)
    client.flush(10)
    append(servers, topic, 0, values(2, 10))
    early, late = Reading(real_view, topic, 0, 0), Reading(real_view, topic, 0, 4)
    late.take_all()
    with pytest.raises(TimeoutError):
        await early.until(1, timeout_s=0.5)
    client.commit_transaction(20)
    await early.until(6)
    await late.until(6)
    assert (early.offsets, late.offsets) == ([0, 1, 2, 3, 4], [4])


@pytest.mark.kafka
async def test_what_retention_took_is_one_exact_gap(real: Cluster, real_view: LogView, topic_name: str) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    append(servers, topic, 0, values(100))
    delete_records(servers, topic, 0, 40)
    first, second = Reading(real_view, topic, 0, 10), Reading(real_view, topic, 0, 25)
    await first.until(100)
    await second.until(100)
    assert (first.gaps, second.gaps) == ([Gap(10, 40)], [Gap(25, 40)])
    assert first.offsets == second.offsets == list(range(40, 100))
    assert await real_view.fetch(topic, 0, 39) is None


@pytest.mark.kafka
async def test_records_deleted_ahead_of_a_slow_reader_are_one_exact_gap(real: Cluster, topic_name: str) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    append(servers, topic, 0, [b"x" * 1000] * 2000)
    view = LogView(real.settings, SMALL)
    await view.start()
    reading = Reading(view, topic, 0, 0, records_max=10)
    await reading.until(50)
    delete_records(servers, topic, 0, 1500)
    await reading.until(2000)
    assert len(reading.gaps) == 1
    assert reading.gaps[0].until == 1500
    assert reading.offsets == [*range(reading.gaps[0].first), *range(1500, 2000)]
    await view.stop()


@pytest.mark.kafka
async def test_a_topic_that_does_not_exist_is_told(real_view: LogView, topic_name: str) -> None:
    reading = Reading(real_view, topic_name, 0, 0)
    with pytest.raises(TopicNotFound):
        await reading.until(1)
    with pytest.raises(TopicNotFound):
        await real_view.fetch(topic_name, 0, 0)


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_topic_that_is_deleted_is_told(real: Cluster, real_view: LogView, topic_name: str) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    append(servers, topic, 0, values(5))
    reading = Reading(real_view, topic, 0, 0)
    await reading.until(5)
    delete_topic(servers, topic)
    with pytest.raises(TopicNotFound):
        await reading.until(6, 30)


@pytest.mark.kafka
@pytest.mark.slow
async def test_a_shorter_topic_by_the_same_name_is_told(real: Cluster, real_view: LogView, topic_name: str) -> None:
    topic, servers = await real.topic(topic_name), real.bootstrap_servers
    append(servers, topic, 0, values(5))
    reading = Reading(real_view, topic, 0, 0)
    await reading.until(5)
    delete_topic(servers, topic)
    await real.topic(topic)
    append(servers, topic, 0, values(2))
    with pytest.raises((PositionBeyondEnd, TopicNotFound)):
        await reading.until(6, 30)


async def test_what_is_forgotten_is_not_served_from_memory(cluster: Cluster, view: LogView, topic_name: str) -> None:
    topic = await cluster.topic(topic_name)
    append(cluster.bootstrap_servers, topic, 0, values(5))
    reading = Reading(view, topic, 0, 0)
    await reading.until(5)
    view.forget(topic, CursorEpochChanged("another topic by that name"))
    with pytest.raises(CursorEpochChanged):
        await reading.until(6)
    again = Reading(view, topic, 0, 0)
    assert again.feed.take(1) is None
    await again.until(5)
    assert again.offsets == list(range(5))
