"""Parked keys: rows of the ``parked`` table, the truth of which keys wait for an operator. Deleting one releases it.

A key is *parked* where its later events follow the first into the dead-letter topic (``on_dead_letter: park``), *held*
where they wait behind it in the log (``block``). Both have a row, named ``<group>/<topic>/<partition>/<key>``: the key
in base64url, or ``~`` and a hash where it is long, or ``~`` alone for held events without a key. Pure.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Literal, Protocol

import msgspec

Policy = Literal["park", "block"]
# A row's name takes 1,024 bytes, group and topic up to 249 each of them.
_KEY_CHARACTERS_MAX = 400
# A row's value takes 512 KiB. What is longer cannot be known again after a restart: its key goes on then.
KEY_BYTES_MAX = 256 * 1024
_HASHED = "~"


class Valued(Protocol):
    """A row of any table."""

    @property
    def value(self) -> bytes: ...


class ParkedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One row. ``key`` None: held events without a key. ``offset``: the event that came first; ``at_ms`` when, both 0
    where an earlier release wrote the row. ``reason`` is that of its dead letter.
    """

    group: str
    topic: str
    partition: int
    key: bytes | None
    policy: Policy
    reason: str
    offset: int = 0
    at_ms: int = 0

    @property
    def name(self) -> str:
        return name_of(self.group, (self.topic, self.partition), self.key)

    def value(self) -> bytes:
        """The row's bytes."""
        return msgspec.json.encode(_Row(self.policy, self.reason, self.offset, self.at_ms, self.key))


class _Row(msgspec.Struct):
    policy: Policy
    reason: str
    offset: int
    at: int
    key: bytes | None


def name_of(group: str, place: tuple[str, int], key: bytes | None) -> str:
    """The name of the key's row."""
    text = _HASHED if key is None else urlsafe_b64encode(key).decode()
    if key is not None and len(text) > _KEY_CHARACTERS_MAX:
        text = _HASHED + sha256(key).hexdigest()
    return f"{group}/{place[0]}/{place[1]}/{text}"


def place_of_row(name: str) -> tuple[str, int] | None:
    """The topic and partition of the row ``name``; None for a name that is none."""
    try:
        _, topic, partition, _ = name.split("/")
        return topic, int(partition)
    except ValueError:
        return None


def read_row(name: str, value: bytes) -> ParkedKey | None:
    """The parked key of a row; None for one that is not readable as such."""
    try:
        group, topic, partition, text = name.split("/")
        place = (topic, int(partition))
        if value.startswith(b"{"):
            row = msgspec.json.decode(value, type=_Row)
        else:  # until this was JSON it was the reason alone
            row = _Row("park", value.decode(), 0, 0, urlsafe_b64decode(text))
    except (ValueError, msgspec.MsgspecError):
        return None
    found = ParkedKey(
        group=group,
        topic=place[0],
        partition=place[1],
        key=row.key,
        policy=row.policy,
        reason=row.reason,
        offset=row.offset,
        at_ms=row.at,
    )
    return found if found.name == name else None


def parked_keys(rows: Mapping[str, Valued], prefix: str) -> Iterator[ParkedKey]:
    """Those whose name begins with ``prefix`` (``<group>/``, or with topic and partition)."""
    for name, row in rows.items():
        if name.startswith(prefix) and (found := read_row(name, row.value)) is not None:
            yield found
