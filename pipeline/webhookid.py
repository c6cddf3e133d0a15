"""The id of an event on every path: derived from where its record lies, so it is the same on every attempt and replay.

``evt_<10 characters>_<partition>_<offset>``: the characters are the first 50 bits of the topic id in base32 (RFC 4648
§6, small letters), so a topic deleted and made again gives other ids. No ``.`` in it: Standard Webhooks signs
``id.timestamp.body``.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from pipeline.names import topic_id_bytes

_ID = re.compile(r"(evt_[a-z2-7]{10}_)(0|[1-9]\d{0,9})_(0|[1-9]\d{0,18})\Z", re.ASCII)


class IdParts(NamedTuple):
    """Where the record of an id lies; ``prefix`` is that of its topic (`id_prefix`)."""

    prefix: str
    partition: int
    offset: int


def id_prefix(topic_id: str) -> str:
    """What the ids of all records of this topic start with: ``evt_xxxxxxxxxx_``. Raises `DeclarationInvalid`."""
    return f"evt_{base64.b32encode(topic_id_bytes(topic_id))[:10].decode().lower()}_"


def webhook_id(topic_id: str, partition: int, offset: int) -> str:
    """The id of the event at this position of the topic with this id."""
    return f"{id_prefix(topic_id)}{partition}_{offset}"


def id_parts(text: str) -> IdParts | None:
    """What a webhook id says; None when ``text`` is none."""
    match = _ID.match(text)
    return IdParts(match[1], int(match[2]), int(match[3])) if match else None
