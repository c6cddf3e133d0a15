"""What a content type says about an event and its data.

Sources: CloudEvents HTTP binding §3 (mode by prefix), JSON format §3.1.1 (what declares JSON), RFC 6839 (suffixes).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Mode = Literal["binary", "structured", "batch"]
Kind = Literal["json", "text", "bytes"]

EVENT_JSON = "application/cloudevents+json"
BATCH_JSON = "application/cloudevents-batch+json"
_REMEMBERED = 1024
_LENGTH_MAX = 256
# Text by the registry of media types or by custom, besides text/* and what ends in +xml.
_TEXT = frozenset(
    {
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
        "application/jsonl",
        "application/graphql",
        "application/sql",
    }
)
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9_.:+-]+)', re.IGNORECASE)
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "latin-1"}


def mode_of(content_type: str | None) -> Mode:
    """The content mode of a message, by the prefix of its content type, small and capital letters alike."""
    start = (content_type or "").lstrip()[:32].lower()
    if start.startswith("application/cloudevents-batch"):
        return "batch"
    return "structured" if start.startswith("application/cloudevents") else "binary"


def is_event_json(content_type: str | None) -> bool:
    """Whether a structured message is in the JSON format, the one we read: ``application/cloudevents[+json]``."""
    return content_type is not None and _essence(content_type) in (EVENT_JSON, "application/cloudevents")


def kind_of(content_type: str | None) -> Kind:
    """How data of this type stands in the JSON format: as JSON (no type too), as a string, or as base64."""
    if content_type is None:
        return "json"
    # Long ones are not remembered: what is remembered has a bound in bytes too.
    return _kind_of(content_type) if len(content_type) <= _LENGTH_MAX else _kind_of.__wrapped__(content_type)


def codec_of(content_type: str) -> str | None:
    """The Python codec of the ``charset`` parameter: UTF-8 when there is none, None for those we do not read."""
    match = _CHARSET.search(content_type)
    return _CODECS.get(match[1].lower()) if match else "utf-8"


@lru_cache(_REMEMBERED)
def _kind_of(content_type: str) -> Kind:
    essence = _essence(content_type)
    subtype = essence.partition("/")[2]
    if subtype == "json" or subtype.endswith("+json"):
        return "json"
    if essence.startswith("text/") or essence in _TEXT or subtype.endswith("+xml"):
        return "text" if codec_of(content_type) else "bytes"
    return "bytes"


def _essence(content_type: str) -> str:
    """Type and subtype, without parameters."""
    return content_type.partition(";")[0].strip().lower()
