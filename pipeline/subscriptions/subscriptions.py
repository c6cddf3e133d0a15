"""Subscriptions: rows of a table, each beside a consumer group that holds its pointer and a dead-letter topic.

Order of writes when one is made: dead-letter topic, start positions, row. A subscription that workers can see can
therefore be delivered and buried, and a failure in between leaves nothing that a second try would not take up.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from pipeline.errors import Conflict, DeclarationInvalid, GroupActive, SubscriptionNotFound, VersionConflict
from pipeline.faces import Pointers, StoredRow, Table, TopicAdmin, TopicFacts
from pipeline.guard import Guard
from pipeline.names import check_subscription_name, check_topic_name, dead_letter_topic_of, group_of
from pipeline.sealing import KeyRing
from pipeline.subscription import StoredSubscription, Subscription
from pipeline.subscriptions.declared import check_declared
from pipeline.subscriptions.secrets import Shown, missing_secrets
from pipeline.subscriptions.standing import PartitionLag, commit_start, found_topics, lags

# Longer than the sources by default: dead letters wait for an operator, not for a machine.
DEAD_LETTER_CONFIG = {"retention.ms": str(30 * 24 * 3600 * 1000), "cleanup.policy": "delete"}
_EMPTY = ("Empty", "Dead")


class GroupAdmin(TopicAdmin, Protocol):
    """What making and forgetting subscriptions asks of the cluster, beyond reading it."""

    async def create(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, /) -> object: ...
    async def add_partitions(self, name: str, total: int, /) -> None: ...
    async def group_state(self, name: str, /) -> str: ...
    async def delete_group(self, name: str, /) -> None: ...


class SubscriptionTables(NamedTuple):
    """``cursors`` is only looked into: a name there has the group already."""

    subscriptions: Table
    cursors: Table


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a `Subscriptions.put` did. ``shown`` holds secrets that were made just now and will not be told again."""

    row: StoredSubscription
    version: int
    created: bool
    shown: Shown


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription and where it stands."""

    row: StoredSubscription
    version: int
    group: str
    dead_letter_topic: str
    partitions: list[PartitionLag]


class Subscriptions:
    """Subscriptions of one namespace. ``random`` gives random bytes (secrets and nonces)."""

    def __init__(
        self,
        tables: SubscriptionTables,
        admin: GroupAdmin,
        offsets: Pointers,
        *,
        keyring: KeyRing,
        guard: Guard,
        namespace: str,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._table, self._cursors = tables
        self._admin, self._offsets, self._keyring, self._guard = admin, offsets, keyring, guard
        self._namespace, self._random = namespace, random
        self._locks: dict[str, asyncio.Lock] = {}

    def group(self, name: str) -> str:
        return group_of(self._namespace, name)

    def get(self, name: str) -> tuple[StoredSubscription, int]:
        """The row and its version. Raises `SubscriptionNotFound`."""
        found = self._table.get(name)
        if found is None:
            raise SubscriptionNotFound(name)
        return _row(found), found.version

    def list(self) -> list[tuple[StoredSubscription, int]]:
        """All of them by name."""
        rows = self._table.rows()
        return [(_row(rows[name]), rows[name].version) for name in sorted(rows)]

    async def status(self, name: str) -> Status:
        """The row with lag and headroom per partition; topics that are gone are left out."""
        row, version = self.get(name)
        group = self.group(name)
        topics = await self._admin.describe(list(row.spec.topics))
        return Status(
            row=row,
            version=version,
            group=group,
            dead_letter_topic=dead_letter_topic_of(group),
            partitions=await lags(group, topics, admin=self._admin, offsets=self._offsets),
        )

    async def put(self, name: str, declared: Mapping[str, Any], if_match: str | None = None) -> Outcome:
        """Make or change it. The same declaration again changes nothing.

        ``if_match``: the version this is based on, ``*`` for any that exists. Raises `VersionConflict`,
        `DeclarationInvalid` (also for a topic that does not exist), `FilterInvalid`, `AddressBlocked`, `Conflict` and
        `GroupActive` when the group belongs to somebody else.
        """
        check_subscription_name(name)
        spec = check_declared(name, declared, self._guard)
        async with self._lock(name):
            found = self._table.get(name)
            _check_version(name, found, if_match)
            old = _row(found) if found else None
            if found and old and old.spec == spec:
                return Outcome(row=old, version=found.version, created=False, shown=Shown(None, None))
            topics = await found_topics(self._admin, spec.topics)
            if old is None:
                await self._check_free(name)
            await self._prepare(name, spec, topics)
            row, shown = self._changed(spec, old)
            stored = await self._table.put(name, msgspec.json.encode(row), based_on=found.version if found else None)
            return Outcome(row=row, version=stored.version, created=old is None, shown=shown)

    async def pause(self, name: str, if_match: str | None = None) -> tuple[StoredSubscription, int]:
        """Stop reading, sending and committing until `resume`."""
        async with self._lock(name):
            return await self._set_state(name, "paused", if_match)

    async def resume(self, name: str, if_match: str | None = None) -> tuple[StoredSubscription, int]:
        """Go on from the committed offsets, after a pause, a 410 or a block.

        A missing pointer is never guessed: `Conflict`.
        """
        async with self._lock(name):
            row, _ = self.get(name)
            if row.state == "blocked":
                await self._check_pointers(name, row)
            return await self._set_state(name, "active", if_match)

    async def delete(self, name: str, *, forget: bool = False, if_match: str | None = None) -> None:
        """Delete it. Its offsets stay, so that making it again resumes, unless ``forget``; dead letters stay always."""
        async with self._lock(name):
            found = self._table.get(name)
            if found is None:
                raise SubscriptionNotFound(name)
            _check_version(name, found, if_match)
            await self._table.put(name, None, based_on=found.version)
            if forget:
                await self._admin.delete_group(self.group(name))

    async def _check_free(self, name: str) -> None:
        if self._cursors.get(name) is not None:
            raise Conflict(f"{name} is a named cursor, whose group a subscription of this name would share")
        group = self.group(name)
        if (state := await self._admin.group_state(group)) not in _EMPTY:
            raise GroupActive(f"group {group} has members ({state}): another consumer uses this name")

    async def _prepare(self, name: str, spec: Subscription, topics: Mapping[str, TopicFacts]) -> None:
        group = self.group(name)
        dead_letters = check_topic_name(dead_letter_topic_of(group))
        if dead_letters in spec.topics:
            raise DeclarationInvalid("/topics", dead_letters, "topics other than its own dead letters; redrive those")
        partitions = max(facts.partitions for facts in topics.values())
        known = (await self._admin.describe([dead_letters])).get(dead_letters)
        if known is None:
            await self._admin.create(dead_letters, partitions, DEAD_LETTER_CONFIG)
        elif known.partitions < partitions:
            # A dead letter lies in the partition of its record: there must be as many.
            await self._admin.add_partitions(dead_letters, partitions)
        await commit_start(group, topics, spec.start, admin=self._admin, offsets=self._offsets)

    def _changed(self, spec: Subscription, old: StoredSubscription | None) -> tuple[StoredSubscription, Shown]:
        base = old or StoredSubscription(spec=spec)
        sealed, shown = missing_secrets(
            spec.name, spec.signing, base.secrets, keyring=self._keyring, random=self._random
        )
        generation = base.generation + 1 if old else 0
        return msgspec.structs.replace(base, spec=spec, secrets=sealed, generation=generation), shown

    async def _set_state(self, name: str, state: str, if_match: str | None) -> tuple[StoredSubscription, int]:
        found = self._table.get(name)
        if found is None:
            raise SubscriptionNotFound(name)
        _check_version(name, found, if_match)
        row = _row(found)
        if row.state == state:
            return row, found.version
        changed = msgspec.structs.replace(row, state=state, reason="", generation=row.generation + 1)
        stored = await self._table.put(name, msgspec.json.encode(changed), based_on=found.version)
        return changed, stored.version

    async def _check_pointers(self, name: str, row: StoredSubscription) -> None:
        topics = await found_topics(self._admin, row.spec.topics)
        standing = await lags(self.group(name), topics, admin=self._admin, offsets=self._offsets)
        if missing := [f"{one.topic}/{one.partition}" for one in standing if one.committed is None]:
            raise PointerGone(
                f"group {self.group(name)} has no committed offset for {', '.join(missing)}; "
                "set one with kafka-consumer-groups --reset-offsets, then resume"
            )

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


class PointerGone(Conflict):
    code = "pointer-missing"


def _row(stored: StoredRow) -> StoredSubscription:
    return msgspec.json.decode(stored.value, type=StoredSubscription)


def _check_version(name: str, found: StoredRow | None, if_match: str | None) -> None:
    if if_match is None or (found is not None and if_match in ("*", str(found.version))):
        return
    raise VersionConflict(f"subscription {name} is at version {found.version if found else 'none'}, not {if_match}")
