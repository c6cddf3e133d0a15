"""Parked keys: which keys of a subscription wait for an operator, and how one is let go on.

The rows of the ``parked`` table are the truth; the worker that owns the partition sees a row go and releases its key. A
*parked* key (``on_dead_letter: park``) has dead letters in the order of the log, so before its row goes they are
redriven, and those that came meanwhile, until none is new. A *held* key (``block``) has none: its row just goes.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from pipeline.errors import Conflict, NotFound, VersionConflict
from pipeline.faces import Table
from pipeline.names import group_of
from pipeline.parking import ParkedKey, parked_keys
from pipeline.redrive.drafts import LettersTaken, draft_of
from pipeline.redrive.fates import FiledLetter
from pipeline.redrive.letters import DeadLetters
from pipeline.redrive.redrives import Redrives
from pipeline.runs import Runs

POLL_S = 0.1
ROUNDS_MAX = 100
"""Redrives in one release: a key whose events go on failing faster than they are redriven is not let go."""


class ParkedKeyNotFound(NotFound):
    noun = "parked key"


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """``released``: the row is gone and the key goes on, after ``redriven`` of its letters. ``redriving``: not yet; ask
    again, and it goes on with ``run``. ``failed``: letters of it came back from their redrive, so it stays parked.
    """

    state: Literal["released", "redriving", "failed"]
    redriven: int
    run: str | None = None


class ParkedKeys:
    """``table`` is the parked table."""

    def __init__(
        self, table: Table, runs: Runs, letters: DeadLetters, redrives: Redrives, *, scanned_max: int = 1_000_000
    ) -> None:
        self._table, self._runs, self._letters, self._redrives = table, runs, letters, redrives
        self._scanned_max = scanned_max

    def of(self, subscription: str) -> list[ParkedKey]:
        """Those of its live delivery, by name; redrives keep their own."""
        prefix = f"{group_of(self._runs.namespace, subscription)}/"
        return sorted(parked_keys(self._table.rows(), prefix), key=lambda one: one.name)

    def find(self, subscription: str, key: bytes | None) -> list[ParkedKey]:
        """Wherever ``key`` waits, which may be in several topics. Raises `ParkedKeyNotFound`."""
        found = [one for one in self.of(subscription) if one.key == key]
        if not found:
            raise ParkedKeyNotFound("events without a key" if key is None else key.decode("utf-8", "backslashreplace"))
        return found

    async def release(
        self, parked: ParkedKey, *, skip: bool = False, wait_s: float = 30.0, who: str | None = None
    ) -> Released:
        """Let it go on, its dead letters first unless ``skip``; waits at most ``wait_s`` for them.

        Safe to ask again at any time. Raises `Conflict` while another redrive of the subscription is not over.
        """
        subscription = parked.group.removeprefix(f"{self._runs.namespace}.")
        if skip or parked.policy == "block":
            return await self._let_go(subscription, parked, 0, who)
        deadline = asyncio.get_running_loop().time() + wait_s
        tried: set[str] = set()
        for _ in range(ROUNDS_MAX):
            run_id = self._under_way(subscription, parked)
            if run_id is None:
                waiting = await self._waiting(subscription, parked)
                if not waiting:
                    return await self._let_go(subscription, parked, len(tried), who)
                if any(filed.letter.id in tried for filed in waiting):
                    return Released(state="failed", redriven=len(tried))
                draft = draft_of(subscription, "redrive", waiting, _note(parked))
                try:
                    run_id = (await self._redrives.begin(draft, who=who)).run.id
                except LettersTaken:
                    continue
                except Conflict:
                    # Whoever asked for the same release a moment earlier redrives them.
                    if (run_id := self._under_way(subscription, parked)) is None:
                        raise
                tried |= {filed.letter.id for filed in waiting}
            if not await self._is_over(subscription, run_id, deadline):
                return Released(state="redriving", redriven=len(tried), run=run_id)
        return Released(state="failed", redriven=len(tried))

    def _under_way(self, subscription: str, parked: ParkedKey) -> str | None:
        """The redrive of an earlier call that is not over."""
        for one in self._runs.of(subscription, "redrive"):
            if one.run.note == _note(parked) and one.run.state in ("active", "paused"):
                return one.run.id
        return None

    async def _waiting(self, subscription: str, parked: ParkedKey) -> list[FiledLetter]:
        return [
            filed
            async for filed in self._letters.all(subscription, self._scanned_max)
            if filed.is_open
            and filed.letter.record.key == parked.key
            and filed.letter.origin[:2] == (parked.topic, parked.partition)
        ]

    async def _is_over(self, subscription: str, run_id: str, deadline: float) -> bool:
        while self._runs.get(subscription, "redrive", run_id).run.state in ("active", "paused"):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def _let_go(self, subscription: str, parked: ParkedKey, redriven: int, who: str | None) -> Released:
        row = self._table.get(parked.name)
        if row is not None:
            try:
                await self._table.put(parked.name, None, based_on=row.version)
            except VersionConflict:
                return Released(state="redriving", redriven=redriven)  # it changed this moment: look again
        else:
            return Released(state="released", redriven=redriven)  # somebody else let it go, and told of it
        self._runs.notes.tell(
            "released",
            group_of(self._runs.namespace, subscription),
            topic=parked.topic,
            partition=parked.partition,
            key=None if parked.key is None else parked.key[:200].decode("utf-8", "replace"),
            redriven=redriven,
            **({"who": who} if who else {}),
        )
        return Released(state="released", redriven=redriven)


def _note(parked: ParkedKey) -> str:
    return f"release {parked.name}"
