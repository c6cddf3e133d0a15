"""What the bridge is given: the parts it stands on and the settings it is run by."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pipeline.errors import DeclarationInvalid
from pipeline.faces import Silent, Tells, WatchedTable
from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.journal import Journal
from pipeline.kafka.membership import RENEW_S
from pipeline.kafka.offsets import GroupOffsets
from pipeline.kafka.producer import Producer
from pipeline.kafka.table import LogTable
from pipeline.kafka.view import LogView
from pipeline.names import DEFAULT_NAMESPACE
from pipeline.push.clock import SYSTEM_CLOCK, Clock
from pipeline.sealing import KeyRing
from pipeline.webhook.outbound import Outbound
from pipeline.webhook.settings import SenderSettings


class BridgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and counts.

    ``instance`` names this worker in pointers and audit records, by letters, digits, ``-`` and ``_``; empty: host name
    and process id. ``static``: join as a static member of that name, which must be given then and be no other worker's:
    restarted, it has its partitions back at once. ``take_records_max``: records taken from the log
    view at a time. ``held_bytes_max``, ``positions_max``, ``fetches_max``: see `CoreSettings`; per
    run. ``touch_s``: an unchanged
    pointer is committed again after this long, so that the broker does not expire it. ``check_s``: pointers of idle
    runs are read back this often, so that a tool's reset is honoured within 10 s. ``topic_check_s``: how often to look
    whether a topic was deleted and made again. ``lag_check_s``: how often to look how far runs are behind and how near
    retention is. ``no_waiting``: for tests; retries and an open breaker wait no time.
    ``history_file``: attempts, dead letters and commits are written there for `pipeline verify`; empty: nowhere.
    """

    namespace: str = DEFAULT_NAMESPACE
    instance: str = ""
    static: bool = False
    session_timeout_s: float = 15.0
    drain_s: float = 8.0
    commit_interval_s: float = 0.1
    check_s: float = 5.0
    topic_check_s: float = 10.0
    lag_check_s: float = 15.0
    touch_s: float = 60.0
    record_attempts: bool = True
    take_records_max: int = 500
    held_bytes_max: int = 8 * 1024 * 1024
    positions_max: int = 100_000
    fetches_max: int = 256
    slow_after_s: float = 1.0
    no_waiting: bool = False
    history_file: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,100}", self.instance):
            raise DeclarationInvalid("bridge.instance", self.instance, "at most 100 letters, digits, - and _")
        if self.static and not self.instance:
            raise DeclarationInvalid("bridge.static", True, "false, or a bridge.instance of this worker's own")
        if not 1 <= self.session_timeout_s <= 300:
            raise DeclarationInvalid("bridge.session_timeout_s", self.session_timeout_s, "1 to 300 seconds")
        # The lease has to outlast a drain, and be renewed before that.
        if not 0 <= self.drain_s < self.session_timeout_s - RENEW_S:
            raise DeclarationInvalid(
                "bridge.drain_s", self.drain_s, f"0 to less than session_timeout_s - {RENEW_S:g} seconds"
            )
        for name in ("commit_interval_s", "check_s", "topic_check_s", "lag_check_s", "touch_s", "slow_after_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise DeclarationInvalid(f"bridge.{name}", getattr(self, name), "more than 0, at most 86400 seconds")
        for name in ("take_records_max", "held_bytes_max", "positions_max", "fetches_max"):
            if getattr(self, name) < 1:
                raise DeclarationInvalid(f"bridge.{name}", getattr(self, name), "1 or more")


class WorkerParts(NamedTuple):
    """The parts a worker stands on; whoever builds it starts and stops them.

    ``defaults`` gives the CloudEvents source and type of records of a topic that carry none. ``happenings`` is told
    what operators should hear of.
    """

    kafka: KafkaSettings
    view: LogView
    offsets: GroupOffsets
    catalog: Catalog
    admin: Admin
    producer: Producer
    journal: Journal
    subscriptions: WatchedTable
    runs: LogTable
    parked: LogTable
    keyring: KeyRing
    guard: Guard
    hooks: Hooks
    defaults: Callable[[str], tuple[str, str]]
    sending: SenderSettings = SenderSettings()
    clock: Clock = SYSTEM_CLOCK
    outbound: Outbound | None = None
    origin: str = ""
    happenings: Tells = Silent()
