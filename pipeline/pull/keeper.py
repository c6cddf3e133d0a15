"""Keeps named cursors alive: Kafka forgets offsets of a group without members 7 days after their last commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from pipeline.errors import GroupActive, NotFound, PipelineError
from pipeline.hooks import Hooks
from pipeline.pull.cursors import NamedCursors


class KeeperSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A round every ``round_s`` commits what was last committed ``keep_s`` ago: together they stay below an hour.

    Every gateway does rounds; whoever comes first leaves a mark, so that the others find nothing to do.
    """

    round_s: float = 600.0
    keep_s: float = 2400.0


class CursorKeeper:
    def __init__(
        self,
        cursors: NamedCursors,
        settings: KeeperSettings,
        *,
        jitter: Callable[[], float],
        hooks: Hooks | None = None,
    ) -> None:
        """``jitter`` draws from [0, 1): gateways that started together shall not go round together."""
        self._cursors, self._settings, self._jitter, self._hooks = cursors, settings, jitter, hooks or Hooks()

    async def run(self) -> None:
        """Rounds until cancelled."""
        while True:
            await asyncio.sleep(self._settings.round_s * (0.5 + self._jitter() / 2))
            await self.round()

    async def round(self) -> int:
        """One round over all cursors; how many were kept. One that cannot be kept now is tried in the next round."""
        kept = 0
        for name in self._cursors.names():
            try:
                kept += await self._cursors.keep(name, int(self._settings.keep_s * 1000))
            except (NotFound, GroupActive):
                # Deleted meanwhile, or held by a native client, which commits by itself.
                continue
            except PipelineError as error:
                self._hooks.on_consumer_error(error)
        return kept
