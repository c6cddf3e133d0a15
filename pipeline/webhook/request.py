"""A record as the bytes of one HTTP/1.1 request: what a receiver gets, in each of the formats but ``batch``.

``binary``: the value as it is, attributes as ``ce-`` headers. ``structured``: a CloudEvents JSON envelope. ``raw``: the
value as it is and no attributes. ``thin``: an envelope without data, which says where the data lies. In each, a
tombstone is marked by ``ce-method: DELETE``; in binary and raw its body is empty, as an empty value's is without the
mark. Trace context is carried on in all.
"""

from __future__ import annotations

import re

import pipeline
from pipeline.guard import Target
from pipeline.moment import rfc3339_from_ms
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.subscription.owned_headers import is_owned
from pipeline.webhook.envelope import thin, whole
from pipeline.webhook.lines import (
    CONTENT,
    CORE,
    ENVELOPE,
    ID,
    KEY,
    PLAIN,
    SEQUENCE,
    SOURCE,
    SPECVERSION,
    TIME,
    TYPE,
    HeaderLines,
    attribute_line,
    key_text,
)
from pipeline.webhook.naming import KnownTopics, Names, TopicFacts

_DELETE = b"\r\nce-method: DELETE"
_BYTES = b"\r\ncontent-type: application/octet-stream"
_EVENT_JSON = b"\r\ncontent-type: application/cloudevents+json; charset=utf-8"
# Records bring their own trace context; a fixed one of the endpoint's would come twice, and lie.
_PER_RECORD = ("traceparent", "tracestate")
_RUN_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")
_SECOND_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z, the last one RFC 3339 can write


class DeliveryWriter:
    """Writes the deliveries of one run. ``more_lines``: header lines for a proxy, each behind its CR LF.
    ``public_url``: see `SenderSettings`.
    """

    def __init__(
        self,
        subscription: Subscription,
        target: Target,
        signer: Signer,
        names: Names,
        *,
        more_lines: str = "",
        public_url: str = "",
    ) -> None:
        self.head = static_head(subscription, target, names.run_id) + more_lines.encode("ascii")
        self._public_url = public_url
        self._sign = signer.sign
        self._sign_github = signer.sign_github if subscription.signing.github else None
        self._render = {
            "binary": self._binary,
            "structured": self._structured,
            "raw": self._raw,
            "thin": self._thin,
        }[subscription.format]
        self._topics: dict[str, TopicFacts] = KnownTopics(names)
        self._lines = HeaderLines()
        self._second, self._second_text = -1, b""

    def write(self, record: Record, attempt: int, timestamp: bytes, origin: Position | None = None) -> bytes:
        """The whole request. ``timestamp``: this attempt's unix seconds; ``origin``: the position whose id it carries.

        Raises `Undecodable`.
        """
        at = record if origin is None else origin
        facts = self._topics[at.topic]
        webhook_id = b"%b%d_%d" % (facts.id_prefix, at.partition, at.offset)
        lines, body = self._render(record, facts, webhook_id, at)
        signature = self._sign(webhook_id, timestamp, body)
        if self._sign_github is not None:
            lines += b"\r\nx-hub-signature-256: %b" % (self._sign_github(body) or b"")
        if signature:
            lines += b"\r\nwebhook-signature: "
        return (
            b"%b\r\nwebhook-id: %b\r\nwebhook-timestamp: %b\r\nwebhook-attempt: %d%b%b\r\ncontent-length: %d\r\n\r\n%b"
            % (
                self.head,
                webhook_id,
                timestamp,
                attempt,
                lines,
                signature,
                len(body),
                body,
            )
        )

    def _binary(
        self, record: Record, facts: TopicFacts, webhook_id: bytes, at: Record | Position
    ) -> tuple[bytes, bytes]:
        body, headers = record.value, record.headers
        if body is None:
            # Whatever method its producer named: a null value must not pass for an empty one.
            headers = tuple(header for header in headers if header[0] != "ce_method")
        lines, seen = self._lines.of(headers)
        if seen & CORE != CORE and not seen & ENVELOPE:
            lines += self._default_lines(seen, record, facts, webhook_id)
        if not seen & (SEQUENCE | ENVELOPE):
            lines += b"\r\nce-sequence: %020d" % at.offset
        key = record.key
        if key and not seen & (KEY | ENVELOPE):
            lines += _key_line(key) if key.translate(None, PLAIN) else b"\r\nce-partitionkey: " + key
        if body and not seen & CONTENT:
            lines += _BYTES
        return (lines + _DELETE, b"") if body is None else (lines, body)

    def _raw(
        self, record: Record, _facts: TopicFacts, _webhook_id: bytes, _at: Record | Position
    ) -> tuple[bytes, bytes]:
        content, seen = self._lines.content_type(record.headers)
        lines = self._lines.passed(record.headers) + content
        body = record.value
        if body is None:
            return lines + _DELETE, b""
        return lines if seen or not body else lines + _BYTES, body

    def _structured(
        self, record: Record, facts: TopicFacts, webhook_id: bytes, at: Record | Position
    ) -> tuple[bytes, bytes]:
        return self._envelope_lines(record), whole(record, facts, webhook_id, at.offset)

    def _thin(self, record: Record, facts: TopicFacts, webhook_id: bytes, at: Record | Position) -> tuple[bytes, bytes]:
        place = Position(at.topic, at.partition, at.offset)
        return self._envelope_lines(record), thin(record, facts, webhook_id, place, self._public_url)

    def _envelope_lines(self, record: Record) -> bytes:
        lines = self._lines.passed(record.headers) + _EVENT_JSON
        return lines if record.value is not None else lines + _DELETE

    def _default_lines(self, seen: int, record: Record, facts: TopicFacts, webhook_id: bytes) -> bytes:
        lines = b"" if seen & SPECVERSION else b"\r\nce-specversion: 1.0"
        if not seen & ID:
            lines += b"\r\nce-id: " + webhook_id
        if not seen & SOURCE:
            lines += facts.source_line
        if not seen & TYPE:
            lines += facts.type_line
        if not seen & (SPECVERSION | TIME):
            second, ms = divmod(record.timestamp_ms, 1000)
            if second != self._second:
                known = 0 <= second <= _SECOND_MAX  # Kafka writes -1 for no time
                self._second = second
                self._second_text = rfc3339_from_ms(second * 1000)[:19].encode() if known else b""
            if self._second_text:
                lines += b"\r\nce-time: %b.%03dZ" % (self._second_text, ms)
        return lines


def _key_line(key: bytes) -> bytes:
    text = key_text(key)
    return b"" if text is None else attribute_line("partitionkey", text)


def static_head(subscription: Subscription, target: Target, run_id: str | None) -> bytes:
    """The request line and the header lines that are the same in every request, without an end."""
    endpoint = subscription.endpoint
    # Declarations are checked where they are made; a row that an older, laxer release wrote is not trusted (S15).
    own = {name: value for name, value in endpoint.headers.items() if not is_owned(name)}
    lines = [f"{endpoint.method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    lines.append(f"user-agent: event-pipeline/{pipeline.__version__}")
    if not any(name.lower() == "accept-encoding" for name in own):
        lines.append("accept-encoding: identity")
    lines += [f"{name}: {value}" for name, value in own.items() if name.lower() not in _PER_RECORD]
    if run_id is not None:
        assert _RUN_ID.match(run_id), "run ids are made by us, as header values"
        lines.append(f"webhook-replay: {run_id}")
    head = "\r\n".join(lines).encode("ascii")
    assert head.count(b"\n") == head.count(b"\r") == len(lines) - 1, "checked when the endpoint was declared"
    return head
