"""What the bridge is given: the parts it stands on and the settings it is run by."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from pipeline.guard import Guard
from pipeline.hooks import Hooks
from pipeline.kafka.admin import Admin
from pipeline.kafka.catalog import Catalog
from pipeline.kafka.client import KafkaSettings
from pipeline.kafka.journal import Journal
from pipeline.kafka.offsets import GroupOffsets
from pipeline.kafka.producer import Producer
from pipeline.kafka.table import LogTable
from pipeline.kafka.view import LogView
from pipeline.names import DEFAULT_NAMESPACE
from pipeline.sealing import KeyRing


class BridgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and counts.

    ``instance`` names this worker in groups, metrics and pointers. ``take_records_max``: records taken from the log
    view at a time. ``held_bytes_max``, ``positions_max``: see `CoreSettings`; per run. ``touch_s``: an unchanged
    pointer is committed again after this long, so that the broker does not expire it. ``check_s``: pointers of idle
    runs are read back this often, so that a tool's reset is honoured within 10 s.
    """

    namespace: str = DEFAULT_NAMESPACE
    instance: str = "worker"
    session_timeout_s: float = 30.0
    drain_s: float = 10.0
    commit_interval_s: float = 0.1
    check_s: float = 5.0
    touch_s: float = 60.0
    record_attempts: bool = True
    take_records_max: int = 500
    held_bytes_max: int = 8 * 1024 * 1024
    positions_max: int = 100_000
    slow_after_s: float = 1.0


class WorkerParts(NamedTuple):
    """The parts a worker stands on; whoever builds it starts and stops them.

    ``defaults`` gives the CloudEvents source and type of records of a topic that carry none.
    """

    kafka: KafkaSettings
    view: LogView
    offsets: GroupOffsets
    catalog: Catalog
    admin: Admin
    producer: Producer
    journal: Journal
    subscriptions: LogTable
    runs: LogTable
    parked: LogTable
    keyring: KeyRing
    guard: Guard
    hooks: Hooks
    defaults: Callable[[str], tuple[str, str]]
