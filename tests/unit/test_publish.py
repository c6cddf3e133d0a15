"""Nothing is written that does not check, the key is the right one, and errors name the field."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import (
    BrokerUnavailable,
    EventInvalid,
    InputError,
    PayloadTooLarge,
    PipelineError,
    RegistryError,
    SchemaMismatch,
    SchemaNotFound,
    TopicNotFound,
)
from pipeline.event import AttributeValue, Event
from pipeline.format import frame
from pipeline.format.avro_codec import AvroCodec
from pipeline.publish import AVRO_CONTENT_TYPE, Publisher, PublishLimits, key_of
from pipeline.record import Headers, Position, Record
from pipeline.registry import LocalRegistry
from pipeline.topic import Topic
from tests.fakes.admin import FakeCatalog
from tests.fakes.log import MemoryLog
from tests.fakes.producer import FakeProducer
from tests.fakes.table import FakeTable

ORDER = (Path(__file__).parents[2] / "schemas" / "order.avsc").read_text()
GOOD = {"order_id": "42", "customer_id": "7", "status": "PLACED", "total_cents": 1999}
TOPICS = {
    topic.name: topic
    for topic in (
        Topic(name="orders", schema="order"),
        Topic(name="plain-orders", schema="order", encoding="json"),
        Topic(name="customers", key="subject", config={"cleanup.policy": "compact"}),
        Topic(name="clicks", key="none"),
        Topic(name="lost", schema="absent"),
    )
}


class House:
    """A publisher over a log in memory that holds the declared topics and ``plain``, which nobody declares."""

    def __init__(self, limits: PublishLimits | None = None, producer: FakeProducer | None = None) -> None:
        self.log = producer.log if producer else MemoryLog()
        for name in [*TOPICS, "plain"]:
            self.log.create(name, 1)
        self.registry = LocalRegistry(FakeTable())
        self.producer = producer or FakeProducer(self.log)
        self.publisher = Publisher(self.producer, FakeCatalog(self.log), TOPICS, self.registry, limits)

    def records(self, topic: str) -> list[Record]:
        return list(self.log.topics[topic].partitions[0].records)

    def written(self) -> int:
        return sum(len(part.records) for topic in self.log.topics.values() for part in topic.partitions)


@pytest.fixture
async def house() -> House:
    made = House()
    await made.registry.register("order", ORDER)
    return made


def event(
    data: object = None,
    *,
    subject: str | None = None,
    content_type: str | None = "application/json",
    **more: AttributeValue,
) -> Event:
    body = data if isinstance(data, bytes) else None if data is None else json.dumps(data).encode()
    return Event(
        id="1",
        source="/shop",
        type="shop.order",
        data=body,
        datacontenttype=content_type,
        subject=subject,
        extensions=more,
    )


async def test_an_event_lies_where_the_position_says(house: House) -> None:
    position = await house.publisher.publish("plain", event({"a": 1}, partitionkey="k"))
    (record,) = house.records("plain")
    assert (position, record.position) == (Position("plain", 0, 0), position)
    assert (record.key, record.value) == (b"k", b'{"a": 1}')
    assert record.header("ce_id") == b"1"
    assert record.header("ce_partitionkey") == b"k"
    assert record.header("content-type") == b"application/json"


@pytest.mark.parametrize(
    ("topic", "given", "expected"),
    [
        ("plain", None, b"pk"),
        ("orders", None, b"pk"),
        ("customers", None, b"sub"),
        ("clicks", None, None),
        ("clicks", b"explicit", b"explicit"),
        ("orders", b"explicit", b"explicit"),
        ("orders", b"", b""),
    ],
)
async def test_the_key_is_the_given_one_else_what_the_topic_says(
    house: House, topic: str, given: bytes | None, expected: bytes | None
) -> None:
    await house.publisher.publish(topic, event(GOOD, subject="sub", partitionkey="pk"), key=given)
    assert house.records(topic)[0].key == expected


@pytest.mark.parametrize(
    ("value", "key"),
    [("k", b"k"), (42, b"42"), (True, b"true"), (False, b"false"), (b"\x00\xff", b"AP8="), ("ü", b"\xc3\xbc")],
)
def test_a_partitionkey_of_any_type_counts_in_its_text_form(value: AttributeValue, key: bytes) -> None:
    assert key_of(event(partitionkey=value), None) == key


def test_an_event_without_the_attribute_has_no_key() -> None:
    assert key_of(event(), None) is None
    assert key_of(event(partitionkey="k"), TOPICS["customers"]) is None


async def test_data_of_a_topic_with_a_schema_is_stored_as_framed_avro(house: House) -> None:
    await house.publisher.publish("orders", event(GOOD, partitionkey="42"))
    (record,) = house.records("orders")
    assert record.header("content-type") == AVRO_CONTENT_TYPE.encode()
    assert record.header("ce_type") == b"shop.order"
    schema_id, body = frame.unwrap(record.value or b"")
    assert schema_id == 1
    assert json.loads(AvroCodec(ORDER).decode_to_json(body)) == {**GOOD, "currency": "EUR", "lines": [], "note": None}


async def test_a_topic_may_store_what_fits_its_schema_as_the_json_it_came_as(house: House) -> None:
    data = json.dumps(GOOD).encode()
    await house.publisher.publish("plain-orders", event(data))
    assert house.records("plain-orders")[0].value == data
    with pytest.raises(SchemaMismatch):
        await house.publisher.publish("plain-orders", event(b"{}"))


async def test_data_without_a_content_type_counts_as_json(house: House) -> None:
    await house.publisher.publish("orders", event(GOOD, content_type=None))
    assert house.records("orders")[0].header("content-type") == AVRO_CONTENT_TYPE.encode()


async def test_a_newer_schema_is_used_as_soon_as_it_is_registered(house: House) -> None:
    await house.publisher.publish("orders", event(GOOD))
    newer = json.loads(ORDER)
    newer["fields"].append({"name": "channel", "type": "string", "default": "web"})
    await house.registry.register("order", json.dumps(newer))
    await house.publisher.publish("orders", event(GOOD))
    assert [frame.unwrap(record.value or b"")[0] for record in house.records("orders")] == [1, 2]


async def test_data_that_does_not_fit_is_refused_with_the_path_to_it(house: House) -> None:
    with pytest.raises(SchemaMismatch) as raised:
        await house.publisher.publish("orders", event({**GOOD, "total_cents": "much"}))
    assert raised.value.field == "/data/total_cents"
    assert house.written() == 0


async def test_data_that_is_no_json_is_refused(house: House) -> None:
    with pytest.raises(InputError):
        await house.publisher.publish("orders", event(b'{"a":'))
    assert house.written() == 0


async def test_another_content_type_is_refused_where_a_schema_is(house: House) -> None:
    with pytest.raises(EventInvalid) as raised:
        await house.publisher.publish("orders", event(b"x", content_type="text/plain"))
    assert raised.value.field == "datacontenttype"
    assert "order" in raised.value.expected
    assert house.written() == 0


async def test_an_event_without_data_needs_no_schema_and_is_a_tombstone(house: House) -> None:
    await house.publisher.publish("orders", event(None, content_type=None, partitionkey="42"))
    (record,) = house.records("orders")
    assert (record.key, record.value) == (b"42", None)


async def test_a_schema_that_is_not_registered_is_named(house: House) -> None:
    with pytest.raises(SchemaNotFound, match="absent"):
        await house.publisher.publish("lost", event(GOOD))
    assert house.written() == 0


async def test_a_schema_without_a_registry_is_an_error_that_says_so() -> None:
    log = MemoryLog()
    log.create("orders", 1)
    publisher = Publisher(FakeProducer(log), FakeCatalog(log), TOPICS)
    with pytest.raises(RegistryError, match="orders has the schema order, but no schema registry"):
        await publisher.publish("orders", event(GOOD))


async def test_a_topic_that_does_not_exist_is_not_made(house: House) -> None:
    for publishing in (
        house.publisher.publish("nowhere", event()),
        house.publisher.publish_batch("nowhere", [(event(), None)]),
        house.publisher.publish_raw("nowhere", b"", None, None),
    ):
        with pytest.raises(TopicNotFound, match="nowhere"):
            await publishing
    assert "nowhere" not in house.log.topics


async def test_a_compacted_topic_takes_no_event_without_a_key(house: House) -> None:
    with pytest.raises(EventInvalid) as raised:
        await house.publisher.publish("customers", event(GOOD))
    assert raised.value.field == "ce-subject"
    assert house.written() == 0


async def test_key_data_and_attributes_count_for_the_size() -> None:
    house = House(PublishLimits(event_bytes_max=1_000))
    for large in (event(b"x" * 1_000), event(b"", big="x" * 1_000)):
        with pytest.raises(PayloadTooLarge) as raised:
            await house.publisher.publish("plain", large)
        assert raised.value.field == "event"
        assert "at most 1000 bytes" in raised.value.expected
    with pytest.raises(PayloadTooLarge):
        await house.publisher.publish("plain", event(), key=b"x" * 1_000)
    assert house.written() == 0
    await house.publisher.publish("plain", event(b"x" * 800))


async def test_a_broker_that_is_down_is_told(house: House) -> None:
    house.producer.down = True
    with pytest.raises(BrokerUnavailable):
        await house.publisher.publish("plain", event())


async def test_raw_bytes_lie_as_they_are_under_their_content_type(house: House) -> None:
    await house.publisher.publish_raw("plain", b"\x00\xff", "image/png", b"k")
    (record,) = house.records("plain")
    assert (record.key, record.value, record.headers) == (b"k", b"\x00\xff", (("content-type", b"image/png"),))


async def test_raw_bytes_need_no_content_type(house: House) -> None:
    await house.publisher.publish_raw("plain", b"a", None, None)
    assert house.records("plain")[0].headers == ()


async def test_raw_data_is_checked_where_a_schema_is(house: House) -> None:
    with pytest.raises(SchemaMismatch):
        await house.publisher.publish_raw("orders", b'{"order_id": 1}', "application/json", None)
    await house.publisher.publish_raw("orders", json.dumps(GOOD).encode(), "application/json", None)
    assert house.records("orders")[0].header("content-type") == AVRO_CONTENT_TYPE.encode()


async def test_raw_data_is_measured_too() -> None:
    house = House(PublishLimits(event_bytes_max=10))
    with pytest.raises(PayloadTooLarge):
        await house.publisher.publish_raw("plain", b"x" * 11, None, None)


async def test_a_batch_lies_in_its_order(house: House) -> None:
    events = [(event({"n": number}), b"k") for number in range(50)]
    results = await house.publisher.publish_batch("plain", events)
    assert results == [Position("plain", 0, number) for number in range(50)]
    assert [json.loads(record.value or b"")["n"] for record in house.records("plain")] == list(range(50))


async def test_of_a_batch_with_one_bad_event_nothing_is_written(house: House) -> None:
    bad = {**GOOD, "status": "LOST"}
    with pytest.raises(SchemaMismatch) as raised:
        await house.publisher.publish_batch("orders", [(event(GOOD), None), (event(bad), None)])
    assert raised.value.field == "/1/data/status"
    assert house.written() == 0


async def test_an_empty_batch_is_fine(house: House) -> None:
    assert await house.publisher.publish_batch("plain", []) == []


async def test_a_batch_has_a_limit() -> None:
    house = House(PublishLimits(batch_events_max=2))
    with pytest.raises(PayloadTooLarge, match="3 events"):
        await house.publisher.publish_batch("plain", [(event(), None)] * 3)
    assert house.written() == 0


async def test_each_event_of_a_batch_has_its_own_outcome(house: House) -> None:
    house.producer.down = True
    results = await house.publisher.publish_batch("plain", [(event(), None)] * 2)
    assert all(isinstance(result, BrokerUnavailable) for result in results)


class FullProducer(FakeProducer):
    """Its queue has ``room`` for so many; ``free`` more come with each refusal."""

    def __init__(self, room: int, free: int) -> None:
        super().__init__(MemoryLog())
        self.room, self.free = room, free

    def append_soon(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        done: Callable[[Position | PipelineError], None] | None = None,
    ) -> bool:
        if self.room == 0:
            self.room += self.free
            return False
        self.room -= 1
        return super().append_soon(topic, key=key, value=value, headers=headers, partition=partition, done=done)


async def test_a_batch_waits_for_room_in_the_queue_and_keeps_its_order() -> None:
    house = House(producer=FullProducer(room=1, free=1))
    results = await house.publisher.publish_batch("plain", [(event(), None)] * 4)
    assert results == [Position("plain", 0, number) for number in range(4)]


async def test_a_batch_that_finds_no_room_in_time_ends_there_and_nothing_overtakes() -> None:
    house = House(PublishLimits(room_wait_s=0.01), FullProducer(room=2, free=0))
    async with asyncio.timeout(1):
        results = await house.publisher.publish_batch("plain", [(event(), None)] * 100)
    assert results[:2] == [Position("plain", 0, 0), Position("plain", 0, 1)]
    assert all(isinstance(result, BrokerUnavailable) for result in results[2:])
    assert house.written() == 2
