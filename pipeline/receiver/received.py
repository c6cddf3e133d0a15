"""What the sample receiver may be told, and what it remembers of a delivery."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pipeline.errors import InputError
from pipeline.format.headers import decode_http_header_value
from pipeline.format.media import is_event_json
from pipeline.format.structured import event_from_json

Headers = Mapping[str, str]


class ReceiverSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to behave.

    ``fail_for_s``: answer ``fail_status`` to everything this long after the start. ``poison``: event ids (``ce-id``)
    or webhook ids that always get ``poison_status``. ``delay_s``: before each answer. ``request_s``: in which a request
    must have come whole, and how long a connection may stay unused.
    """

    fail_for_s: float = 0.0
    fail_status: int = 503
    poison: frozenset[str] = frozenset()
    poison_status: int = 500
    delay_s: float = 0.0
    history_max: int = 10_000
    body_bytes_max: int = 16 * 1024 * 1024
    request_s: float = 60.0


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as it came. ``id``: the webhook id. ``event``: its own. ``repeated``: answered 2xx before."""

    at: float
    path: str
    status: int
    id: str = ""
    event: str = ""
    type: str = ""
    source: str = ""
    key: str | None = None
    seq: int | None = None
    attempt: int = 0
    replay: str | None = None
    method: str | None = None
    bytes: int = 0
    repeated: bool = False
    problem: str = ""


def received_of(headers: Headers, body: bytes, *, at: float, path: str, status: int, problem: str) -> Received:
    """The memory of one delivery; attributes come from its headers or, in structured mode, from its envelope."""
    attributes = _attributes(headers, body)
    return Received(
        at=at,
        path=path,
        status=status,
        id=headers.get("webhook-id", ""),
        event=attributes.get("id", ""),
        type=attributes.get("type", ""),
        source=attributes.get("source", ""),
        key=attributes.get("partitionkey"),
        seq=_number(attributes.get("sequence")),
        attempt=_number(headers.get("webhook-attempt")) or 0,
        replay=headers.get("webhook-replay"),
        method=attributes.get("method"),
        bytes=len(body),
        problem=problem,
    )


def _attributes(headers: Headers, body: bytes) -> dict[str, str]:
    attributes = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            try:
                attributes[name[3:]] = decode_http_header_value(value)
            except InputError:
                attributes[name[3:]] = value
    if body and is_event_json(headers.get("content-type")):
        try:
            event = event_from_json(body)
        except InputError:
            return attributes
        attributes |= {"id": event.id, "type": event.type, "source": event.source}
        attributes |= {name: str(value) for name, value in event.extensions.items()}
    return attributes


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 20 else None
