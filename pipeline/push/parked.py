"""Which keys of one run wait for an operator, as rows that outlive the worker: remembered, restored, released."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from pipeline.delivery.schedule import spent
from pipeline.errors import PayloadTooLarge, VersionConflict
from pipeline.faces import Table
from pipeline.parking import KEY_BYTES_MAX, ParkedKey, Policy, name_of, parked_keys, place_of_row
from pipeline.push.clock import Clock
from pipeline.push.reading import Place, Reading
from pipeline.subscription import RetryPolicy

KEY_CHARACTERS_SHOWN = 200
Counted = tuple[int, float]
"""Attempts made, and when the first failed."""


class Waiting(NamedTuple):
    """What waits in one partition: parked keys with their reasons, and held keys (None: the policy holds none).

    ``first``: the offsets of the events that keys are held for; ``keyless``: events without a key are held too.
    """

    parked: dict[bytes, str]
    held: frozenset[bytes] | None
    first: frozenset[int]
    keyless: bool

    def of(self, attempts: Mapping[int, Counted], retry: RetryPolicy) -> dict[int, Counted]:
        """``attempts`` without those that are spent but that no row holds: they were released, and begin afresh."""
        if self.held is None or self.keyless:
            return dict(attempts)
        return {at: made for at, made in attempts.items() if at in self.first or not spent(retry, made[0])}


class Parked:
    """The rows of one run. A key is known by its row's name, which may be a hash of it."""

    def __init__(self, table: Table, reading: Reading, clock: Clock) -> None:
        self._table, self._group, self._clock = table, reading.group, clock
        self._holds = reading.spec.on_dead_letter == "block"
        self._known: dict[str, tuple[Place, bytes | None]] = {}

    def restore(self, place: Place) -> Waiting:
        """What waits in ``place``, as whoever had it before left it."""
        rows = list(parked_keys(self._table.rows(), f"{self._group}/{place[0]}/{place[1]}/"))
        self._known.update((row.name, (place, row.key)) for row in rows)
        held = [row for row in rows if row.policy == "block"]
        return Waiting(
            parked={row.key: row.reason for row in rows if row.policy == "park" and row.key is not None},
            held=frozenset(row.key for row in held if row.key is not None) if self._holds else None,
            first=frozenset(row.offset for row in held),
            keyless=any(row.key is None for row in held),
        )

    async def remember(self, place: Place, key: bytes | None, *, policy: Policy, reason: str, offset: int) -> bool:
        """Write the key's row and wait until it counts; False: it had one. Raises `LogError`, `PayloadTooLarge` for a
        key that no row can hold.
        """
        name = name_of(self._group, place, key)
        self._known[name] = (place, key)
        if self._table.get(name) is not None:
            return False
        if key is not None and len(key) > KEY_BYTES_MAX:
            raise PayloadTooLarge("key", f"{len(key)} bytes", f"at most {KEY_BYTES_MAX} bytes to be parked")
        row = ParkedKey(
            group=self._group,
            topic=place[0],
            partition=place[1],
            key=key,
            policy=policy,
            reason=reason,
            offset=offset,
            at_ms=int(self._clock.wall() * 1000),
        )
        try:
            await self._table.put(name, row.value(), based_on=None)
        except VersionConflict:
            return False  # somebody else wrote it first: it stands
        return True

    def released(self, name: str) -> tuple[Place, bytes | None] | None:
        """Whose row ``name`` was, which is gone; None: nobody's here."""
        return self._known.pop(name, None)

    def is_strange(self, name: str) -> Place | None:
        """The partition of the row ``name`` if it is of this run's but none that it knows; else None."""
        found = place_of_row(name)
        return None if found is None or name in self._known else found

    async def take_back(self, name: str, version: int) -> None:
        """Delete the row ``name``, unless it was written again, or became one of this run's. Raises `LogError`."""
        if name in self._known:
            return
        with suppress(VersionConflict):  # what somebody else wrote since stands
            await self._table.put(name, None, based_on=version)

    def forget(self, place: Place) -> None:
        """``place`` is not this worker's any more."""
        self._known = {name: known for name, known in self._known.items() if known[0] != place}


def shown_key(key: bytes | None) -> str | None:
    """A key for people: text where it is one, cut where it is long."""
    return None if key is None else key[:KEY_CHARACTERS_SHOWN].decode("utf-8", "replace")
