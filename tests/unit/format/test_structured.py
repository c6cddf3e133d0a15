from __future__ import annotations

from typing import Any

import orjson
import pytest

from pipeline.format.json_codec import check_json
from pipeline.format.structured import record_to_json
from pipeline.record import Headers, Record

CLAIMED: Headers = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/shop"), ("ce_type", b"order.placed"))
JSON: Headers = (*CLAIMED, ("content-type", b"application/json"))
PLACE: dict[str, str | int] = {"sequence": "00000000000000001042", "kafkapartition": 3}


def rendered(value: bytes | None, headers: Headers, extra: dict[str, str | int] | None = None) -> dict[str, Any]:
    """What the record becomes: when its header names are new, and when they are known."""
    found = Record("orders", 3, 1042, 0, b"k", value, headers)
    names = {"default_source": "/app/orders", "default_type": "orders.record", "default_id": "evt_x_3_1042"}
    first, second = (record_to_json(found, **names, extra=extra) for _ in range(2))
    assert orjson.loads(first) == orjson.loads(second)
    assert b"\n" not in second
    members: dict[str, Any] = check_json(second)  # which refuses a member that is there twice
    return members


def test_a_record_in_binary_mode_with_the_place_where_it_lies() -> None:
    headers = (*JSON, ("ce_time", b"2026-11-20T22:00:00Z"), ("ce_partitionkey", b"42"), ("trace", b"\xff"))
    assert rendered(b'{"a":\n1}', headers, PLACE) == {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop",
        "type": "order.placed",
        "time": "2026-11-20T22:00:00Z",
        "partitionkey": "42",
        "datacontenttype": "application/json",
        "sequence": "00000000000000001042",
        "kafkapartition": 3,
        "data": {"a": 1},
    }


def test_what_the_log_says_wins_over_what_the_producer_says() -> None:
    assert rendered(b"1", (*JSON, ("ce_sequence", b"mine")), PLACE)["sequence"] == PLACE["sequence"]


def test_extra_attributes_are_no_must() -> None:
    assert "sequence" not in rendered(b"1", JSON)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (("ce_subject", b'a"b\\c'), 'a"b\\c'),
        (("ce_subject", "größe".encode()), "größe"),
        (("ce_subject", b"a b"), "a b"),
    ],
)
def test_attributes_are_escaped(header: tuple[str, bytes], expected: str) -> None:
    assert rendered(b"1", (*JSON, header))["subject"] == expected


def test_data_that_is_not_what_its_type_says_becomes_base64() -> None:
    assert rendered(b'1,"id":"forged"', JSON)["data_base64"] == "MSwiaWQiOiJmb3JnZWQi"
    assert rendered(b"\xff", (*CLAIMED, ("content-type", b"text/plain")))["data_base64"] == "/w=="
    assert rendered(b"hi", (*CLAIMED, ("content-type", b"text/plain")))["data"] == "hi"
    assert rendered(b"", JSON)["data_base64"] == ""


def test_a_tombstone_has_no_data_and_says_delete() -> None:
    members = rendered(None, CLAIMED)
    assert members["method"] == "DELETE"
    assert "data" not in members


def test_a_plain_record_gets_the_defaults() -> None:
    members = rendered(b"[1]", ())
    assert (members["id"], members["source"], members["type"]) == ("evt_x_3_1042", "/app/orders", "orders.record")
    assert members["data"] == [1]


def test_of_headers_that_come_twice_the_last_counts() -> None:
    members = rendered(b"1", (*JSON, ("ce_subject", b"a"), ("ce_subject", b"b"), ("ce_id", b"2")))
    assert (members["subject"], members["id"]) == ("b", "2")


def test_a_structured_record_with_attributes_in_headers_too_is_not_wrapped_again() -> None:
    body = b'{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"a":1}}'
    members = rendered(body, (*CLAIMED, ("content-type", b"application/cloudevents+json")))
    assert (members["id"], members["data"]) == ("7", {"a": 1})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((("trace", b"\xff"),), {}),
        ((("trace", b"x"),), {}),
        ((("ce_type", b"order.placed"),), {"type": "order.placed"}),
        ((("ce_id", b"7"), ("ce_tenant", b"a")), {"id": "7", "tenant": "a"}),
        ((("ce_time", b"2026-11-20T22:00:00Z"),), {"time": "2026-11-20T22:00:00Z"}),
        ((("content-type", b"text/plain"),), {"datacontenttype": "text/plain", "data": "[1]"}),
    ],
)
def test_a_plain_record_keeps_what_it_says_and_gets_the_rest(headers: Headers, expected: dict[str, Any]) -> None:
    given = {"id": "evt_x_3_1042", "source": "/app/orders", "type": "orders.record", "data": [1]}
    plain = {"specversion": "1.0", "time": "1970-01-01T00:00:00.000Z", **given, **expected}
    assert rendered(b"[1]", headers) == plain
    assert rendered(b"[1]", headers, {"type": "t"}) == {**plain, "type": "t"}


def test_a_structured_record_gets_its_place_added() -> None:
    body = b'{"specversion":"1.0","id":"7","source":"/s","type":"t","data":{"a":1}}'
    members = rendered(body, (("content-type", b"application/cloudevents+json"),), PLACE)
    assert (members["id"], members["data"], members["kafkapartition"]) == ("7", {"a": 1}, 3)


@pytest.mark.parametrize(
    ("value", "headers", "problem"),
    [
        (b"1", (("ce_specversion", b"1.0"),), "ce_id"),
        (b"1", (*JSON, ("ce_time", b"yesterday")), "ce_time"),
        (b"1", (*JSON, ("ce_time", b"2026-02-30T00:00:00Z")), "ce_time"),
        (b"1", (*JSON, ("ce_subject", b"\xff\n")), "ce_subject"),
        (b"1", (*JSON, ("ce_subject", b"")), "ce_subject"),
        (b"1", (*JSON[1:], ("ce_specversion", b"2.0")), "ce_specversion"),
        (b"1", (*JSON[1:], ("ce_specversion", b"1.0x")), "ce_specversion"),
        (b"{", (("content-type", b"application/cloudevents+json"),), "quotes"),
        (b"1", (*JSON, ("ce_Bad", b"x")), "ce_Bad"),
    ],
)
def test_a_record_that_is_not_what_it_claims_is_shown_and_not_stumbled_over(
    value: bytes, headers: Headers, problem: str
) -> None:
    members = rendered(value, headers, PLACE)
    assert problem in members["unreadable"]
    assert (members["id"], members["kafkapartition"]) == ("evt_x_3_1042", 3)
    assert "data" in members or "data_base64" in members


@pytest.mark.parametrize(
    "time",
    [
        b"2024-02-29T00:00:00Z",
        b"2026-11-20T22:00:00.123Z",
        b"2026-11-20t22:00:00.123456789+01:00",
        b"2016-12-31T23:59:60Z",
    ],
)
def test_times_are_taken_as_the_event_takes_them(time: bytes) -> None:
    assert rendered(b"1", (*JSON, ("ce_time", time)))["time"] == time.decode()


def test_more_shapes_of_headers_than_are_remembered_do_no_harm() -> None:
    for number in range(1000):
        assert rendered(b"1", (*JSON, (f"ce_x{number}", b"v")))[f"x{number}"] == "v"


def test_a_record_with_very_many_headers_is_rendered_too() -> None:
    many = tuple((f"ce_x{number}", b"v") for number in range(500))
    assert rendered(b"1", (*JSON, *many))["x499"] == "v"
