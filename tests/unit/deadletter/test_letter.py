from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.deadletter import ERROR_BYTES_MAX, REASONS, Edit, Failure, one_line, unwrap, wrap
from pipeline.errors import DeclarationInvalid, FormatUnreadable
from pipeline.record import Headers, Record

FAILURE = Failure(
    reason="exhausted",
    attempts=6,
    first_failed_at="2026-11-20T22:00:00Z",
    last_failed_at="2026-11-20T23:00:00.5Z",
    http_status=503,
    error="503 Service Unavailable",
)
RECORD = Record(
    "orders", 3, 1042, 1_795_219_200_000, b"\xff42", b"\x00body", (("ce_id", b"1"), ("x", None), ("x", b"\xfe"))
)


def buried(record: Record = RECORD, failure: Failure = FAILURE, redrives: int = 0) -> Record:
    key, value, headers = wrap(record, "app.orders", failure, redrives=redrives)
    return Record("app.orders.dlq", 3, 7, 9, key, value, headers)


def changed(record: Record, name: str, value: bytes | None) -> Record:
    headers: Headers = tuple((found, value if found == name else text) for found, text in record.headers)
    return record.holding(record.key, record.value, headers)


def test_key_value_and_headers_lie_there_byte_for_byte_and_ours_follow_as_text() -> None:
    key, value, headers = wrap(RECORD, "app.orders", FAILURE)
    assert (key, value, headers[:3]) == (RECORD.key, RECORD.value, RECORD.headers)
    assert headers[3:] == (
        ("dlq.id", b"orders/3/1042/app.orders"),
        ("dlq.origin.topic", b"orders"),
        ("dlq.origin.partition", b"3"),
        ("dlq.origin.offset", b"1042"),
        ("dlq.origin.timestamp", b"1795219200000"),
        ("dlq.group", b"app.orders"),
        ("dlq.attempts", b"6"),
        ("dlq.first_failed_at", b"2026-11-20T22:00:00Z"),
        ("dlq.last_failed_at", b"2026-11-20T23:00:00.5Z"),
        ("dlq.reason", b"exhausted"),
        ("dlq.http_status", b"503"),
        ("dlq.error", b"503 Service Unavailable"),
        ("dlq.redrives", b"0"),
    )


def test_a_tombstone_stays_one() -> None:
    assert wrap(RECORD.holding(None, None, RECORD.headers), "g", FAILURE)[:2] == (None, None)


def test_what_was_buried_is_read_back_whole() -> None:
    letter = unwrap(buried(redrives=2))
    assert (letter.record, letter.failure, letter.redrives, letter.group) == (RECORD, FAILURE, 2, "app.orders")
    assert (letter.id, str(letter.origin)) == ("orders/3/1042/app.orders", "orders/3/1042")
    assert (letter.reason, letter.attempts, letter.http_status, letter.error) == ("exhausted", 6, 503, FAILURE.error)
    assert (letter.first_failed_at, letter.last_failed_at) == (FAILURE.first_failed_at, FAILURE.last_failed_at)


def test_a_redrive_that_fails_again_keeps_the_id_and_counts() -> None:
    first = unwrap(buried())
    again = unwrap(buried(first.record, redrives=first.redrives + 1))
    assert (again.id, again.redrives, again.record) == (first.id, 1, RECORD)


def test_without_a_status_line_there_is_no_status() -> None:
    letter = buried(failure=msgspec.structs.replace(FAILURE, http_status=None))
    assert "dlq.http_status" not in dict(letter.headers)
    assert unwrap(letter).http_status is None


def test_a_producers_own_dlq_headers_do_not_speak_for_us_and_come_back_unchanged() -> None:
    """Threat S31: a forged origin, group or reason."""
    forged: Headers = (
        ("dlq.origin.topic", b"payments"),
        ("dlq.group", b"other"),
        ("producer-dlq.id", b"x"),
        ("producer-producer-dlq.", b"y"),
        ("producer-other", b"z"),
        ("DLQ.id", b"w"),
    )
    record = RECORD.holding(RECORD.key, RECORD.value, forged)
    there = buried(record)
    assert [name for name, _ in there.headers[:6]] == [
        "producer-dlq.origin.topic",
        "producer-dlq.group",
        "producer-producer-dlq.id",
        "producer-producer-producer-dlq.",
        "producer-other",
        "DLQ.id",
    ]
    assert unwrap(there).record == record
    assert unwrap(there).group == "app.orders"


def test_who_edited_it_is_written_and_read_back() -> None:
    edit = Edit(by="ann@example.org", original="app.orders.dlq/3/7", sha256="ab" * 32)
    key, value, headers = wrap(RECORD, "app.orders", FAILURE, edit=edit)
    assert headers[-3:] == (
        ("dlq.edited_by", b"ann@example.org"),
        ("dlq.edited_from", b"app.orders.dlq/3/7"),
        ("dlq.edited_from_sha256", b"ab" * 32),
    )
    letter = unwrap(Record("app.orders.dlq", 3, 8, 9, key, value, headers))
    assert (letter.edit, letter.record, letter.id) == (edit, RECORD, "orders/3/1042/app.orders")
    assert unwrap(buried()).edit is None


@pytest.mark.parametrize("by", ["", "a\nb", "x" * 101])
def test_an_edit_names_somebody(by: str) -> None:
    with pytest.raises(DeclarationInvalid, match="edited_by"):
        Edit(by=by, original="app.orders.dlq/3/7", sha256="ab")


def test_headers_of_later_versions_are_passed_over() -> None:
    now = buried()
    later = now.holding(now.key, now.value, (*now.headers, ("dlq.moon_phase", b"full")))
    assert unwrap(later).record == RECORD


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dlq.id", None),
        ("dlq.id", b"\xff"),
        ("dlq.origin.topic", None),
        ("dlq.origin.partition", b"x"),
        ("dlq.origin.offset", b"1" * 20),
        ("dlq.origin.offset", b""),
        ("dlq.origin.timestamp", b"0x1"),
        ("dlq.attempts", b"-1"),
        ("dlq.attempts", b"\xd9\xa1"),
        ("dlq.reason", b"because"),
        ("dlq.http_status", b"5"),
        ("dlq.http_status", None),
        ("dlq.first_failed_at", b"yesterday"),
        ("dlq.last_failed_at", None),
        ("dlq.redrives", b"many"),
    ],
)
def test_a_header_that_cannot_be_read_is_named(name: str, value: bytes | None) -> None:
    with pytest.raises(FormatUnreadable) as caught:
        unwrap(changed(buried(), name, value))
    assert caught.value.field == name


def test_a_record_that_is_no_dead_letter_is_refused() -> None:
    with pytest.raises(FormatUnreadable):
        unwrap(RECORD)


@pytest.mark.parametrize(
    ("field", "value"),
    [("reason", "x"), ("attempts", -1), ("first_failed_at", "now"), ("last_failed_at", ""), ("http_status", 99)],
)
def test_a_failure_checks_itself(field: str, value: Any) -> None:
    with pytest.raises(DeclarationInvalid) as caught:
        msgspec.structs.replace(FAILURE, **{field: value}).__post_init__()
    assert caught.value.field == f"dlq.{field}"


def test_the_reasons_are_a_closed_list() -> None:
    assert sorted(REASONS) == [
        "blocked_address",
        "exhausted",
        "expired",
        "filter_error",
        "gone_410",
        "operator",
        "rejected_4xx",
        "schema_missing",
        "too_large",
        "undecodable",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("a\r\nb\tc", "a b c"),
        ("  a  ", "a"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("a\u2028b\u202ec\u2066d", "a b c d"),
        ("\ud800x", "x"),
        ("é" * 300, "é" * 254 + "..."),
        ("x" * 512, "x" * 512),
        ("x" * 513, "x" * 509 + "..."),
    ],
)
def test_an_error_is_one_line_of_512_bytes(text: str, line: str) -> None:
    assert one_line(text) == line
    assert len(one_line(text).encode()) <= ERROR_BYTES_MAX
