"""The header lines of a delivery that come from its record's own headers.

Nothing a producer wrote can end a line: values are percent-encoded as the CloudEvents HTTP binding (§3.1.3.2) says,
names are taken only where they are attribute names, a content type only where it is a media type. Of a name that comes
several times the last counts. Other headers are the producer's own business and are not delivered.

Records of one producer carry the same names over and over: what names mean is learnt once, as a `_Shape`, and values
that are all visible ASCII are put into its template. Everything else is looked at one by one and gives the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

from pipeline.errors import PipelineError
from pipeline.event import is_media_type
from pipeline.format.headers import http_header_value
from pipeline.format.media import mode_of
from pipeline.record import Headers

# What a value may hold as it is: visible ASCII less " and % (HTTP binding §3.1.3.2).
PLAIN = bytes(set(range(0x21, 0x7F)) - set(b'"%'))
SPECVERSION, ID, SOURCE, TYPE, TIME, SEQUENCE, KEY, CONTENT, ENVELOPE = (1 << bit for bit in range(9))
CORE = SPECVERSION | ID | SOURCE | TYPE

_BITS = {
    "ce_specversion": SPECVERSION,
    "ce_id": ID,
    "ce_source": SOURCE,
    "ce_type": TYPE,
    "ce_time": TIME,
    "ce_sequence": SEQUENCE,
    "ce_partitionkey": KEY,
}
_NEVER_EMPTY = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_dataschema")
_CONTENT_TYPE = "content-type"
_PASSED = ("traceparent", "tracestate")
_ATTRIBUTE = re.compile(r"ce_([a-z0-9]{1,64})\Z")
_NOT_ATTRIBUTES = ("data", "datacontenttype")  # the body is the one, content-type the other
_FIELD_VALUE = re.compile(rb"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*\Z")
# Bounds on what is learnt; a producer that invents names and types is served without.
_SHAPES_MAX, _SHAPE_NAMES_MAX, _TYPES_MAX, _TYPE_BYTES_MAX = 256, 32, 64, 256


class Undecodable(PipelineError):
    """The record cannot be written as a request; the text names the part, never its value."""

    code = "undecodable"


class _Shape(NamedTuple):
    """``picked`` takes the values to deliver, ``template`` is their lines, ``seen`` which attributes those are."""

    picked: Callable[[tuple[Any, ...]], tuple[bytes, ...]]
    template: bytes
    seen: int
    content_at: int | None


class HeaderLines:
    """Renders headers; remembers shapes and content types."""

    __slots__ = ("_shapes", "_types")

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, ...], _Shape] = {}
        self._types: dict[bytes, tuple[bytes, int]] = {}

    def of(self, headers: Headers) -> tuple[bytes, int]:
        """Lines, each with CR LF before it, and the bits of what they say.

        ENVELOPE: the value is structured already and says itself what attributes would; the lines leave them out.
        Raises `Undecodable` for an attribute that is not UTF-8.
        """
        if not headers:
            return b"", 0
        names, values = zip(*headers, strict=True)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._learnt(names)
        content, seen = b"", shape.seen
        if shape.content_at is not None:
            known = self._types.get(values[shape.content_at])
            if known is None:
                return self._one_by_one(headers)
            content, bits = known
            seen |= bits
        picked = shape.picked(values)
        try:
            if b"".join(picked).translate(None, PLAIN) or not all(picked):
                return self._one_by_one(headers)
        except TypeError:  # a header without a value
            return self._one_by_one(headers)
        return shape.template % picked + content, seen

    def passed(self, headers: Headers) -> bytes:
        """Only the lines that do not describe the event: trace context."""
        return _passed_lines({name: value for name, value in headers if name in _PASSED})

    def content_type(self, headers: Headers) -> tuple[bytes, int]:
        """The line of the record's content type and CONTENT, or nothing when it states none that is a media type."""
        value = dict(headers).get(_CONTENT_TYPE)
        return self._content(value) if value is not None else (b"", 0)

    def _one_by_one(self, headers: Headers) -> tuple[bytes, int]:
        found = dict(headers)
        content, seen = self.content_type(headers)
        lines = []
        for name, value in found.items():
            wire_name = _wire_name(name)
            # A core attribute that is empty is as good as absent: the spec allows none.
            if not wire_name or value is None or (not value and name in _NEVER_EMPTY):
                continue
            if name in _PASSED:
                lines.append(_passed_lines({name: value}))
            elif not seen & ENVELOPE:
                lines.append(b"\r\n%b: %b" % (wire_name, _encoded(name, value)))
                seen |= _BITS.get(name, 0)
        return b"".join(lines) + content, seen

    def _content(self, value: bytes) -> tuple[bytes, int]:
        known = self._types.get(value)
        if known is not None:
            return known
        text = value.decode("ascii", "replace").strip()
        if not is_media_type(text) or not _FIELD_VALUE.match(text.encode("ascii", "replace")):
            return b"", 0
        line = b"\r\ncontent-type: " + text.encode("ascii")
        known = (line, CONTENT if mode_of(text) == "binary" else CONTENT | ENVELOPE)
        if known[1] == CONTENT and len(value) <= _TYPE_BYTES_MAX:
            if len(self._types) >= _TYPES_MAX:
                self._types.clear()
            self._types[value] = known
        return known

    def _learnt(self, names: tuple[str, ...]) -> _Shape:
        places = {name: place for place, name in enumerate(names)}  # the last place of each
        taken = {name: place for name, place in places.items() if _wire_name(name)}
        seen = 0
        for name in taken:
            seen |= _BITS.get(name, 0)
        shape = _Shape(
            _picker(list(taken.values())),
            b"".join(b"\r\n%b: %%b" % _wire_name(name) for name in taken),
            seen,
            places.get(_CONTENT_TYPE),
        )
        if len(names) <= _SHAPE_NAMES_MAX and sum(map(len, names)) <= 64 * _SHAPE_NAMES_MAX:
            if len(self._shapes) >= _SHAPES_MAX:
                self._shapes.clear()
            self._shapes[names] = shape
        return shape


def trace_context(headers: Headers) -> dict[str, str]:
    """A record's trace context as CloudEvents attributes (extension "Distributed Tracing"), unless it has them."""
    found = {name: value for name, value in headers if name in _PASSED}
    own = {name for name, _ in headers} if found else ()
    return {
        name: value.decode("ascii")
        for name, value in found.items()
        if value and _FIELD_VALUE.match(value) and f"ce_{name}" not in own
    }


def attribute_line(name: str, text: str) -> bytes:
    """One attribute of ours as a line."""
    return b"\r\nce-%b: %b" % (name.encode(), http_header_value(text).encode())


def key_text(key: bytes) -> str | None:
    """A record's key as an attribute, if it is printable UTF-8; the printable ones are what people chose as keys."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _picker(places: list[int]) -> Callable[[tuple[Any, ...]], tuple[bytes, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def _wire_name(name: str) -> bytes:
    """The HTTP name of a header that is delivered by name; empty for others and for the content type."""
    if name in _PASSED:
        return name.encode()
    found = _ATTRIBUTE.match(name)
    return b"" if found is None or found[1] in _NOT_ATTRIBUTES else b"ce-" + found[1].encode()


def _encoded(name: str, value: bytes) -> bytes:
    try:
        return http_header_value(value.decode()).encode()
    except UnicodeDecodeError:
        raise Undecodable(f"header {name} is not UTF-8") from None


def _passed_lines(found: Mapping[str, bytes | None]) -> bytes:
    # Trace context helps people, it is not the event: one that is no field value is left out.
    return b"".join(
        b"\r\n%b: %b" % (name.encode(), value) for name, value in found.items() if value and _FIELD_VALUE.match(value)
    )
