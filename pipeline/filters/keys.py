"""Keys: what a filter may look at in an event, and how that is written.

``type``, ``subject``, ``tenant`` …: a CloudEvents attribute. ``h.<name>``: a header of the Kafka record, by its exact
name. ``$``, ``$.order.items[0]['unit price']``: a value in the data, by a singular query of RFC 9535 (§2.3.5.1): names
and indexes only, so that a path selects one value at most and costs no more than its steps.
"""

from __future__ import annotations

import json
import re
from typing import Protocol, TypeAlias

from pipeline.errors import FilterInvalid

Path: TypeAlias = tuple[str | int, ...]
"""Steps into JSON data: member names, and indexes (from the end when negative)."""
Key: TypeAlias = str | Path
"""An attribute's name, ``h.`` and a header's name, or a path into the data."""

HEADER_PREFIX = "h."
HEADER_CHARACTERS_MAX = 256
PATH_CHARACTERS_MAX = 1024
STEPS_MAX = 32
EXPECTED = (
    "a CloudEvents attribute (1 to 64 lower-case letters and digits), a Kafka header as h.<name>, or a JSON path into "
    "the data such as $.order.items[0]"
)
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}\Z")
_BLANK = r"[ \t\n\r]*"
# RFC 9535: member-name-shorthand (§2.5.1.1), name-selector in quotes (§2.3.1.1), index-selector (§2.3.3.1).
_STEP = re.compile(
    rf"{_BLANK}(?:"
    r"\.(?P<name>[A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff][A-Za-z0-9_\u0080-\ud7ff\ue000-\U0010ffff]*)"
    rf"|\[{_BLANK}(?:'(?P<single>(?:[^'\\\x00-\x1f]|\\.)*)'|\"(?P<double>(?:[^\"\\\x00-\x1f]|\\.)*)\""
    rf"|(?P<index>0|-?[1-9][0-9]{{0,15}})){_BLANK}\])"
)
# What stands between single quotes, as JSON writes it: \' there is ' here, and \" is no escape at all (RFC 9535
# §2.3.1.1), nor is \'.
_IN_SINGLE = re.compile(r"\\.|\"")
_AS_JSON = {"\\'": "'", '"': '\\"', '\\"': "\\'"}
# RFC 9535 §2.1: integers that are exact in every implementation of JSON (RFC 7493 §2.2).
_INDEX_MAX = 2**53 - 1


class Facts(Protocol):
    """What filters can learn of one event."""

    def text(self, key: Key, /) -> str | None:
        """The text at ``key``, None when the event has none there. Raises `InputError`: the event cannot be read."""
        ...


def key_of(given: object, pointer: str) -> Key:
    """The key that is written as ``given``; `FilterInvalid` at ``pointer``."""
    if not isinstance(given, str):
        raise FilterInvalid(pointer, given, EXPECTED)
    if given.startswith("$"):
        return _path_of(given, pointer)
    if given.startswith(HEADER_PREFIX):
        if not 1 <= len(given) - len(HEADER_PREFIX) <= HEADER_CHARACTERS_MAX:
            raise FilterInvalid(pointer, given, f"h. and a header's name of 1 to {HEADER_CHARACTERS_MAX} characters")
        return given
    if not _ATTRIBUTE.match(given):
        raise FilterInvalid(pointer, given, EXPECTED)
    return given


def _path_of(given: str, pointer: str) -> Path:
    if len(given) > PATH_CHARACTERS_MAX:
        raise FilterInvalid(pointer, given, f"a JSON path of at most {PATH_CHARACTERS_MAX} characters")
    steps: list[str | int] = []
    at = 1
    while at < len(given):
        found = _STEP.match(given, at)
        step = None if found is None else _step_of(found)
        if found is None or step is None:
            raise FilterInvalid(
                pointer,
                given,
                f"a JSON path to one value (RFC 9535), such as $.a['b c'][0]; not clear from {given[at:]!r}",
            )
        steps.append(step)
        at = found.end()
    if len(steps) > STEPS_MAX:
        raise FilterInvalid(pointer, given, f"a JSON path of at most {STEPS_MAX} steps")
    return tuple(steps)


def _step_of(found: re.Match[str]) -> str | int | None:
    if found["name"] is not None:
        return found["name"]
    if found["index"] is not None:
        index = int(found["index"])
        return index if abs(index) <= _INDEX_MAX else None
    if found["double"] is not None:
        quoted = found["double"]
    else:
        quoted = _IN_SINGLE.sub(lambda one: _AS_JSON.get(one[0], one[0]), found["single"])
    try:
        name: str = json.loads(f'"{quoted}"')
    except ValueError:
        return None
    return name
