"""Subscriptions: rows of a table, each beside a consumer group that holds its pointer and a dead-letter topic.

Order of writes when one is made: dead-letter topic, start positions, row. A subscription that workers can see can
therefore be delivered and buried, and a failure in between leaves nothing that a second try would not take up.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from pipeline.errors import AddressBlocked, Conflict, VersionConflict
from pipeline.faces import Pointers, What
from pipeline.guard import Guard
from pipeline.names import check_subscription_name, dead_letter_topic_of, group_of
from pipeline.sealing import KeyRing
from pipeline.subscription import SealedSecrets, StoredSubscription, Subscription
from pipeline.subscriptions.declared import check_declared, urls_of
from pipeline.subscriptions.differences import Difference, differences
from pipeline.subscriptions.faults import EndpointBlocked
from pipeline.subscriptions.ground import Ground, end_runs
from pipeline.subscriptions.keeping import SecretKeeper
from pipeline.subscriptions.means import Beside, GroupAdmin, Outcome, SubscriptionTables
from pipeline.subscriptions.rows import Rows, read_row
from pipeline.subscriptions.secrets import Sealer, Shown, kept_secrets, missing_secrets, take_secrets, with_secrets
from pipeline.subscriptions.standing import PartitionLag, Standing, found_topics


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription and where it stands."""

    row: StoredSubscription
    version: int
    group: str
    dead_letter_topic: str
    partitions: list[PartitionLag]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a `Subscriptions.put` would do."""

    name: str
    change: Literal["created", "changed", "unchanged"]
    differences: list[Difference]


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
        beside: Beside | None = None,
    ) -> None:
        self._beside = beside = beside or Beside()
        self.rows = Rows(tables.subscriptions, beside.ledgers)
        self._admin, self._guard, self._namespace = admin, guard, namespace
        self._ground = Ground(admin, offsets, tables.cursors, bridge_group=f"{namespace}._bridge", sleep=beside.sleep)
        self.secrets = SecretKeeper(self.rows, Sealer(keyring, random), beside.now_ms)
        self.standing = Standing(admin, offsets, beside.log, now_ms=beside.now_ms)

    def group(self, name: str) -> str:
        return group_of(self._namespace, name)

    def get(self, name: str) -> tuple[StoredSubscription, int]:
        """The row and its version. Raises `SubscriptionNotFound`."""
        return self.rows.get(name)

    async def status(self, name: str) -> Status:
        """The row with lag and headroom per partition; topics that are gone are left out."""
        (status,) = await self.statuses([name])
        return status

    async def statuses(self, names: Sequence[str]) -> list[Status]:
        """`status` of each, with what they share asked for once."""
        rows = [(name, *self.get(name)) for name in names]
        standing = await self.standing.of({self.group(name): row.spec.topics for name, row, _ in rows})
        return [
            Status(
                row=row,
                version=version,
                group=self.group(name),
                dead_letter_topic=dead_letter_topic_of(self.group(name)),
                partitions=standing[self.group(name)],
            )
            for name, row, version in rows
        ]

    def plan(self, name: str, declared: Mapping[str, Any]) -> Planned:
        """What `put` would change, as far as that can be told without the cluster. Raises as `put` does."""
        check_subscription_name(name)
        spec, given = take_secrets(check_declared(name, declared, self._guard, self._beside.is_avro))
        found = self.rows.find(name)
        old = read_row(found) if found else None
        sealed = kept_secrets(spec, given, old, self.secrets.sealer)
        if old is None:
            return Planned(name=name, change="created", differences=[])
        changed = _changed_secrets(old, sealed)
        found_differences = differences(old.spec, spec, changed)
        change: Literal["changed", "unchanged"] = "changed" if found_differences else "unchanged"
        return Planned(name=name, change=change, differences=found_differences)

    async def put(
        self,
        name: str,
        declared: Mapping[str, Any],
        if_match: str | None = None,
        *,
        only_new: bool = False,
        who: str | None = None,
    ) -> Outcome:
        """Make or change it. The same declaration again changes nothing.

        ``if_match``: the version this is based on, ``*`` for any that exists; ``only_new``: none may exist. Raises
        `VersionConflict`, `DeclarationsInvalid` (also for topics that do not exist), `FiltersInvalid`,
        `AddressBlocked`, `HandshakeRefused`, `Conflict`, and `GroupActive` when the group belongs to somebody else.
        """
        check_subscription_name(name)
        spec, given = take_secrets(check_declared(name, declared, self._guard, self._beside.is_avro))
        async with self.rows.lock(name):
            found = self.rows.find(name, if_match)
            if found is not None and only_new:
                raise VersionConflict(f"subscription {name} is there already, at version {found.version}")
            old = read_row(found) if found else None
            sealed = kept_secrets(spec, given, old, self.secrets.sealer)
            if found and old and old.spec == spec and old.secrets == sealed:
                return Outcome(row=old, version=found.version, created=False, shown=Shown(None, None))
            topics = await found_topics(self._admin, spec.topics)
            if old is None:
                await self._ground.check_free(name, self.group(name))
            allowed = await self._admitted(with_secrets(spec, sealed, self.secrets.sealer), old)
            await self._ground.prepare(self.group(name), spec, topics)
            sealed, shown = missing_secrets(name, spec.signing, sealed, self.secrets.sealer)
            row = msgspec.structs.replace(
                old or StoredSubscription(spec=spec),
                spec=spec,
                secrets=sealed,
                allowed_rate_per_min=allowed,
                generation=old.generation + 1 if old else 0,
            )
            stored = await self.rows.table.put(
                name, msgspec.json.encode(row), based_on=found.version if found else None
            )
            what: What = "changed" if old else "created"
            self.rows.tell(f"subscription-{what}", name, old, row, what, who=who)
            return Outcome(row=row, version=stored.version, created=old is None, shown=shown)

    async def pause(
        self, name: str, if_match: str | None = None, *, who: str | None = None
    ) -> tuple[StoredSubscription, int]:
        """Stop reading, sending and committing until `resume`."""
        async with self.rows.lock(name):
            return await self.rows.change(name, if_match, _in_state("paused"), "subscription-paused", "paused", who=who)

    async def resume(
        self, name: str, if_match: str | None = None, *, who: str | None = None
    ) -> tuple[StoredSubscription, int]:
        """Go on from the committed offsets, after a pause, a 410 or a block.

        A missing pointer is never guessed: `Conflict`.
        """
        async with self.rows.lock(name):
            row, _ = self.get(name)
            if row.state == "blocked":
                await self._check_pointers(name, row)
            return await self.rows.change(
                name, if_match, _in_state("active"), "subscription-resumed", "resumed", who=who
            )

    async def delete(
        self, name: str, *, forget: bool = False, if_match: str | None = None, who: str | None = None
    ) -> None:
        """Delete it and end its runs. Its offsets stay, so that making it again resumes, unless ``forget``; dead
        letters stay always.
        """
        async with self.rows.lock(name):
            row, version = self.rows.get(name, if_match)
            await self.rows.table.put(name, None, based_on=version)
            self.rows.tell("subscription-deleted", name, row, None, "deleted", who=who, forget=forget)
            if self._beside.runs is not None:
                await end_runs(self._beside.runs, name)
            if forget:
                topics = await self._admin.describe(list(row.spec.topics))
                await self._ground.forget(self.group(name), topics, while_worked_on=row.state == "active")
                if self._beside.runs is not None:
                    await self._beside.runs.unpark(name)

    async def _admitted(self, spec: Subscription, old: StoredSubscription | None) -> int | None:
        """What the endpoint allows; an address that may not be called is told by the pointer of its URL."""
        if self._beside.admission is None:
            return None
        try:
            return await self._beside.admission.admit(spec, old)
        except AddressBlocked as blocked:
            urls = urls_of(spec.endpoint)
            pointer = next((at for at, url in urls if urlsplit(url).hostname == blocked.host), "/endpoint/url")
            raise EndpointBlocked([(pointer, blocked)]) from None

    async def _check_pointers(self, name: str, row: StoredSubscription) -> None:
        await found_topics(self._admin, row.spec.topics)
        status = await self.status(name)
        if missing := [f"{one.topic}/{one.partition}" for one in status.partitions if one.committed is None]:
            raise PointerGone(
                f"group {self.group(name)} has no committed offset for {', '.join(missing)}; "
                "say where to go on (reset), then resume"
            )

    def list(self) -> list[tuple[StoredSubscription, int]]:
        """All of them by name."""
        return self.rows.list()


class PointerGone(Conflict):
    code = "pointer-missing"


def _in_state(state: Literal["active", "paused"]) -> Callable[[StoredSubscription], StoredSubscription]:
    def changed(row: StoredSubscription) -> StoredSubscription:
        return row if row.state == state else msgspec.structs.replace(row, state=state, reason="")

    return changed


def _changed_secrets(old: StoredSubscription, sealed: SealedSecrets) -> list[str]:
    """Pointers of endpoint secrets that were given anew. Those no longer named are told of by the declaration."""
    named = ["/endpoint/auth"] if sealed.auth != old.secrets.auth else []
    before = old.secrets.headers
    return named + [
        f"/endpoint/secret_headers/{one}" for one, text in sealed.headers.items() if text != before.get(one)
    ]
