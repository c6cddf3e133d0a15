"""A record as the bytes of one HTTP/1.1 request.

Nothing a producer wrote can end a header line: values are percent-encoded as the CloudEvents HTTP binding (§3.1.3.2)
says, names are taken only where they are attribute names, a content type only where it is a field value. A record that
cannot be written so raises `Undecodable`.

There is a fast path for records whose headers are what nearly all are (each name once, values of visible ASCII) and a
careful one for the rest; a property test holds that both write the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import pipeline
from pipeline.errors import PipelineError
from pipeline.format.headers import http_header_value
from pipeline.guard import Target
from pipeline.moment import rfc3339_from_ms
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Subscription

# What an attribute's value may hold as it is: visible ASCII less " and % (CloudEvents HTTP binding §3.1.3.2).
_PLAIN = bytes(set(range(0x21, 0x7F)) - set(b'"%'))
_ATTRIBUTE = re.compile(r"ce_([a-z0-9]{1,64})\Z")
_FIELD_VALUE = re.compile(rb"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*\Z")
_NOT_ATTRIBUTES = ("data", "datacontenttype")  # the body is the one, content-type the other
_PASSED = ("traceparent", "tracestate")
_SET_HERE = (*_PASSED, "x-hub-signature-256")
_RUN_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")

# One bit per header name, so that a name seen twice costs no set. The first are those the rules below ask about.
_SPECVERSION, _ID, _SOURCE, _TYPE, _TIME, _SEQUENCE, _KEY, _METHOD, _CONTENT = (1 << bit for bit in range(9))
_CORE = _SPECVERSION | _ID | _SOURCE | _TYPE
_BITS = {
    "ce_specversion": _SPECVERSION,
    "ce_id": _ID,
    "ce_source": _SOURCE,
    "ce_type": _TYPE,
    "ce_time": _TIME,
    "ce_sequence": _SEQUENCE,
    "ce_partitionkey": _KEY,
    "ce_method": _METHOD,
    "content-type": _CONTENT,
}
# Names and content types remembered; a producer that invents more is served by the careful path.
_NAMES_MAX, _TYPES_MAX = 60, 64

Lines = list[bytes]


class Undecodable(PipelineError):
    """The record cannot be written as a request; the text names the part, never its value."""

    code = "undecodable"


class _TopicFacts(NamedTuple):
    id_prefix: bytes
    source: str
    type: str
    source_line: bytes
    type_line: bytes


class DeliveryWriter:
    """Writes the deliveries of one run.

    ``topic_prefixes`` (what webhook ids of a topic start with) and ``defaults`` (source and type of records that are no
    CloudEvents) are asked once per topic: a topic deleted and made again needs a new writer. ``run_id`` marks the
    deliveries of a replay or redrive.
    """

    def __init__(
        self,
        subscription: Subscription,
        target: Target,
        *,
        signer: Signer,
        topic_prefixes: Callable[[str], str],
        defaults: Callable[[str], tuple[str, str]],
        run_id: str | None,
    ) -> None:
        self._head = _static_head(subscription, target, run_id)
        self._signer = signer
        self._github = subscription.signing.github
        self._render = {"binary": self._binary, "structured": self._structured, "raw": self._raw}[subscription.format]
        self._topic_prefixes, self._defaults = topic_prefixes, defaults
        self._topics: dict[str, _TopicFacts] = {}
        self._names: dict[str, tuple[bytes, int]] = {}
        self._next_bit = _CONTENT << 1
        self._types: dict[bytes, bytes | None] = {}
        self._second, self._second_text = -1, b""

    def write(self, record: Record, attempt: int, timestamp: bytes, origin: Position | None = None) -> bytes:
        """The whole request. ``timestamp``: this attempt's unix seconds; ``origin`` (redrive): whose id it carries."""
        at = record if origin is None else origin
        offset = at.offset
        facts = self._topics.get(at.topic) or self._learn_topic(at.topic)
        webhook_id = b"%b%d_%d" % (facts.id_prefix, at.partition, offset)
        lines, body = self._render(record, facts, webhook_id, offset)
        signature = self._signer.sign(webhook_id, timestamp, body)
        if signature:
            lines.append(b"\r\nwebhook-signature: ")
            lines.append(signature)
        if self._github:
            lines.append(b"\r\nx-hub-signature-256: " + (self._signer.sign_github(body) or b""))
        return b"%b\r\nwebhook-id: %b\r\nwebhook-timestamp: %b\r\nwebhook-attempt: %d%b\r\ncontent-length: %d\r\n\r\n%b" % (
            self._head,
            webhook_id,
            timestamp,
            attempt,
            b"".join(lines),
            len(body),
            body,
        )

    def _binary(self, record: Record, facts: _TopicFacts, webhook_id: bytes, offset: int) -> tuple[Lines, bytes]:
        names, seen, lines, values = self._names, 0, [], []
        for name, value in record.headers:
            known = names.get(name) or self._learn_name(name)
            if known is None:
                return self._binary_carefully(record, facts, webhook_id, offset)
            head, bit = known
            if not bit:
                continue
            if seen & bit or not value:
                return self._binary_carefully(record, facts, webhook_id, offset)
            seen |= bit
            if bit == _CONTENT:
                line = self._types.get(value) or self._learn_type(value)
                if line is None:
                    return self._binary_carefully(record, facts, webhook_id, offset)
                lines.append(line)
            else:
                lines.append(head)
                lines.append(value)
                values.append(value)
        if values and b"".join(values).translate(None, _PLAIN):
            return self._binary_carefully(record, facts, webhook_id, offset)
        return self._completed(lines, seen, record, facts, webhook_id, offset)

    def _binary_carefully(
        self, record: Record, facts: _TopicFacts, webhook_id: bytes, offset: int
    ) -> tuple[Lines, bytes]:
        found = {name: value for name, value in record.headers if _wire_name(name)}  # the last of a name counts
        lines, seen = [], 0
        for name, value in found.items():
            wire_name = _wire_name(name)
            if value is None or (not value and name in _BITS):
                continue
            seen |= _BITS.get(name, 0)
            if name == "content-type":
                lines.append(_content_type_line(value))
            elif name in _PASSED:
                if _FIELD_VALUE.match(value):
                    lines.append(b"\r\n%b: %b" % (wire_name, value))
            else:
                lines.append(b"\r\n%b: %b" % (wire_name, _encoded(name, value)))
        if _is_structured(found.get("content-type")):
            # The value is an envelope already: it says itself what the headers would.
            return self._enveloped(record)
        return self._completed(lines, seen, record, facts, webhook_id, offset)

    def _completed(
        self, lines: Lines, seen: int, record: Record, facts: _TopicFacts, webhook_id: bytes, offset: int
    ) -> tuple[Lines, bytes]:
        """Add what every delivery has and this record's headers do not say."""
        if seen & _CORE != _CORE:
            self._add_defaults(lines, seen, record, facts, webhook_id)
        if not seen & _SEQUENCE:
            lines.append(b"\r\nce-sequence: %020d" % offset)
        key = record.key
        if key and not seen & _KEY:
            lines.append(b"\r\nce-partitionkey: %b" % key if not key.translate(None, _PLAIN) else _key_line(key))
        body = record.value
        if body is None:
            if not seen & _METHOD:
                lines.append(b"\r\nce-method: DELETE")
            return lines, b""
        if body and not seen & _CONTENT:
            lines.append(b"\r\ncontent-type: application/octet-stream")
        return lines, body

    def _add_defaults(
        self, lines: Lines, seen: int, record: Record, facts: _TopicFacts, webhook_id: bytes
    ) -> None:
        if not seen & _SPECVERSION:
            lines.append(b"\r\nce-specversion: 1.0")
        if not seen & _ID:
            lines.append(b"\r\nce-id: " + webhook_id)
        if not seen & _SOURCE:
            lines.append(facts.source_line)
        if not seen & _TYPE:
            lines.append(facts.type_line)
        if not seen & (_SPECVERSION | _TIME):
            second, ms = divmod(record.timestamp_ms, 1000)
            if second != self._second:
                self._second, self._second_text = second, _second_text(second)
            if self._second_text:
                lines.append(b"\r\nce-time: %b.%03dZ" % (self._second_text, ms))

    def _raw(self, record: Record, facts: _TopicFacts, webhook_id: bytes, offset: int) -> tuple[Lines, bytes]:
        return self._enveloped(record)

    def _enveloped(self, record: Record) -> tuple[Lines, bytes]:
        """The value as it is, without attributes in headers."""
        lines = _passed_lines(record)
        body = record.value
        content_type = record.header("content-type")
        if content_type:
            lines.append(_content_type_line(content_type))
        elif body:
            lines.append(b"\r\ncontent-type: application/octet-stream")
        if body is None:
            lines.append(b"\r\nce-method: DELETE")
        return lines, body or b""

    def _structured(self, record: Record, facts: _TopicFacts, webhook_id: bytes, offset: int) -> tuple[Lines, bytes]:
        raise NotImplementedError  # pragma: no cover

    def _learn_topic(self, topic: str) -> _TopicFacts:
        source, type_ = self._defaults(topic)
        facts = _TopicFacts(
            self._topic_prefixes(topic).encode(),
            source,
            type_,
            b"\r\nce-source: " + _encoded("source", source.encode()),
            b"\r\nce-type: " + _encoded("type", type_.encode()),
        )
        self._topics[topic] = facts
        return facts

    def _learn_name(self, name: str) -> tuple[bytes, int] | None:
        if len(self._names) >= _NAMES_MAX:
            return None
        wire_name = _wire_name(name)
        if not wire_name:
            known = (b"", 0)
        elif name in _BITS:
            known = (b"\r\n%b: " % wire_name, _BITS[name])
        else:
            known = (b"\r\n%b: " % wire_name, self._next_bit)
            self._next_bit <<= 1
        self._names[name] = known
        return known

    def _learn_type(self, value: bytes) -> bytes | None:
        """The line for this content type; None when the value is an envelope."""
        if _is_structured(value):
            return None
        if len(self._types) >= _TYPES_MAX:
            self._types.clear()
        line = self._types[value] = _content_type_line(value)
        return line


def _static_head(subscription: Subscription, target: Target, run_id: str | None) -> bytes:
    endpoint = subscription.endpoint
    lines = [f"{endpoint.method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    lines.append(f"user-agent: event-pipeline/{pipeline.__version__}")
    if not any(name.lower() == "accept-encoding" for name in endpoint.headers):
        lines.append("accept-encoding: identity")
    lines += [f"{name}: {value}" for name, value in endpoint.headers.items() if name.lower() not in _SET_HERE]
    if run_id is not None:
        if not _RUN_ID.match(run_id):
            raise ValueError(f"run id {run_id!r} is not a header value")
        lines.append(f"webhook-replay: {run_id}")
    head = "\r\n".join(lines).encode("ascii")
    assert head.count(b"\n") == len(lines) - 1 and b"\0" not in head
    return head


def _wire_name(name: str) -> bytes:
    """The HTTP name of a record's header; empty for headers that are not delivered."""
    if name in _PASSED or name == "content-type":
        return name.encode()
    found = _ATTRIBUTE.match(name)
    if found is None or found[1] in _NOT_ATTRIBUTES:
        return b""
    return b"ce-" + found[1].encode()


def _encoded(name: str, value: bytes) -> bytes:
    try:
        return http_header_value(value.decode()).encode()
    except UnicodeDecodeError:
        raise Undecodable(f"header {name} is not UTF-8") from None


def _second_text(second: int) -> bytes:
    """``2026-11-20T22:00:00``; empty for a timestamp that is none (Kafka: -1) or beyond the year 9999."""
    return rfc3339_from_ms(second * 1000)[:19].encode() if 0 <= second < 253_402_300_800 else b""


def _key_line(key: bytes) -> bytes:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return b""
    return b"\r\nce-partitionkey: " + _encoded("key", key) if text.isprintable() else b""


def _content_type_line(value: bytes) -> bytes:
    if not _FIELD_VALUE.match(value):
        raise Undecodable("header content-type is not printable ASCII")
    return b"\r\ncontent-type: " + value


def _is_structured(content_type: bytes | None) -> bool:
    return content_type is not None and content_type[:23].lower() == b"application/cloudevents"


def _passed_lines(record: Record) -> Lines:
    found = {name: value for name, value in record.headers if name in _PASSED}
    return [
        b"\r\n%b: %b" % (name.encode(), value)
        for name, value in found.items()
        if value is not None and _FIELD_VALUE.match(value)
    ]
