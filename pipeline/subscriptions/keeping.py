"""Signing secrets renewed, and all secrets sealed again, one subscription at a time."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.subscriptions.means import Outcome
from pipeline.subscriptions.rows import Rows
from pipeline.subscriptions.secrets import OVERLAP_S, OVERLAP_S_MAX, Sealer, resealed, rotated, sealing_keys


class SecretKeeper:
    """``now_ms`` is the wall clock."""

    def __init__(self, rows: Rows, sealer: Sealer, now_ms: Callable[[], int]) -> None:
        self._rows, self.sealer, self._now_ms = rows, sealer, now_ms

    async def rotate(
        self, name: str, overlap_s: int = OVERLAP_S, if_match: str | None = None, *, who: str | None = None
    ) -> Outcome:
        """A new signing secret in front; the one before signs too for ``overlap_s`` (0: no longer).

        Raises `Conflict` when too many sign at once, `DeclarationInvalid` for an overlap out of bounds.
        """
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise DeclarationInvalid("/overlap_s", overlap_s, f"0 to {OVERLAP_S_MAX} seconds")
        async with self._rows.lock(name):
            row, _ = self._rows.get(name, if_match)
            sealed, shown = rotated(name, row, self.sealer, now_ms=self._now_ms(), overlap_s=overlap_s)
            changed, version = await self._rows.change(
                name,
                if_match,
                lambda before: msgspec.structs.replace(before, secrets=sealed),
                "secret-rotated",
                "secret-rotated",
                who=who,
                overlap_s=overlap_s,
            )
            return Outcome(row=changed, version=version, created=False, shown=shown)

    async def rewrap(self, name: str, *, who: str | None = None) -> bool:
        """Seal its secrets again under the newest key; whether any was under another. Raises `FormatUnreadable`."""
        async with self._rows.lock(name):
            row, _ = self._rows.get(name)
            sealed = resealed(name, row.secrets, self.sealer)
            if sealed == row.secrets:
                return False
            await self._rows.change(
                name,
                None,
                lambda before: msgspec.structs.replace(before, secrets=sealed),
                "secrets-rewrapped",
                who=who,
                keys={"before": sealing_keys(row.secrets), "after": sealing_keys(sealed)},
            )
            return True
