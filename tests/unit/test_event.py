from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import EventInvalid
from pipeline.event import Event, is_attribute_name, is_media_type, is_time


def made(**given: Any) -> Event:
    return Event(**{"id": "1", "source": "/s", "type": "t", **given})


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("id", ""),
        ("id", 5),
        ("source", ""),
        ("type", None),
        ("subject", ""),
        ("dataschema", ""),
        ("datacontenttype", ""),
        ("datacontenttype", "json"),
        ("datacontenttype", "text/plain; é"),
        ("id", "a\x00"),
        ("id", "a\x1f"),
        ("id", "a\x7f"),
        ("id", "a\x9f"),
        ("id", "a\n"),
        ("id", "\ud800"),
        ("id", "\ufdd0"),
        ("id", "\ufffe"),
        ("id", "\U0001ffff"),
        ("id", "\U0010fffe"),
        ("time", "2026-11-20"),
        ("time", ""),
        ("time", 5),
    ],
)
def test_an_attribute_the_spec_forbids_is_named(attribute: str, value: object) -> None:
    with pytest.raises(EventInvalid) as caught:
        made(**{attribute: value})
    assert caught.value.field == f"ce-{attribute}"


@pytest.mark.parametrize("text", ["größe", "日本", "\U0001f600", " a b ", '"%', "\ufffd", "\ue000", "\u2028"])
def test_any_other_text_is_taken(text: str) -> None:
    assert made(id=text, subject=text, extensions={"tenant": text}).subject == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "a"),
        ("Tenant", "a"),
        ("my-ext", "a"),
        ("my_ext", "a"),
        ("é", "a"),
        ("a" * 65, "a"),
        ("data", "a"),
        ("id", "a"),
        ("specversion", "1.0"),
        ("tenant", "a\n"),
        ("tenant", 2**31),
        ("tenant", -(2**31) - 1),
        ("tenant", 1.5),
        ("tenant", None),
        ("tenant", ["a"]),
    ],
)
def test_an_extension_the_spec_forbids_is_named(name: str, value: Any) -> None:
    with pytest.raises(EventInvalid) as caught:
        made(extensions={name: value})
    assert caught.value.field == f"ce-{name}"


def test_extensions_have_four_types() -> None:
    given = {"a": "x", "b": 2**31 - 1, "c": False, "d": b"\x00", "e": "", "f": -(2**31)}
    assert dict(made(extensions=given).extensions) == given


def test_an_event_does_not_change() -> None:
    given = {"a": "x"}
    event = made(extensions=given)
    given["a"] = "y"
    assert event.extensions["a"] == "x"
    with pytest.raises(TypeError):
        event.extensions["a"] = "z"  # type: ignore[index]  # that is what is tested
    with pytest.raises(AttributeError):
        event.id = "2"  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2026-11-20T22:00:00Z", True),
        ("2026-11-20t22:00:00z", True),
        ("2026-11-20T22:00:00.123456789+05:30", True),
        ("2024-02-29T00:00:00Z", True),
        ("2016-12-31T23:59:60Z", True),
        ("0000-01-01T00:00:00Z", True),
        ("2023-02-29T00:00:00Z", False),
        ("2026-04-31T00:00:00Z", False),
        ("2026-13-01T00:00:00Z", False),
        ("2026-00-01T00:00:00Z", False),
        ("2026-01-00T00:00:00Z", False),
        ("2026-01-01T24:00:00Z", False),
        ("2026-01-01T00:60:00Z", False),
        ("2026-01-01T00:00:61Z", False),
        ("2026-01-01T00:00:00", False),
        ("2026-01-01T00:00:00+24:00", False),
        ("2026-01-01T00:00:00+0100", False),
        ("2026-01-01 00:00:00Z", False),
        ("2026-01-01T00:00:00.Z", False),
        ("2026-01-01T00:00:00Z\n", False),
        ("٢٠٢٦-01-01T00:00:00Z", False),
    ],
)
def test_a_time_is_rfc3339_of_a_day_that_exists(text: str, taken: bool) -> None:
    assert is_time(text) is taken


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("application/json", True),
        ("application/vnd.x+json; charset=utf-8", True),
        ('text/plain;format="a b"', True),
        ("text/plain ;x", True),
        ("text", False),
        ("text/", False),
        ("/plain", False),
        ("text/pl ain", False),
        ("text/plain\n", False),
        ("text/plain; é", False),
    ],
)
def test_a_media_type_has_two_parts(text: str, taken: bool) -> None:
    assert is_media_type(text) is taken


def test_an_extension_is_not_called_like_a_core_attribute() -> None:
    assert [is_attribute_name(name) for name in ("tenant", "time", "data", "A")] == [True, False, False, False]
