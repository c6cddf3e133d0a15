"""Edits: a dead letter's event changed by hand, as a new dead letter that says by whom and from what.

The new letter keeps the id, the origin and the counts of the old one, so that the event is redriven under its webhook
id; the old one stays where it lies and is not offered again. The new one is appended first: a failure in between leaves
both, and a redrive sends the old before the new.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Protocol

import msgspec

from pipeline.deadletter import Edit, wrap
from pipeline.errors import Conflict, DeclarationInvalid
from pipeline.record import Headers, Position, Record
from pipeline.redrive.drafts import draft_of
from pipeline.redrive.letters import DeadLetters
from pipeline.runs import Runs


class Appends(Protocol):
    async def append(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> Position: ...


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """``value`` takes the place of the event's (None: a tombstone); ``headers`` are set, those named with None taken
    away; what neither names stays.
    """

    value: bytes | msgspec.UnsetType | None = msgspec.UNSET
    headers: dict[str, str | None] = {}

    def __post_init__(self) -> None:
        if self.value is msgspec.UNSET and not self.headers:
            raise DeclarationInvalid("/value", "absent", "a new value, or headers to set")
        for name in self.headers:
            if not name or name.startswith("dlq."):
                raise DeclarationInvalid(f"/headers/{name}", name, "a header of the event, not one of its dead letter")


class Edits:
    def __init__(self, runs: Runs, letters: DeadLetters, producer: Appends) -> None:
        self._runs, self._letters, self._producer = runs, letters, producer
        self._lock = asyncio.Lock()

    async def edit(self, subscription: str, place: tuple[int, int], change: Change, by: str) -> Position:
        """Where the changed letter lies. ``place``: partition and offset of the one to change; ``by``: who does it.

        Raises `LetterNotFound`, `Conflict` when somebody took it already, `PayloadTooLarge`, LogError.
        """
        async with self._lock:
            filed = await self._letters.at(subscription, *place)
            if not filed.is_open:
                raise Conflict(f"dead letter {filed.place} is {filed.fate.state} already ({filed.fate.run})")
            letter = filed.letter
            edit = Edit(by=by, original=str(filed.place), sha256=sha256(letter.record.value or b"").hexdigest())
            before = letter.record
            new = before.value if isinstance(change.value, msgspec.UnsetType) else change.value
            changed = Record(
                *before.position, before.timestamp_ms, before.key, new, _headers(before.headers, change.headers)
            )
            key, value, headers = wrap(changed, letter.group, letter.failure, redrives=letter.redrives, edit=edit)
            made = await self._producer.append(
                filed.place.topic, key=key, value=value, headers=headers, partition=filed.place.partition
            )
            draft = draft_of(subscription, "discard", [filed], f"edited by {by}: {made}")
            await self._runs.record(self._runs.named(draft), who=by)
            return made


def _headers(before: Headers, change: dict[str, str | None]) -> Headers:
    kept = tuple((name, value) for name, value in before if name not in change)
    return kept + tuple((name, text.encode()) for name, text in change.items() if text is not None)
