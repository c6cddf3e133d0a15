"""Rendering: where each event lies on the log, defaults for what is no CloudEvent, Avro as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import RegistryError, SchemaNotFound
from pipeline.format import frame
from pipeline.format.avro_codec import AvroCodec
from pipeline.kafka.admin import TopicState
from pipeline.pull import Rendering
from pipeline.record import Headers, Record
from pipeline.registry.face import Registered

TOPIC = TopicState("orders", "AAAAAAAAAAAAAAAAAAAAAQ", 2)
SCHEMA = '{"type": "record", "name": "Order", "fields": [{"name": "n", "type": "long"}]}'
BINARY: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"a-1"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.placed"),
    ("content-type", b"application/json"),
)


class OneSchema:
    """A registry that holds schema 7."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False

    async def latest(self, subject: str) -> Registered:
        raise SchemaNotFound(subject)

    async def register(self, subject: str, schema: str) -> Registered:
        raise RegistryError("read only")

    async def by_id(self, schema_id: int) -> str:
        self.asked += 1
        if self.down:
            raise RegistryError("no answer")
        if schema_id != 7:
            raise SchemaNotFound(str(schema_id))
        return SCHEMA

    async def close(self) -> None: ...


def record(value: bytes | None, key: bytes | None = None, headers: Headers = BINARY) -> Record:
    return Record("orders", 1, 42, 1_795_219_200_000, key, value, headers)


async def rendered(one: Record, registry: OneSchema | None = None) -> Any:
    (text,) = await Rendering("app", lambda topic: f"{topic}.record", registry)(TOPIC, [one])
    return json.loads(text)


async def test_an_event_says_where_it_lies() -> None:
    event = await rendered(record(b'{"n": 1}', b"42"))
    assert (event["sequence"], event["kafkapartition"]) == ("00000000000000000042", 1)
    assert event["partitionkey"] == "42"
    assert event["data"] == {"n": 1}


async def test_a_partition_key_the_event_names_is_kept() -> None:
    event = await rendered(record(b"{}", b"other", (*BINARY, ("ce_partitionkey", b"own"))))
    assert event["partitionkey"] == "own"


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"a\nb"])
async def test_a_key_that_is_no_attribute_is_left_out(key: bytes | None) -> None:
    assert "partitionkey" not in await rendered(record(b"{}", key))


async def test_a_record_that_is_no_cloud_event_gets_defaults() -> None:
    event = await rendered(record(b"x", headers=()))
    assert (event["source"], event["type"], event["id"]) == ("/app/orders", "orders.record", "evt_aaaaaaaaaa_1_42")


async def test_a_record_that_only_claims_to_be_a_cloud_event_does_not_stop_the_page() -> None:
    event = await rendered(record(b"x", headers=(("ce_specversion", b"9.9"),)))
    assert event["id"] == "evt_aaaaaaaaaa_1_42" and "unreadable" in event


async def test_framed_avro_is_given_as_the_json_it_was_made_from() -> None:
    registry = OneSchema()
    headers = (*BINARY[:-1], ("content-type", b"application/avro"))
    value = frame.wrap(7, AvroCodec(SCHEMA).encode_json(b'{"n": 5}'))
    event = await rendered(record(value, headers=headers), registry)
    assert event["data"] == {"n": 5} and event["datacontenttype"] == "application/json"


@pytest.mark.parametrize("value", [frame.wrap(7, b"\xff" * 20), frame.wrap(8, b"\x0a"), b"\0\0"])
async def test_avro_that_cannot_be_decoded_is_given_as_it_lies(value: bytes) -> None:
    headers = (*BINARY[:-1], ("content-type", b"application/avro"))
    event = await rendered(record(value, headers=headers), OneSchema())
    assert event["datacontenttype"] == "application/avro" and "data_base64" in event


async def test_a_schema_that_cannot_be_asked_for_now_fails_the_page() -> None:
    registry = OneSchema()
    registry.down = True
    headers = (*BINARY[:-1], ("content-type", b"application/avro"))
    with pytest.raises(RegistryError):
        await rendered(record(frame.wrap(7, b"\x0a"), headers=headers), registry)


async def test_a_schema_is_asked_for_once() -> None:
    registry = OneSchema()
    headers = (*BINARY[:-1], ("content-type", b"application/avro"))
    one = record(frame.wrap(7, AvroCodec(SCHEMA).encode_json(b'{"n": 5}')), headers=headers)
    await Rendering("app", str, registry)(TOPIC, [one] * 3)
    assert registry.asked == 1
