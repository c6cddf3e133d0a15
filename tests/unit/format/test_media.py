from __future__ import annotations

import pytest

from pipeline.format.media import codec_of, is_event_json, kind_of, mode_of


@pytest.mark.parametrize(
    ("content_type", "mode"),
    [
        (None, "binary"),
        ("", "binary"),
        ("application/json", "binary"),
        ("application/cloudevents", "structured"),
        ("application/cloudevents+json; charset=UTF-8", "structured"),
        ("APPLICATION/CLOUDEVENTS+AVRO", "structured"),
        ("application/cloudevents-batch+json", "batch"),
        ("Application/CloudEvents-Batch+JSON", "batch"),
        (" application/cloudevents+json", "structured"),
        ("text/application/cloudevents", "binary"),
    ],
)
def test_the_mode_is_told_by_the_prefix(content_type: str | None, mode: str) -> None:
    assert mode_of(content_type) == mode


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (None, "json"),
        ("application/json", "json"),
        ("text/json", "json"),
        ("application/vnd.github+json; v=3", "json"),
        ("Application/JSON", "json"),
        ("application/jsonp", "bytes"),
        ("text/plain", "text"),
        ("application/xml", "text"),
        ("image/svg+xml", "text"),
        ("text/plain; charset=iso-8859-1", "text"),
        ("text/plain; charset=rot13", "bytes"),
        ("application/octet-stream", "bytes"),
        ("application/x-" + "a" * 5000, "bytes"),
    ],
)
def test_the_kind_of_data_is_told_by_the_type(content_type: str | None, kind: str) -> None:
    assert kind_of(content_type) == kind


def test_only_three_character_sets_are_read() -> None:
    """Python knows codecs that are no character sets (idna, unicode_escape); none of them is reached from outside."""
    names = ("UTF-8", "US-ASCII", "ISO-8859-1", "unicode_escape")
    codecs = [codec_of(f'text/plain; charset="{name}"') for name in names]
    assert codecs == ["utf-8", "ascii", "latin-1", None]


def test_other_event_formats_are_not_taken_for_json() -> None:
    assert is_event_json("application/cloudevents+json; charset=utf-8")
    assert not is_event_json("application/cloudevents+avro")
    assert not is_event_json(None)
