from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.cursor import Cursor
from pipeline.deadletter import REASONS, Failure, one_line, unwrap, wrap
from pipeline.errors import CursorMalformed, DeclarationInvalid, FilterInvalid, FormatUnreadable, InputError
from pipeline.filters import compile_filters
from pipeline.format import frame
from pipeline.format.avro_codec import AvroCodec
from pipeline.format.compat import is_backward_compatible
from pipeline.record import Record
from pipeline.subscription import subscription_from
from tests.fakes.facts import GivenFacts
from tests.property.event_strategies import ANY_RECORD, JSON_VALUES, TIMES

TOPIC_IDS = st.sampled_from(["4dLkTnMZRq6gVYyP0v1lXg", "AAAAAAAAAAAAAAAAAAAAAQ", "_____________________w"])
OFFSETS = st.dictionaries(st.integers(0, 2**31 - 1) | st.integers(0, 12), st.integers(0, 2**63 - 1), max_size=20)


@given(TOPIC_IDS, OFFSETS)
def test_a_cursor_comes_back_from_its_token(topic_id: str, next_offsets: dict[int, int]) -> None:
    token = Cursor(topic_id, next_offsets).token()
    parsed = Cursor.parse(token)
    assert dict(parsed.next_offsets) == next_offsets
    assert parsed.fits(topic_id)


@given(OFFSETS, OFFSETS)
def test_two_cursors_have_two_tokens(one: dict[int, int], other: dict[int, int]) -> None:
    tokens = {Cursor("4dLkTnMZRq6gVYyP0v1lXg", offsets).token() for offsets in (one, other)}
    assert len(tokens) == (1 if one == other else 2)


@given(st.text(max_size=40) | st.text("AQgwk_-", max_size=30).map(lambda text: "v1.4dLkTg" + text))
def test_a_text_that_is_read_is_the_very_token_its_cursor_has(text: str) -> None:
    """Canonical: nothing is read that would not have been written."""
    try:
        parsed = Cursor.parse(text)
    except CursorMalformed:
        return
    prefix = "4dLkTg" if parsed.topic_prefix == b"\xe1\xd2\xe4\x4e" else None
    assume(prefix is not None)
    assert Cursor("4dLkTnMZRq6gVYyP0v1lXg", parsed.next_offsets).token() == text


@given(st.integers(0, 2**31 - 1), st.binary(max_size=30))
def test_a_frame_gives_back_what_was_put_in(schema_id: int, body: bytes) -> None:
    assert frame.unwrap(frame.wrap(schema_id, body)) == (schema_id, body)


@given(st.binary(max_size=12))
def test_what_is_unwrapped_was_wrapped(value: bytes) -> None:
    try:
        schema_id, body = frame.unwrap(value)
    except FormatUnreadable:
        return
    assert frame.wrap(schema_id, body) == value


FAILURES = st.builds(
    Failure,
    reason=st.sampled_from(sorted(REASONS)),
    attempts=st.integers(0, 2**31),
    first_failed_at=TIMES,
    last_failed_at=TIMES,
    http_status=st.none() | st.integers(100, 599),
    error=st.text(max_size=1000),
)


@given(ANY_RECORD, FAILURES, st.integers(0, 1000))
def test_a_dead_letter_gives_back_the_record_byte_for_byte(record: Record, failure: Failure, redrives: int) -> None:
    """Whatever headers it had, those that look like ours too."""
    key, value, headers = wrap(record, "app.orders", failure, redrives=redrives)
    there = Record("app.orders.dlq", record.partition, 0, 0, key, value, headers)
    letter = unwrap(there)
    assert (letter.record, letter.failure, letter.redrives) == (record, failure, redrives)
    again = Record("app.orders.dlq", 0, 1, 0, *wrap(there, "app.orders.dlq.reader", failure))
    assert unwrap(again).record == there


@given(ANY_RECORD)
def test_reading_dead_letters_fails_by_our_errors_only(record: Record) -> None:
    with contextlib.suppress(FormatUnreadable):
        unwrap(record)


@given(st.text(max_size=2000), st.integers(4, 600))
def test_one_line_is_one_line_within_its_bytes(text: str, bytes_max: int) -> None:
    line = one_line(text, bytes_max)
    assert len(line.encode()) <= bytes_max
    assert len(line.splitlines()) <= 1


_EXPRESSIONS: st.SearchStrategy[Any] = st.recursive(
    st.builds(
        lambda dialect, name, text: {dialect: {name: text}},
        st.sampled_from(["exact", "prefix", "suffix"]),
        st.sampled_from(["type", "source", "tenant"]),
        st.text("ab", min_size=1, max_size=2),
    ),
    lambda inner: (
        st.builds(lambda one: {"not": one}, inner)
        | st.builds(
            lambda dialect, many: {dialect: many},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=8,
)


def holds(expression: Any, event: dict[str, str]) -> bool:
    """The specification, read aloud."""
    [(dialect, argument)] = expression.items()
    if dialect == "not":
        return not holds(argument, event)
    if dialect in ("all", "any"):
        return (all if dialect == "all" else any)(holds(one, event) for one in argument)
    return all(name in event and _matches(dialect, event[name], text) for name, text in argument.items())


def _matches(dialect: str, value: str, text: str) -> bool:
    if dialect == "exact":
        return value == text
    return value.startswith(text) if dialect == "prefix" else value.endswith(text)


@given(
    st.lists(_EXPRESSIONS, max_size=3),
    st.dictionaries(st.sampled_from(["type", "source", "tenant"]), st.text("ab", max_size=3)),
)
def test_filters_hold_as_the_specification_reads(filters: list[Any], event: dict[str, str]) -> None:
    assert compile_filters(filters).holds(GivenFacts(event)) is all(holds(one, event) for one in filters)


@given(JSON_VALUES)
def test_filters_are_refused_by_our_errors_only(filters: Any) -> None:
    try:
        compile_filters(filters)
    except FilterInvalid as error:
        assert error.field.startswith("/filters")


_SUBSCRIPTION: dict[str, Any] = {"name": "orders", "topics": ["orders"], "endpoint": {"url": "https://x.example/"}}


@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "topics", "endpoint", "retry", "signing", "format", "filters", "start", "x", "a.b[0]"]
        ),
        JSON_VALUES | st.dictionaries(st.sampled_from(["url", "headers", "schedule_s", "v1", "x"]), JSON_VALUES),
        max_size=3,
    )
)
def test_a_subscription_is_refused_with_a_pointer_to_what_is_there_or_missing(changes: dict[str, Any]) -> None:
    try:
        subscription_from(_SUBSCRIPTION | changes)
    except DeclarationInvalid as error:
        first = error.field.split("/")[1].replace("~1", "/").replace("~0", "~")
        assert first in changes or error.value == "absent"


# --- Avro -------------------------------------------------------------------------------------------------------------

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "bytes": st.text(st.characters(max_codepoint=255), max_size=8),
}


@st.composite
def _typed(draw: st.DrawFn, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """A schema and the values that fit it."""
    kind = draw(
        st.sampled_from(
            [*_PRIMITIVES, "array", "map", "record", "union", "enum", "fixed"] if depth else list(_PRIMITIVES)
        )
    )
    if kind in _PRIMITIVES:
        return kind, _PRIMITIVES[kind]
    name = "N" + draw(st.uuids()).hex
    if kind == "enum":
        return {"type": "enum", "name": name, "symbols": ["A", "B"]}, st.sampled_from(["A", "B"])
    if kind == "fixed":
        values = st.text(st.characters(max_codepoint=255), min_size=3, max_size=3)
        return {"type": "fixed", "name": name, "size": 3}, values
    if kind == "record":
        fields = draw(st.lists(_typed(depth=depth - 1), max_size=3))
        schema = {
            "type": "record",
            "name": name,
            "fields": [{"name": f"f{n}", "type": inner} for n, (inner, _) in enumerate(fields)],
        }
        return schema, st.fixed_dictionaries({f"f{n}": values for n, (_, values) in enumerate(fields)})
    inner, values = draw(_typed(depth=depth - 1))
    if kind == "union":
        assume(not isinstance(inner, list))
        return ["null", inner], st.none() | values
    if kind == "map":
        return {"type": "map", "values": inner}, st.dictionaries(_PRIMITIVES["string"], values, max_size=3)
    return {"type": "array", "items": inner}, st.lists(values, max_size=3)


@st.composite
def _avro_cases(draw: st.DrawFn) -> tuple[str, Any]:
    schema, values = draw(_typed())
    return json.dumps(schema), draw(values)


def codec_of(schema: str) -> AvroCodec:
    try:
        return AvroCodec(schema)
    except DeclarationInvalid as error:
        assume("at least one byte" not in error.expected)
        raise


@given(_avro_cases())
def test_json_comes_back_from_avro(case: tuple[str, Any]) -> None:
    schema, value = case
    codec = codec_of(schema)
    body = codec.encode_json(json.dumps(value).encode())
    assert orjson.loads(codec.decode_to_json(body)) == value


@given(_avro_cases(), st.data())
def test_damaged_avro_is_read_or_refused_by_our_errors(case: tuple[str, Any], data: st.DataObject) -> None:
    schema, value = case
    codec = codec_of(schema)
    body = bytearray(codec.encode_json(json.dumps(value).encode()))
    for place in data.draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=3)):
        if body:
            body[place] = data.draw(st.integers(0, 255))
    try:
        json.loads(codec.decode_to_json(bytes(body) + data.draw(st.binary(max_size=2))))
    except FormatUnreadable as error:
        assert error.field.startswith("/data")


@given(_avro_cases(), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused_by_our_errors(case: tuple[str, Any], body: bytes) -> None:
    codec = codec_of(case[0])
    with contextlib.suppress(FormatUnreadable):
        json.loads(codec.decode_to_json(body))


@given(_avro_cases(), JSON_VALUES)
def test_any_json_fits_or_is_refused_by_our_errors(case: tuple[str, Any], value: Any) -> None:
    codec = codec_of(case[0])
    try:
        codec.decode_to_json(codec.encode_json(orjson.dumps(value)))
    except InputError as error:
        assert error.field.startswith("/data")


_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["null", "int", "string", "N", "a.N", "x", 5, None, True, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {"type": st.sampled_from(["record", "array", "map", "enum", "fixed", "union", "error"]) | inner},
            optional={
                "name": st.sampled_from(["N", "M", "a.N", "1", 5, None]),
                "namespace": st.sampled_from(["a", "", 5]),
                "fields": st.lists(
                    st.fixed_dictionaries(
                        {"name": st.sampled_from(["a", "b", 5]), "type": inner}, optional={"default": JSON_VALUES}
                    ),
                    max_size=3,
                )
                | inner,
                "items": inner,
                "values": inner,
                "symbols": st.lists(st.sampled_from(["A", "B", 5]), max_size=3) | inner,
                "size": st.sampled_from([0, 3, -1, 2**40, "3"]),
                "logicalType": st.sampled_from(["decimal", "uuid", "date", 5]),
                "aliases": inner,
                "default": inner,
                "doc": inner,
            },
        )
    ),
    max_leaves=10,
)


@given(_SCHEMAS, _SCHEMAS)
def test_any_schema_is_taken_or_refused_by_our_errors(one: Any, other: Any) -> None:
    taken = []
    for schema in (one, other):
        try:
            AvroCodec(json.dumps(schema))
        except DeclarationInvalid:
            continue
        taken.append(json.dumps(schema))
    if len(taken) == 2:
        is_backward_compatible(*taken)
    for schema in taken:
        assert is_backward_compatible(schema, schema) == []
