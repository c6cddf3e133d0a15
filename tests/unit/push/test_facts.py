"""Facts of a record: attributes, headers and data, each worked out only when it is asked for."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.push.facts import RecordFacts, attributes_of
from pipeline.record import Headers, Record


def record(offset: int = 5, *, headers: Headers = (), value: bytes | None = b"{}") -> Record:
    return Record("t", 1, offset, 1_795_219_200_000, b"k", value, headers)


def event(offset: int, **attributes: bytes) -> Record:
    named = {"specversion": b"1.0", "id": b"e", "source": b"/s", "type": b"made", **attributes}
    return record(offset, headers=tuple((f"ce_{name}", value) for name, value in named.items()))


def facts(given: Record) -> RecordFacts:
    return RecordFacts(given, lambda topic: (f"/app/{topic}", f"{topic}.record"))


def test_attributes_come_from_the_event_or_its_place() -> None:
    assert facts(event(1, tenant=b"acme")).text("tenant") == "acme"
    assert facts(record()).text("type") == "t.record"
    assert facts(record()).text("absent") is None


@pytest.mark.parametrize(
    "given",
    [
        event(1, subject=b"s", tenant=b"acme", time=b"2026-11-20T22:00:00Z"),
        record(headers=(("ce_type", b"a"), ("ce_type", b"b"), ("ce_subject", None))),
        record(headers=(("ce_type", b"a"), ("ce_type", None), ("content-type", b"text/plain"))),
    ],
)
def test_an_attribute_read_by_its_header_is_what_the_event_says(given: Record) -> None:
    whole = facts(given).attributes
    for key in ("id", "source", "type", "subject", "time", "tenant", "datacontenttype", "specversion", "method"):
        assert facts(given).text(key) == whole.get(key), key


def test_of_several_headers_the_last_counts_and_bytes_that_are_no_text_match_nothing() -> None:
    given = facts(record(headers=(("a", b"1"), ("a", b"2"), ("b", b"\xff"), ("c", None))))
    assert [given.text(f"h.{name}") for name in "abcd"] == ["2", None, None, None]


def test_data_is_the_value_in_binary_mode_and_stands_inside_in_structured_mode() -> None:
    structured = b'{"specversion":"1.0","id":"e","source":"/s","type":"made","data":{"a":7}}'
    headers = (("content-type", b"application/cloudevents+json"),)
    assert facts(record(value=b'{"a":7}')).text(("a",)) == "7"
    assert facts(record(value=structured, headers=headers)).text(("a",)) == "7"
    assert facts(record(value=None)).text(("a",)) is None
    assert facts(record(value=b"\x00\x00\x00\x00\x01\x02")).text(("a",)) is None


def test_data_of_an_event_that_cannot_be_read_is_looked_into_where_it_lies_beside_it() -> None:
    broken = event(2, id=b"\xff")
    assert facts(broken).text(("a",)) is None
    assert facts(broken).text("type") == "made"
    for key in ("id", "time"):
        with pytest.raises(InputError):
            facts(broken).text(key)
    with pytest.raises(InputError):
        facts(event(2, specversion=b"9")).text("type")
    with pytest.raises(InputError):
        facts(record(value=b"{", headers=(("content-type", b"application/cloudevents+json"),))).text(("a",))


def test_attributes_are_texts_and_absent_ones_are_left_out() -> None:
    seen = attributes_of(event(1, subject=b"s", tenant=b"acme"), "/default", "default")
    assert seen == {"id": "e", "source": "/s", "type": "made", "subject": "s", "tenant": "acme"}
    assert attributes_of(record(7), "/app/t", "t.record") == {
        "id": "t/1/7",
        "source": "/app/t",
        "type": "t.record",
        "time": "2026-11-21T00:00:00.000Z",
    }
