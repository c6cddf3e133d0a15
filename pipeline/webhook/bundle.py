"""Several events as one request: ``format: batch``, the JSON batch of CloudEvents (``json-format.md`` §4).

Each event in the array has its own webhook id as the attribute ``webhookid``: that is what receivers remember, since an
event comes again in another batch when this one was not taken whole. The request's own ``webhook-id`` names exactly
these events in this order: the same on every attempt with them, another as soon as one is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from pipeline.guard import Target
from pipeline.record import Position, Record
from pipeline.signing import Signer
from pipeline.subscription import Subscription
from pipeline.webhook.envelope import whole
from pipeline.webhook.lines import trace_context
from pipeline.webhook.naming import KnownTopics, Names
from pipeline.webhook.request import static_head

_BATCH_JSON = b"\r\ncontent-type: application/cloudevents-batch+json; charset=utf-8"
_DIGEST_CHARACTERS = 16


class BundledEvent(NamedTuple):
    """One event, ready to stand in a batch."""

    webhook_id: bytes
    json: bytes


Bundle = Sequence[BundledEvent]


class EventRenderer:
    """Makes `BundledEvent` of records. ``topic_prefixes`` and ``defaults``: see `Names`."""

    def __init__(self, topic_prefixes: Callable[[str], str], defaults: Callable[[str], tuple[str, str]]) -> None:
        self._topics = KnownTopics(Names(topic_prefixes, defaults))

    def rendered(self, record: Record, origin: Position | None = None) -> BundledEvent:
        """``origin``: the position whose id the event carries, if not the record's own. Never fails: see
        `record_to_json`.
        """
        at = record if origin is None else origin
        facts = self._topics[at.topic]
        webhook_id = b"%b%d_%d" % (facts.id_prefix, at.partition, at.offset)
        more = {"webhookid": webhook_id.decode(), **trace_context(record.headers)}
        return BundledEvent(webhook_id, whole(record, facts, webhook_id, at.offset, more))


class BatchWriter:
    """Writes the requests of one run in batches; the parameters are those of `DeliveryWriter`."""

    def __init__(
        self, subscription: Subscription, target: Target, signer: Signer, names: Names, *, more_lines: str = ""
    ) -> None:
        self.head = static_head(subscription, target, names.run_id) + more_lines.encode("ascii")
        self._sign = signer.sign
        self._sign_github = signer.sign_github if subscription.signing.github else None
        self._renderer = EventRenderer(names.topic_prefixes, names.defaults)

    def write(self, content: Record | Bundle, attempt: int, timestamp: bytes, origin: Position | None = None) -> bytes:
        """The whole request; a record is a batch of one."""
        events = [self._renderer.rendered(content, origin)] if isinstance(content, Record) else content
        body = b"[" + b",".join([event.json for event in events]) + b"]"
        webhook_id = bundle_id(events)
        lines = _BATCH_JSON
        if self._sign_github is not None:
            lines += b"\r\nx-hub-signature-256: %b" % (self._sign_github(body) or b"")
        signature = self._sign(webhook_id, timestamp, body)
        if signature:
            lines += b"\r\nwebhook-signature: " + signature
        return (
            b"%b\r\nwebhook-id: %b\r\nwebhook-timestamp: %b\r\nwebhook-attempt: %d%b\r\ncontent-length: %d\r\n\r\n%b"
            % (self.head, webhook_id, timestamp, attempt, lines, len(body), body)
        )


def bundle_id(events: Bundle) -> bytes:
    """The event's own id when it is alone; else the first one's, how many there are, and a digest of all their ids: a
    receiver that forgets what it has seen by this id must never take other events for these.
    """
    first = events[0].webhook_id
    if len(events) == 1:
        return first
    digest = sha256(b",".join([event.webhook_id for event in events])).hexdigest()
    return b"%b+%d-%b" % (first, len(events), digest[:_DIGEST_CHARACTERS].encode())
