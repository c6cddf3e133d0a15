"""Named cursors: a position kept under a name, which is the committed offsets of group ``<namespace>.<name>``.

The group has no members, so any stock tool sees it, measures its lag and moves it. The table holds only what the cursor
was declared as; where it stands is Kafka's to say, and is never guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pipeline.cursor import Cursor
from pipeline.errors import (
    Conflict,
    CursorMalformed,
    CursorNotFound,
    DeclarationInvalid,
    TopicNotFound,
    VersionConflict,
)
from pipeline.faces import Notes, Pointers, Silent, Table, TopicAdmin, TopicFacts
from pipeline.moment import rfc3339_from_ms
from pipeline.names import check_subscription_name, group_of
from pipeline.pull.mark import moved_at_ms
from pipeline.pull.named import CursorRow, CursorSpec, CursorStatus, cursor_spec_from
from pipeline.pull.pointer import Pointer, Standing
from pipeline.pull.reader import Page, Reader, Wanted


class NamedCursors:
    """Cursors of one namespace. ``taken`` says whether a name is a subscription's, whose group it would share.
    ``notes`` is told of cursors made and moved by force.
    """

    def __init__(
        self,
        table: Table,
        offsets: Pointers,
        admin: TopicAdmin,
        reader: Reader,
        *,
        namespace: str,
        taken: Callable[[str], bool],
        now_ms: Callable[[], int],
        notes: Notes | None = None,
    ) -> None:
        self._notes = notes or Silent()
        self._table, self._offsets, self._admin, self._reader = table, offsets, admin, reader
        self._namespace, self._taken, self._now_ms = namespace, taken, now_ms
        # One writer at a time per name in this process; between processes the client's If-Match decides.
        self._locks: dict[str, asyncio.Lock] = {}

    def names(self) -> list[str]:
        return sorted(self._table.rows())

    async def put(self, name: str, declared: Mapping[str, Any]) -> tuple[CursorStatus, bool]:
        """Make the cursor, its position resolved and committed once for every partition; True when it is new.

        Offsets that the group holds already are kept. The same declaration again changes nothing; another one is a
        `Conflict`. Raises `DeclarationInvalid`, `GroupActive`.
        """
        check_subscription_name(name)
        spec = cursor_spec_from(declared)
        async with self._lock(name):
            existing = self._table.get(name)
            if existing is None:
                await self._create(name, spec)
                self._notes.tell("cursor-created", name, before=None, after=msgspec.to_builtins(spec))
            elif _row(existing.value).spec != spec:
                raise Conflict(f"cursor {name} exists with another topic or start; commit to move it")
        return await self.get(name), existing is None

    async def _create(self, name: str, spec: CursorSpec) -> None:
        if self._taken(name):
            raise Conflict(f"{name} is a subscription, whose group a cursor of this name would share")
        try:
            facts, resolved = await self._reader.resolve(spec.topic, spec.origin)
        except TopicNotFound:
            raise DeclarationInvalid("/topics/0", spec.topic, "a topic that exists") from None
        pointer = self._pointer(name)
        held = await pointer.held(facts)
        now_ms = self._now_ms()
        # Positions before the row: a cursor that can be seen has a position.
        await pointer.move(facts, {at: resolved[at] for at in resolved if at not in held.offsets}, now_ms)
        row = CursorRow(
            spec=spec, topic_id=facts.topic_id, partitions=facts.partitions, created_at=rfc3339_from_ms(now_ms)
        )
        await self._table.put(name, msgspec.json.encode(row), based_on=None)

    async def get(self, name: str) -> CursorStatus:
        """Where it stands now. Raises `CursorNotFound`, `CursorEpochChanged`, `PointerMissing`, `PointerUnreadable`."""
        row, standing = await self._standing(name)
        moved = moved_at_ms(standing.marks.values())
        return CursorStatus(
            name=name,
            spec=row.spec,
            cursor=standing.token,
            partitions=await self._pointer(name).positions(standing),
            updated_at=rfc3339_from_ms(moved) if moved else None,
            version=standing.version,
        )

    async def token(self, name: str, topic: str) -> str:
        """Its position, for reading ``topic`` from ``@name``."""
        row, standing = await self._standing(name)
        if row.spec.topic != topic:
            raise CursorMalformed("from", f"@{name}", f"a cursor of topic {topic}; this one reads {row.spec.topic}")
        return standing.token

    async def read(self, name: str, wanted: Wanted) -> Page:
        """The events after its position, which stays where it is until `commit`."""
        row, standing = await self._standing(name)
        return await self._reader.read(row.spec.topic, standing.token, wanted)

    async def commit(self, name: str, cursor: str, *, force: bool = False, if_match: str | None = None) -> bool:
        """Move it to ``cursor``, cumulatively per partition; False when it stands there already.

        Backwards is a `Conflict` unless ``force``, which also repairs a position that is gone or of a topic made anew.
        ``if_match`` is the `CursorStatus.version` that this is based on, else `VersionConflict`.
        """
        token = Cursor.parse(cursor)
        async with self._lock(name):
            row = self._row(name)
            facts, resolved = await self._reader.resolve(row.spec.topic, cursor)
            wanted = {number: resolved[number] for number in token.next_offsets}
            pointer = self._pointer(name)
            await pointer.check_ends(facts, wanted)
            standing = await (pointer.held(facts) if force else pointer.standing(facts, row))
            if if_match not in (None, "*", standing.version):
                raise VersionConflict(f"cursor {name} was moved since; read it again")
            moved = {number: offset for number, offset in wanted.items() if standing.offsets.get(number) != offset}
            if not force:
                _check_forward(standing, moved)
            await pointer.move(facts, moved, self._now_ms())
            if facts.topic_id != row.topic_id:
                await self._renew(name, row, facts)
            if force and moved:
                before = {str(number): standing.offsets.get(number) for number in moved}
                after = {str(number): offset for number, offset in moved.items()}
                self._notes.tell("cursor-forced", name, topic=facts.name, before=before, after=after)
            return bool(moved)

    async def _renew(self, name: str, row: CursorRow, facts: TopicFacts) -> None:
        """A forced commit took the cursor to the topic that has this name now."""
        current = self._table.get(name)
        if current is None:
            raise CursorNotFound(name)
        renewed = msgspec.structs.replace(row, topic_id=facts.topic_id, partitions=facts.partitions)
        await self._table.put(name, msgspec.json.encode(renewed), based_on=current.version)

    async def keep(self, name: str, every_ms: int) -> bool:
        """Commit its unchanged offsets again if they are ``every_ms`` old, before Kafka forgets them; True if
        needed.
        """
        async with self._lock(name):
            row = self._row(name)
            facts = await self._reader.topic(row.spec.topic)
            if facts.topic_id != row.topic_id:
                return False
            pointer = self._pointer(name)
            return await pointer.keep(await pointer.held(facts), self._now_ms(), every_ms)

    async def _standing(self, name: str) -> tuple[CursorRow, Standing]:
        row = self._row(name)
        facts = await self._reader.topic(row.spec.topic)
        return row, await self._pointer(name).standing(facts, row)

    def _row(self, name: str) -> CursorRow:
        found = self._table.get(name)
        if found is None:
            raise CursorNotFound(name)
        return _row(found.value)

    def _pointer(self, name: str) -> Pointer:
        return Pointer(group_of(self._namespace, name), self._offsets, self._admin)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _row(value: bytes) -> CursorRow:
    return msgspec.json.decode(value, type=CursorRow)


def _check_forward(standing: Standing, moved: Mapping[int, int]) -> None:
    for number, offset in moved.items():
        if (stands := standing.offsets[number]) > offset:
            raise Conflict(f"backwards: partition {number} stands at {stands}, not {offset}; force to rewind")
