from __future__ import annotations

from typing import Any

import orjson
import pytest

from pipeline.errors import EventInvalid, FormatUnreadable, InputError, PayloadTooLarge
from pipeline.event import Event
from pipeline.format.envelope import (
    BATCH_EVENTS_MAX,
    batch_from_json,
    batch_to_json,
    event_from_json,
    event_to_json,
    json_value,
)
from pipeline.format.headers import event_from_http, event_to_kafka
from tests.vectors.reading import vectors

CASES = vectors("cloudevents/json_events.json")


def rendered(event: Event) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(event_to_json(event))
    return members


def made(data: bytes | None, content_type: str | None, **extensions: Any) -> Event:
    return Event(id="1", source="/s", type="t", data=data, datacontenttype=content_type, extensions=extensions)


def parsed(**members: object) -> Event:
    return event_from_json(orjson.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", **members}))


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["name"])
def test_takes_the_valid_events_of_the_conformance_suite(case: dict[str, Any]) -> None:
    event = event_from_json(orjson.dumps(case["event"]))
    kept = {name: value for name, value in case["event"].items() if value is not None or name == "data"}
    assert {**kept, "datacontenttype": event.datacontenttype} == {
        **rendered(event),
        "datacontenttype": event.datacontenttype,
    }


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_refuses_the_invalid_events_and_names_the_member(case: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        event_from_json(orjson.dumps(case["event"]))
    assert caught.value.field == case["field"]


@pytest.mark.parametrize("case", CASES["invalid_batches"], ids=lambda case: case["name"])
def test_refuses_the_invalid_batches_and_names_the_event(case: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        batch_from_json(orjson.dumps(case["batch"]))
    assert caught.value.field == case["field"]


@pytest.mark.parametrize("case", vectors("cloudevents/json_and_binary.json"), ids=lambda case: case["name"])
def test_the_json_format_and_binary_mode_say_the_same(case: dict[str, Any]) -> None:
    body = bytes.fromhex(case["body_hex"])
    value, headers = event_to_kafka(event_from_json(orjson.dumps(case["json"])))
    assert dict(headers) == {
        **{f"ce_{name}": text.encode() for name, text in case["attributes"].items()},
        "content-type": case["content_type"].encode(),
    }
    assert value is not None
    assert value.replace(b" ", b"") == body.replace(b" ", b"")
    http = {f"ce-{name}": text for name, text in case["attributes"].items()} | {"content-type": case["content_type"]}
    assert event_from_http(http, body).datacontenttype == case["content_type"]


@pytest.mark.parametrize(
    ("data", "content_type", "member", "value"),
    [
        (b'{"n": 1.10}', "application/json", "data", {"n": 1.1}),
        (b"null", "application/vnd.x+json", "data", None),
        (b"7", None, "data", 7),
        (b"", "application/json", "data_base64", ""),
        (b"{", "application/json", "data_base64", "ew=="),
        (b"\xff", None, "data_base64", "/w=="),
        (b"1,2", "application/json", "data_base64", "MSwy"),
        ("é".encode(), "text/plain", "data", "é"),
        (b"\xe9", "text/plain; charset=iso-8859-1", "data", "é"),
        (b"\xe9", "text/plain", "data_base64", "6Q=="),
        (b"<a/>", "image/svg+xml", "data", "<a/>"),
        (b"\x00\xff", "application/octet-stream", "data_base64", "AP8="),
        (b"abc", "application/octet-stream", "data_base64", "YWJj"),
    ],
)
def test_data_stands_as_its_type_says_or_as_base64(
    data: bytes, content_type: str | None, member: str, value: Any
) -> None:
    members = rendered(made(data, content_type))
    assert members[member] == value
    assert len({"data", "data_base64"} & members.keys()) == 1
    assert event_from_json(event_to_json(made(data, content_type))).data == data


def test_data_cannot_forge_members_around_it() -> None:
    members = rendered(made(b'1,"id":"forged"', "application/json"))
    assert members["id"] == "1"
    assert "data" not in members


def test_json_data_keeps_its_bytes() -> None:
    """A number of 30 digits or a 1.10 would come out otherwise if data were parsed and written again."""
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n": 1.10, "b":  12345678901234567890 }}'
    event = event_from_json(body)
    assert event.data == b'{"n": 1.10, "b":  12345678901234567890 }'
    assert event.data in event_to_json(event)


def test_data_without_a_type_is_json_and_says_so() -> None:
    assert parsed(data={"a": 1}).datacontenttype == "application/json"
    assert parsed(data_base64="AA==").datacontenttype is None
    assert parsed().datacontenttype is None


def test_a_string_is_a_json_string_and_not_parsed_again() -> None:
    assert parsed(data='{"a":1}').data == b'"{\\"a\\":1}"'
    assert parsed(data='{"a":1}', datacontenttype="text/plain").data == b'{"a":1}'


def test_data_in_a_character_set_we_do_not_read_must_come_as_base64() -> None:
    with pytest.raises(FormatUnreadable, match="data_base64"):
        parsed(data="x", datacontenttype="text/plain; charset=koi8-r")
    with pytest.raises(FormatUnreadable):
        parsed(data="€", datacontenttype="text/plain; charset=iso-8859-1")


def test_attributes_keep_their_types() -> None:
    members = rendered(made(None, None, count=5, urgent=False, hash=b"\x00", text="5"))
    assert {name: members[name] for name in ("count", "urgent", "hash", "text")} == {
        "count": 5,
        "urgent": False,
        "hash": "AA==",
        "text": "5",
    }
    assert "data" not in members


def test_extra_attributes_win() -> None:
    members = orjson.loads(
        event_to_json(made(b"1", None, sequence="mine"), extra={"sequence": "0042", "kafkapartition": 3})
    )
    assert (members["sequence"], members["kafkapartition"], members["data"]) == ("0042", 3, 1)


def test_an_event_is_one_line_however_its_data_was_written() -> None:
    assert event_to_json(made(b'{\r\n  "a": "x\\ny"\n}', "application/json")).count(b"\n") == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b'"x"', b"\xff", b'{"specversion":"1.0"', b"[" * 100_000])
def test_refuses_what_is_no_object(body: bytes) -> None:
    with pytest.raises(FormatUnreadable):
        event_from_json(body)


def test_errors_in_data_are_named_below_data() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        event_from_json(b'{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":[NaN]}}')
    assert caught.value.field == "/data/a/0"


def test_a_member_twice_is_refused() -> None:
    with pytest.raises(FormatUnreadable) as caught:
        event_from_json(b'{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}')
    assert caught.value.field == "/id"


def test_specversion_is_an_attribute_of_this_text_only() -> None:
    with pytest.raises(EventInvalid):
        parsed(specversion=1.0)


def test_a_batch_is_an_array_in_order() -> None:
    events = [made(str(number).encode(), "application/json") for number in range(3)]
    assert batch_from_json(batch_to_json(map(event_to_json, events))) == events
    assert batch_to_json([]) == b"[]"
    assert batch_from_json(b"[]") == []


@pytest.mark.parametrize("body", [b"{}", b"[", b"[1,]", b"[" * 100_000, b"\xff"])
def test_refuses_what_is_no_array(body: bytes) -> None:
    with pytest.raises(FormatUnreadable):
        batch_from_json(body)


def test_a_batch_has_a_limit() -> None:
    with pytest.raises(PayloadTooLarge):
        batch_from_json(batch_to_json([b"{}"] * (BATCH_EVENTS_MAX + 1)))


@pytest.mark.parametrize("data", [b"", b"1 2", b"tru", b'"\xff"', b'"\\ud800"', b"[" * 65 + b"]" * 65, b"[" * 5000])
def test_what_is_no_json_text_does_not_stand_inside_json(data: bytes) -> None:
    assert json_value(data) is None
