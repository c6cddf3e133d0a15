"""Which keys of one run wait for an operator, as rows that outlive the worker: remembered, restored, released."""

from __future__ import annotations

from pipeline.errors import PayloadTooLarge, VersionConflict
from pipeline.faces import Table
from pipeline.parking import KEY_BYTES_MAX, ParkedKey, Policy, name_of, parked_keys
from pipeline.push.clock import Clock
from pipeline.push.reading import Place


class Parked:
    """The rows of one run's ``group``. A key is known by its row's name, which may be a hash of it."""

    def __init__(self, table: Table, group: str, clock: Clock) -> None:
        self._table, self._group, self._clock = table, group, clock
        self._known: dict[str, tuple[Place, bytes | None]] = {}

    def restore(self, place: Place) -> list[ParkedKey]:
        """The rows of ``place``, as whoever had it before left them."""
        rows = list(parked_keys(self._table.rows(), f"{self._group}/{place[0]}/{place[1]}/"))
        self._known.update((row.name, (place, row.key)) for row in rows)
        return rows

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

    def forget(self, place: Place) -> None:
        """``place`` is not this worker's any more."""
        self._known = {name: known for name, known in self._known.items() if known[0] != place}
