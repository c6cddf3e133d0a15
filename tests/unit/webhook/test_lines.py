from __future__ import annotations

import pytest

from pipeline.record import Headers
from pipeline.webhook.lines import CONTENT, CORE, ENVELOPE, SEQUENCE, HeaderLines, Undecodable, key_text

EVENT: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"8f1c"),
    ("ce_source", b"/shop"),
    ("ce_type", b"order.placed"),
)


def lines_of(*headers: tuple[str, bytes | None]) -> list[bytes]:
    lines, _ = HeaderLines().of(headers)
    assert lines.startswith(b"\r\n") or not lines
    return lines.split(b"\r\n")[1:]


def test_attributes_become_headers_in_their_order() -> None:
    lines, seen = HeaderLines().of((*EVENT, ("ce_tenant", b"a"), ("content-type", b"application/json")))
    assert lines.split(b"\r\n")[1:] == [
        b"ce-specversion: 1.0",
        b"ce-id: 8f1c",
        b"ce-source: /shop",
        b"ce-type: order.placed",
        b"ce-tenant: a",
        b"content-type: application/json",
    ]
    assert seen == CORE | CONTENT


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"a b", b"a%20b"),
        (b'say "hi"', b"say%20%22hi%22"),
        (b"100%", b"100%25"),
        ("Euro €".encode(), b"Euro%20%E2%82%AC"),
        ("😀".encode(), b"%F0%9F%98%80"),
        (b"a\r\nx-evil: 1", b"a%0D%0Ax-evil:%201"),
        (b"a\x00b", b"a%00b"),
        (b"a\x7fb", b"a%7Fb"),
        (b"", b""),
    ],
)
def test_a_value_is_percent_encoded(value: bytes, sent: bytes) -> None:
    assert lines_of(("ce_ext", value)) == [b"ce-ext: " + sent]


def test_an_attribute_that_is_not_utf_8_is_undecodable_and_not_shown() -> None:
    with pytest.raises(Undecodable, match="ce_ext") as caught:
        lines_of(("ce_ext", b"canary\xff"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "x-request-id",
        "ce_",
        "ce_Upper",
        "ce_with_underscore",
        "ce_a\r\nb",
        "ce_a\n",
        "ce_é",
        "ce_" + "a" * 65,
        "ce_data",
        "ce_datacontenttype",
        "host",
        "content-length",
        "transfer-encoding",
        "webhook-id",
        "dlq.reason",
        "Content-Type",
        "",
    ],
)
def test_a_header_that_is_no_attribute_is_not_delivered(name: str) -> None:
    assert lines_of((name, b"x")) == []


def test_of_a_name_that_comes_twice_the_last_counts() -> None:
    assert lines_of(("ce_a", b"1"), ("ce_b", b"2"), ("ce_a", b"3")) == [b"ce-a: 3", b"ce-b: 2"]


def test_a_header_without_a_value_is_absent() -> None:
    assert lines_of(("ce_a", None), ("ce_b", b"2")) == [b"ce-b: 2"]


def test_an_empty_core_attribute_is_absent_and_an_empty_extension_is_not() -> None:
    lines, seen = HeaderLines().of((("ce_id", b""), ("ce_subject", b""), ("ce_tenant", b""), ("ce_sequence", b"")))
    assert (lines, seen) == (b"\r\nce-tenant: \r\nce-sequence: ", SEQUENCE)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"application/json", b"application/json"),
        (b' application/json; charset="utf-8" ', b'application/json; charset="utf-8"'),
        (b"text/plain\r\nx: y", None),
        (b"json", None),
        (b"", None),
        (b"text/\xff", None),
    ],
)
def test_a_content_type_is_passed_only_if_it_is_one(value: bytes, sent: bytes | None) -> None:
    lines, seen = HeaderLines().of((("content-type", value),))
    assert (lines, seen) == ((b"", 0) if sent is None else (b"\r\ncontent-type: " + sent, CONTENT))


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=utf-8", b"application/cloudevents"],
)
def test_an_envelope_speaks_for_itself(content_type: bytes) -> None:
    lines, seen = HeaderLines().of((*EVENT, ("content-type", content_type), ("traceparent", b"00-1-2-03")))
    assert lines.split(b"\r\n")[1:] == [b"traceparent: 00-1-2-03", b"content-type: " + content_type]
    assert seen & ENVELOPE


def test_trace_context_is_carried_on() -> None:
    trace = [("traceparent", b"00-aa-bb-01"), ("tracestate", b"vendor=x, other=y z")]
    assert lines_of(*trace) == [b"traceparent: 00-aa-bb-01", b"tracestate: vendor=x, other=y z"]
    assert HeaderLines().passed(tuple(trace)) == b"\r\ntraceparent: 00-aa-bb-01\r\ntracestate: vendor=x, other=y z"


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"\xff", b"", b" a", None])
def test_trace_context_that_is_no_field_value_is_left_out(value: bytes | None) -> None:
    assert lines_of(("traceparent", value)) == []


def test_what_is_learnt_is_bounded() -> None:
    lines = HeaderLines()
    for number in range(2000):
        lines.of(((f"ce_a{number}", b"1"), ("content-type", b"text/x%d" % number)))
        lines.of(tuple((f"ce_a{number}x{each}", b"1") for each in range(50)))
    assert len(lines._shapes) <= 256
    assert len(lines._types) <= 64
    assert max(len(names) for names in lines._shapes) <= 32


@pytest.mark.parametrize(
    ("key", "text"),
    [(b"42", "42"), ("über 1".encode(), "über 1"), (b"\x00\x00\x00\x01", None), (b"\xff", None), (b"a\n", None)],
)
def test_a_key_is_an_attribute_if_it_is_printable_text(key: bytes, text: str | None) -> None:
    assert key_text(key) == text
