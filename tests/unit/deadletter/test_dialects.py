"""Dialects: what dead letters of other tools claim, read without believing or breaking."""

from __future__ import annotations

import struct

import pytest

from pipeline.deadletter import Claim, Failure, claim_of, wrap
from pipeline.record import Headers, Record

FAILURE = Failure(
    reason="exhausted", attempts=6, first_failed_at="2026-11-20T22:00:00Z", last_failed_at="2026-11-20T23:00:00Z"
)


def lying(*headers: tuple[str, bytes | None]) -> Record:
    return Record("some.dlq", 0, 0, 0, b"k", b"{}", headers)


OURS: Headers = wrap(Record("orders", 3, 42, 1, b"k", b"{}"), "app.hook", FAILURE)[2]


@pytest.mark.parametrize(
    ("record", "claim"),
    [
        (
            lying(*OURS),
            Claim(
                dialect="pipeline",
                topic="orders",
                partition=3,
                offset=42,
                group="app.hook",
                reason="exhausted",
                error="",
            ),
        ),
        (
            lying(
                ("__connect.errors.topic", b"orders"),
                ("__connect.errors.partition", b"3"),
                ("__connect.errors.offset", b"42"),
                ("__connect.errors.connector.name", b"http-sink"),
                ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
                ("__connect.errors.exception.message", b"no such field\nat line 3"),
            ),
            Claim(
                dialect="connect",
                topic="orders",
                partition=3,
                offset=42,
                group="http-sink",
                reason="org.apache.kafka.connect.errors.DataException",
                error="no such field at line 3",
            ),
        ),
        (
            lying(
                ("kafka_dlt-original-topic", b"orders"),
                ("kafka_dlt-original-partition", struct.pack(">i", 3)),
                ("kafka_dlt-original-offset", struct.pack(">q", 42)),
                ("kafka_dlt-original-consumer-group", b"billing"),
                ("kafka_dlt-exception-fqcn", b"ListenerExecutionFailedException"),
                ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
            ),
            Claim(
                dialect="spring",
                topic="orders",
                partition=3,
                offset=42,
                group="billing",
                reason="java.lang.IllegalStateException",
            ),
        ),
        (
            lying(
                ("__dlq.errors.topic", b"orders"),
                ("__dlq.errors.partition", b"3"),
                ("__dlq.errors.offset", b"42"),
                ("__dlq.errors.group", b"share"),
                ("__dlq.errors.message", b"Offset rejected by client."),
            ),
            Claim(
                dialect="share-group",
                topic="orders",
                partition=3,
                offset=42,
                group="share",
                error="Offset rejected by client.",
            ),
        ),
        (
            lying(
                ("_dlq.errors.disposition", b"CLIENT_REJECTED"),
                ("_dlq.errors.original.topic", b"orders"),
                ("_dlq.errors.original.partition", b"3"),
                ("_dlq.errors.original.offset", b"42"),
            ),
            Claim(dialect="share-group", topic="orders", partition=3, offset=42, reason="CLIENT_REJECTED"),
        ),
        (lying(("ce_id", b"1")), Claim(dialect="none")),
    ],
    ids=["pipeline", "connect", "spring", "share-group", "share-group-draft", "none"],
)
def test_each_dialect_is_read(record: Record, claim: Claim) -> None:
    assert claim_of(record) == claim


@pytest.mark.parametrize(
    "headers",
    [
        (("__connect.errors.offset", b"-1"), ("__connect.errors.topic", b"\xff")),
        (("kafka_dlt-original-offset", struct.pack(">q", -5)), ("kafka_dlt-original-partition", b"x")),
        (("__dlq.errors.partition", None), ("__dlq.errors.offset", b"9" * 40)),
    ],
)
def test_nonsense_claims_nothing_and_breaks_nothing(headers: Headers) -> None:
    claim = claim_of(lying(*headers))
    assert (claim.partition, claim.offset) == (None, None)


def test_a_claim_cannot_move_a_terminals_cursor() -> None:
    claim = claim_of(lying(("kafka_dlt-original-topic", b"x\x1b[2J" + b"y" * 400)))
    assert claim.topic is not None and "\x1b" not in claim.topic and len(claim.topic) <= 249
