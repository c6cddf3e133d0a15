"""What subscriptions stand on, and what their verbs answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from pipeline.faces import Log, Table, TopicAdmin
from pipeline.runs import Runs
from pipeline.subscription import StoredSubscription, Subscription
from pipeline.subscriptions.rows import Ledgers
from pipeline.subscriptions.secrets import Shown


class GroupAdmin(TopicAdmin, Protocol):
    """What making and forgetting subscriptions asks of the cluster, beyond reading it."""

    async def create(self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None, /) -> object: ...
    async def add_partitions(self, name: str, total: int, /) -> None: ...
    async def group_state(self, name: str, /) -> str: ...
    async def delete_group(self, name: str, /) -> None: ...


class Admission(Protocol):
    """Whether an endpoint may be called, and wants to be: looked into before a row is written."""

    async def admit(self, spec: Subscription, before: StoredSubscription | None, /) -> int | None:
        """Requests a minute that the endpoint allows, None without a bound. ``spec`` has its secrets in place.

        Raises `AddressBlocked`, `HandshakeRefused`.
        """
        ...


class SubscriptionTables(NamedTuple):
    """``cursors`` is only looked into: a name there has the group already."""

    subscriptions: Table
    cursors: Table


def system_now_ms() -> int:
    """The wall clock, unix milliseconds."""
    return int(time.time() * 1000)


class Beside(NamedTuple):
    """What makes more of subscriptions where it is there.

    ``ledgers``: verbs are written down there. ``runs``: those of a subscription that is deleted end with it. ``log``
    tells the times of records. ``admission`` asks endpoints before they are stored. ``is_avro``: whether the data of a
    topic lies there in Avro, where filters cannot look into it.
    """

    ledgers: Ledgers = Ledgers()
    runs: Runs | None = None
    log: Log | None = None
    admission: Admission | None = None
    now_ms: Callable[[], int] = system_now_ms
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    is_avro: Callable[[str], bool] = lambda _: False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb did. ``shown`` holds secrets that were made just now and will not be told again."""

    row: StoredSubscription
    version: int
    created: bool
    shown: Shown
