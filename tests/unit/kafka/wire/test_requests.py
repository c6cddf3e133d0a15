"""Requests byte by byte, and answers as brokers write them; aiokafka's own encoder is the judge where it knows them."""

from __future__ import annotations

from aiokafka.protocol.types import Array, Bytes, Int16, Int32, Int64, Schema, String

from pipeline.kafka.wire import requests
from pipeline.kafka.wire.requests import Coordinator, Fetched, Request

COMMIT = Schema(
    ("group", String("utf-8")),
    ("generation", Int32),
    ("member", String("utf-8")),
    ("instance", String("utf-8")),
    (
        "topics",
        Array(
            ("topic", String("utf-8")),
            (
                "partitions",
                Array(("partition", Int32), ("offset", Int64), ("epoch", Int32), ("metadata", String("utf-8"))),
            ),
        ),
    ),
)
FETCH = Schema(("group", String("utf-8")), ("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))))
FETCHED = Schema(
    ("throttle", Int32),
    (
        "topics",
        Array(
            ("topic", String("utf-8")),
            (
                "partitions",
                Array(
                    ("partition", Int32),
                    ("offset", Int64),
                    ("epoch", Int32),
                    ("metadata", String("utf-8")),
                    ("error", Int16),
                ),
            ),
        ),
    ),
    ("error", Int16),
)
COMMITTED = Schema(
    ("throttle", Int32),
    (
        "topics",
        Array(("topic", String("utf-8")), ("partitions", Array(("partition", Int32), ("error", Int16)))),
    ),
)


def test_a_request_is_framed_with_its_size_and_header() -> None:
    framed = Request(9, 5, b"body").framed(7, "me")
    assert framed == b"\0\0\0\x10" + b"\0\x09" + b"\0\x05" + b"\0\0\0\x07" + b"\0\x02me" + b"body"


def test_a_commit_from_outside_the_group_names_no_member() -> None:
    offsets = {("a", 0): (5, "m\u00e9"), ("b", 2): (0, None), ("a", 1): (6, "")}
    made = requests.offset_commit("g", offsets)
    topics = [("a", [(0, 5, -1, "m\u00e9"), (1, 6, -1, "")]), ("b", [(2, 0, -1, None)])]
    assert (made.api, made.version) == (8, 7)
    assert made.body == COMMIT.encode(("g", -1, "", None, topics))


def test_the_outcome_of_a_commit_is_known_per_partition() -> None:
    raw = COMMITTED.encode((0, [("a", [(0, 0), (1, 25)]), ("b", [(0, 3)])]))
    assert requests.committed_offsets(raw) == {("a", 0): 0, ("a", 1): 25, ("b", 0): 3}


def test_a_fetch_names_its_partitions_by_topic() -> None:
    made = requests.offset_fetch("g", [("a", 0), ("b", 1), ("a", 2)])
    assert (made.api, made.version) == (9, 5)
    assert made.body == FETCH.encode(("g", [("a", [0, 2]), ("b", [1])]))


def test_what_was_fetched_is_known_per_partition() -> None:
    raw = FETCHED.encode((0, [("a", [(0, 5, -1, "m", 0), (1, -1, -1, "", 0)])], 16))
    assert requests.fetched_offsets(raw) == (16, {("a", 0): Fetched(0, 5, "m"), ("a", 1): Fetched(0, -1, "")})


def test_a_coordinator_is_asked_for_by_group_and_told_by_address() -> None:
    assert requests.find_coordinator("g") == Request(10, 2, b"\0\1g\0")
    answer = Schema(
        ("throttle", Int32),
        ("error", Int16),
        ("text", String("utf-8")),
        ("node", Int32),
        ("host", String("utf-8")),
        ("port", Int32),
    ).encode((0, 15, None, 1, "broker", 9092))
    assert requests.found_coordinator(answer) == Coordinator(15, "broker", 9092)


def test_a_login_is_an_exchange_of_bytes() -> None:
    assert requests.sasl_handshake("PLAIN") == Request(17, 1, b"\0\5PLAIN")
    assert requests.sasl_authenticate(b"x") == Request(36, 0, b"\0\0\0\1x")
    offered = Schema(("error", Int16), ("mechanisms", Array(String("utf-8")))).encode((33, ["PLAIN"]))
    assert requests.sasl_mechanisms(offered) == (33, ["PLAIN"])
    answer = Schema(("error", Int16), ("text", String("utf-8")), ("token", Bytes)).encode((58, "no", b"t"))
    assert requests.sasl_answer(answer) == (58, "no", b"t")
